"""What can be done with exports: ask for one, cancel it, download, check and prune its files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO

from django.db import transaction
from django.db.models import Q, QuerySet

from accounts.models import User
from audit.services import record
from core import clock
from core.errors import RowhouseError
from core.storage import StorageChanged
from datasets import access
from datasets.models import Dataset
from exporter import links
from exporter.destinations import store_of
from exporter.form import check_form
from exporter.latest import point
from exporter.models import OPEN_STATES, ExportFile, ExportRun, Fault, State, Trigger
from exporter.running import end_run
from jobs import services as jobs

READ_BYTES = 1024 * 1024
OVERRIDABLE = ("format", "mode", "delimiter", "null_word", "encoding")


class NothingToExport(RowhouseError):
    """There is no dataset to export, or none this person may export."""

    code = "nothing-to-export"


class ExportBusy(RowhouseError):
    """The same person's last export has not ended."""

    code = "export-busy"


class NotCancellable(RowhouseError):
    """The run has ended already."""

    code = "not-cancellable"


class ColumnsHidden(RowhouseError):
    """A person wants a file with every column of a dataset, and one is hidden from him."""

    code = "columns-hidden"
    status = 403


class FilePruned(RowhouseError):
    """The file was removed by retention; its row remains."""

    code = "file-pruned"
    status = 410


@transaction.atomic
def request_export(
    *,
    by: User | None,
    datasets: Sequence[Dataset] | None = None,
    overrides: Mapping[str, str] | None = None,
) -> ExportRun:
    """Ask for an export now; without datasets, of every one `by` may export. None is the platform itself.

    `overrides` are what of this run's files differs from the settings: `format`, `mode`, `delimiter`, `null_word`
    and `encoding` as `FileForm` has them.

    :raises PermissionDenied: `by` may not export one of the datasets.
    :raises ColumnsHidden: a column of one of them is hidden from `by`.
    :raises NothingToExport: there is none.
    :raises ExportBusy: this person's last one has not ended.
    :raises BadForm: no file can be written so.
    """
    chosen = {name: value for name, value in (overrides or {}).items() if name in OVERRIDABLE}
    check_form(chosen)
    if datasets is None:
        datasets = list(Dataset.objects.all() if by is None else access.whole_datasets_for(by, "export"))
    elif by is not None:
        for dataset in datasets:
            access.require(by, "export", dataset)
            require_whole(by, dataset)
    if not datasets:
        raise NothingToExport(
            "There is no dataset you may export. Create one, or ask an owner for the right."
        )
    run = ExportRun.objects.create(
        trigger=Trigger.MANUAL,
        requested_by=by,
        chosen=sorted({dataset.pk for dataset in datasets}),
        overrides=chosen,
    )
    try:
        # One at a time for each person: a second click is no second export.
        target = f"by {by.pk if by else 'the platform'}"
        run.job_id = jobs.submit("exporter.run", target=target, payload={"run": run.pk}).pk
    except jobs.TargetBusy:
        raise ExportBusy("Your last export has not ended yet. Wait for it, or cancel it.") from None
    run.save(update_fields=["job_id"])
    record("exporter.run.requested", actor=by, target=run, datasets=[one.slug for one in datasets], **chosen)
    return run


def require_whole(by: User, dataset: Dataset) -> None:
    """Go on only if a person may have a file with every column of a dataset.

    :raises ColumnsHidden: a column is hidden from him.
    """
    if access.has_hidden(by, dataset):
        raise ColumnsHidden(
            f"An export file holds every column of “{dataset.title}”, and some are hidden from you."
            " Ask somebody who sees all of them for the file."
        )


@transaction.atomic
def cancel_export(*, run: ExportRun, by: User | None) -> None:
    """Ask for a run's end. What it has written so far is removed.

    One whose background work ended without a word is over at once.

    :raises NotCancellable: it has ended.
    """
    if run.state not in OPEN_STATES or not (_is_stopping(run) or _is_given_up(run)):
        raise NotCancellable("This export has ended already.")
    record("exporter.run.cancel-requested", actor=by, target=run)


def _is_stopping(run: ExportRun) -> bool:
    try:
        return run.job_id is not None and jobs.cancel(run.job_id)
    except jobs.JobNotFound:
        return False


def _is_given_up(run: ExportRun) -> bool:
    return end_run(
        {"run": run.pk}, job_id=run.job_id or 0, state=State.CANCELLED, code="cancelled",
        message="It was cancelled on request.", now=clock.now(),
    )  # fmt: skip


def visible_files(user: User) -> QuerySet[ExportFile]:
    """Return the files a person may download: of datasets he may export and of which he sees every column.

    Which columns of a deleted dataset were hidden, nobody knows any more: its files are for those who see all.
    """
    allowed = Q(dataset__in=access.whole_datasets_for(user, "export"))
    if "export" in access.rights_everywhere(user) and access.is_unlimited(user):
        allowed |= Q(dataset__isnull=True)
    return ExportFile.objects.filter(allowed)


def may_see_exports(user: User) -> bool:
    """Return whether the pages of exports are a person's business."""
    return user.has_perm("exporter.view_exportrun") or access.datasets_for(user, "export").exists()


def link_to_download(*, file: ExportFile, by: User, content_type: str) -> str | None:
    """Return where the file's store hands it out for the next minute, or None: this platform does, to `token_of`.

    Records that the person took it. The caller has checked the right.

    :raises FilePruned: retention has removed it.
    :raises StorageChanged: the object is gone, though nobody here removed it.
    """
    _require_stored(file)
    address = links.signed_by_store(file, content_type=content_type)
    record("exporter.file.downloaded", actor=by, target=file, key=file.key, sha256=file.sha256)
    return address


def open_download(*, file: ExportFile, token: str) -> BinaryIO:
    """Open a stored file by a link of ours. The caller has checked the right.

    :raises LinkEnded: the link is too old.
    :raises LinkRefused: it is none to this file.
    :raises FilePruned: retention has removed it.
    :raises StorageChanged: the object is gone, though nobody here removed it.
    """
    links.require_link(file, token)
    _require_stored(file)
    return store_of(file.destination).open_read(file.key)


def _require_stored(file: ExportFile) -> None:
    if file.deleted_at is not None:
        raise FilePruned(
            f"{file.file_name} was removed on {file.deleted_at:%d %B %Y} because it was past its time. "
            "Choose a newer file, or export again."
        )


def verify_exports(*, now: datetime, files: Iterable[ExportFile] | None = None) -> list[ExportFile]:
    """Compare each stored file's size and sha256 with its row, and note the outcome in it; returns the files."""
    stored = ExportFile.objects.stored().select_related("destination")
    checked = list(stored if files is None else files)
    moved = set()
    for file in checked:
        fault = _fault(file)
        if fault != file.fault:
            moved.add(file.dataset_slug)
        file.fault, file.checked_at = fault, now
        file.save(update_fields=["fault", "checked_at"])
    point(moved)  # never at a file that is not there
    return checked


def _fault(file: ExportFile) -> Fault:
    digest, size = hashlib.sha256(), 0
    try:
        with store_of(file.destination).open_read(file.key) as stored:
            while data := stored.read(READ_BYTES):
                digest.update(data)
                size += len(data)
    except StorageChanged:
        return Fault.MISSING
    return Fault.NONE if (size, digest.hexdigest()) == (file.bytes, file.sha256) else Fault.ALTERED


@dataclass(frozen=True, slots=True)
class Trouble:
    """How many scheduled runs failed and how many slots were missed, and the runs that say so, the newest first."""

    failed: int
    missed: int
    runs: list[ExportRun]

    def __bool__(self) -> bool:
        return bool(self.failed or self.missed)


def trouble_since(since: datetime) -> Trouble:
    """Return what went wrong with scheduled exports, as far as it was noted since then."""
    noted = ExportRun.objects.filter(trigger=Trigger.SCHEDULED, finished_at__gte=since)
    runs = list(noted.filter(state__in=(State.FAILED, State.MISSED)).order_by("-slot"))
    failed = sum(run.state == State.FAILED for run in runs)
    return Trouble(failed, sum(run.missed for run in runs), runs)


def last_ended_run() -> ExportRun | None:
    """Return the scheduled run that ended last, whatever its outcome."""
    return (
        ExportRun.objects.filter(trigger=Trigger.SCHEDULED)
        .exclude(state__in=[*OPEN_STATES, State.CANCELLED, State.MISSED])
        .order_by("-slot")
        .first()
    )
