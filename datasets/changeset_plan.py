"""The plan of a bulk edit or a bulk deletion: which records, and what each gets.

A table `change_<pk>` of (id, seen, new, rule, is_same): `seen` is the record's version when it was picked, `new`
the canonical text it gets (None: no value), `rule` why it gets nothing, a sentence, `is_same` whether it has its
new value already. An undo's plan is a table of the same name and of the form of
`datasets.undo_plan`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import QuerySet

from core.tenancy import as_owner
from datasets import operations, undo_conflicts
from datasets.changeset import OPEN, ChangeSet, Kind
from datasets.columntypes import type_of
from datasets.columntypes.base import BadValue
from datasets.operations import Operation
from datasets.spec import ColumnSpec, DatasetSpec
from datasets.sqltext import name_text, quoted
from datasets.undo_conflicts import stored_columns

AT_ONCE = 10_000
NAMED = 5
SAMPLE = 20
KEPT_PROBLEMS = 200
SHOWN = 300  # characters of a value
TAKEN = "Another record has, or would get, this value, and it must be unique."


def plan_table(pk: int) -> str:
    """Return the name of a change set's plan."""
    return f"change_{pk}"


def scratch_table(pk: int) -> str:
    """Return the name of the table that making or comparing an undo's plan needs on the way."""
    return f"change_scratch_{pk}"


def column_of(changes: ChangeSet, spec: DatasetSpec) -> ColumnSpec:
    """Return the column a bulk edit changes."""
    return next(one for one in spec.columns if one.name == changes.operation["column"])


def operation_of(changes: ChangeSet) -> Operation:
    """Return what a bulk edit does."""
    return Operation(**changes.operation)


@as_owner()
def pick(changes: ChangeSet, spec: DatasetSpec, records: QuerySet[Any]) -> int:
    """Note which records it is about, and their versions; return how many they are."""
    table = plan_table(changes.pk)
    new: str | None = None
    if changes.kind == Kind.EDIT and changes.operation["how"] in (operations.SET, operations.CLEAR):
        new = operations.constant(operation_of(changes), column_of(changes, spec))
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {table}")
        cursor.execute(
            f"CREATE UNLOGGED TABLE {table} (id bigint PRIMARY KEY, seen xid, new text, rule text,"
            " is_same boolean NOT NULL DEFAULT false)"
            " WITH (autovacuum_enabled = off)"
        )
        try:
            sql, parameters = records.order_by().values_list("pk").query.sql_with_params()
        except EmptyResultSet:
            return 0
        cursor.execute(
            f"INSERT INTO {table} (id, seen, new) SELECT t.id, t.xmin, %s FROM {spec.table} t"
            f" WHERE t.id IN ({sql})",
            [new, *parameters],
        )
        picked = int(cursor.rowcount)
        cursor.execute(f"ANALYZE {table}")
    return picked


def differs_from(changes: ChangeSet, records: QuerySet[Any]) -> bool:
    """Return whether these records are others than were picked."""
    try:
        sql, parameters = records.order_by().values_list("pk").query.sql_with_params()
    except EmptyResultSet:
        return changes.picked_records > 0
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT (SELECT count(*) FROM ({sql}) r) <> %s"
            f" OR EXISTS (SELECT id FROM {plan_table(changes.pk)} EXCEPT ({sql}))",
            [*parameters, changes.picked_records, *parameters],
        )
        return bool(cursor.fetchone()[0])


def refresh(changes: ChangeSet, spec: DatasetSpec) -> int:
    """Take the records as they are now, without those that are gone; return how many there are."""
    table = plan_table(changes.pk)
    with connection.cursor() as cursor:
        cursor.execute(
            f"DELETE FROM {table} p WHERE NOT EXISTS (SELECT FROM {spec.table} t WHERE t.id = p.id)"
        )
        cursor.execute(
            f"UPDATE {table} p SET seen = t.xmin, rule = NULL, is_same = false FROM {spec.table} t WHERE t.id = p.id"
        )
        return int(cursor.rowcount)


def compute(
    changes: ChangeSet, spec: DatasetSpec, after: int, *, time_left: Callable[[], float]
) -> tuple[int | None, int]:
    """Work out the new values of picked records beyond the id `after`, as long as there is time.

    Return where to go on, or None at the end, and how many were worked out.
    """
    operation, column, done = operation_of(changes), column_of(changes, spec), 0
    if operation.how in (operations.SET, operations.CLEAR):
        return None, changes.picked_records
    name = quoted([column.name], "t.")
    text = type_of(column).text_sql(name)
    table = plan_table(changes.pk)
    made: dict[str | None, tuple[str | None, str | None]] = {}
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT p.id, {text} FROM {table} p JOIN {spec.table} t ON t.id = p.id WHERE p.id > %s"
                f" ORDER BY p.id LIMIT {AT_ONCE}",
                [after],
            )
            rows = cursor.fetchall()
            if not rows:
                return None, done
            results = []
            for id_, old in rows:
                if old not in made:
                    if len(made) > AT_ONCE:
                        made.clear()
                    made[old] = _made(operation, old, column)
                results.append((id_, *made[old]))
            cursor.execute(
                f"UPDATE {table} p SET new = v.new, rule = v.rule"
                " FROM unnest(%s::bigint[], %s::text[], %s::text[]) AS v (id, new, rule) WHERE p.id = v.id",
                [list(part) for part in zip(*results, strict=True)],
            )
        after, done = rows[-1][0], done + len(rows)
        if time_left() <= 0:
            return after, done


def _made(operation: Operation, old: str | None, column: ColumnSpec) -> tuple[str | None, str | None]:
    try:
        return operations.changed(operation, old, column), None
    except BadValue as error:
        return None, error.rule


def finish(changes: ChangeSet, spec: DatasetSpec) -> dict[str, Any]:
    """Take out what changes nothing and refuse what the table would; return the counts and the first problems."""
    table, column = plan_table(changes.pk), column_of(changes, spec)
    new, name = new_value(column), quoted([column.name], "t.")
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} p SET is_same = true FROM {spec.table} t WHERE t.id = p.id AND p.rule IS NULL"
            f" AND {name} IS NOT DISTINCT FROM {new}"
        )
        values = {one: quoted([one], "t.") for one in stored_columns(spec)} | {column.name: new}
        misfit = undo_conflicts.misfit_of(spec, values)
        cursor.execute(
            f"UPDATE {table} u SET rule = 'This value does not fit the rules of “' || m.label || '”.'"
            f" FROM (SELECT p.id, {misfit} AS label FROM {table} p JOIN {spec.table} t ON t.id = p.id"
            " WHERE p.rule IS NULL AND NOT p.is_same) m WHERE m.id = u.id AND m.label IS NOT NULL"
        )
        for names in undo_conflicts.unique_columns(spec):
            if column.name in names:
                _refuse_taken(cursor, spec, table, names, values)
        cursor.execute(
            "SELECT count(*) FILTER (WHERE rule IS NULL AND NOT is_same),"
            f" count(*) FILTER (WHERE rule IS NOT NULL) FROM {table}"
        )
        updated, kept = (int(one) for one in cursor.fetchone())
    return {
        "updated_records": updated,
        "kept_records": kept,
        "unchanged_records": max(0, changes.picked_records - updated - kept),
        "problems": problems(changes, spec) if kept else [],
    }


def _refuse_taken(
    cursor: Any, spec: DatasetSpec, table: str, names: tuple[str, ...], values: dict[str, str]
) -> None:
    """Refuse what another record holds now, so that nothing depends on the order of one UPDATE, or two would get."""
    wanted = ", ".join(f"{values[one]} AS {quoted([one])}" for one in names)
    some = " AND ".join(f"{quoted([one], 'w.')} IS NOT NULL" for one in names)
    same = " AND ".join(f"{quoted([one], 'w.')} = {quoted([one], 'o.')}" for one in names)
    cursor.execute(
        f"WITH w AS MATERIALIZED (SELECT p.id, {wanted} FROM {table} p JOIN {spec.table} t ON t.id = p.id"
        " WHERE p.rule IS NULL AND NOT p.is_same), bad AS ("
        f" SELECT w.id FROM w JOIN {spec.table} o ON {same} AND o.id <> w.id UNION"
        f" SELECT id FROM (SELECT w.id, count(*) OVER (PARTITION BY {quoted(names, 'w.')}) AS n FROM w"
        f" WHERE {some}) c WHERE n > 1)"
        f" UPDATE {table} u SET rule = %s FROM bad WHERE bad.id = u.id",
        [TAKEN],
    )


def new_value(column: ColumnSpec) -> str:
    """Return the SQL of the value a record gets, `p` being the plan."""
    return f"p.new::{type_of(column).sql_type(column)}"


def problems(changes: ChangeSet, spec: DatasetSpec) -> list[dict[str, Any]]:
    """Return the first records that a bulk edit leaves, and why."""
    column = column_of(changes, spec)
    old = f"left({type_of(column).text_sql(quoted([column.name], 't.'))}, {SHOWN})"
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT p.id, {name_text(spec, 't')}, {old}, p.rule FROM {plan_table(changes.pk)} p"
            f" JOIN {spec.table} t ON t.id = p.id WHERE p.rule IS NOT NULL ORDER BY p.id LIMIT {KEPT_PROBLEMS}"
        )
        return [
            {"id": id_, "name": name[:SHOWN], "value": value, "rule": rule}
            for id_, name, value, rule in cursor.fetchall()
        ]


def drift(changes: ChangeSet, spec: DatasetSpec) -> tuple[int, tuple[str, ...]]:
    """Return how many records of the plan are not as they were seen, and what the first of them are called."""
    is_other = (
        f"FROM {plan_table(changes.pk)} p LEFT JOIN {spec.table} t ON t.id = p.id"
        " WHERE t.xmin IS DISTINCT FROM p.seen"
    )
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) {is_other}")
        number = int(cursor.fetchone()[0])
        if not number:
            return 0, ()
        cursor.execute(
            f"SELECT CASE WHEN t.id IS NULL THEN 'record ' || p.id ELSE {name_text(spec, 't')} END {is_other}"
            f" ORDER BY p.id LIMIT {NAMED}"
        )
        return number, tuple(name[:SHOWN] for (name,) in cursor.fetchall())


def is_whole(changes: ChangeSet) -> bool:
    """Return whether the plan still holds every record it counted: a crash of the database empties it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [plan_table(changes.pk)])
        if not cursor.fetchone()[0]:
            return False
        cursor.execute(f"SELECT count(*) FROM {plan_table(changes.pk)}")
        found = int(cursor.fetchone()[0])
    if changes.is_undo:
        return found == changes.touched_records + changes.kept_records
    return found == changes.picked_records


@as_owner()
def sweep(keep: Iterable[int] = ()) -> None:
    """Drop the plans of change sets that have ended or are gone."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
            " AND tablename ~ '^change_(scratch_)?[0-9]+$'"
        )
        tables = {name: int(re.sub(r"\D", "", name)) for (name,) in cursor.fetchall()}
        needed = set(
            ChangeSet.objects.filter(state__in=OPEN, pk__in=tables.values()).values_list("pk", flat=True)
        )
        orphans = sorted(name for name, pk in tables.items() if pk not in needed and pk not in set(keep))
        if orphans:
            cursor.execute("DROP TABLE IF EXISTS " + ", ".join(orphans))
