"""A dataset against the fold of the imports that succeeded, in the order they were confirmed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from django.db import connection

from benchmarks.faults.findings import Findings
from benchmarks.faults.journal import FAIL, File, Journal
from core.tenancy import TenantRef
from datasets.models import Dataset
from importer.models import RUNNING, STAGED, ImportIssue, ImportJob, RejectedRow, State

Records = dict[int, tuple[str, int]]
FAILED = (State.PREVIEW_FAILED, State.IMPORT_FAILED, State.CANCELLED)
ADDED, CHANGED = "+", "~"


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of history: what an import wrote, to which record."""

    kind: str
    number: int
    name: str
    amount: int


def check_dataset(tenant: TenantRef, dataset_pk: int, journal: Journal, found: Findings) -> list[Records]:
    """G1, G2, G3, G10 for one dataset; returns every state it was in, the empty one first."""
    dataset = Dataset.objects.get(pk=dataset_pk)
    history = _history(dataset)
    state: Records = {}
    states = [{**state}]
    for job, file in _in_order(tenant, dataset, journal, found):
        changes = _changes(state, file)
        state |= file.records()
        states.append({**state})
        _compare(
            f"{tenant.slug}: history of {job}", Counter(changes), history.pop(job.reason, Counter()), found
        )
        _check_counts(tenant, job, file, changes, found)
        _check_rejects(tenant, job, file, found)
    for reason, left in history.items():
        found.double(f"{tenant.slug}: history of {reason!r}, which did not succeed", left.total())
    _compare(f"{tenant.slug}: records of {dataset.slug}", Counter(state.items()), _records(dataset), found)
    found.count("imports folded", len(states) - 1)
    return states


def _in_order(
    tenant: TenantRef, dataset: Dataset, journal: Journal, found: Findings
) -> list[tuple[ImportJob, File]]:
    """Return the imports that succeeded with their files, as they were confirmed."""
    confirmed: dict[int, int] = {}
    files: dict[str, File] = {}
    for place, entry in enumerate(journal.entries(tenant=tenant.slug)):
        if entry.op == "confirm" and entry.outcome != FAIL:
            confirmed[entry.facts["imported"]] = place  # the last time: a stale plan is confirmed again
        if entry.op == "upload":
            files[entry.facts["key"]] = File(tenant.slug, *entry.facts["file"])
    succeeded = ImportJob.objects.filter(dataset=dataset, state=State.IMPORT_SUCCEEDED)
    jobs = {job.pk: job for job in succeeded}
    for pk in jobs.keys() - confirmed.keys():
        found.breach(f"G1: {tenant.slug}: import {pk} succeeded and nobody confirmed it")
    return [
        (jobs[pk], files[str(jobs[pk].request_key)])
        for pk in sorted(confirmed, key=confirmed.__getitem__)
        if pk in jobs
    ]


def _changes(state: Records, file: File) -> list[Change]:
    return [
        Change(CHANGED if number in state else ADDED, number, *record)
        for number, record in file.records().items()
        if state.get(number) != record
    ]


def _compare[T](what: str, wanted: Counter[T], there: Counter[T], found: Findings) -> None:
    if missing := wanted - there:
        found.lose(f"{what}: {missing.total()} missing, as {next(iter(missing))}", missing.total())
    if extra := there - wanted:
        found.double(f"{what}: {extra.total()} too many, as {next(iter(extra))}", extra.total())


def _check_counts(
    tenant: TenantRef, job: ImportJob, file: File, changes: list[Change], found: Findings
) -> None:
    added = sum(change.kind == ADDED for change in changes)
    wanted = (added, len(changes) - added, file.count - len(changes), file.bad)
    said = (job.created_rows, job.updated_rows, job.unchanged_rows, job.rejected_rows)
    if said != wanted:
        found.breach(
            f"G3: {tenant.slug}: {job} says {said} rows created, updated, left, refused, not {wanted}"
        )


def _check_rejects(tenant: TenantRef, job: ImportJob, file: File, found: Findings) -> None:
    """G10: each refused row is kept, and its issue names row, column and value."""
    rows = list(RejectedRow.objects.filter(job=job).order_by("row").values_list("row", flat=True))
    issues = list(ImportIssue.objects.filter(job=job).order_by("row").values_list("row", "column", "value"))
    if rows != file.bad_rows() or issues != [(row, "amount", "no number") for row in file.bad_rows()]:
        found.breach(f"G10: {tenant.slug}: {job} tells {issues} of {rows}, not rows {file.bad_rows()}")
    found.count("rows refused", len(rows))


def _columns(dataset: Dataset) -> str:
    names = {column.label: f'"{column.name}"' for column in dataset.spec().columns}
    return ", ".join(names[label] for label in ("id", "name", "amount"))


def _records(dataset: Dataset) -> Counter[tuple[int, tuple[str, int]]]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {_columns(dataset)} FROM ds_{dataset.pk}")
        return Counter((number, (name, amount)) for number, name, amount in cursor.fetchall())


def _history(dataset: Dataset) -> dict[str, Counter[Change]]:
    """Return what history says, by its reason."""
    by_reason: dict[str, Counter[Change]] = {}
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT history_change_reason, history_type, {_columns(dataset)} FROM ds_{dataset.pk}_history"
        )
        for reason, kind, number, name, amount in cursor.fetchall():
            by_reason.setdefault(reason or "", Counter())[Change(kind, number, name, amount)] += 1
    return by_reason


def check_ends(tenant: TenantRef, found: Findings) -> None:
    """G1, G5: every import has ended or waits for a person, failed ones say why, and no table of theirs is left."""
    ended = []
    for job in ImportJob.objects.all():
        found.count(f"import {job.state.lower()}")
        if job.state in RUNNING:
            found.stick(f"{tenant.slug}: {job} is {job.state}")
        if job.state in (State.PREVIEW_FAILED, State.IMPORT_FAILED) and not (job.error_code and job.error):
            found.breach(f"G5: {tenant.slug}: {job} failed without a reason")
        if job.state not in STAGED:
            ended.append(job.pk)
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
        tables = {name for (name,) in cursor.fetchall()}
    left = {f"{prefix}_{pk}" for prefix in ("stg", "bad", "diff") for pk in ended} & tables
    if left:
        found.breach(f"G1: {tenant.slug}: tables of imports that have ended: {sorted(left)}")
