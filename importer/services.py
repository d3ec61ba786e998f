"""What can be done with an import, in the order of its life."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.utils.text import get_valid_filename

import jobs.services
from audit.services import record
from core import metrics, storage
from core.errors import RowhouseError
from core.quotas import Resource, require_room
from core.standing import require_writable
from core.tenancy import current_tenant
from core.words import count
from datasets.models import Dataset
from importer import gate, matching, rights, saved_mappings, staging, submissions
from importer.confirming import rows_that_need_deletions, why_not_confirmable
from importer.models import REMAPPABLE, RUNNING, UNCONFIRMED, ImportJob, Mode, Policy, State
from importer.plan import Counts
from importer.quotas import require_room_for_merge

# A merge that failed like this would fail again, however often it is started.
HOPELESS = frozenset({"definition-changed"})


class FileTooLarge(RowhouseError):
    """An upload beyond the limit."""

    code = "file-too-large"
    status = 422


class NoKey(RowhouseError):
    """A mode that matches records was chosen for a dataset without a key."""

    code = "no-key"
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
    columns: Mapping[str, Any] | str | None = None,
    replace: bool = False,
    request_key: str | None = None,
) -> ImportJob:
    """Store an upload and ask for its preview. Nothing is written to the dataset.

    :param by: the person, or None for an operator at the command line.
    :param overrides: what a person knows of the file: encoding, delimiter, header_row, sheet.
    :param columns: a mapping as people write it, label of the file to label of the column (None: skip) or to
        more (see `importer.mapping.written`); or the name of a saved one.
    :param replace: cancel the dataset's other imports that nobody confirmed yet.
    :param request_key: the submission's own key; repeating it returns the import made the first time.
    :raises PermissionDenied: the person may not import into the dataset.
    :raises Unreadable: the file is empty or neither CSV nor XLSX.
    :raises FileTooLarge: it is beyond the limit.
    :raises UnknownColumn: `columns` names a column that does not exist.
    :raises BadMapping: `columns` cannot be read.
    :raises NoSuchMapping: `columns` names a saved mapping that does not exist.
    :raises NoKey: a sync into a dataset without a key.
    :raises QuotaReached: the tenant has no room for the file, or too much background work waiting.
    :raises TenantReadOnly: the tenant is read-only.
    """
    rights.require_import(by, dataset)
    kind = gate_file(file, name)
    require_room_for_upload(file)
    if mode == Mode.SYNC and not dataset.key:
        raise NoKey(
            "Records can only be matched with a file's rows by a key, and this dataset has none. Add its rows instead."
        )
    wish = {key: value for key, value in (overrides or {}).items() if value not in (None, "")}
    wish |= matching.wanted(dataset, columns, by)
    pk = next_pk()
    stored = storage.save(f"uploads/{pk}/{safe_name(name)}", file)
    with transaction.atomic():
        if made := submissions.made_before(request_key, stored, dataset=dataset, mode=mode, policy=policy):
            return made
        if replace:
            # Held before they are looked at: one that is confirmed meanwhile is not replaced.
            open_ones = ImportJob.objects.select_for_update().filter(dataset=dataset, undoes=None)
            for other in open_ones.filter(state__in=UNCONFIRMED):
                cancel_import(job=other, by=by)
        job = ImportJob.objects.create(
            pk=pk, dataset=dataset, mode=mode, policy=policy, file_name=name[-255:], key=stored.key,
            bytes=stored.bytes, sha256=stored.sha256, kind=kind, overrides=wish, created_by=by,
            request_key=submissions.free_key(request_key), head={"mark": storage.mark(stored.key)},
        )  # fmt: skip
        record("importer.job.created", actor=by, target=job, dataset=dataset.slug, sha256=job.sha256)
        submit_preview(job)
    return job


def submit_preview(job: ImportJob, *, phase: str = "open") -> None:
    """Ask for a preview of a job in CREATED from one of its phases on, in the caller's transaction."""
    job.previews += 1
    submitted = jobs.services.submit(
        "importer.preview",
        target=f"import:{job.pk}",
        payload={"import": job.pk, "phase": phase},
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
    matches: Sequence[Mapping[str, Any]] | None = None,
    name: str | None = None,
    seen: int | None = None,
) -> None:
    """Change where the file's labels go, or how the file is read, and preview again.

    :param chosen: position of the label in the file to physical column name (None: skip).
    :param overrides: encoding, delimiter, header_row, sheet. When they change, labels may too: then columns
        are matched anew, with what a person chose for the labels that stay.
    :param matches: the whole mapping, as `ImportJob.mapping` has it.
    :param name: the saved mapping to use.
    :param seen: the number of the preview the person looked at (`job.previews`), if known.
    :raises NotRemappable: its preview is running, it was confirmed or cancelled, or somebody else changed it.
    :raises UnknownColumn: a column is not one of the dataset.
    :raises BadMapping: the matches are not those of the file, clash, or have a faulty recipe.
    :raises NoSuchMapping: no saved mapping has that name.
    """
    rights.require_import_of(by, job)
    job = ImportJob.objects.select_for_update().get(pk=job.pk)
    if reason := _why_not_remappable(job, seen):
        raise NotRemappable(reason)
    wish = {key: value for key, value in (overrides or {}).items() if value not in (None, "")}
    notices: list[str] = []
    if overrides is not None and matching.is_read_anew(job, wish):
        job.sheet = job.sheet if _same_sheet(job, wish) else {}
        notices = matching.read_anew(job, wish)
    elif name is not None:
        notices = matching.use_named(job, name)
    elif matches is not None:
        matching.use(job, matching.checked(job, matches))
    elif chosen is not None:
        matching.use(job, matching.chosen_matches(job, chosen))
    job.save(update_fields=["overrides", "mapping", "mapping_version", "sheet"])
    job.move(old=REMAPPABLE, new=State.CREATED, error_code="", error="", notice=" ".join(notices))
    record("importer.job.remapped", actor=by, target=job)
    submit_preview(job)


def confirm_import(
    *, job: ImportJob, by: Any, policy: str | None = None, seen: int | None = None, deletes: int | None = None
) -> None:
    """Start the merge of what a person has previewed.

    :param policy: what to do with a file that has bad rows; None keeps the job's choice.
    :param seen: the number of the preview the person looked at (`job.previews`), if known.
    :param deletes: how many records the person agrees to delete, if the plan deletes any; 0: none is deleted.
    :raises PermissionDenied: the person may not import, add, change or delete, as the plan needs.
    :raises NotConfirmable: the preview is missing, failed, stale, or was confirmed already; bad rows under
        all-or-nothing or more than the dataset bears; deletions that were not agreed to; the definition or
        the stored file changed; another import of the dataset is running.
    :raises QuotaReached: the tenant would have more records than it may have.
    :raises TenantReadOnly: the tenant is read-only.
    """
    _check_stored(job)
    with transaction.atomic():
        # Before the job's own row: whoever deletes or changes the dataset holds it first, too.
        Dataset.objects.select_for_update(no_key=True).filter(pk=job.dataset_id or 0).first()
        found = ImportJob.objects.select_for_update().filter(pk=job.pk).first()
        if found is None:
            raise NotConfirmable("This import was removed with its dataset. There is nothing to confirm.")
        job = found
        if deletes == 0 and not job.is_undo:
            job.deleted_rows = 0
        rights.require_merge(by, job)
        policy = policy or job.policy
        if reason := why_not_confirmable(job, policy=policy, seen=seen, deletes=deletes):
            raise NotConfirmable(reason)
        if deletes == 0 and (rows := rows_that_need_deletions(job)):
            raise NotConfirmable(
                f"{count(rows, 'row')} of the file would take a unique value from a record that would stay."
                " Agree to the deletions, or correct those rows."
            )
        require_room_for_merge(job)
        try:
            with transaction.atomic():
                job.move(
                    old=State.PREVIEW_SUCCEEDED, new=State.IMPORT_IN_PROGRESS, confirmed_by=by, policy=policy,
                    merges=job.merges + 1, notice="",
                    deleted_rows=job.deleted_rows, head={**job.head, "agreed": job.deleted_rows},
                )  # fmt: skip
        except IntegrityError as error:
            raise NotConfirmable(
                "Another import into this dataset is running. Wait until it has ended, then confirm again."
            ) from error
        record(
            "importer.job.confirmed", actor=by, target=job,
            created=job.created_rows, updated=job.updated_rows, deleted=job.deleted_rows,
            rejected=job.rejected_rows,
        )  # fmt: skip
        submitted = jobs.services.submit(
            "importer.merge",
            target=f"model:{job.target}" if job.target else f"dataset:{job.dataset_id}",
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
    rights.require_import_of(by, job)
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


def finish_preview(job: ImportJob, *, counts: Counts, snapshot: str) -> None:
    """Show a finished plan to the person who decides."""
    job.move(
        old=State.PREVIEW_IN_PROGRESS, new=State.PREVIEW_SUCCEEDED, created_rows=counts.created,
        updated_rows=counts.updated, deleted_rows=counts.deleted, missing_rows=counts.missing,
        unchanged_rows=job.staged_rows - counts.created - counts.updated, snapshot=snapshot, head=job.head,
    )  # fmt: skip
    record(
        "importer.job.previewed", target=job, created=counts.created, updated=counts.updated,
        unchanged=job.unchanged_rows, rejected=job.rejected_rows, deleted=counts.deleted,
    )  # fmt: skip


def finish_import(job: ImportJob) -> None:
    """Say that a merge is done, in its own transaction."""
    job.move(old=State.IMPORT_IN_PROGRESS, new=State.IMPORT_SUCCEEDED)
    transaction.on_commit(lambda: _count_rows(job))
    if not job.target:
        saved_mappings.remember(job)
    record(
        "importer.job.imported", actor=job.confirmed_by, target=job,
        created=job.created_rows, updated=job.updated_rows, deleted=job.deleted_rows,
            rejected=job.rejected_rows,
    )  # fmt: skip


def _count_rows(job: ImportJob) -> None:
    counts = {
        "created": job.created_rows,
        "updated": job.updated_rows,
        "deleted": job.deleted_rows,
        "unchanged": job.unchanged_rows,
        "rejected": job.rejected_rows,
    }
    for outcome, rows in counts.items():
        metrics.IMPORT_ROWS.labels(outcome).inc(max(0, rows or 0))


@transaction.atomic
def preview_again(job: ImportJob, *, old: State, notice: str, drifted: str = "") -> None:
    """Take a job back to its preview, because what the plan was made of is not there any more.

    :param drifted: the records that are to blame, for those who may view them.
    """
    if job.move(old=old, new=State.CREATED, notice=notice, head={**job.head, "drifted": drifted}):
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


def earlier_import(job: ImportJob) -> ImportJob | None:
    """Return the last import of this very file into the dataset, if there was one."""
    same = ImportJob.objects.filter(
        dataset=job.dataset_id, target=job.target, sha256=job.sha256, state=State.IMPORT_SUCCEEDED
    )
    return same.exclude(pk=job.pk).order_by("-pk").first()


def safe_name(name: str) -> str:
    """Return a file name that is safe as the last part of a key; the ending stays.

    >>> safe_name("../Orders 2026.csv")
    'Orders_2026.csv'
    """
    last = PurePosixPath(name.replace("\\", "/")).name or "file"
    ascii_only = get_valid_filename(last).encode("ascii", "ignore").decode().lstrip(".")
    return ascii_only[-100:] or "file"


def gate_file(file: BinaryIO, name: str) -> str:
    """Return the kind of an upload.

    :raises Unreadable: it is empty or neither CSV nor XLSX.
    :raises FileTooLarge: it is beyond the limit.
    """
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


def require_room_for_upload(file: BinaryIO) -> None:
    """Go on only if a file may be kept; the file is at its beginning afterwards.

    :raises QuotaReached: the tenant has no room for it.
    :raises TenantReadOnly: the tenant is read-only.
    """
    require_writable()
    size = file.seek(0, 2)
    file.seek(0)
    require_room(Resource.BYTES, size)


def next_pk() -> int:
    """Return the number of the next import."""
    # The upload's path carries the job's number, and is written before the row that speaks of it.
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(pg_get_serial_sequence('importer_importjob', 'id'))")
        return int(cursor.fetchone()[0])


def _same_sheet(job: ImportJob, wish: Mapping[str, Any]) -> bool:
    # How wide the sheet's rows are written depends on where its header is.
    same_header = wish.get("header_row") == job.overrides.get("header_row")
    return bool(job.sheet) and same_header and wish.get("sheet") in (None, job.sheet.get("sheet"))


def _why_not_remappable(job: ImportJob, seen: int | None) -> str | None:
    if job.is_undo:
        return "An undo reads no file, so there is nothing to match. Confirm it or cancel it."
    if not job.key:
        return "Its file was removed after its time. Upload it again to map it anew."
    if job.state in (State.CREATED, State.PREVIEW_IN_PROGRESS):
        return "Its preview is running. Wait until it has finished, or cancel the import."
    if job.state not in (State.PREVIEW_SUCCEEDED, State.PREVIEW_FAILED):
        state = job.get_state_display()
        return f"This import is past its preview: {state}. Upload the file again to map it anew."
    if seen is not None and seen != job.previews:
        return "Somebody changed this mapping since the page was opened. Open it again, then change it."
    return None


def _check_stored(job: ImportJob) -> None:
    if job.is_undo:
        return
    try:
        if storage.mark(job.key) != job.head.get("mark") and storage.sha256_of(job.key) != job.sha256:
            raise NotConfirmable("The stored file is not the one that was uploaded. Upload it again.")
    except storage.StorageChanged as error:
        raise NotConfirmable(error.message) from error
