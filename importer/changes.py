"""What an import changes, cell by cell: from the plan before the merge, from history after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection

from datasets.columntypes import type_of
from datasets.display import readable
from datasets.spec import ColumnSpec, DatasetSpec
from importer.mapping import Match
from importer.models import ImportJob, State
from importer.preview import mapped_columns
from importer.staging import plan_table, staging_table


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell that changes; None is no value."""

    label: str
    old: str | None
    new: str | None


@dataclass(frozen=True, slots=True)
class Change:
    """One record: `op` is "+" (created) or "~" (changed). `at` orders the pages; `row` is the file's row, if known."""

    at: int
    op: str
    key: str
    cells: tuple[Cell, ...]
    record_id: int | None = None
    row: int | None = None


def page_of_changes(job: ImportJob, *, op: str = "", after: int = 0, size: int = 50) -> list[Change]:
    """Return the next changes after the one at `after`: of the plan, or of history once it is merged."""
    spec = job.dataset.spec()
    columns = mapped_columns(spec, tuple(Match.from_dict(match) for match in job.mapping))
    if job.state == State.IMPORT_SUCCEEDED:
        return _merged(job, spec, columns, op, after, size)
    if job.state == State.PREVIEW_SUCCEEDED:
        return _planned(job, spec, columns, op, after, size)
    return []


def _planned(
    job: ImportJob, spec: DatasetSpec, columns: Sequence[ColumnSpec], op: str, after: int, size: int
) -> list[Change]:
    new, old, key = _texts(columns, "s"), _texts(columns, "t"), _texts(spec.key_columns, "s")
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s), to_regclass(%s)", [plan_table(job.pk), staging_table(job.pk)])
        if None in cursor.fetchone():
            return []
        cursor.execute(
            f"SELECT d.rn, d.op::text, d.id, ARRAY[{key}]::text[], ARRAY[{old}]::text[], ARRAY[{new}]::text[]"
            f" FROM (SELECT * FROM {plan_table(job.pk)} WHERE rn > %s AND (%s = '' OR op::text = %s)"
            f" ORDER BY rn LIMIT %s) d JOIN {staging_table(job.pk)} s USING (rn)"
            f" LEFT JOIN {spec.table} t ON t.id = d.id ORDER BY d.rn",
            [after, op, op, size],
        )
        return [
            Change(at=rn, op=op, key=_key(keys), cells=_cells(columns, op, olds, news), record_id=id_, row=rn)
            for rn, op, id_, keys, olds, news in cursor.fetchall()
        ]


def _merged(
    job: ImportJob, spec: DatasetSpec, columns: Sequence[ColumnSpec], op: str, after: int, size: int
) -> list[Change]:
    new, old, key = _texts(columns, "h"), _texts(columns, "p"), _texts(spec.key_columns, "h")
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT h.history_id, h.history_type, h.id,"
            f" ARRAY[{key}]::text[], ARRAY[{old}]::text[], ARRAY[{new}]::text[]"
            f" FROM (SELECT * FROM {spec.history_table} WHERE history_change_reason = %s AND history_id > %s"
            " AND history_date >= %s AND (%s = '' OR history_type = %s) ORDER BY history_id LIMIT %s) h"
            f" LEFT JOIN LATERAL (SELECT * FROM {spec.history_table} b WHERE b.id = h.id"
            " AND b.history_id < h.history_id ORDER BY b.history_id DESC LIMIT 1) p ON true ORDER BY h.history_id",
            [job.reason, after, job.confirmed_at, op, op, size],
        )
        return [
            Change(at=at, op=op, key=_key(keys), cells=_cells(columns, op, olds, news), record_id=id_)
            for at, op, id_, keys, olds, news in cursor.fetchall()
        ]


def _shown(text: str | None, column: ColumnSpec) -> str | None:
    return None if text is None else readable(text, column)


def _cells(
    columns: Sequence[ColumnSpec], op: str, olds: Sequence[str | None], news: Sequence[str | None]
) -> tuple[Cell, ...]:
    cells = (
        Cell(column.label, _shown(old, column), _shown(new, column))
        for column, old, new in zip(columns, olds, news, strict=True)
    )
    return tuple(cell for cell in cells if (cell.new is not None if op == "+" else cell.old != cell.new))


def _texts(columns: Sequence[ColumnSpec], table: str) -> str:
    quote = connection.ops.quote_name
    return ", ".join(type_of(column).text_sql(f"{table}.{quote(column.name)}") for column in columns)


def _key(parts: Sequence[str | None]) -> str:
    return " · ".join(part or "" for part in parts)
