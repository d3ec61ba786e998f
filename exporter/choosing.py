"""Which settings a dataset is exported by: its own, else the tenant's, else those of a new tenant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from datasets.models import Dataset
from exporter.form import FileForm, form_columns
from exporter.models import ExportRun, ExportSettings


def settings_of(datasets: Iterable[Dataset]) -> dict[int, ExportSettings]:
    """Return the settings of each dataset by its primary key; a row that is not stored yet has no primary key."""
    wanted = [dataset.pk for dataset in datasets]
    rest = ExportSettings.objects.filter(dataset=None).first() or ExportSettings()
    own = {one.dataset_id: one for one in ExportSettings.objects.filter(dataset__in=wanted)}
    return {pk: own.get(pk, rest) for pk in wanted}


def forms_of(
    run: ExportRun, datasets: Iterable[Dataset], settings: Mapping[int, ExportSettings]
) -> dict[int, FileForm]:
    """Return the form of each dataset's file of a run, by its primary key: what the run asks for, else its settings.

    A file that is planned keeps the format it was named by.
    """
    planned = {file["dataset"]: file["format"] for file in run.plan if "format" in file}
    forms = {}
    for dataset in datasets:
        kept = {"format": planned[dataset.pk]} if dataset.pk in planned else {}
        forms[dataset.pk] = form_of(settings[dataset.pk], dataset, {**run.overrides, **kept})
    return forms


def form_of(
    settings: ExportSettings, dataset: Dataset, overrides: Mapping[str, Any] | None = None
) -> FileForm:
    """Return the form the next file of a dataset gets; `overrides` go before the settings."""
    form = FileForm(
        columns=form_columns(dataset.spec(), settings.columns if settings.dataset_id else ()),
        format=settings.format,
        mode=settings.mode,
        delimiter=settings.delimiter,
        null_word=settings.null_word,
        encoding=settings.encoding,
    )
    return replace(form, **overrides) if overrides else form
