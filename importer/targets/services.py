"""Asking for an import into a plain Django model. What follows (confirm, cancel) is as for datasets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO

from django.db import transaction

from audit.services import record
from core import storage
from importer import services, submissions
from importer.models import UNCONFIRMED, ImportJob, Mode, Policy
from importer.targets import rights


def create_model_import(
    *,
    proxy: type[ImportJob],
    file: BinaryIO,
    name: str,
    by: Any,
    mode: str = Mode.UPSERT,
    policy: str = Policy.GOOD_ROWS,
    overrides: Mapping[str, Any] | None = None,
    replace: bool = False,
    request_key: str | None = None,
) -> ImportJob:
    """Store an upload for a proxy's model and ask for its preview. Nothing is written to the model.

    :param replace: cancel the model's other imports that nobody confirmed yet.
    :raises PermissionDenied: the person may neither add nor change the model's records.
    :raises Unreadable: the file is empty or neither CSV nor XLSX.
    :raises FileTooLarge: it is beyond the limit.
    :raises NoKey: the mode is sync, which only datasets have.
    :raises QuotaReached: the tenant has no room for the file, or too much background work waiting.
    :raises TenantReadOnly: the tenant is read-only.
    """
    label = proxy.target_model._meta.label_lower  # type: ignore[attr-defined] # the proxy's own
    rights.require_import(by, proxy)
    if mode == Mode.SYNC:
        raise services.NoKey("Records of this kind are never deleted by an import. Choose another mode.")
    kind = services.gate_file(file, name)
    services.require_room_for_upload(file)
    pk = services.next_pk()
    stored = storage.save(f"uploads/{pk}/{services.safe_name(name)}", file)
    with transaction.atomic():
        if made := submissions.made_before(request_key, stored, target=label, mode=mode, policy=policy):
            return made
        if replace:
            for other in ImportJob.objects.filter(target=label, state__in=UNCONFIRMED):
                services.cancel_import(job=other, by=by)
        job = ImportJob.objects.create(
            pk=pk, target=label, mode=mode, policy=policy, file_name=name[-255:], key=stored.key,
            bytes=stored.bytes, sha256=stored.sha256, kind=kind, created_by=by,
            request_key=submissions.free_key(request_key), head={"mark": storage.mark(stored.key)},
            overrides={key: value for key, value in (overrides or {}).items() if value not in (None, "")},
        )  # fmt: skip
        record("importer.job.created", actor=by, target=job, model=label, sha256=job.sha256)
        services.submit_preview(job)
    return job
