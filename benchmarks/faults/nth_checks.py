"""What must hold of a tenant whose contents are known: after each flow, whatever went wrong in it.

Import this after Django is set up.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import connection

from audit.models import Event
from benchmarks.faults.checking_exports import beside_files, by_key
from benchmarks.faults.nth_child import KEPT_FILES
from core import storage
from core.tenancy import TenantRef, in_public, in_tenant
from datasets.models import Dataset
from exporter.models import OPEN_STATES, ExportFile, ExportRun
from importer.models import ImportIssue, ImportJob, RejectedRow
from jobs.models import ACTIVE, Job

if TYPE_CHECKING:
    from benchmarks.faults.ground import Ground

Records = dict[int, tuple[str | None, int | None]]
ITEMS = b'id,name,amount\n1,pen,3\n2,ink,\n3,"paper, white",500\n'
IMPORTED = ("created", "preview_started", "previewed", "confirmed", "imported")


class Broken(AssertionError):
    """An invariant does not hold; the message says which and where."""


@dataclass(slots=True)
class Site:
    """A tenant with two datasets, what must be in them, and how many changes were ever made to the first."""

    ground: Ground
    tenant: TenantRef
    orders: Dataset
    items: Dataset
    records: Records = field(default_factory=dict)
    changes: int = 0
    next_id: int = 1
    slot: datetime | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a file must do: the records it writes, (created, changed, unchanged, rejected), the rejected cells.

    `deleted` are the records that go, as they are before.
    """

    written: Records
    created: set[int]
    counts: tuple[int, int, int, int]
    rejected: list[tuple[int, list[str]]]
    deleted: Records = field(default_factory=dict)


def cells_of(record: tuple[str | None, int | None]) -> list[str]:
    """Return a record's cells as a file has them."""
    return ["" if cell is None else str(cell) for cell in record]


def counts_of(job: ImportJob) -> tuple[int, int, int, int]:
    """Return how many rows were created, changed, unchanged and rejected."""
    return job.created_rows, job.updated_rows, job.unchanged_rows, job.rejected_rows


def check_import(site: Site, pk: int, plan: Plan, trail: Sequence[str] = IMPORTED) -> None:
    """Compare an import that succeeded with its plan: counts, history, rejected rows, and its trail."""
    job = ImportJob.objects.get(pk=pk)
    same("an import", (job.state, counts_of(job)), ("IMPORT_SUCCEEDED", plan.counts), job.error)
    kinds = (
        dict.fromkeys(plan.written, "~") | dict.fromkeys(plan.created, "+") | dict.fromkeys(plan.deleted, "-")
    )
    _check_history(site, job, kinds, plan.written | plan.deleted)
    rejected = [(at, [cell or "" for cell in cells]) for at, cells in
                RejectedRow.objects.filter(job=job).order_by("row").values_list("row", "cells")]  # fmt: skip
    same("its rejected rows", rejected, plan.rejected)
    same("its issues", ImportIssue.objects.filter(job=job).count(), len(plan.rejected))
    same("its trail", _trail("importer.importjob", pk, "importer.job."), Counter(trail))


def check_undo(site: Site, undone: int, pk: int, removed: Records, restored: Records) -> None:
    """Compare an undo that succeeded with what it had to take back: states, counts, history, trails."""
    job = ImportJob.objects.get(pk=pk)
    counts = (job.created_rows, job.updated_rows, job.deleted_rows, job.kept_rows)
    same("an undo", (job.state, counts), ("IMPORT_SUCCEEDED", (0, len(restored), len(removed), 0)), job.error)
    same("what it undid", ImportJob.objects.get(pk=undone).state, "UNDONE")
    kinds = dict.fromkeys(restored, "~") | dict.fromkeys(removed, "-")
    _check_history(site, job, kinds, restored | removed)
    asked = ("undo_asked", *IMPORTED[1:])
    same("its trail", _trail("importer.importjob", pk, "importer.job."), Counter(asked))
    same(
        "the trail behind",
        _trail("importer.importjob", undone, "importer.job."),
        Counter((*IMPORTED, "undone")),
    )


def _check_history(site: Site, job: ImportJob, kinds: dict[int, str], records: Records) -> None:
    history = _sql(
        f"SELECT history_type, {_columns(site.orders)} FROM ds_{site.orders.pk}_history"
        " WHERE history_change_reason = %s ORDER BY 2",
        [job.reason],
    )
    same("its history", history, [(kinds[at], at, *records[at]) for at in sorted(kinds)])


def check_export(site: Site, pk: int, trail: Sequence[str]) -> None:
    """Compare each file of a run with its object and with the records there are."""
    run = ExportRun.objects.get(pk=pk)
    same("an export", run.state, "SUCCEEDED", run.error)
    files = {file.dataset_slug: file for file in run.files.all()}
    # What had not changed since its last file is not written again: that one is as good.
    files |= {one["slug"]: ExportFile.objects.get(pk=one["file"]) for one in run.skipped}
    same("its files", sorted(files), ["items", "orders"])
    same("its trail", _trail("exporter.exportrun", pk, "exporter.run."), Counter(trail))
    for slug, content in {"orders": _exported(site.records), "items": ITEMS}.items():
        file = files[slug]
        with storage.open_read(file.key) as stored:
            data = stored.read()
        same(f"the content of {file.key}", by_key(data), content)
        told = (file.rows, file.bytes, file.sha256)
        same(
            f"the row of {file.key}",
            told,
            (content.count(b"\n") - 1, len(data), hashlib.sha256(data).hexdigest()),
        )


def check_site(site: Site) -> None:
    """Check what holds whatever was done: records, history, objects, jobs, and that nothing is left over."""
    with in_tenant(site.tenant):
        records = _sql(f"SELECT {_columns(site.orders)} FROM ds_{site.orders.pk} ORDER BY 1")
        same("the records", records, [(at, *site.records[at]) for at in sorted(site.records)])
        changes = _sql(f"SELECT count(*) FROM ds_{site.orders.pk}_history")
        same("the history's length", changes, [(site.changes,)])
        kept = ExportFile.objects.stored()
        stored = {*kept.values_list("key", flat=True)}.union(*beside_files())
        same("the objects of exports", _listed("exports"), sorted(stored))
        same(
            "the uploads",
            _listed("uploads"),
            sorted(ImportJob.objects.exclude(key="").values_list("key", flat=True)),
        )
        per_dataset = Counter(kept.values_list("dataset_slug", flat=True))
        same(
            "datasets with files beyond the limit",
            {s for s, n in per_dataset.items() if n > KEPT_FILES},
            set(),
        )
        open_runs = ExportRun.objects.filter(state__in=OPEN_STATES).count()
        open_imports = ImportJob.objects.exclude(
            state__in=["IMPORT_SUCCEEDED", "CANCELLED", "UNDONE"]
        ).count()
        same("open runs and imports", (open_runs, open_imports), (0, 0))
        same("tables left over", _sql(LEFT_OVER), [])
    check_jobs(site)


LEFT_OVER = """
SELECT tablename FROM pg_tables
 WHERE schemaname = current_schema() AND tablename ~ '^(stg|keys|bad|diff)_[0-9]+$'"""


def check_jobs(site: Site) -> None:
    """Check that every job of the tenant has ended with a reason, and none failed."""
    with in_public():
        mine = Job.objects.filter(schema=site.tenant.schema)
        same("jobs at work", [str(job) for job in mine.filter(state__in=ACTIVE)], [])
        same("failed jobs", [f"{job}: {job.error}" for job in mine.filter(state="FAILED")], [])
        same("jobs without a reason", mine.filter(state="CANCELLED", error="").count(), 0)


def active_jobs(site: Site) -> int:
    """Return how many jobs of the tenant have not ended."""
    with in_public():
        return Job.objects.filter(schema=site.tenant.schema, state__in=ACTIVE).count()


def _exported(records: Records) -> bytes:
    lines = [f"{at},{','.join(cells_of(records[at]))}\n" for at in sorted(records)]
    return ("id,name,amount\n" + "".join(lines)).encode()


def _listed(path: str) -> list[str]:
    return sorted(key for key, _size in storage.list_keys(path))


def _trail(target: str, pk: int, prefix: str) -> Counter[str]:
    names = Event.objects.filter(target_type=target, target_id=str(pk)).values_list("name", flat=True)
    return Counter(name.removeprefix(prefix) for name in names)


def _columns(dataset: Dataset) -> str:
    # A column labelled "id" has another name in the table, which has an id of its own.
    return ", ".join(connection.ops.quote_name(column.name) for column in dataset.spec().columns)


def _sql(statement: str, values: list[Any] | None = None) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


def same(what: str, found: object, expected: object, hint: str = "") -> None:
    """Compare.

    :raises Broken: they differ.
    """
    if found != expected:
        said = f" ({hint})" if hint else ""
        raise Broken(f"{what}: found {found!r:.600}, expected {expected!r:.600}{said}")
