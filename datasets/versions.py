"""The versions of one record: who, when, why, and what each changed, cell by cell.

Values come from the database cut to what a page shows: a cell may hold megabytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import F, QuerySet

from accounts.models import User
from datasets.columntypes import type_of
from datasets.display import readable, shorten
from datasets.rows import RowBase
from datasets.spec import ColumnSpec, DatasetSpec
from datasets.sqltext import name_text, quoted

SHOWN = 300  # characters of a value


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell that differs; None is no value. What is long is cut, and ends in "…"."""

    column: str
    label: str
    old: str | None
    new: str | None


@dataclass(frozen=True, slots=True)
class Version:
    """One version. `kind` is "+" (created), "~" (changed) or "-" (deleted); `reason` is why, as history has it.

    `former` is the version before it, or the one it is compared with.
    """

    pk: int
    kind: str
    at: datetime
    who: User | None
    reason: str
    name: str
    former: int | None
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which versions of a record are asked for; what is empty asks nothing.

    `who` is a user's primary key, 0 for an operator or a program. `kinds` are of "+~-", `causes` of CAUSES. `column` is
    the physical name of one that changed. `since` and `until` are the first and the last moment.
    """

    who: int | None = None
    kinds: tuple[str, ...] = ()
    causes: tuple[str, ...] = ()
    column: str = ""
    since: datetime | None = None
    until: datetime | None = None

    def __bool__(self) -> bool:
        return self != Wanted()


# What history may name as the reason of a version, by the beginning of it; anything else is the work of a moment.
CAUSES = {"import": "import %", "change": "change %", "other": ""}


def newest_first(model: type[RowBase], record_id: int) -> QuerySet[Any]:
    """Return the versions of a record in history's own order.

    The sum keeps the planner from walking the primary key back through all of history, as it does to find the
    newest as long as nobody has analysed what an import just wrote; so it does in the statements below.
    """
    versions: QuerySet[Any] = model.history.filter(id=record_id).order_by((F("history_id") + 0).desc())
    return versions


def versions_of(
    spec: DatasetSpec,
    record_id: int,
    *,
    before: int | None = None,
    size: int = 50,
    wanted: Wanted | None = None,
) -> list[Version]:
    """Return versions of a record, the newest first, those before a number; each with what it changed.

    :param wanted: only these of them.
    """
    if wanted:
        return _wanted_versions(spec, record_id, before, size, wanted)
    table = spec.history_table
    former = (
        f" LEFT JOIN LATERAL (SELECT * FROM {table} b WHERE b.id = n.id AND b.history_id + 0 < n.history_id"
        " ORDER BY b.history_id + 0 DESC LIMIT 1) o ON true"
    )
    source = (
        f"(SELECT * FROM {table} WHERE id = %s AND (%s::bigint IS NULL OR history_id < %s)"
        f" ORDER BY history_id + 0 DESC LIMIT %s) n{former}"
    )
    return _read(spec, source, [record_id, before, before, size])


def _wanted_versions(
    spec: DatasetSpec, record_id: int, before: int | None, size: int, wanted: Wanted
) -> list[Version]:
    # Once over all versions of the record: which is before which is told by their order, not asked of each.
    table, asked = spec.history_table, ["true"]
    parameters: list[Any] = [record_id]
    for condition, value in (
        ("history_id < %s", before),
        ("coalesce(history_user_id, 0) = %s", wanted.who),
        ("history_type = ANY(%s)", list(wanted.kinds) or None),
        ("history_date >= %s", wanted.since),
        ("history_date <= %s", wanted.until),
    ):
        if value is not None:
            asked.append(condition)
            parameters.append(value)
    if wanted.causes:
        named = [pattern for pattern in CAUSES.values() if pattern]
        reason = "coalesce(history_change_reason, '')"
        either = []
        if "other" in wanted.causes:
            either.append(f"NOT {reason} LIKE ANY(%s)")
            parameters.append(named)
        if patterns := [CAUSES[cause] for cause in wanted.causes if CAUSES.get(cause)]:
            either.append(f"{reason} LIKE ANY(%s)")
            parameters.append(patterns)
        asked.append(f"({' OR '.join(either) or 'false'})")
    source = (
        f"(SELECT * FROM (SELECT *, lag(history_id) OVER (ORDER BY history_id) AS former_ FROM {table}"
        f" WHERE id = %s) every_ WHERE {' AND '.join(asked)}) n LEFT JOIN {table} o ON o.history_id = n.former_"
    )
    column = next((one for one in spec.columns if one.name == wanted.column), None)
    if column is not None:
        source += f" WHERE {_sides(column, compares=False)[0]}"
    elif wanted.column:
        return []
    return _read(spec, source, parameters, limit=size)


def difference(spec: DatasetSpec, record_id: int, older: int, newer: int) -> Version | None:
    """Return the newer one of two versions of a record with all cells in which they differ; None: there are no such."""
    table = spec.history_table
    found = _read(
        spec,
        f"(SELECT * FROM {table} WHERE id = %s AND history_id = %s) n"
        f" JOIN {table} o ON o.id = n.id AND o.history_id = %s",
        [record_id, newer, older],
        compares=True,
    )
    return found[0] if found else None


def writers_of(spec: DatasetSpec, record_id: int) -> list[tuple[int, str]]:
    """Return who wrote versions of a record, by primary key and name; 0 is an operator or a program. One query."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT DISTINCT coalesce(u.id, 0), coalesce(u.email, '') AS name FROM {spec.history_table} h"
            f" LEFT JOIN {User._meta.db_table} u ON u.id = h.history_user_id"
            " WHERE h.id = %s AND (u.id IS NOT NULL OR h.history_user_id IS NULL) ORDER BY name",
            [record_id],
        )
        return [(pk, name) for pk, name in cursor.fetchall()]


def differing_from(
    spec: DatasetSpec, record_id: int, newest: int, others: Sequence[int]
) -> dict[int, set[str]]:
    """Return, for each of some versions, the columns in which it differs from another version."""
    differs = ", ".join(
        f"{quoted([one.name], 'n.')} IS DISTINCT FROM {quoted([one.name], 'o.')}" for one in spec.columns
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT o.history_id, ARRAY[{differs}] FROM {spec.history_table} n"
            f" JOIN {spec.history_table} o ON o.id = n.id WHERE n.id = %s AND n.history_id = %s"
            " AND o.history_id = ANY(%s)",
            [record_id, newest, list(others)],
        )
        return {
            pk: {one.name for one, differs in zip(spec.columns, found, strict=True) if differs}
            for pk, found in cursor.fetchall()
        }


def touched_by(
    spec: DatasetSpec, reason: str, since: datetime, *, after: int = 0, size: int = 50
) -> list[tuple[int, Version]]:
    """Return (record, version) of what one cause changed, in its order, after a version's number."""
    table = spec.history_table
    former = (
        f" LEFT JOIN LATERAL (SELECT * FROM {table} b WHERE b.id = n.id AND b.history_id + 0 < n.history_id"
        " ORDER BY b.history_id + 0 DESC LIMIT 1) o ON true"
    )
    source = (
        f"(SELECT * FROM {table} WHERE history_change_reason = %s AND history_date >= %s AND history_id > %s"
        f" ORDER BY history_id LIMIT %s) n{former}"
    )
    ids: list[int] = []
    found = _read(spec, source, [reason, since, after, size], oldest_first=True, ids=ids)
    return list(zip(ids, found, strict=True))


def _read(
    spec: DatasetSpec,
    source: str,
    parameters: Sequence[Any],
    *,
    compares: bool = False,
    oldest_first: bool = False,
    ids: list[int] | None = None,
    limit: int | None = None,
) -> list[Version]:
    columns = spec.columns
    changed, old, new = (
        ", ".join(part) or "NULL"
        for part in zip(*(_sides(one, compares=compares) for one in columns), strict=True)
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT n.id, n.history_id, n.history_type, n.history_date, n.history_user_id,"
            f" coalesce(n.history_change_reason, ''), {name_text(spec, 'n')}, o.history_id,"
            f" ARRAY[{changed}]::boolean[],"
            f" ARRAY[{old}]::text[], ARRAY[{new}]::text[] FROM {source}"
            f" ORDER BY n.history_id {'ASC' if oldest_first else 'DESC'}"
            + ("" if limit is None else f" LIMIT {int(limit)}"),
            parameters,
        )
        rows = cursor.fetchall()
    people = User.objects.in_bulk({row[4] for row in rows if row[4]}) if any(row[4] for row in rows) else {}
    if ids is not None:
        ids += [row[0] for row in rows]
    return [
        Version(pk, kind, at, people.get(user), reason, shorten(name), former, _cells(columns, *values))
        for _id, pk, kind, at, user, reason, name, former, *values in rows
    ]


def _sides(column: ColumnSpec, *, compares: bool) -> tuple[str, str, str]:
    """Return the SQL of: does it differ, its old text, its new text. `n` is the newer version, `o` the older."""
    n, o = quoted([column.name], "n."), quoted([column.name], "o.")
    if compares:
        return f"{n} IS DISTINCT FROM {o}", cut_sql(column, o), cut_sql(column, n)
    kind = "n.history_type"
    changed = (
        f"CASE {kind} WHEN '+' THEN {n} IS NOT NULL WHEN '~' THEN {n} IS DISTINCT FROM {o}"
        f" ELSE {n} IS NOT NULL END"
    )
    old = f"CASE {kind} WHEN '~' THEN {cut_sql(column, o)} WHEN '-' THEN {cut_sql(column, n)} END"
    return changed, old, f"CASE WHEN {kind} <> '-' THEN {cut_sql(column, n)} END"


def _cells(
    columns: Sequence[ColumnSpec],
    changed: Sequence[bool],
    olds: Sequence[str | None],
    news: Sequence[str | None],
) -> tuple[Cell, ...]:
    return tuple(
        Cell(column.name, column.label, shown_text(old, column), shown_text(new, column))
        for column, is_changed, old, new in zip(columns, changed, olds, news, strict=True)
        if is_changed
    )


def shown_text(text: str | None, column: ColumnSpec) -> str | None:
    """Return a canonical text as a page shows it; None is no value."""
    return None if text is None else shorten(readable(text, column), SHOWN)


def cut_sql(column: ColumnSpec, value: str) -> str:
    """Return the SQL of a value's canonical text, cut to what a page shows of it at most."""
    # Floods of combining marks are cut on the page; four times its length holds enough other characters.
    return f"left({type_of(column).text_sql(value)}, {SHOWN * 4 + 1})"
