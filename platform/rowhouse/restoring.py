"""A dataset as it was: from an export file with those it goes on from, or from its history; previewed as an import."""

from __future__ import annotations

import os
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

from django.db import transaction

from audit.services import record
from core.clock import now as clock
from core.errors import RowhouseError
from datasets import access, ddl
from datasets.asof import known_since, spec_of_then, whole_second
from datasets.models import Dataset
from exporter.folding import Folded, fold, require_readable, write_as_of
from exporter.models import ExportFile
from exporter.services import require_whole
from importer import services as importing
from importer.models import PREVIEWING, ImportJob, State
from importer.prepared import announce_import, give_file
from importer.readers.xlsx import to_csv
from jobs import services as jobs
from jobs.kinds import Again, Ended, Json, Slice, Step

KIND = "rowhouse.restore"
RIGHTS = ("view", "import", "delete", "export")


class NotRestorable(RowhouseError):
    """There is nothing to restore from: no such time, or a file of no dataset."""

    code = "not-restorable"
    status = 422


class RestoreGone(RowhouseError):
    """The file or the dataset was removed before the restore began."""

    code = "restore-gone"
    status = 404


def may_restore(user: Any, dataset: Dataset) -> bool:
    """Return whether a person may ask for a dataset as it was."""
    return all(access.may(user, right, dataset) for right in RIGHTS) and not access.has_hidden(user, dataset)


def require_known(dataset: Dataset, at: datetime) -> None:
    """Refuse a moment that history does not tell.

    :raises NotRestorable: it lies ahead, or before what history knows.
    """
    since = known_since(dataset)
    if since <= at <= clock():
        return
    first = _words(whole_second(since))
    if since == dataset.created_at:
        raise NotRestorable(f"{dataset.title} exists since {first}. Choose a time from then to now.")
    raise NotRestorable(
        f"The history of {dataset.title} is kept since {first}. Choose a time from then to now, or a file."
    )


@transaction.atomic
def request_restore(
    *, dataset: Dataset, by: Any, file: ExportFile | None = None, at: datetime | None = None
) -> ImportJob:
    """Ask for an import that makes a dataset what a stored file says, or what it was at a time (aware).

    Nothing is written to the dataset until the import is confirmed, deletions by their own number.

    :param by: the person, or None for an operator at the command line.
    :raises PermissionDenied: a right on the dataset is missing (RIGHTS), or a column of it is hidden.
    :raises NotRestorable: the file is another dataset's, or the time lies ahead or before the dataset.
    :raises NotFoldable: the file, or one it goes on from, cannot be read back.
    :raises NoKey: the dataset has no key to match records by.
    """
    if by is not None:
        for right in RIGHTS:
            access.require(by, right, dataset)
        require_whole(by, dataset)
    if (file is None) == (at is None):
        raise NotRestorable("Choose a file or a time to restore from.")
    if file is not None:
        if file.dataset_id != dataset.pk:
            raise NotRestorable(f"{file.file_name} is no file of {dataset.title}. Choose one of its own.")
        require_readable(file)
        payload: Json = {"file": file.pk}
        name = f"{file.file_name.partition('.')[0]}.csv"
        what = f"as {file.file_name} has it ({_words(file.created_at)})"
    else:
        assert at is not None
        require_known(dataset, at)
        payload = {"at": at.isoformat()}
        name, what = f"{dataset.slug} as of {at:%Y%m%dT%H%M%SZ}.csv", f"as it was at {_words(at)}"

    def submit(job: ImportJob) -> int:
        return jobs.submit(KIND, target=f"import:{job.pk}", payload={"import": job.pk, **payload}).pk

    job = announce_import(
        dataset=dataset, name=name, by=by, submit=submit,
        notice=f"Makes {dataset.title} what it was, {what}. A deleted record that comes back gets a new number.",
    )  # fmt: skip
    record("rowhouse.restore.requested", actor=by, target=dataset, job=job.pk, **payload)
    return job


def make_file(work: Slice) -> Step:
    """Make the file of a restore and hand it to its import; the payload says which, and from what.

    :raises RestoreGone: there is nothing to make it of any more.
    """
    job = ImportJob.objects.select_related("dataset").filter(pk=work.payload["import"]).first()
    if job is None or job.state != State.CREATED:
        return Step(done=True)  # its dataset was deleted, or it was cancelled
    ddl.hold_form(job.dataset.pk)
    job.dataset.refresh_from_db()
    handle, name = tempfile.mkstemp(suffix=".csv")
    path = Path(name)
    try:
        with work.long_statement():
            with os.fdopen(handle, "wb") as out:
                made = _written(work.payload, job.dataset, out)
            give_file(job=job, path=path, columns=made.columns, lost=made.lost)
    finally:
        path.unlink()
    return Step(done=True, processed=made.rows, total=made.rows)


def _written(payload: Json, dataset: Dataset, out: Any) -> Folded:
    if "at" in payload:
        at = datetime.fromisoformat(str(payload["at"]))
        require_known(dataset, at)  # it may have waited while history was cleaned up
        return write_as_of(spec_of_then(dataset, dataset.spec(), at)[0], at, out)
    file = ExportFile.objects.filter(pk=payload["file"], dataset=dataset).first()
    if file is None:
        raise RestoreGone("The file was removed before it was read. Choose another, or a time.")
    return fold(file, dataset.spec(), out, workbook=_sheet_to_csv)


def _sheet_to_csv(workbook: Path, out: Path) -> None:
    to_csv(workbook, None, out, header_row=1)


def file_not_made(work: Ended) -> None:
    """Tell the import that its file will not come."""
    job = ImportJob.objects.filter(pk=work.payload["import"]).first()
    if job is not None and job.preview_job_id == str(work.job_id):
        new = State.CANCELLED if work.outcome == "cancelled" else State.PREVIEW_FAILED
        importing.fail(job, old=PREVIEWING, new=new, code=work.code, message=work.message)


def start_again(work: Again) -> Json:
    """Put a restore whose file was not made back to its beginning, and return where its job goes on.

    :raises NotRetryable: its import went on without it.
    """
    job = ImportJob.objects.filter(pk=work.payload["import"]).first()
    if job is None or job.preview_job_id != str(work.job_id):
        raise jobs.NotRetryable("The import of this restore is gone, or has its file. Restore again instead.")
    if not job.move(
        old=(*PREVIEWING, State.PREVIEW_FAILED, State.CANCELLED), new=State.CREATED,
        error_code="", error="", previewed_at=None, ended_at=None,
    ):  # fmt: skip
        raise jobs.NotRetryable(
            f"{job} is past its preview: {job.get_state_display()}. Nothing is left to do."
        )
    return {}


def _words(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
