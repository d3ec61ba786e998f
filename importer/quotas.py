"""Records that confirmed imports are about to add."""

from __future__ import annotations

from django.db.models import F, Sum
from django.db.models.functions import Greatest

from core.quotas import Resource, require_room
from importer.models import ImportJob, State


def rows_on_their_way(limit: int) -> int:
    """Return how many records the imports that were confirmed and have not ended will add."""
    merging = ImportJob.objects.filter(state=State.IMPORT_IN_PROGRESS, dataset__isnull=False)
    added = merging.aggregate(all=Sum(Greatest(F("created_rows") - F("deleted_rows"), 0)))["all"]
    return int(added or 0)


def require_room_for_merge(job: ImportJob) -> None:
    """Go on only if the records an import adds fit in what the tenant may have. An undo is never refused.

    :raises QuotaReached: they do not.
    """
    if job.dataset_id is not None and not job.is_undo:
        require_room(Resource.ROWS, job.created_rows - job.deleted_rows)
