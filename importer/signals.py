"""What the importer has to say when a dataset goes, or when a column changes its type."""

from __future__ import annotations

from typing import Any

from django.dispatch import receiver

from core.errors import RowhouseError
from datasets.models import Dataset
from datasets.signals import changed, changing, deleting
from importer import services
from importer.models import RUNNING, ImportJob, State


class ImportRunning(RowhouseError):
    """A dataset can neither go nor change while an import works on it."""

    code = "import-running"


@receiver(deleting)
def refuse_or_tidy(dataset: Dataset, **_kwargs: Any) -> None:
    """Refuse the deletion while an import runs; otherwise drop what its imports left.

    :raises ImportRunning: a preview or a merge is running.
    """
    imports = ImportJob.objects.filter(dataset=dataset)
    if running := imports.filter(state__in=RUNNING).first():
        raise ImportRunning(
            f"{running} is running. Wait until it has ended or cancel it, then delete the dataset."
        )
    for job in imports.filter(state="PREVIEW_SUCCEEDED"):
        services.forget_files(job)


@receiver(changing)
def refuse_while_merging(dataset: Dataset, **_kwargs: Any) -> None:
    """Let a confirmed import go first: what it staged would not fit afterwards. Previews are made again.

    :raises ImportRunning: an import was confirmed and is not over.
    """
    if running := ImportJob.objects.filter(dataset=dataset, state=State.IMPORT_IN_PROGRESS).first():
        raise ImportRunning(
            f"{running} was confirmed before and goes first. Wait until it has ended, then change the dataset."
        )


@receiver(changed)
def preview_again(dataset: Dataset, **_kwargs: Any) -> None:
    """Offer the previews that wait for a person anew: they were made for another definition."""
    for job in ImportJob.objects.select_for_update().filter(dataset=dataset, state=State.PREVIEW_SUCCEEDED):
        services.preview_again(
            job,
            old=State.PREVIEW_SUCCEEDED,
            notice="The dataset's definition changed since the preview. It was made again; look at it and confirm.",
        )
