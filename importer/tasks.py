"""The handlers of background jobs: they load and call."""

from __future__ import annotations

from importer import expiry, proposing, services, undo_work
from importer import merge as merging
from importer import preview as previewing
from importer.again import start_merge_again, start_preview_again
from importer.models import PREVIEWING, ImportJob, Proposal, State
from jobs.kinds import Again, Ended, Json, Slice, Step
from jobs.services import NotRetryable


def preview(work: Slice) -> Step:
    """Do one slice of a preview; the payload is {"import": pk}."""
    job = _job(work.payload)
    if job is None:
        return Step(done=True)
    if job.target:
        from importer.targets.work import run_preview  # slow import, of few imports  # noqa: PLC0415

        return run_preview(job, work)
    return undo_work.preview(job, work) if job.is_undo else previewing.run(job, work)


def preview_ended(work: Ended) -> None:
    job = _job(work.payload)
    if job is not None and job.preview_job_id == str(work.job_id):
        new = State.CANCELLED if work.outcome == "cancelled" else State.PREVIEW_FAILED
        services.fail(job, old=PREVIEWING, new=new, code=work.code, message=work.message)


def preview_retried(work: Again) -> Json:
    """Put a preview back to its beginning."""
    return start_preview_again(_job_again(work), work)


def merge(work: Slice) -> Step:
    """Merge a confirmed import; the payload is {"import": pk, "by": user pk or null}."""
    job = _job(work.payload)
    if job is None:
        return Step(done=True)
    if job.target:
        from importer.targets.work import run_merge  # slow import, of few imports  # noqa: PLC0415

        return run_merge(job, work)
    return undo_work.merge(job, work) if job.is_undo else merging.run(job, work)


def merge_ended(work: Ended) -> None:
    job = _job(work.payload)
    if job is not None and job.merge_job_id == str(work.job_id):
        new = State.CANCELLED if work.outcome == "cancelled" else State.IMPORT_FAILED
        services.fail(job, old=(State.IMPORT_IN_PROGRESS,), new=new, code=work.code, message=work.message)
        if job.state == State.IMPORT_SUCCEEDED:  # only tidying up was left
            services.forget_files(job)


def merge_retried(work: Again) -> Json:
    """Put a failed merge back to where it can begin."""
    return start_merge_again(_job_again(work), work)


def propose(work: Slice) -> Step:
    """Propose the columns of a new dataset; the payload is {"proposal": pk}."""
    proposal = Proposal.objects.filter(pk=work.payload["proposal"]).first()
    return proposing.read(proposal, work) if proposal else Step(done=True)


def propose_ended(work: Ended) -> None:
    proposal = Proposal.objects.filter(pk=work.payload["proposal"]).first()
    if proposal is not None:
        proposing.fail(proposal, work.message or "Reading the file was cancelled. Upload it again.")


def tidy(work: Slice) -> Step:
    """Remove what imports left behind that nobody needs any more."""
    return Step(done=expiry.tidy(work.time_left))


def _job(payload: dict[str, int]) -> ImportJob | None:
    # None: the dataset was deleted meanwhile, and the import with it.
    return ImportJob.objects.select_related("dataset").filter(pk=payload["import"]).first()


def _job_again(work: Again) -> ImportJob:
    job = _job(work.payload)
    if job is None:
        raise NotRetryable("This import was removed with its dataset; there is nothing to start again.")
    return job
