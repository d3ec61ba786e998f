"""Manifests of runs in the storage: written before the rows that speak of them, removed after the last file."""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Iterable, Sequence
from typing import Any

from core import storage
from core.errors import RowhouseError
from core.storage import Store
from core.tenancy import current_tenant
from exporter.destinations import store_of
from exporter.form import FileForm
from exporter.manifest import Resource, RunFacts, manifest_of, said_of, to_bytes
from exporter.models import ExportFile, ExportRun, Fault
from exporter.naming import manifest_path, path_of_try
from exporter.snapshot import Snapshot

logger = logging.getLogger(__name__)

READ_BYTES = 64 * 1024 * 1024  # more than any manifest of ours has


def path_of(run: ExportRun, number: int) -> str:
    """Return where the n-th try of a run writes its manifest."""
    return path_of_try(manifest_path(run.named_at, run.pk), number)


def write_manifest(
    run: ExportRun,
    files: Sequence[ExportFile],
    source: Snapshot,
    *,
    number: int,
    skipped: Sequence[dict[str, Any]] = (),
) -> storage.Stored | None:
    """Write the manifest of files whose rows are yet to be written; None: there are no files.

    It lies in the platform's storage, where it is looked for, and in each bucket that has files of the run.
    """
    if not files:
        return None
    tenant = current_tenant().slug
    facts = RunFacts(tenant, run.pk, run.trigger, run.slot, source.name, source.at, skipped)
    entries = [
        Resource(
            spec=source.datasets[file.dataset_id or 0].spec(),
            form=FileForm.from_json(file.form),
            path=file.key.partition(f"{tenant}/exports/")[2],
            key=file.key,
            rows=file.rows,
            bytes=file.bytes,
            sha256=file.sha256,
            content=file.content,
            base=file.base.key if file.base else "",
            definition_version=file.definition_version,
            history_id=file.history_id,
        )
        for file in files
    ]
    data, path = to_bytes(manifest_of(facts, entries)), path_of(run, number)
    for store in _stores_of(files):
        store.save(path, io.BytesIO(data))
    return storage.save(path, io.BytesIO(data))


def _stores_of(files: Iterable[ExportFile]) -> list[Store]:
    """Return the buckets of the tenant's own that have one of these files."""
    found = {file.destination_id: file.destination for file in files if file.destination is not None}
    return [store_of(destination) for destination in found.values()]


def fault_of(run: ExportRun) -> str:
    """Return what is wrong with a run's manifest: MISSING, ALTERED, DIFFERENT (from the rows), or ""."""
    try:
        with storage.open_read(run.manifest_key) as stored:
            data = stored.read(READ_BYTES)
    except storage.StorageChanged:
        return Fault.MISSING
    if hashlib.sha256(data).hexdigest() != run.manifest_sha256:
        return Fault.ALTERED
    manifest = json.loads(data)
    said = sorted((said_of(one) for one in manifest["resources"]), key=lambda one: str(one["key"]))
    known = [_said_by(file) for file in run.files.select_related("base").order_by("key")]
    about = manifest["rowhouse"]
    is_ours = (about["run"], about["snapshot"]) == (run.pk, run.snapshot)
    return "" if is_ours and said == known else "DIFFERENT"


def _said_by(file: ExportFile) -> dict[str, object]:
    return {
        "key": file.key,
        "format": file.format,
        "bytes": file.bytes,
        "sha256": file.sha256,
        "rows": file.rows,
        "mode": file.mode,
        "content": file.content,
        "base": file.base.key if file.base else None,
        "definition_version": file.definition_version,
        "history_id": file.history_id,
    }


def remove_unneeded(run_pks: Sequence[int]) -> int:
    """Remove the manifests of those runs whose files are all gone; returns how many."""
    runs = ExportRun.objects.filter(pk__in=run_pks).exclude(manifest_key="")
    done = [run for run in runs if not run.files.filter(deleted_at=None).exists()]
    for run in done:
        path = run.manifest_key.removeprefix(f"{storage.key_of('exports')}/")
        for store in _stores_of(run.files.select_related("destination")):
            try:
                store.delete(store.key_of(f"exports/{path}"))
            except RowhouseError as error:  # the bucket is the tenant's own
                logger.warning("The manifest of %s stays in a bucket: %s", run, error)
        storage.delete(run.manifest_key)  # a repeat removes it again, which is no error
    ExportRun.objects.filter(pk__in=[run.pk for run in done]).update(manifest_key="")
    return len(done)
