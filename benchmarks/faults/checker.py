"""What must hold whatever happened: the recorded history against the database and the storage.

G1 all or nothing, G2 nothing twice, G3 history = changes, G4 one job per target, G5 every end has a reason,
G6 nobody sees another's, G7 an export is one committed state, G8 what was exported comes back unchanged,
G9 workers stay up, G10 refused rows are told. `docs/faults.md` says which function looks at which.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from django.db import connection

from benchmarks.faults import checking_exports, checking_imports
from benchmarks.faults.findings import Findings
from benchmarks.faults.journal import OK, Journal
from core.tenancy import TenantRef, in_public, in_tenant
from exporter.models import ExportRun
from importer.models import ImportJob
from jobs.models import ACTIVE, Job, State

__all__ = ["Findings", "Site", "check", "check_ledgers"]

# How the odd ones may end. Any job may also meet its end by the faults themselves.
REAL = frozenset({"importer.preview", "importer.merge", "exporter.run", "fault.ledger"})
BY_FAULTS = frozenset({"worker-died", "unexpected", "storage-unreachable"})
ODD_ENDS = {
    "fault.suicide": {"worker-died"},
    "fault.unpicklable": BY_FAULTS,
    "fault.badcursor": BY_FAULTS,
    "fault.refuse": BY_FAULTS | {"refused"},
    "gone.kind": BY_FAULTS | {"unknown-kind"},
}


@dataclass(slots=True)
class Site:
    """Whom the check is about: tenants with their datasets, and the journal of their people."""

    tenants: Sequence[TenantRef]
    datasets: dict[str, list[int]] = field(default_factory=dict)  # by slug
    journal: Journal | None = None


def check(site: Site) -> Findings:
    """Check everything of these tenants; the work must have drained."""
    found = Findings()
    assert site.journal is not None
    for tenant in site.tenants:
        check_jobs(tenant, found)
        check_acknowledged(tenant, site.journal, found)
        with in_tenant(tenant):
            for dataset_pk in site.datasets[tenant.slug]:
                states = checking_imports.check_dataset(tenant, dataset_pk, site.journal, found)
                checking_exports.check_files(dataset_pk, states, found)
            checking_imports.check_ends(tenant, found)
            checking_exports.check_runs(tenant, found)
            checking_exports.check_objects(tenant, found)
    check_ledgers(site.tenants, found)
    for tenant in site.tenants:
        with in_tenant(tenant):
            checking_exports.check_round_trip(tenant, site.datasets[tenant.slug][0], found)
    return found


def check_jobs(tenant: TenantRef, found: Findings) -> None:
    """G4, G5: every job has ended, with a reason if it did not succeed, and the odd ones as they should."""
    with in_public():
        jobs = list(Job.objects.filter(schema=tenant.schema))
    active = Counter((job.kind, job.target) for job in jobs if job.state in ACTIVE)
    for what, count in active.items():
        found.stick(f"{tenant.slug}: {what} has not ended", count)
        if count > 1:
            found.double(f"{tenant.slug}: {count} active jobs at {what}")
    for job in jobs:
        found.count(f"{job.kind} {job.state.lower()}")
        if job.state in (State.FAILED, State.CANCELLED):
            found.count(f"ended: {job.error_code}")
            if not job.error_code or not job.error or job.finished_at is None:
                found.breach(f"G5: job {job.pk} ({job.kind}) ended as {job.state} without a reason")
        wanted = ODD_ENDS.get(job.kind)
        if job.kind in REAL and job.state == State.FAILED and job.error_code not in BY_FAULTS | {"run-gone"}:
            found.breach(f"G5: job {job.pk} ({job.kind}) failed by {job.error_code!r}: {job.error}")
        if wanted and job.has_ended and (job.state != State.FAILED or job.error_code not in wanted):
            found.breach(f"G5: job {job.pk} ({job.kind}) ended as {job.state} {job.error_code!r}")


def check_acknowledged(tenant: TenantRef, journal: Journal, found: Findings) -> None:
    """G1: whatever was acknowledged is there, once."""
    answers: dict[str, list[int]] = {"submit": [], "insert": [], "upload": [], "export": []}
    for entry in journal.entries(tenant=tenant.slug):
        if entry.outcome == OK and entry.op in answers:
            answers[entry.op].append(entry.facts["answer"])
    with in_public():
        jobs = set(Job.objects.filter(schema=tenant.schema).values_list("pk", flat=True))
    with in_tenant(tenant):
        imports = set(ImportJob.objects.values_list("pk", flat=True))
        runs = set(ExportRun.objects.values_list("pk", flat=True))
    there = {"submit": jobs, "insert": jobs, "upload": imports, "export": runs}
    for op, known in answers.items():
        found.count(f"acknowledged: {op}", len(known))
        if gone := sorted(set(known) - there[op]):
            found.lose(f"{tenant.slug}: acknowledged by {op} and gone: {gone}", len(gone))


def check_ledgers(tenants: Sequence[TenantRef], found: Findings) -> None:
    """G1, G2, G6: each committed step of a ledger job left one row, in its own tenant, and nothing else did."""
    for tenant in tenants:
        with in_public():
            jobs = {
                job.pk: job for job in Job.objects.filter(schema=tenant.schema, kind__startswith="fault.")
            }
        with in_tenant(tenant), connection.cursor() as cursor:
            cursor.execute("SELECT job, step, tenant FROM ledger")
            rows = Counter(cursor.fetchall())
            cursor.execute("SELECT job FROM endings")
            endings = Counter(job for (job,) in cursor.fetchall())
        _check_rows(tenant, jobs, rows, found)
        for job in jobs.values():
            wanted = int(job.state in (State.FAILED, State.CANCELLED))
            if endings[job.pk] > wanted:
                found.double(f"{tenant.slug}: the end of job {job.pk} was told {endings[job.pk]} times")
            if endings[job.pk] < wanted:
                found.lose(f"{tenant.slug}: the end of job {job.pk} was never told")


def _check_rows(
    tenant: TenantRef, jobs: dict[int, Job], rows: Counter[tuple[int, int, str]], found: Findings
) -> None:
    steps: dict[int, Counter[int]] = {pk: Counter() for pk in jobs}
    for (job_id, step, slug), count in rows.items():
        if job_id not in jobs or slug != tenant.slug:
            found.breach(f"G6: {tenant.slug} has a row of job {job_id}, written for {slug!r}")
            continue
        steps[job_id][step] += count
    found.count("ledger rows", rows.total())
    for job_id, done in steps.items():
        job = jobs[job_id]
        # A job that ended otherwise keeps the steps it had committed, and no more.
        wanted = Counter(range(job.step)) if job.kind == "fault.ledger" else Counter()
        if job.kind == "fault.ledger" and job.state == State.DONE and job.step != job.payload["steps"]:
            found.lose(
                f"{tenant.slug}: job {job_id} is done after {job.step} of {job.payload['steps']} steps"
            )
        if missing := wanted - done:
            found.lose(f"{tenant.slug}: job {job_id} misses steps {sorted(missing)}", missing.total())
        if extra := done - wanted:
            found.double(f"{tenant.slug}: job {job_id} has extra steps {dict(extra)}", extra.total())
