"""Erasing a person's values in what imports keep: stored files go whole, since a file cannot be half rewritten.

A preview that nobody confirmed is cancelled, for it would write the values. The import itself stays, with its figures.
"""

from __future__ import annotations

from audit.services import record
from core import storage
from core.erasing import Hunt, Json, Needle, Part
from core.storage import StorageChanged
from importer import services, staging
from importer.models import RUNNING, ImportJob, Proposal, State
from jobs.kinds import Slice

WAIT_SECONDS = 5.0
NOTICE = "Its file held values that had to be erased, so it was removed. Upload the file again without them."


def uploads(hunt: Hunt, cursor: Json, work: Slice) -> Part:
    """Remove the stored files of imports that hold one of the values, with what was made of them."""
    found, after = 0, cursor.get("after", 0)
    for job in ImportJob.objects.filter(pk__gt=after).exclude(key="").order_by("pk").iterator(chunk_size=50):
        keys = [key for key in (job.key, job.sheet.get("key"), job.sheet.get("hazards")) if key]
        if hunt.needle.in_text(job.file_name) or any(_holds(hunt.needle, key, work) for key in keys):
            found += 1
            if hunt.is_real:
                if job.state in RUNNING:  # as soon as it has ended, or waits to be confirmed
                    return Part({"after": job.pk - 1}, found - 1, rest_seconds=WAIT_SECONDS)
                _forget(job, keys)
        after = job.pk
        if work.time_left() <= 0:
            return Part({"after": after}, found)
    if hunt.is_real:
        staging.sweep()
    return Part(None, found)


def _forget(job: ImportJob, keys: list[str]) -> None:
    job.move(old=State.PREVIEW_SUCCEEDED, new=State.CANCELLED, notice=NOTICE)
    services.forget_files(job)
    storage.delete_many(keys)
    ImportJob.objects.filter(pk=job.pk).update(key="", sheet={})
    job.file_name = ""  # the log must not have it
    record("importer.job.file_erased", target=job)


def proposals(hunt: Hunt, cursor: Json, work: Slice) -> Part:
    """Remove the files that columns of a new dataset are proposed from, if they hold one of the values."""
    found = 0
    for proposal in Proposal.objects.exclude(key="").order_by("pk"):
        if not hunt.needle.in_text(proposal.file_name) and not _holds(hunt.needle, proposal.key, work):
            continue
        found += 1
        if not hunt.is_real:
            continue
        if proposal.state == Proposal.State.READING:
            return Part({}, found - 1, rest_seconds=WAIT_SECONDS)
        storage.delete(proposal.key)
        storage.forget_local_copy(proposal.sha256)
        proposal.delete()
    return Part(None, found)


def _holds(needle: Needle, key: str, work: Slice) -> bool:
    """Return whether a stored file holds a value. One that cannot be read goes: nobody can say that it does not."""
    try:
        with work.long_statement(), storage.open_read(key) as file:
            return needle.in_file(file, look=work.is_cancelled)
    except StorageChanged:
        return False  # it is gone already
    except ValueError:
        return True
