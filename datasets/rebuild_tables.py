"""The tables of a dataset made anew without the places of dropped columns: copied, caught up, exchanged.

Whatever the catalog says of the old tables is said of the new ones, under the same names: columns with their
defaults, rules, indexes, triggers, numbers still to be given, owner and grants. Everything runs in the caller's
transaction and tenant, and may run twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

from core.tenancy import as_owner
from datasets import change_tables as tables
from datasets.change_shape import Shape

BATCH_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class Pair:
    """A table, the one that takes its place, and the column that tells one row from another."""

    old: str
    new: str
    key: str


def records(shape: Shape) -> Pair:
    """Return the pair of the records' tables."""
    return Pair(shape.table, f"{shape.queue}_next", "id")


def versions(shape: Shape) -> Pair:
    """Return the pair of the tables of their versions."""
    return Pair(shape.history, f"{shape.queue}_next_history", "history_id")


def pairs(shape: Shape) -> tuple[Pair, Pair]:
    return records(shape), versions(shape)


# ---- the beginning


def begin(shape: Shape) -> None:
    """Make the empty tables, and note from now on what is written.

    :raises DatasetBusy: somebody holds the tables.
    """
    with tables.whole_tables(shape), connection.cursor() as cursor:
        tidy(shape, cursor)
        tables.note_what_is_written(shape, cursor)
        create(shape)


@as_owner()
def create(shape: Shape) -> None:
    """Make the empty tables. Only we know their names yet."""
    with connection.cursor() as cursor:
        for pair in pairs(shape):
            cursor.execute("SELECT reloptions FROM pg_class WHERE oid = to_regclass(%s)", [quoted(pair.old)])
            options = ", ".join(cursor.fetchone()[0] or ())
            cursor.execute(
                f'CREATE TABLE "{pair.new}" (LIKE "{pair.old}" INCLUDING ALL EXCLUDING INDEXES)'
                + (f" WITH ({options})" if options else "")
            )


def still_fit(shape: Shape) -> bool:
    """Return whether the tables have the same columns still."""
    return all(_columns(pair.old) == _columns(pair.new) for pair in pairs(shape))


@as_owner()
def tidy(shape: Shape, cursor: Any) -> None:
    """Take away whatever stands beside the records, if anything does."""
    tables.tidy(shape, cursor)
    for pair in pairs(shape):
        cursor.execute(f'DROP TABLE IF EXISTS "{pair.new}"')


# ---- rows


def copy(pair: Pair, after: int, limit: int | None) -> tuple[int, int | None]:
    """Copy the next rows, or all; return how many, and the last one's key."""
    columns = _listed(pair)
    with connection.cursor() as cursor:
        cursor.execute(
            f'WITH copied AS (INSERT INTO "{pair.new}" ({columns}) SELECT {columns} FROM "{pair.old}"'
            f" WHERE {pair.key} > %s ORDER BY {pair.key} LIMIT %s RETURNING {pair.key})"
            f" SELECT count(*), max({pair.key}) FROM copied",
            [after, limit],
        )
        number, last = cursor.fetchone()
    return int(number), last


def drain(shape: Shape, limit: int) -> int:
    """Bring over what was written last, up to a limit; return how much of the queue was looked at.

    What a record that waits in the queue still has may be what another one got by now. So records are taken out first,
    and one that cannot come in yet goes to the queue's end: by then the other one has been taken out too.
    """
    rows, past = records(shape), versions(shape)
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT n, history_id, id FROM "{shape.queue}" ORDER BY n LIMIT %s', [limit])
        found = cursor.fetchall()
        pks = sorted({pk for _n, _version, pk in found})
        cursor.execute(f'DELETE FROM "{rows.new}" WHERE id = ANY(%s::bigint[])', [pks])
        for pair, wanted in ((rows, pks), (past, sorted({v for _n, v, _pk in found if v is not None}))):
            columns = _listed(pair)
            cursor.execute(
                f'INSERT INTO "{pair.new}" ({columns}) SELECT {columns} FROM "{pair.old}"'
                f" WHERE {pair.key} = ANY(%s::bigint[]) ORDER BY {pair.key} ON CONFLICT DO NOTHING",
                [wanted],
            )
        cursor.execute(
            f'DELETE FROM "{shape.queue}" WHERE n = ANY(%s::bigint[])', [[n for n, _version, _pk in found]]
        )
        cursor.execute(
            f'INSERT INTO "{shape.queue}" (id) SELECT t.id FROM "{rows.old}" t WHERE t.id = ANY(%s::bigint[])'
            f' AND NOT EXISTS (SELECT FROM "{rows.new}" n WHERE n.id = t.id)',
            [pks],
        )
    return len(found)


def take_out_written(shape: Shape) -> None:
    """Leave of the copies those nobody has written to since, which cannot have a unique value of each other's."""
    with connection.cursor() as cursor:
        cursor.execute(
            f'DELETE FROM "{records(shape).new}" WHERE id IN (SELECT id FROM "{shape.queue}")',
        )


# ---- indexes


def missing_indexes(shape: Shape) -> list[tuple[str, str]]:
    """Return name and SQL of the indexes that the new tables lack."""
    return [
        (name, sql)
        for pair in pairs(shape)
        for _old, name, sql in _indexes(shape, pair)
        if not tables.exists(name)
    ]


def build(sql: str) -> None:
    """Build an index. Nobody but us waits for it."""
    with connection.cursor() as cursor:
        cursor.execute(sql)


def analyze(shape: Shape) -> None:
    """Tell the planner what the new tables hold."""
    with connection.cursor() as cursor:
        for pair in pairs(shape):
            cursor.execute(f'ANALYZE "{pair.new}"')


def _indexes(shape: Shape, pair: Pair) -> list[tuple[str, str, str]]:
    """Return each index of a table: its name, what it is called beside it, and the SQL that makes it there."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname, c.oid::bigint, i.indisunique, pg_get_indexdef(c.oid) FROM pg_index i"
            " JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = to_regclass(%s) AND i.indisvalid ORDER BY 1",
            [quoted(pair.old)],
        )
        found = cursor.fetchall()
    made = []
    for name, oid, is_unique, definition in found:
        beside = f"{shape.queue}_{oid}"
        unique = "UNIQUE " if is_unique else ""
        rest = definition.split(" USING ", 1)[1]
        made.append((name, beside, f'CREATE {unique}INDEX "{beside}" ON "{pair.new}" USING {rest}'))
    return made


# ---- the exchange


@as_owner()
def exchange(shape: Shape, cursor: Any, *, validated: bool) -> None:
    """Drop the old tables and give the new ones their names and everything else that was theirs.

    Must be inside `change_tables.whole_tables`, with nothing in the queue and no index missing.

    :param validated: look at every record for the rules that references within the dataset are; else later.
    """
    plans = [_plan(shape, pair, cursor, validated=validated) for pair in pairs(shape)]
    cursor.execute(f'DROP TRIGGER IF EXISTS "{shape.queue}" ON "{shape.history}"')
    cursor.execute(f'DROP TABLE IF EXISTS "{shape.queue}"')
    cursor.execute(f'DROP TABLE "{shape.table}", "{shape.history}"')
    for pair in pairs(shape):
        cursor.execute(f'ALTER TABLE "{pair.new}" RENAME TO "{pair.old}"')
    for statements in plans:
        for statement in statements:
            cursor.execute(statement)


def _plan(shape: Shape, pair: Pair, cursor: Any, *, validated: bool) -> list[str]:
    """Return what has to be said of a new table once it has the name, as the old one's catalog has it."""
    return [
        *_named_constraints(pair, cursor),
        *_named_indexes(shape, pair, cursor),
        *_numbers(pair, cursor),
        *_rights(pair, cursor),
        *_own_references(pair, cursor, validated=validated),
        *_triggers(shape, pair, cursor),
    ]


def _named_indexes(shape: Shape, pair: Pair, cursor: Any) -> list[str]:
    cursor.execute(
        "SELECT conname, CASE contype WHEN 'p' THEN 'PRIMARY KEY' ELSE 'UNIQUE' END FROM pg_constraint"
        " WHERE conrelid = to_regclass(%s) AND contype IN ('p', 'u')",
        [quoted(pair.old)],
    )
    kinds = dict(cursor.fetchall())
    table, made = f'ALTER TABLE "{pair.old}"', []
    kept = _indexes(shape, pair)
    for name, beside, _sql in kept:
        if name in kinds:
            made.append(f'{table} ADD CONSTRAINT "{name}" {kinds[name]} USING INDEX "{beside}"')
        else:
            made.append(f'ALTER INDEX "{beside}" RENAME TO "{name}"')
    cursor.execute(
        "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
        " WHERE i.indrelid = to_regclass(%s) AND NOT c.relname = ANY(%s)",
        [quoted(pair.new), [beside for _name, beside, _sql in kept]],
    )
    return [f'DROP INDEX "{gone}"' for (gone,) in cursor.fetchall()] + made  # removed meanwhile


def _named_constraints(pair: Pair, cursor: Any) -> list[str]:
    """Give the rules that a column has a value, which PostgreSQL 18 keeps as constraints, their former names."""
    named = (
        "SELECT a.attname, o.conname FROM pg_constraint o JOIN pg_attribute a"
        " ON a.attrelid = o.conrelid AND a.attnum = o.conkey[1]"
        " WHERE o.conrelid = to_regclass(%s) AND o.contype = 'n'"
    )
    cursor.execute(named, [quoted(pair.old)])
    before = dict(cursor.fetchall())
    cursor.execute(named, [quoted(pair.new)])
    return [
        f'ALTER TABLE "{pair.old}" RENAME CONSTRAINT "{name}" TO "{before[column]}"'
        for column, name in cursor.fetchall()
        if before.get(column, name) != name
    ]


def _numbers(pair: Pair, cursor: Any) -> list[str]:
    """Go on giving numbers where the old table's sequences stand."""
    cursor.execute(
        "SELECT a.attname FROM pg_attribute a WHERE a.attrelid = to_regclass(%s) AND a.attidentity <> ''",
        [quoted(pair.old)],
    )
    made = []
    for (column,) in cursor.fetchall():
        names = []
        for table in (pair.old, pair.new):
            cursor.execute(
                "SELECT relname FROM pg_class WHERE oid = pg_get_serial_sequence(%s, %s)::regclass",
                [quoted(table), column],
            )
            names.append(cursor.fetchone()[0])
        cursor.execute(f'SELECT last_value, is_called FROM "{names[0]}"')
        last, is_called = cursor.fetchone()
        if names[1] != names[0]:
            made.append(f'ALTER SEQUENCE "{names[1]}" RENAME TO "{names[0]}"')
        made.append(f"SELECT setval('\"{names[0]}\"', {int(last)}, {bool(is_called)})")
    return made


def _rights(pair: Pair, cursor: Any) -> list[str]:
    """Let the same people do the same: the owner, and what was granted on the table and its columns."""
    table, made = f'"{pair.old}"', []
    granted = (
        "SELECT NULL, x.* FROM pg_class c, aclexplode(c.relacl) x WHERE c.oid = to_regclass(%(table)s) UNION ALL"
        " SELECT a.attname, x.* FROM pg_attribute a, aclexplode(a.attacl) x"
        " WHERE a.attrelid = to_regclass(%(table)s) AND NOT a.attisdropped"
    )
    said = (
        "SELECT CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE grantee::regrole::text END, privilege_type, is_grantable,"
        f" quote_ident(column_name) FROM ({granted}) g"
        " (column_name, grantor, grantee, privilege_type, is_grantable) ORDER BY 1, 2, 4"
    )
    cursor.execute(said, {"table": quoted(pair.new)})
    made += [f"REVOKE ALL ON {table} FROM {who}" for who in sorted({row[0] for row in cursor.fetchall()})]
    cursor.execute(said, {"table": quoted(pair.old)})
    for who, right, is_grantable, column in cursor.fetchall():
        of_column = f" ({column})" if column else ""
        further = " WITH GRANT OPTION" if is_grantable and who != "PUBLIC" else ""
        made.append(f"GRANT {right}{of_column} ON {table} TO {who}{further}")
    cursor.execute(
        "SELECT o.relowner::regrole::text FROM pg_class o, pg_class n"
        " WHERE o.oid = to_regclass(%s) AND n.oid = to_regclass(%s) AND o.relowner <> n.relowner",
        [quoted(pair.old), quoted(pair.new)],
    )
    made += [f"ALTER TABLE {table} OWNER TO {owner}" for (owner,) in cursor.fetchall()]
    return made


def _own_references(pair: Pair, cursor: Any, *, validated: bool) -> list[str]:
    cursor.execute(
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE conrelid = to_regclass(%s) AND contype = 'f' ORDER BY 1",
        [quoted(pair.old)],
    )
    later = "" if validated else " NOT VALID"
    return [
        f'ALTER TABLE "{pair.old}" ADD CONSTRAINT "{name}" {definition.removesuffix(" NOT VALID")}{later}'
        for name, definition in cursor.fetchall()
    ]


def _triggers(shape: Shape, pair: Pair, cursor: Any) -> list[str]:
    cursor.execute(
        "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = to_regclass(%s) AND NOT tgisinternal"
        " AND tgname <> %s ORDER BY tgname",
        [quoted(pair.old), shape.queue],
    )
    return [definition for (definition,) in cursor.fetchall()]


# ---- all of it at once


def at_once(shape: Shape) -> int:
    """Make the tables anew while everybody waits; return how many records and versions were copied.

    :raises DatasetBusy: somebody holds the tables.
    """
    with tables.whole_tables(shape), connection.cursor() as cursor:
        create(shape)
        copied = sum(copy(pair, -(2**63), None)[0] for pair in pairs(shape))
        for _name, sql in missing_indexes(shape):
            build(sql)
        analyze(shape)
        exchange(shape, cursor, validated=True)
    return copied


def leave_nothing(shape: Shape) -> None:
    """Take away what a rebuild that ended before its exchange has put beside the records.

    :raises DatasetBusy: somebody holds the tables.
    """
    with transaction.atomic(), tables.whole_tables(shape), connection.cursor() as cursor:
        tidy(shape, cursor)


def bytes_of(spec_table: str, history_table: str) -> int:
    """Return how many bytes the rows of both tables take, long texts too, without indexes."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_table_size(to_regclass(%s)) + pg_table_size(to_regclass(%s))",
            [quoted(spec_table), quoted(history_table)],
        )
        return int(cursor.fetchone()[0])


def quoted(name: str) -> str:
    """Return a generated name as `to_regclass` wants it."""
    return f'"{name}"'


def _columns(table: str) -> Sequence[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0"
            " AND NOT attisdropped AND attgenerated = '' ORDER BY attnum",
            [quoted(table)],
        )
        return [name for (name,) in cursor.fetchall()]


def _listed(pair: Pair) -> str:
    return ", ".join(f'"{name}"' for name in _columns(pair.new))
