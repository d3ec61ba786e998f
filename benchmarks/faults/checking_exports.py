"""Exports against their rows, their objects, and the states their datasets were in."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

from django.core.files.storage import default_storage

from benchmarks.faults.checking_imports import Records
from benchmarks.faults.findings import Findings
from core import storage
from core.tenancy import TenantRef
from datasets.models import Dataset
from exporter.models import OPEN_STATES, ExportFile, ExportRun, State
from exporter.naming import latest_path
from exporter.services import request_export
from importer.models import ImportJob
from importer.models import State as ImportState
from importer.services import cancel_import, create_import
from jobs.services import run_until_done


def check_files(dataset_pk: int, states: list[Records], found: Findings) -> None:
    """G7: each file is one committed state of its dataset, and its row says its size, rows and sha256."""
    known = {_digest_of(state): len(state) for state in states}
    for file in ExportFile.objects.stored().filter(dataset=dataset_pk):
        try:
            with storage.open_read(file.key) as stored:
                content = stored.read()
        except storage.StorageChanged:
            found.lose(f"{file.key}: its row is there and its object is not")
            continue
        found.count("export files read")
        digest, state = (hashlib.sha256(one).hexdigest() for one in (content, by_key(content)))
        if (file.bytes, file.sha256, file.rows) != (len(content), digest, known.get(state)):
            found.breach(
                f"G7: {file.key}: the row says {file.rows} rows, {file.bytes} bytes; the object has "
                f"{len(content)} bytes and is {'a' if state in known else 'no'} state its dataset was in"
            )


def _digest_of(state: Records) -> str:
    lines = [f"{number},{name},{amount}" for number, (name, amount) in sorted(state.items())]
    return hashlib.sha256("\n".join(["id,name,amount", *lines, ""]).encode()).hexdigest()


def by_key(content: bytes) -> bytes:
    """Return a file of simple cells with its records in the order of their keys, not in which they were added."""
    header, *lines = content.splitlines(keepends=True)
    return b"".join([header, *sorted(lines, key=lambda line: int(line.partition(b",")[0]))])


def check_runs(tenant: TenantRef, found: Findings) -> None:
    """G5: every run has ended, with a reason if not well; G1: one that succeeded has all its files."""
    for run in ExportRun.objects.all():
        found.count(f"export {run.state.lower()}")
        files = run.files.count()
        if run.state in OPEN_STATES:
            found.stick(f"{tenant.slug}: {run} is {run.state}")
        elif run.state == State.SUCCEEDED and files + len(run.skipped) != len(run.plan):
            found.lose(f"{tenant.slug}: {run} has {files} of {len(run.plan)} files")
        elif run.state == State.FAILED and not (run.error_code and run.error):
            found.breach(f"G5: {tenant.slug}: {run} failed without a reason")
        elif run.state != State.SUCCEEDED and files:
            found.breach(f"G1: {tenant.slug}: {run} is {run.state} and has {files} files")


def beside_files() -> tuple[set[str], set[str]]:
    """Return the keys of the manifests and of the pointers that the rows of the current tenant say there are."""
    manifests = set(ExportRun.objects.exclude(manifest_key="").values_list("manifest_key", flat=True))
    slugs = set(ExportFile.objects.stored().values_list("dataset_slug", flat=True))
    return manifests, {storage.key_of(latest_path(slug)) for slug in slugs}


def check_objects(tenant: TenantRef, found: Findings) -> None:
    """G1: no object without its row, no row without its object; what was uploaded is read by its imports."""
    objects = {key for key, _size in storage.list_keys("exports")}
    rows = set(ExportFile.objects.stored().values_list("key", flat=True))
    manifests, pointers = beside_files()
    known = rows | manifests | pointers
    if objects - known:
        found.breach(f"G1: {tenant.slug}: objects without a row: {sorted(objects - known)}")
    if manifests - objects:
        found.lose(f"{tenant.slug}: manifests that are gone: {sorted(manifests - objects)}")
    if rows - objects:
        found.lose(f"{tenant.slug}: rows without an object: {sorted(rows - objects)}", len(rows - objects))
    # Nobody sees the unfinished files of the killed, but they take room.
    parts = Path(default_storage.path(tenant.slug)).rglob(".part-*")
    found.count("unfinished files left", sum(1 for _ in parts))
    uploads = {key for key, _size in storage.list_keys("uploads")}
    if gone := set(ImportJob.objects.values_list("key", flat=True)) - uploads:
        found.lose(f"{tenant.slug}: uploads that are gone: {sorted(gone)}", len(gone))


def check_round_trip(tenant: TenantRef, dataset_pk: int, found: Findings) -> None:
    """G8: the newest export, imported again after a new one was made, changes nothing."""
    dataset = Dataset.objects.get(pk=dataset_pk)
    run = request_export(by=None, datasets=[dataset])
    assert run.job_id is not None
    run_until_done(run.job_id)
    with storage.open_read(run.files.get().key) as stored:
        content = stored.read()
    if content.count(b"\n") < 2:
        return
    job = create_import(dataset=dataset, file=io.BytesIO(content), name="again.csv", by=None)
    run_until_done(int(job.preview_job_id))
    job.refresh_from_db()
    found.count("round trips")
    said = (job.state, job.created_rows, job.updated_rows, job.rejected_rows)
    if said != (ImportState.PREVIEW_SUCCEEDED, 0, 0, 0) or job.unchanged_rows != content.count(b"\n") - 1:
        found.breach(f"G8: {tenant.slug}: an export imported again is {said}")
    cancel_import(job=job, by=None)
