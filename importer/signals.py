"""What the importer has to say when a dataset goes, or when a column changes its type."""

from __future__ import annotations

from typing import Any

from django.dispatch import receiver

from core.errors import RowhouseError
from datasets.models import Dataset
from datasets.signals import changing, deleting
from importer import services
from importer.models import RUNNING, ImportJob


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
def refuse_while_running(dataset: Dataset, **_kwargs: Any) -> None:
    """Refuse a change of the definition while an import runs; a preview that waits is refused at its confirm.

    :raises ImportRunning: a preview or a merge is running.
    """
    if running := ImportJob.objects.filter(dataset=dataset, state__in=RUNNING).first():
        raise ImportRunning(
            f"{running} is running. Wait until it has ended or cancel it, then change the dataset."
        )
