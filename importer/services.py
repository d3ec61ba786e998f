"""What can be done with an import, in the order of its life."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.utils.text import get_valid_filename

import jobs.services
from audit.services import record
from core import clock, storage
from core.errors import RowhouseError
from core.tenancy import current_tenant
from datasets.models import Dataset
from importer import gate, mapping, rights, staging
from importer.models import REMAPPABLE, RUNNING, UNCONFIRMED, ImportJob, Mode, Policy, SavedMapping, State

# A merge that failed like this would fail again, however often it is started.
HOPELESS = frozenset({"definition-changed"})


class FileTooLarge(RowhouseError):
    """An upload beyond the limit."""

    code = "file-too-large"
    status = 422


class UnknownColumn(RowhouseError):
    """A mapping names a column the dataset does not have."""

    code = "unknown-column"
    status = 422


class NotRemappable(RowhouseError):
    """The mapping was changed of an import that is running or over."""

    code = "not-remappable"


class NotConfirmable(RowhouseError):
    """Confirm was asked of an import that cannot be merged as it stands."""

    code = "not-confirmable"


class NotCancellable(RowhouseError):
    """Cancel was asked of an import that is over."""

    code = "not-cancellable"


def create_import(
    *,
    dataset: Dataset,
    file: BinaryIO,
    name: str,
    by: Any,
    mode: str = Mode.UPSERT,
    policy: str = Policy.GOOD_ROWS,
    overrides: Mapping[str, Any] | None = None,
    columns: Mapping[str, str | None] | None = None,
    replace: bool = False,
    request_key: str | None = None,
) -> ImportJob:
    """Store an upload and ask for its preview. Nothing is written to the dataset.

    :param by: the person, or None for an operator at the command line.
    :param overrides: what a person knows of the file: encoding, delimiter, header_row, sheet.
    :param columns: a mapping by words, label of the file to label of the column (None: skip).
    :param replace: cancel the dataset's other imports that nobody confirmed yet.
    :param request_key: the submission's own key; repeating it returns the import made the first time.
    :raises PermissionDenied: the person may not import into the dataset.
    :raises Unreadable: the file is empty or neither CSV nor XLSX.
    :raises FileTooLarge: it is beyond the limit.
    :raises UnknownColumn: `columns` names a column that does not exist.
    """
    rights.require_import(by, dataset)
    if request_key and (made := ImportJob.objects.filter(request_key=request_key, dataset=dataset).first()):
        return made
    kind = _gate(file, name)
    wish = {key: value for key, value in (overrides or {}).items() if value not in (None, "")}
    if columns is not None:
        wish["columns"] = _physical(dataset, columns)
    pk = _next_pk()
    stored = storage.save(f"uploads/{pk}/{safe_name(name)}", file)
    with transaction.atomic():
        if replace:
            for other in ImportJob.objects.filter(dataset=dataset, state__in=UNCONFIRMED):
                cancel_import(job=other, by=by)
        job = ImportJob.objects.create(
            pk=pk, dataset=dataset, mode=mode, policy=policy, file_name=name[-255:], key=stored.key,
            bytes=stored.bytes, sha256=stored.sha256, kind=kind, overrides=wish, created_by=by,
            request_key=request_key or None,
        )  # fmt: skip
        record("importer.job.created", actor=by, target=job, dataset=dataset.slug, sha256=job.sha256)
        submit_preview(job)
    return job


def submit_preview(job: ImportJob) -> None:
    """Ask for a preview of a job in CREATED, in the caller's transaction."""
    job.previews += 1
    submitted = jobs.services.submit(
        "importer.preview",
        target=f"import:{job.pk}",
        payload={"import": job.pk},
        idem_key=f"{current_tenant().schema}:importer.preview:{job.pk}:{job.previews}",
    )
    job.preview_job_id = str(submitted.pk)
    job.save(update_fields=["previews", "preview_job_id"])


@transaction.atomic
def set_mapping(
    *,
    job: ImportJob,
    by: Any,
    chosen: Mapping[int, str | None] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> None:
    """Change where the file's labels go, or how the file is read, and preview again.

    :param chosen: position of the label in the file to physical column name (None: skip).
    :param overrides: encoding, delimiter, header_row, sheet. When they change, labels may too: the choice
        of columns is then made anew.
    :raises NotRemappable: its preview is running, or it was confirmed or cancelled.
    :raises UnknownColumn: a column is not one of the dataset.
    """
    rights.require_import(by, job.dataset)
    job = ImportJob.objects.select_for_update().get(pk=job.pk)
    if job.state not in (State.PREVIEW_SUCCEEDED, State.PREVIEW_FAILED):
        raise NotRemappable(_why_not_remappable(job))
    wish = {key: value for key, value in (overrides or {}).items() if value not in (None, "")}
    is_read_anew = {key: value for key, value in job.overrides.items() if key != "columns"} != wish
    if overrides is not None and is_read_anew:
        job.overrides, job.mapping, job.sheet = wish, [], job.sheet if _same_sheet(job, wish) else {}
    elif chosen is not None:
        spec = job.dataset.spec()
        if unknown := {name for name in chosen.values() if name} - {column.name for column in spec.columns}:
            raise UnknownColumn(f"The dataset has no column {sorted(unknown)[0]!r}; choose one of the list.")
        matches = [mapping.Match.from_dict(match) for match in job.mapping]
        job.mapping = [
            match.to_dict()
            for match in mapping.choose(matches, chosen, job.head.get("samples", []), spec.columns)
        ]
    job.save(update_fields=["overrides", "mapping", "sheet"])
    job.move(old=REMAPPABLE, new=State.CREATED, error_code="", error="", notice="")
    record("importer.job.remapped", actor=by, target=job)
    submit_preview(job)


def confirm_import(*, job: ImportJob, by: Any, policy: str | None = None, seen: int | None = None) -> None:
    """Start the merge of what a person has previewed.

    :param policy: what to do with a file that has bad rows; None keeps the job's choice.
    :param seen: the number of the preview the person looked at (`job.previews`), if known.
    :raises PermissionDenied: the person may not import, add or change, as the plan needs.
    :raises NotConfirmable: the preview is missing, failed, stale, or was confirmed already; bad rows under
        all-or-nothing; the definition or the stored file changed; another import of the dataset is running.
    """
    _check_stored(job)
    with transaction.atomic():
        job = ImportJob.objects.select_for_update().get(pk=job.pk)
        rights.require_merge(by, job)
        policy = policy or job.policy
        if reason := _why_not_confirmable(job, policy, seen):
            raise NotConfirmable(reason)
        try:
            with transaction.atomic():
                job.move(
                    old=State.PREVIEW_SUCCEEDED, new=State.IMPORT_IN_PROGRESS, confirmed_by=by, policy=policy,
                    merges=job.merges + 1, notice="",
                )  # fmt: skip
        except IntegrityError as error:
            raise NotConfirmable(
                "Another import into this dataset is running. Wait until it has ended, then confirm again."
            ) from error
        record(
            "importer.job.confirmed", actor=by, target=job,
            created=job.created_rows, updated=job.updated_rows, rejected=job.rejected_rows,
        )  # fmt: skip
        submitted = jobs.services.submit(
            "importer.merge",
            target=f"dataset:{job.dataset_id}",
            payload={"import": job.pk, "by": by.pk if by is not None else None},
            idem_key=f"{current_tenant().schema}:importer.merge:{job.pk}:{job.merges}",
        )
        ImportJob.objects.filter(pk=job.pk).update(merge_job_id=str(submitted.pk))


@transaction.atomic
def cancel_import(*, job: ImportJob, by: Any) -> None:
    """Give up an import that is not over. One that is merging ends when its transaction can still be left.

    One whose background work ended without a word is over at once.

    :raises NotCancellable: it is over already.
    """
    rights.require_import(by, job.dataset)
    job = ImportJob.objects.select_for_update().get(pk=job.pk)
    if job.state not in (*REMAPPABLE, State.IMPORT_IN_PROGRESS):
        raise NotCancellable(f"This import is over: {job.get_state_display()}. There is nothing to cancel.")
    record("importer.job.cancelled", actor=by, target=job, state=job.state)
    # Whoever works on it stops at the next slice, and its end moves the state.
    if job.state in RUNNING and _is_stopping(job):
        return
    if job.move(old=(*REMAPPABLE, State.IMPORT_IN_PROGRESS), new=State.CANCELLED):
        forget_files(job)


def _is_stopping(job: ImportJob) -> bool:
    try:
        return jobs.services.cancel(int(job.current_job_id))
    except jobs.services.JobNotFound:
        return False


def finish_preview(job: ImportJob, *, created: int, updated: int, snapshot: str) -> None:
    """Show a finished plan to the person who decides."""
    job.move(
        old=State.PREVIEW_IN_PROGRESS, new=State.PREVIEW_SUCCEEDED, created_rows=created, updated_rows=updated,
        unchanged_rows=job.staged_rows - created - updated, snapshot=snapshot,
    )  # fmt: skip
    record(
        "importer.job.previewed", target=job, created=created, updated=updated,
        unchanged=job.unchanged_rows, rejected=job.rejected_rows,
    )  # fmt: skip


def finish_import(job: ImportJob) -> None:
    """Say that a merge is done, in its own transaction."""
    job.move(old=State.IMPORT_IN_PROGRESS, new=State.IMPORT_SUCCEEDED)
    remember_mapping(job)
    record(
        "importer.job.imported", actor=job.confirmed_by, target=job,
        created=job.created_rows, updated=job.updated_rows, rejected=job.rejected_rows,
    )  # fmt: skip


@transaction.atomic
def preview_again(job: ImportJob, *, old: State, notice: str) -> None:
    """Take a job back to its preview, because what the plan was made of is not there any more."""
    if job.move(old=old, new=State.CREATED, notice=notice):
        record("importer.job.previewed_again", target=job, notice=notice)
        submit_preview(job)


@transaction.atomic
def fail(job: ImportJob, *, old: tuple[State, ...], new: State, code: str, message: str) -> None:
    """End a job that could not go on, with the reason a person can act on."""
    if job.move(old=old, new=new, error_code=code or "unexpected", error=message):
        record("importer.job.ended", target=job, state=new, code=code)
        if new == State.IMPORT_FAILED and code not in HOPELESS:
            forget_copies(job)  # the staged rows stay, for whoever starts the merge again
        else:
            forget_files(job)


def forget_files(job: ImportJob) -> None:
    """Drop what only a running import needs: its staging tables and the worker's copy of the file."""
    staging.drop(job.pk)
    forget_copies(job)


def forget_copies(job: ImportJob) -> None:
    """Remove the worker's own copy of the file; the upload itself stays in the storage."""
    for sha256 in filter(None, (job.sha256, job.sheet.get("sha256", ""))):
        storage.forget_local_copy(sha256)


@transaction.atomic
def remember_mapping(job: ImportJob) -> None:
    """Keep the job's mapping for the next file with the same labels."""
    SavedMapping.objects.update_or_create(
        dataset_id=job.dataset_id,
        fingerprint=fingerprint(job.head.get("labels", [])),
        defaults={
            "columns": mapping.saved_from([mapping.Match.from_dict(match) for match in job.mapping]),
            "used_at": clock.now(),
        },
    )


def fingerprint(labels: list[str]) -> str:
    """Return what names a header: the sha256 of its labels in order."""
    return hashlib.sha256("\x1f".join(labels).encode()).hexdigest()


def earlier_import(job: ImportJob) -> ImportJob | None:
    """Return the last import of this very file into the dataset, if there was one."""
    same = ImportJob.objects.filter(dataset=job.dataset_id, sha256=job.sha256, state=State.IMPORT_SUCCEEDED)
    return same.exclude(pk=job.pk).order_by("-pk").first()


def safe_name(name: str) -> str:
    """Return a file name that is safe as the last part of a key; the ending stays.

    >>> safe_name("../Orders 2026.csv")
    'Orders_2026.csv'
    """
    last = PurePosixPath(name.replace("\\", "/")).name or "file"
    ascii_only = get_valid_filename(last).encode("ascii", "ignore").decode().lstrip(".")
    return ascii_only[-100:] or "file"


def _gate(file: BinaryIO, name: str) -> str:
    limit = settings.ROWHOUSE_UPLOAD_MAX_BYTES
    file.seek(0, 2)
    if file.tell() > limit:
        raise FileTooLarge(
            f"The file is larger than {limit // 1024**2} MiB. Split it, then upload its parts."
        )
    file.seek(0)
    head = file.read(gate.HEAD_BYTES)
    file.seek(0)
    return gate.file_kind(head, name)


def _physical(dataset: Dataset, columns: Mapping[str, str | None]) -> dict[str, str | None]:
    names = {column.label: column.name for column in dataset.spec().columns}
    if unknown := {label for label in columns.values() if label is not None} - names.keys():
        raise UnknownColumn(
            f"The dataset has no column {sorted(unknown)[0]!r}; it has {', '.join(map(repr, names))}."
        )
    return {label: names[column] if column is not None else None for label, column in columns.items()}


def _next_pk() -> int:
    # The upload's path carries the job's number, and is written before the row that speaks of it.
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(pg_get_serial_sequence('importer_importjob', 'id'))")
        return int(cursor.fetchone()[0])


def _same_sheet(job: ImportJob, wish: Mapping[str, Any]) -> bool:
    return bool(job.sheet) and wish.get("sheet") in (None, job.sheet.get("sheet"))


def _why_not_remappable(job: ImportJob) -> str:
    if job.state in (State.CREATED, State.PREVIEW_IN_PROGRESS):
        return "Its preview is running. Wait until it has finished, or cancel the import."
    return (
        f"This import is past its preview: {job.get_state_display()}. Upload the file again to map it anew."
    )


def _why_not_confirmable(job: ImportJob, policy: str, seen: int | None) -> str | None:
    if job.state != State.PREVIEW_SUCCEEDED:
        return f"Its preview did not finish, or it was confirmed already: {job.get_state_display()}."
    if seen is not None and seen != job.previews:
        return "The preview was made again since this page was opened. Look at it, then confirm."
    if policy == Policy.ALL_OR_NOTHING and job.rejected_rows:
        return (
            f"{job.rejected_rows} of its rows are rejected, and all or nothing was chosen."
            " Correct the file and upload it again, or import the good rows."
        )
    if job.dataset.definition_version != job.definition_version:
        return "The dataset's definition changed since the preview. Preview it again, then confirm."
    return None


def _check_stored(job: ImportJob) -> None:
    digest = hashlib.sha256()
    try:
        with storage.open_read(job.key) as file:
            while data := file.read(storage.COPY_BYTES):
                digest.update(data)
    except storage.StorageChanged as error:
        raise NotConfirmable(error.message) from error
    if digest.hexdigest() != job.sha256:
        raise NotConfirmable("The stored file is not the one that was uploaded. Upload it again.")
