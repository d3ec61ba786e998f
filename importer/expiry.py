"""What imports leave behind, and for how long: previews nobody confirms, staged rows, uploads."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Coalesce

from audit.services import record
from core import storage
from core.clock import now
from importer import services, staging
from importer.models import ImportJob, Proposal, State

OVER = (State.IMPORT_SUCCEEDED, State.UNDONE, State.CANCELLED, State.PREVIEW_FAILED, State.IMPORT_FAILED)


def tidy(time_left: Callable[[], float]) -> bool:
    """Do all of it in the current tenant while there is time; return whether nothing is left. May be repeated."""
    staging.sweep()
    return expire_previews(time_left) and remove_uploads(time_left) and remove_proposals(time_left)


def expire_previews(time_left: Callable[[], float]) -> bool:
    """Cancel the previews that nobody confirmed for ROWHOUSE_PREVIEW_KEEP_DAYS; return whether all are."""
    days = settings.ROWHOUSE_PREVIEW_KEEP_DAYS
    waiting = ImportJob.objects.filter(
        state=State.PREVIEW_SUCCEEDED, previewed_at__lt=now() - timedelta(days=days)
    )
    for job in waiting.order_by("pk").iterator():
        with transaction.atomic():
            again = "Ask for the undo again" if job.is_undo else "Upload the file again to import it"
            notice = f"Nobody confirmed this preview for {days} days. {again}."
            if job.move(old=State.PREVIEW_SUCCEEDED, new=State.CANCELLED, notice=notice):
                record("importer.job.expired", target=job, days=days)
                services.forget_files(job)
        if time_left() <= 0:
            return False
    return True


def remove_uploads(time_left: Callable[[], float]) -> bool:
    """Remove the stored files of imports that ended ROWHOUSE_UPLOAD_KEEP_DAYS ago; return whether all are gone.

    A preview that failed ended then: it may be mapped anew until its file goes.

    The import itself stays, with its figures, its issues and its rejected rows.
    """
    kept = timedelta(days=settings.ROWHOUSE_UPLOAD_KEEP_DAYS)
    over_at = Coalesce("ended_at", "previewed_at", "created_at")
    old = ImportJob.objects.filter(state__in=OVER).exclude(key="").annotate(over_at=over_at)
    for pk in old.filter(over_at__lt=now() - kept).order_by("pk").values_list("pk", flat=True):
        with transaction.atomic():
            # Held, for a preview that failed may be asked for again at this moment.
            job = ImportJob.objects.select_for_update().filter(pk=pk, state__in=OVER).first()
            if job is not None:
                # A repeat removes them again, which is no error.
                for key in filter(None, (job.key, job.sheet.get("key"), job.sheet.get("hazards"))):
                    storage.delete(key)
                ImportJob.objects.filter(pk=pk).update(key="", sheet={})
        if time_left() <= 0:
            return False
    return True


def remove_proposals(time_left: Callable[[], float]) -> bool:
    """Remove the files nobody made a dataset of for ROWHOUSE_PREVIEW_KEEP_DAYS; return whether all are gone."""
    kept = timedelta(days=settings.ROWHOUSE_PREVIEW_KEEP_DAYS)
    old = Proposal.objects.filter(created_at__lt=now() - kept).exclude(state=Proposal.State.READING)
    for proposal in old.order_by("pk").iterator():
        if proposal.key:
            storage.delete(proposal.key)  # a repeat removes it again, which is no error
        proposal.delete()
        if time_left() <= 0:
            return False
    return True
