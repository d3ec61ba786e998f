"""What the tests of undo are written with: edits by hand, undoing, and what is left as it is."""

from __future__ import annotations

from typing import Any

from audit.actor import actor
from datasets.models import Dataset
from datasets.rows import get_row_model
from importer.models import ImportJob, State
from importer.tests.tools import merge, person, upload, work
from importer.undo import undo_import

Contents = dict[int, tuple[Any, ...]]


def undone(job: ImportJob, **options: Any) -> ImportJob:
    """Undo an import, with its preview; return the undo."""
    made = merge(previewed(job), **options)
    assert made.state == State.IMPORT_SUCCEEDED, made.error or made.notice
    return made


def previewed(job: ImportJob) -> ImportJob:
    """Ask for an undo and preview it."""
    job.refresh_from_db()
    made = work(undo_import(job=job, by=person()))
    assert made.state == State.PREVIEW_SUCCEEDED, made.error
    return made


def buckets(job: ImportJob) -> tuple[int, int, int, int]:
    """Removed, restored, brought back, kept."""
    return job.deleted_rows, job.updated_rows, job.created_rows, job.kept_rows


def kept(job: ImportJob) -> list[tuple[str, str]]:
    """Which records an undo leaves as they are, by key, and why."""
    found = job.issues.order_by("value").values_list("value", "code", "severity", "row")
    assert all((severity, row) == ("warning", 0) for _value, _code, severity, row in found)
    return [(value, code) for value, code, _severity, _row in found]


def contents(dataset: Dataset) -> Contents:
    """All values of every record, by its id."""
    spec = dataset.spec()
    rows = get_row_model(dataset)._default_manager.values_list("id", *(one.name for one in spec.columns))
    return {row[0]: row[1:] for row in rows}


def by_label(dataset: Dataset, values: dict[str, Any]) -> dict[str, Any]:
    """The values under their columns' physical names."""
    names = {column.label: column.name for column in dataset.spec().columns}
    return {names[label]: value for label, value in values.items()}


def edit(dataset: Dataset, key: int, **values: Any) -> None:
    """Change a record by hand."""
    with actor(person().pk, "by hand"):
        assert _records(dataset, key).update(**by_label(dataset, values)) == 1


def remove(dataset: Dataset, key: int) -> None:
    """Delete a record by hand."""
    with actor(person().pk, "by hand"):
        assert _records(dataset, key).delete()[0] == 1


def add(dataset: Dataset, **values: Any) -> None:
    """Create a record by hand."""
    with actor(person().pk, "by hand"):
        get_row_model(dataset)._default_manager.create(**by_label(dataset, values))


def sync(dataset: Dataset, text: str) -> ImportJob:
    """Make the dataset equal to a file."""
    job = upload(dataset, text, mode="sync")
    job = merge(job, deletes=job.deleted_rows)
    assert job.state == State.IMPORT_SUCCEEDED, job.error or job.notice
    return job


def _records(dataset: Dataset, key: int) -> Any:
    return get_row_model(dataset)._default_manager.filter(**{dataset.spec().key[0]: key})
