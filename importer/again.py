"""Starting the background work of an import again that failed or was cancelled.

Whoever starts it may be an operator who knows nothing of the file: what cannot lead anywhere is refused at once,
with the sentence that says what to do instead.
"""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction

from audit.services import record
from importer import staging, undo_plan
from importer.merge import require_confirmer
from importer.models import PREVIEWING, ImportJob, State
from importer.specs import version_of
from jobs.kinds import Again, Json
from jobs.services import NotRetryable


def start_preview_again(job: ImportJob, work: Again) -> Json:
    """Put a preview that failed or was cancelled back to its beginning; return where its job goes on: there.

    What it had staged goes, so that no row is staged twice. Nothing of it was in the dataset.

    :raises NotRetryable: the import is past this preview.
    """
    if job.preview_job_id != str(work.job_id):
        raise NotRetryable(f"{job} was previewed again since. Look at that preview; this one is out of date.")
    if not (job.key or job.is_undo):
        raise NotRetryable(f"The file of {job} was removed after its time. Upload it again.")
    again: dict[str, Any] = {"error_code": "", "error": "", "previewed_at": None, "ended_at": None}
    if job.definition_version != version_of(job):
        again["mapping"] = []  # the columns it names may be gone; what was said with the file is kept apart
    if not job.move(
        old=(*PREVIEWING, State.PREVIEW_FAILED, State.CANCELLED),
        new=State.CREATED,
        notice="Its preview had ended and was started again.",
        **again,
    ):
        raise NotRetryable(f"{job} is past its preview: {job.get_state_display()}. Nothing is left to do.")
    staging.drop(job.pk)
    record("importer.job.started_again", target=job, step="preview")
    return {}


def start_merge_again(job: ImportJob, work: Again) -> Json:
    """Put a failed merge back to where its job can do it, and return where that goes on.

    What is asked here is asked again when it runs: this only tells whoever starts it before they wait.

    :raises NotRetryable: there is nothing it could merge, or it was merged or given up.
    :raises NoLongerPermitted: the person who confirmed may not do it any more.
    """
    if job.state == State.IMPORT_SUCCEEDED and work.cursor.get("phase") == "tidy":
        return work.cursor
    if reason := _why_not_again(job, work):
        raise NotRetryable(reason)
    require_confirmer(job, work.payload.get("by"))
    try:
        with transaction.atomic():
            moved = job.move(
                old=(State.IMPORT_FAILED, State.IMPORT_IN_PROGRESS),
                new=State.IMPORT_IN_PROGRESS,
                confirmed_at=job.confirmed_at,
                ended_at=None,
                error_code="",
                error="",
                notice="This import had failed and was started again.",
            )
    except IntegrityError:
        raise NotRetryable(
            "Another import into this dataset is running. Wait until it has ended, then start this one again."
        ) from None
    if not moved:
        raise NotRetryable("Somebody else moved this import on. Look at it again.")
    record("importer.job.started_again", target=job, step="merge")
    return {}


def _why_not_again(job: ImportJob, work: Again) -> str | None:
    # IMPORT_IN_PROGRESS: its job ended, but the import could not be told so.
    if job.state not in (State.IMPORT_FAILED, State.IMPORT_IN_PROGRESS):
        return f"{job} is not waiting for its merge: {job.get_state_display()}. {_from_the_start(job)}"
    if job.merge_job_id != str(work.job_id):
        return f"{job} was confirmed again since; only its last merge can be started again."
    if job.definition_version != version_of(job):
        return f"The dataset's definition changed since the preview. {_from_the_start(job)}"
    if not (undo_plan if job.is_undo else staging).is_whole(job):
        return f"What it had prepared is not there any more. {_from_the_start(job)}"
    return None


def _from_the_start(job: ImportJob) -> str:
    return "Undo the import again." if job.is_undo else "Upload the file again."
