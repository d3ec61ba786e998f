"""What the importer has to say when a dataset goes."""

from __future__ import annotations

from typing import Any

from django.dispatch import receiver

from core.errors import RowhouseError
from datasets.models import Dataset
from datasets.signals import deleting
from importer import services
from importer.models import RUNNING, ImportJob


class ImportRunning(RowhouseError):
    """A dataset cannot go while an import works on it."""

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
