"""Which datasets a scheduled run need not write again: the file that is stored still says what they hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from datasets.models import Dataset
from datasets.unseen import has_unseen
from exporter.form import FileForm
from exporter.increments import chain_of
from exporter.models import Content, ExportFile, ExportSettings, Fault, State
from exporter.snapshot import Snapshot

UNCHANGED = "unchanged"


def held_files(
    source: Snapshot, settings: Mapping[int, ExportSettings], forms: Mapping[int, FileForm]
) -> dict[int, ExportFile]:
    """Return the stored files that hold, record by record, what the snapshot sees; by dataset.

    They are written as a new one would be: a file that somebody asked for in another form is no matter.
    """
    found = {}
    for pk, dataset in source.datasets.items():
        file = _newest(dataset, forms[pk])
        if (
            file is not None
            and _is_alike(file, dataset, settings[pk])
            and all(one.deleted_at is None and not one.fault for one in chain_of(file))
            and _still_holds(file, dataset, source)
        ):
            found[pk] = file
    return found


def skipped_entry(dataset: Dataset, file: ExportFile) -> dict[str, Any]:
    """Return what a run says of a dataset it did not write."""
    return {
        "dataset": dataset.pk,
        "slug": dataset.slug,
        "title": dataset.title,
        "reason": UNCHANGED,
        "file": file.pk,
    }


def _newest(dataset: Dataset, form: FileForm) -> ExportFile | None:
    good = ExportFile.objects.stored().filter(fault=Fault.NONE, run__state=State.SUCCEEDED)
    own = good.filter(dataset_slug=dataset.slug, dataset=dataset, form=form.to_json())
    return own.select_related("run").order_by("-created_at", "-pk").first()


def _is_alike(file: ExportFile, dataset: Dataset, settings: ExportSettings) -> bool:
    """Return whether a new file would be written as this one was, and to the same place."""
    return (
        file.definition_version == dataset.definition_version
        and file.destination_id == settings.destination_id
        and (file.content == Content.FULL or settings.content == Content.INCREMENTAL)
    )


def _still_holds(file: ExportFile, dataset: Dataset, source: Snapshot) -> bool:
    if not file.run.snapshot:
        return False
    with source.cursor() as cursor:
        return not has_unseen(
            cursor,
            dataset.spec(),
            snapshot=file.run.snapshot,
            taken_at=file.created_at,
            oldest=file.run.oldest_at,
        )
