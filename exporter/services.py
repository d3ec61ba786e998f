"""What can be done with exports: ask for one, cancel it, download, check and prune its files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet

from accounts.models import User
from audit.services import record
from core import clock, storage
from core.errors import RowhouseError
from core.storage import StorageChanged
from datasets import access
from datasets.models import Dataset
from exporter.chains import needed_by
from exporter.latest import point
from exporter.manifests import remove_unneeded
from exporter.models import OPEN_STATES, ExportFile, ExportRun, Fault, State, Trigger
from exporter.retention import Candidate, Policy, expired
from exporter.running import end_run
from jobs import services as jobs

READ_BYTES = 1024 * 1024


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
def request_export(*, by: User | None, datasets: Sequence[Dataset] | None = None) -> ExportRun:
    """Ask for an export now; without datasets, of every one `by` may export. None is the platform itself.

    :raises PermissionDenied: `by` may not export one of the datasets.
    :raises ColumnsHidden: a column of one of them is hidden from `by`.
    :raises NothingToExport: there is none.
    :raises ExportBusy: this person's last one has not ended.
    """
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
        trigger=Trigger.MANUAL, requested_by=by, chosen=sorted({dataset.pk for dataset in datasets})
    )
    try:
        # One at a time for each person: a second click is no second export.
        target = f"by {by.pk if by else 'the platform'}"
        run.job_id = jobs.submit("exporter.run", target=target, payload={"run": run.pk}).pk
    except jobs.TargetBusy:
        raise ExportBusy("Your last export has not ended yet. Wait for it, or cancel it.") from None
    run.save(update_fields=["job_id"])
    record("exporter.run.requested", actor=by, target=run, datasets=[one.slug for one in datasets])
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


def open_download(*, file: ExportFile, by: User) -> BinaryIO:
    """Open a stored file for a person and record that they took it. The caller has checked the right.

    :raises FilePruned: retention has removed it.
    :raises StorageChanged: the object is gone, though nobody here removed it.
    """
    if file.deleted_at is not None:
        raise FilePruned(
            f"{file.file_name} was removed on {file.deleted_at:%d %B %Y} because it was past its time. "
            "Choose a newer file, or export again."
        )
    opened = storage.open_read(file.key)
    record("exporter.file.downloaded", actor=by, target=file, key=file.key, sha256=file.sha256)
    return opened


def verify_exports(*, now: datetime, files: Iterable[ExportFile] | None = None) -> list[ExportFile]:
    """Compare each stored file's size and sha256 with its row, and note the outcome in it; returns the files."""
    checked = list(ExportFile.objects.stored() if files is None else files)
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
        with storage.open_read(file.key) as stored:
            while data := stored.read(READ_BYTES):
                digest.update(data)
                size += len(data)
    except StorageChanged:
        return Fault.MISSING
    return Fault.NONE if (size, digest.hexdigest()) == (file.bytes, file.sha256) else Fault.ALTERED


def policy() -> Policy:
    """Return the retention this installation is set to."""
    return Policy(settings.ROWHOUSE_EXPORT_KEEP_DAYS, settings.ROWHOUSE_EXPORT_KEEP_COUNT)


@transaction.atomic
def prune_exports(
    *, now: datetime, dry_run: bool = False, keep: Policy | None = None, limit: int | None = None
) -> list[ExportFile]:
    """Remove the files past their time, oldest first and at most `limit`; their rows stay. Returns them.

    One that a file which stays goes on from stays with it.
    Only keys that stand in the tenant's own rows are touched. A repeat after a death goes on where it stopped.
    """
    stored = list(
        ExportFile.objects.stored().values_list(
            "pk", "dataset_id", "dataset_slug", "created_at", "fault", "base"
        )
    )
    candidates = [
        Candidate(pk, dataset_pk or slug, created_at, not fault)
        for pk, dataset_pk, slug, created_at, fault, _ in stored
    ]
    past = [one.pk for one in expired(candidates, keep or policy(), now=now)]
    needed = needed_by({pk for pk, *_ in stored} - set(past), {pk: base for pk, *_, base in stored})
    past = [pk for pk in past if pk not in needed][:limit]
    gone = list(ExportFile.objects.filter(pk__in=past).order_by("created_at", "pk"))
    if dry_run:
        return gone
    # One that an export under way goes on from is held by it, and has time until then.
    held = ExportFile.objects.stored().select_for_update(skip_locked=True).filter(pk__in=past)
    gone = list(held.order_by("created_at", "pk"))
    for file in gone:
        storage.delete(file.key)  # first, so that no object is left without a row that knows it
        file.deleted_at = now
    ExportFile.objects.bulk_update(gone, ["deleted_at"], batch_size=1000)
    point(file.dataset_slug for file in gone)
    remove_unneeded([file.run_id for file in gone])
    if gone:
        record("exporter.files.pruned", files=len(gone), bytes=sum(file.bytes for file in gone))
    return gone


@dataclass(frozen=True, slots=True)
class Usage:
    """Space in the tenant's storage. `dataset` is a slug for exports and empty for other kinds."""

    kind: str
    dataset: str
    files: int
    bytes: int


def storage_usage() -> list[Usage]:
    """Return the space each kind of file takes, exports per dataset, as the storage itself lists it."""
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for key, size in storage.list_keys():
        _, kind, *rest = key.split("/")
        place = (kind, rest[0] if kind == "exports" and len(rest) > 1 else "")
        files, total = found.get(place, (0, 0))
        found[place] = (files + 1, total + size)
    return [Usage(*place, *counts) for place, counts in sorted(found.items())]


def last_ended_run() -> ExportRun | None:
    """Return the scheduled run that ended last, whatever its outcome."""
    return (
        ExportRun.objects.filter(trigger=Trigger.SCHEDULED)
        .exclude(state__in=[*OPEN_STATES, State.CANCELLED])
        .order_by("-slot")
        .first()
    )
