"""Which settings a dataset is exported by: its own, else the tenant's, else those of a new tenant."""

from __future__ import annotations

from collections.abc import Iterable

from datasets.models import Dataset
from exporter.form import FileForm, form_columns
from exporter.models import ExportSettings


def settings_of(datasets: Iterable[Dataset]) -> dict[int, ExportSettings]:
    """Return the settings of each dataset by its primary key; a row that is not stored yet has no primary key."""
    wanted = [dataset.pk for dataset in datasets]
    rest = ExportSettings.objects.filter(dataset=None).first() or ExportSettings()
    own = {one.dataset_id: one for one in ExportSettings.objects.filter(dataset__in=wanted)}
    return {pk: own.get(pk, rest) for pk in wanted}


def form_of(settings: ExportSettings, dataset: Dataset) -> FileForm:
    """Return the form the next file of a dataset gets."""
    return FileForm(
        columns=form_columns(dataset.spec(), settings.columns if settings.dataset_id else ()),
        format=settings.format,
        mode=settings.mode,
        delimiter=settings.delimiter,
        null_word=settings.null_word,
        encoding=settings.encoding,
    )
