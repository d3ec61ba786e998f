"""What the tests of exports share."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence
from datetime import UTC, datetime

from django.db import connection

from accounts.models import User
from core import storage
from datasets.models import Dataset
from datasets.rules import NewColumn
from datasets.services import create_dataset
from datasets.spec import ColumnOptions
from exporter.destinations import store_of
from exporter.models import ExportFile, ExportRun, State, Trigger
from exporter.naming import export_path
from exporter.services import request_export
from jobs import services as jobs

AT = datetime(2026, 8, 26, 14, tzinfo=UTC)
Row = Sequence[str | None]


def column(label: str, kind: str = "text", *, is_required: bool = False, **options: object) -> NewColumn:
    return NewColumn(
        label=label,
        type=kind,
        is_required=is_required,
        is_unique=False,
        options=ColumnOptions(**options),  # type: ignore[arg-type] # named by the caller
    )


def dataset_with(rows: Sequence[Row] = (), *columns: NewColumn, slug: str = "orders") -> Dataset:
    """Make a dataset keyed by its first column, holding these canonical texts."""
    columns = columns or (column("id", "integer"), column("note"))
    dataset = create_dataset(title=slug.title(), slug=slug, columns=columns, key=[columns[0].label])
    insert(dataset, rows)
    return dataset


def insert(dataset: Dataset, rows: Sequence[Row]) -> None:
    spec = dataset.spec()
    names = ", ".join(f'"{one.name}"' for one in spec.columns)
    places = ", ".join(["%s"] * len(spec.columns))
    with connection.cursor() as cursor:
        cursor.executemany(
            f'INSERT INTO "{spec.table}" ({names}) VALUES ({places})', [list(row) for row in rows]
        )


def export(by: User | None = None, datasets: Sequence[Dataset] | None = None, **overrides: str) -> ExportRun:
    """Export now, to the end, as the command does; the overrides are of the files' form."""
    run = request_export(by=by, datasets=datasets, overrides=overrides)
    assert run.job_id is not None
    jobs.run_until_done(run.job_id)
    run.refresh_from_db()
    return run


def stored_keys() -> list[str]:
    """Return the keys of what is stored, but for manifests and pointers."""
    return [key for key, _ in storage.list_keys() if "/_run_" not in key and not key.endswith("/latest.json")]


def content(file: ExportFile) -> bytes:
    with store_of(file.destination).open_read(file.key) as stored:
        return stored.read()


def parsed(data: bytes) -> list[list[str | None]]:
    """Parse as Python's csv does, an empty cell without quotes being None."""
    return [
        list(row) for row in csv.reader(io.StringIO(data.decode(), newline=""), quoting=csv.QUOTE_NOTNULL)
    ]


def stored_file(
    dataset: Dataset, *, at: datetime = AT, data: bytes = b"id,note\n1,a\n", number: int = 1
) -> ExportFile:
    """Store a file with its row, as a finished run leaves them."""
    run = ExportRun.objects.create(trigger=Trigger.MANUAL, state=State.SUCCEEDED, created_at=at)
    stored = storage.save(export_path(dataset.slug, at, number=number), io.BytesIO(data))
    return ExportFile.objects.create(
        run=run,
        dataset=dataset,
        dataset_slug=dataset.slug,
        dataset_title=dataset.title,
        key=stored.key,
        rows=max(0, data.count(b"\n") - 1),
        bytes=stored.bytes,
        sha256=hashlib.sha256(data).hexdigest(),
        definition_version=dataset.definition_version,
        created_at=at,
    )
