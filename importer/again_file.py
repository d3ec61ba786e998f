"""The same file once more: a new import of a stored upload."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from typing import Any, BinaryIO

from django.db import transaction

from audit.services import record
from core import storage
from core.errors import RowhouseError
from importer import rights, services
from importer.models import RUNNING, ImportJob, RowFix, State
from importer.specs import version_of
from importer.targets.proxies import PROXIES
from importer.targets.services import create_model_import


class NotRepeatable(RowhouseError):
    """An import without an upload was to be done again, or one that is not over."""

    code = "not-repeatable"


def why_not_repeatable(job: ImportJob) -> str | None:
    """Return why its file cannot be imported again, or None."""
    if job.is_undo:
        return "An undo has no file. Undo the undo, or import the file again from the page of its import."
    if job.state in (*RUNNING, State.PREVIEW_SUCCEEDED):
        return f"This import is not over yet: {job.get_state_display()}. Confirm or cancel it first."
    if not job.key:
        return "Its file was removed after the time uploads are kept. Upload it again."
    return None


def import_again(*, job: ImportJob, by: Any) -> ImportJob:
    """Make a new import of an import's file, with its settings, its mapping and the rows corrected by hand.

    A mapping of columns that were changed since is not taken over: the labels are matched anew.

    :raises PermissionDenied: the person may not import into the dataset.
    :raises NotRepeatable: it is an undo, it is not over, or its file is not kept any more.
    :raises StorageChanged: the stored file is not the one that was uploaded.
    """
    rights.require_import_of(by, job)
    if reason := why_not_repeatable(job):
        raise NotRepeatable(reason)
    overrides = {name: value for name, value in job.overrides.items() if name != "columns"}
    # What comes from a bucket can be read only once, and its size is wanted first.
    with tempfile.TemporaryFile() as file, transaction.atomic():
        with storage.open_read(job.key) as stored:
            shutil.copyfileobj(stored, file, storage.COPY_BYTES)
        made = _created(job, by, file, overrides)
        if made.sha256 != job.sha256:
            raise storage.StorageChanged("The stored file is not the one that was uploaded. Upload it again.")
        if job.definition_version == version_of(job):
            made.mapping, made.mapping_version = job.mapping, job.mapping_version
            made.save(update_fields=["mapping", "mapping_version"])
        RowFix.objects.bulk_create(
            RowFix(job=made, row=fix.row, cells=fix.cells, before=fix.before, by=fix.by)
            for fix in RowFix.objects.filter(job=job)
        )
        record("importer.job.repeated", actor=by, target=made, again=job.pk)
    return made


def _created(job: ImportJob, by: Any, file: BinaryIO, overrides: Mapping[str, Any]) -> ImportJob:
    said: dict[str, Any] = {
        "file": file, "name": job.file_name, "by": by, "mode": job.mode, "policy": job.policy, "overrides": overrides,
    }  # fmt: skip
    if not job.target:
        return services.create_import(dataset=job.dataset, **said)
    return create_model_import(proxy=PROXIES[job.target], **said)
