"""The flows of imports beside the plain one: a sync that deletes, an undo, rows corrected in a preview.

Import this after Django is set up.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable

from benchmarks.faults.nth_checks import (
    IMPORTED,
    Plan,
    Records,
    Site,
    cells_of,
    check_import,
    check_site,
    check_undo,
    counts_of,
    same,
)
from benchmarks.faults.nth_child import Work
from core.tenancy import in_tenant
from importer.fixing import fix_rows
from importer.models import ImportJob
from importer.services import confirm_import, create_import
from importer.undo import undo_import

__all__ = ["FLOWS", "file_for"]
Part = Callable[[Work], None]
CREATED, CHANGED, UNCHANGED = 12, 8, 12
PREVIEWED = "PREVIEW_SUCCEEDED"


def file_for(site: Site) -> tuple[bytes, Plan]:
    """Return a file with a row of every fate, and what it must do."""
    old = sorted(site.records)[-CHANGED - UNCHANGED :]
    changed, unchanged = old[:CHANGED], old[CHANGED:]
    created = list(range(site.next_id, site.next_id + CREATED))
    site.next_id += CREATED
    written: Records = {at: (f"order {at}", at * 3) for at in created}
    written |= dict.fromkeys(changed, (f"changed by {created[0]}", None))
    kept: Records = {at: site.records[at] for at in unchanged}
    rows = [[str(at), *cells_of(record)] for at, record in (written | kept).items()]
    bad = [[str(created[0]), "again", "1"], [str(site.next_id), "no number", "twelve"], ["", "no key", "1"]]
    rejected = [(row, cells) for row, cells in enumerate(bad, start=len(rows) + 2)]
    counts = (len(created), len(changed), len(unchanged), len(bad))
    return _file([*rows, *bad]), Plan(written, set(created), counts, rejected)


def _file(rows: list[list[str]]) -> bytes:
    lines = io.StringIO()
    csv.writer(lines, lineterminator="\n").writerows([["id", "name", "amount"], *rows])
    return lines.getvalue().encode()


def sync(site: Site, part: Part) -> None:
    """Make the dataset equal to a file that lacks the oldest records: rows and records of every fate."""
    data, plan = _file_to_sync(site)
    job = _upload(site, data, part, "sync")
    with in_tenant(site.tenant):
        job.refresh_from_db()
        same("the preview", (job.state, counts_of(job)), (PREVIEWED, plan.counts), job.error)
        same("what is missing", (job.missing_rows, job.deleted_rows), (len(plan.deleted),) * 2)
        confirm_import(job=job, by=None, deletes=job.deleted_rows)
    part(Work())
    _take_over(site, plan)
    with in_tenant(site.tenant):
        check_import(site, job.pk, plan)
    check_site(site)


def _file_to_sync(site: Site) -> tuple[bytes, Plan]:
    """The rejected rows have keys of their own: one that nobody can read forbids all deletions."""
    kept = sorted(site.records)[-CHANGED - UNCHANGED :]
    gone = {at: site.records[at] for at in sorted(site.records)[: -CHANGED - UNCHANGED]}
    changed, unchanged = kept[:CHANGED], kept[CHANGED:]
    created = list(range(site.next_id, site.next_id + CREATED))
    site.next_id += CREATED
    written: Records = {at: (f"order {at}", at * 3) for at in created}
    written |= dict.fromkeys(changed, (f"synced by {created[0]}", None))
    rows = [[str(at), *cells_of(record)] for at, record in written.items()]
    rows += [[str(at), *cells_of(site.records[at])] for at in unchanged]
    bad = [[str(created[0]), "again", "1"], [str(site.next_id), "no number", "twelve"]]
    rejected = [(row, cells) for row, cells in enumerate(bad, start=len(rows) + 2)]
    counts = (len(created), len(changed), len(unchanged), len(bad))
    return _file([*rows, *bad]), Plan(written, set(created), counts, rejected, deleted=gone)


def undo(site: Site, part: Part) -> None:
    """Import undisturbed, then take it back: what was created goes, what was changed is as it was."""
    data, plan = file_for(site)
    before = dict(site.records)
    job = _upload(site, data, _undisturbed)
    with in_tenant(site.tenant):
        confirm_import(job=job, by=None)
    Work().do()
    with in_tenant(site.tenant):
        job.refresh_from_db()
        taken_back = undo_import(job=job, by=None)
    part(Work())
    created = {at: plan.written[at] for at in plan.created}
    restored = {at: before[at] for at in plan.written if at not in plan.created}
    with in_tenant(site.tenant):
        taken_back.refresh_from_db()
        found = (taken_back.state, taken_back.deleted_rows, taken_back.updated_rows, taken_back.kept_rows)
        same("the undo's preview", found, (PREVIEWED, len(created), len(restored), 0), taken_back.error)
        confirm_import(job=taken_back, by=None)
    part(Work())
    site.changes += 2 * len(plan.written)
    with in_tenant(site.tenant):
        check_undo(site, job.pk, taken_back.pk, created, restored)
    check_site(site)


def fix(site: Site, part: Part) -> None:
    """Preview undisturbed, correct two of the rejected rows, look at the new plan and merge it."""
    data, plan = file_for(site)
    job = _upload(site, data, _undisturbed)
    (number, _), (keyless, _) = plan.rejected[1:]
    corrected: Records = {site.next_id: ("no number", 12), site.next_id + 1: ("no key", 1)}
    site.next_id += 2
    with in_tenant(site.tenant):
        job.refresh_from_db()
        rows = [[str(at), *cells_of(record)] for at, record in corrected.items()]
        fix_rows(job=job, by=None, cells=dict(zip((number, keyless), rows, strict=True)))
    part(Work())
    created, changed, unchanged, _ = plan.counts
    fixed = Plan(
        plan.written | corrected,
        plan.created | set(corrected),
        (created + 2, changed, unchanged, 1),
        plan.rejected[:1],
    )
    with in_tenant(site.tenant):
        job.refresh_from_db()
        same("the preview", (job.state, counts_of(job)), (PREVIEWED, fixed.counts), job.error)
        confirm_import(job=job, by=None)
    part(Work())
    _take_over(site, fixed)
    with in_tenant(site.tenant):
        check_import(site, job.pk, fixed, FIXED)
    check_site(site)


FIXED = (*IMPORTED, "importer.rows.fixed", "preview_started", "previewed")


def _upload(site: Site, data: bytes, part: Part, mode: str = "upsert") -> ImportJob:
    with in_tenant(site.tenant):
        job = create_import(dataset=site.orders, file=io.BytesIO(data), name="orders.csv", by=None, mode=mode)
    part(Work())
    return job


def _undisturbed(work: Work) -> None:
    work.do()


def _take_over(site: Site, plan: Plan) -> None:
    """Expect from now on what the plan makes of the records."""
    site.records |= plan.written
    for at in plan.deleted:
        del site.records[at]
    site.changes += len(plan.written) + len(plan.deleted)


FLOWS: dict[str, Callable[[Site, Part], None]] = {"sync": sync, "undo": undo, "fix": fix}
