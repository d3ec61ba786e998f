"""What an import changes, cell by cell: from the plan before the merge, from history after it.

Values come from the database cut to what a page shows: a cell may hold megabytes.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db import connection

from datasets.columntypes import type_of
from datasets.ddl import default_sql
from datasets.display import readable, shorten
from datasets.spec import ColumnSpec, DatasetSpec
from importer import staging
from importer.mapping import Match
from importer.matching import matches_of
from importer.models import Blank, ImportJob, State
from importer.parts import mapped_columns, matches_in_use
from importer.plan import planned
from importer.specs import spec_of
from importer.staging import plan_table, staging_table

SHOWN = 300  # characters of a value
MERGED = (State.IMPORT_SUCCEEDED, State.UNDONE)


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell that changes; None is no value. What is long is cut, and ends in "…"."""

    label: str
    old: str | None
    new: str | None


@dataclass(frozen=True, slots=True)
class Change:
    """One record: `op` is "+" (created), "~" (changed) or "-" (deleted).

    `at` orders the pages; `row` is the file's row, if known.
    """

    at: int
    op: str
    key: str
    cells: tuple[Cell, ...]
    record_id: int | str | None = None
    row: int | None = None


@dataclass(frozen=True, slots=True)
class _Page:
    """What was asked for, and the SQL that depends on it. `n` is a record's new version, `o` its old one."""

    job: ImportJob
    spec: DatasetSpec
    op: str
    after: int
    size: int
    column: str
    matches: tuple[Match, ...]

    def sides(self, column: ColumnSpec, op: str) -> tuple[str, str, str]:
        """Return the SQL of: does it change, its old text, its new text. `op` is the SQL of the kind of change."""
        name = connection.ops.quote_name(column.name)
        matches = [match for match in self.matches if match.column == column.name]
        is_whole = self.job.state in MERGED or self.job.is_undo
        default = "NULL" if is_whole or column.options.default is None else default_sql(column)
        if not (
            matches or is_whole
        ):  # the staged rows lack it: only what goes had it, and what comes a default
            changed = f"({op} = '-' AND o.{name} IS NOT NULL OR {op} = '+' AND {default} IS NOT NULL)"
            new = "NULL" if default == "NULL" else _cut(column, f"CASE {op} WHEN '+' THEN {default} END")
            return changed, _cut(column, f"o.{name}"), new
        is_kept = any(match.recipe.blank == Blank.KEEP for match in matches)
        new = f"coalesce(n.{name}, o.{name})" if is_kept else f"n.{name}"
        if default != "NULL":
            new = f"CASE {op} WHEN '+' THEN coalesce(n.{name}, {default}) ELSE {new} END"
        old = f"CASE {op} WHEN '-' THEN coalesce(o.{name}, n.{name}) WHEN '~' THEN o.{name} END"
        added = f"coalesce(n.{name}, {default})" if default != "NULL" else f"n.{name}"
        changed = (
            f"CASE {op} WHEN '+' THEN {added} IS NOT NULL WHEN '~' THEN {new} IS DISTINCT FROM o.{name}"
            f" ELSE coalesce(o.{name}, n.{name}) IS NOT NULL END"
        )
        return changed, _cut(column, old), _cut(column, f"CASE WHEN {op} <> '-' THEN {new} END")

    def only(self, op: str) -> str:
        """Return the condition that the column asked for changes."""
        asked = [column for column in self.spec.columns if column.name == self.column]
        return f" AND {self.sides(asked[0], op)[0]}" if asked else ""


def page_of_changes(
    job: ImportJob,
    *,
    op: str = "",
    after: int = 0,
    size: int = 50,
    column: str = "",
    seen: Collection[str] | None = None,
) -> list[Change]:
    """Return the next changes after the one at `after`: of the plan, or of history once it is merged.

    :param op: only this kind.
    :param column: the physical name of a column: only records in which it changes, and only its cells.
    :param seen: the physical names of the columns whose cells may be shown; None is all of them.
    """
    if job.state not in (*MERGED, State.PREVIEW_SUCCEEDED):
        return []
    if job.target:
        from importer.targets.changes import page_of_plan  # of few imports  # noqa: PLC0415

        return page_of_plan(job, op=op, after=after, size=size, column=column)
    spec = job.dataset.spec()
    if seen is not None:
        spec = replace(
            spec, columns=tuple(one for one in spec.columns if one.name in seen or one.name in spec.key)
        )
    page = _Page(job, spec, op, after, size, column, matches_in_use(job))
    if job.state in MERGED:
        return _read(page, *_of_history(page))
    # A plan may be made of columns that are not the dataset's any more: nothing of it can be shown.
    if job.definition_version != job.dataset.definition_version or not _is_there(job):
        return []
    return _read(page, *(_of_undo(page) if job.is_undo else _of_plan(page)))


def changing_columns(job: ImportJob) -> tuple[ColumnSpec, ...]:
    """Return the columns in which an import may change records: those its file fills."""
    spec = spec_of(job)
    return spec.columns if job.is_undo else mapped_columns(spec, matches_of(job))


def _is_there(job: ImportJob) -> bool:
    # UNLOGGED: a crash of the database may have taken what the page would read.
    return staging.exist(plan_table(job.pk), *([] if job.is_undo else [staging_table(job.pk)]))


def _of_plan(page: _Page) -> tuple[str, list[Any]]:
    """Return where a page comes from: `d` (at, row, op, id), `n` with the values to come, `o` with those of now."""
    pk = page.job.pk
    joined = f" LEFT JOIN {staging_table(pk)} n ON n.rn = d.rn LEFT JOIN {page.spec.table} o ON o.id = d.id"
    wanted = (
        "SELECT d.rn AS at, d.rn, d.op::text AS op, d.id"
        f" FROM {planned(page.job)} d{joined if page.column else ''}"
        f" WHERE d.rn > %s AND (%s = '' OR d.op::text = %s){page.only('d.op::text')} ORDER BY d.rn LIMIT %s"
    )
    return f"({wanted}) d{joined}", [page.after, page.op, page.op, page.size]


def _of_undo(page: _Page) -> tuple[str, list[Any]]:
    """Return the same of an undo's plan: what is there now, and what comes back, are both versions of history."""
    table = page.spec.history_table
    joined = f" LEFT JOIN {table} o ON o.history_id = d.at LEFT JOIN {table} n ON n.history_id = d.former"
    wanted = (
        "SELECT d.entry AS at, NULL::bigint AS rn, d.op::text AS op, d.id, d.former"
        f" FROM {plan_table(page.job.pk)} d{joined.replace('d.at', 'd.entry') if page.column else ''}"
        " WHERE d.kept IS NULL AND d.entry > %s AND (%s = '' OR d.op::text = %s)"
        f"{page.only('d.op::text')} ORDER BY d.entry LIMIT %s"
    )
    return f"({wanted}) d{joined}", [page.after, page.op, page.op, page.size]


def _of_history(page: _Page) -> tuple[str, list[Any]]:
    """Return the same of history; the version that a deletion leaves holds the record's last values."""
    table = page.spec.history_table
    # The sum keeps the planner from walking the primary key back through all of history, which it does as long
    # as nobody has analysed what an import just wrote.
    former = (
        f" LEFT JOIN LATERAL (SELECT * FROM {table} b WHERE b.id = n.id AND b.history_id + 0 < n.history_id"
        " ORDER BY b.history_id + 0 DESC LIMIT 1) o ON true"
    )
    wanted = (
        "SELECT n.history_id AS at, NULL::bigint AS rn, n.history_type::text AS op, n.id"
        f" FROM {table} n{former if page.column else ''}"
        " WHERE n.history_change_reason = %s AND n.history_id > %s AND n.history_date >= %s"
        f" AND (%s = '' OR n.history_type = %s){page.only('n.history_type')} ORDER BY n.history_id LIMIT %s"
    )
    source = f"({wanted}) d JOIN {table} n ON n.history_id = d.at{former}"
    return source, [page.job.reason, page.after, page.job.confirmed_at, page.op, page.op, page.size]


def _read(page: _Page, source: str, parameters: list[Any]) -> list[Change]:
    columns = [one for one in page.spec.columns if page.column in ("", one.name)]
    sides = [page.sides(one, "d.op") for one in columns]
    keys = [f"coalesce({_text(one, 'n')}, {_text(one, 'o')})" for one in page.spec.key_columns]
    changed, old, new = (", ".join(part) for part in zip(*sides, strict=True))
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT d.at, d.op, d.id, d.rn, ARRAY[{', '.join(keys)}]::text[], ARRAY[{changed}]::boolean[],"
            f" ARRAY[{old}]::text[], ARRAY[{new}]::text[] FROM {source} ORDER BY d.at",
            parameters,
        )
        return [
            Change(
                at=at,
                op=op,
                key=" · ".join(part or "" for part in key),
                cells=_cells(columns, *values),
                record_id=id_,
                row=row if op != "-" else None,  # the number of what goes is no row's
            )
            for at, op, id_, row, key, *values in cursor.fetchall()
        ]


def _cells(
    columns: Sequence[ColumnSpec],
    changed: Sequence[bool],
    olds: Sequence[str | None],
    news: Sequence[str | None],
) -> tuple[Cell, ...]:
    return tuple(
        Cell(column.label, _shown(old, column), _shown(new, column))
        for column, is_changed, old, new in zip(columns, changed, olds, news, strict=True)
        if is_changed
    )


def _shown(text: str | None, column: ColumnSpec) -> str | None:
    return None if text is None else shorten(readable(text, column), SHOWN)


def _text(column: ColumnSpec, table: str) -> str:
    return _cut(column, f"{table}.{connection.ops.quote_name(column.name)}")


def _cut(column: ColumnSpec, value: str) -> str:
    # Floods of combining marks are cut on the page; four times its length holds enough other characters.
    return f"left({type_of(column).text_sql(value)}, {SHOWN * 4 + 1})"
