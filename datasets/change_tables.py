"""The tables while a definition changes: the column beside, what was written meanwhile, the swap, the rests.

Everything runs in the caller's transaction and tenant, may run twice, and waits for a lock only shortly:
whoever waits for the whole table has all readers waiting behind him.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction
from psycopg2.errors import UniqueViolation

from audit.tracking import untracked
from core.backend.passwords import connect_aside
from core.tenancy import as_owner, current_tenant
from datasets import ddl
from datasets.change_shape import Shape, former_name
from datasets.checks import CODE, check_sql, rule_of
from datasets.columntypes import type_of
from datasets.conversion import Converted
from datasets.spec import CheckSpec, ColumnSpec, DatasetSpec

WAIT_SECONDS = 0.3
BATCH_ROWS = 5_000
BATCH_BYTES = 16 * 1024**2
AT_ONCE_ROWS = 10_000  # an index over fewer records is made while writers wait: that takes milliseconds

type Values = list[tuple[int, tuple[str | None, ...]]]


@contextmanager
def whole_tables(shape: Shape, *, dataset_too: bool = False) -> Iterator[None]:
    """Run the block while nobody else reads or writes the records.

    :param dataset_too: no import may be at work either.
    :raises DatasetBusy: somebody is at it.
    """
    with transaction.atomic(), ddl.short_wait(WAIT_SECONDS), connection.cursor() as cursor:
        if dataset_too:
            ddl.lock_dataset(shape.old.pk)
        cursor.execute(f'LOCK TABLE "{shape.table}", "{shape.history}" IN ACCESS EXCLUSIVE MODE')
        yield


def writing(shape: Shape) -> None:
    """Hold the right to write records until the transaction ends, before anything else is held.

    :raises DatasetBusy: a merge is at it.
    """
    with transaction.atomic(), ddl.short_wait(WAIT_SECONDS), connection.cursor() as cursor:
        cursor.execute(f'LOCK TABLE "{shape.table}", "{shape.history}" IN ROW EXCLUSIVE MODE')


# ---- the beginning


@as_owner()
def begin(shape: Shape) -> None:
    """Put the new column beside the old one, and note from now on what is written.

    :raises DatasetBusy: somebody holds the tables.
    """
    with whole_tables(shape), connection.cursor() as cursor:
        tidy(shape, cursor)
        note_what_is_written(shape, cursor)
        if shape.needs_column:
            kind = type_of(shape.after).sql_type(shape.after)
            for table in (shape.history, shape.table):  # the trigger of history needs them in this order
                cursor.execute(f'ALTER TABLE "{table}" ADD COLUMN "{shape.next}" {kind}')
            cursor.execute(
                f'CREATE TRIGGER "{shape.queue}_reset" BEFORE UPDATE ON "{shape.table}" FOR EACH ROW'
                f' WHEN (OLD."{shape.column}" IS DISTINCT FROM NEW."{shape.column}")'
                f" EXECUTE FUNCTION public.rowhouse_reset('{shape.next}')"
            )


def note_what_is_written(shape: Shape, cursor: Any) -> None:
    """Note from now on which versions are added, and of which records."""
    cursor.execute(
        f'CREATE TABLE "{shape.queue}" (n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,'
        " history_id bigint, id bigint NOT NULL)"
    )
    cursor.execute(
        f'CREATE TRIGGER "{shape.queue}" AFTER INSERT ON "{shape.history}" REFERENCING NEW TABLE AS new_rows'
        f" FOR EACH STATEMENT EXECUTE FUNCTION public.rowhouse_queue('{shape.queue}')"
    )


def has_begun(shape: Shape) -> bool:
    """Return whether the tables are prepared."""
    return exists(shape.queue)


def exists(relation: str) -> bool:
    """Return whether the tenant has a table or index of this name."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [f'"{relation}"'])
        return bool(cursor.fetchone()[0])


# ---- values


def _texts(shape: Shape, alias: str) -> str:
    """Return the SQL of a value as the converter takes it: (text now), or (text before, text now)."""
    now = type_of(shape.before).text_sql(f'{alias}."{shape.column}"')
    if shape.source is None:
        return now
    before = type_of(shape.after).text_sql(f'{alias}."{shape.source}"')
    return f"{before}, {now}"


def _limit(shape: Shape, table: str, key: str, after: int) -> int:
    """Return how many rows from `after` on are read at once, so that long texts do not fill the memory."""
    if not type_of(shape.before).holds_text:
        return BATCH_ROWS
    size = f'octet_length("{shape.column}"::text)'
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT count(*) FROM (SELECT sum(size) OVER (ORDER BY {key}) AS bytes FROM (SELECT {key}, {size} AS size"
            f' FROM "{table}" WHERE {key} > %s ORDER BY {key} LIMIT %s) a) b WHERE bytes <= %s',
            [after, BATCH_ROWS, BATCH_BYTES],
        )
        return max(1, int(cursor.fetchone()[0]))


def records_after(shape: Shape, after: int, *, locked: bool = False) -> tuple[Values, bool]:
    """Return the next records with their values, and whether these were the last.

    :param locked: hold them; those that somebody else holds are left out and noted as written.
    """
    limit = _limit(shape, shape.table, "id", after)
    found = _values(
        f'SELECT t.id, {_texts(shape, "t")} FROM "{shape.table}" t WHERE t.id > %s ORDER BY t.id LIMIT {limit}'
        + (" FOR NO KEY UPDATE SKIP LOCKED" if locked else ""),
        [after],
    )
    is_last = len(found) < limit
    if locked:
        upper = "" if is_last else f" AND id <= {found[-1][0]:d}"
        with connection.cursor() as cursor:
            cursor.execute(
                f'INSERT INTO "{shape.queue}" (id) SELECT id FROM "{shape.table}" WHERE id > %s{upper}'
                " AND NOT id = ANY(%s::bigint[])",
                [after, [pk for pk, _value in found]],
            )
    return found, is_last


def versions_after(shape: Shape, after: int) -> tuple[Values, bool]:
    """Return the next versions with their values, and whether these were the last."""
    limit = _limit(shape, shape.history, "history_id", after)
    found = _values(
        f'SELECT t.history_id, {_texts(shape, "t")} FROM "{shape.history}" t WHERE t.history_id > %s'
        f" ORDER BY t.history_id LIMIT {limit}",
        [after],
    )
    return found, len(found) < limit


def written_since(shape: Shape, limit: int) -> tuple[list[int], list[int]]:
    """Take what was written from the queue: numbers of versions, and of records."""
    with connection.cursor() as cursor:
        cursor.execute(
            f'DELETE FROM "{shape.queue}" WHERE n IN (SELECT n FROM "{shape.queue}" ORDER BY n LIMIT %s)'
            " RETURNING history_id, id",
            [limit],
        )
        rows = cursor.fetchall()
    return sorted({row[0] for row in rows if row[0] is not None}), sorted({row[1] for row in rows})


def waiting(shape: Shape, at_most: int) -> int:
    """Return how much was written and not looked at yet, counted up to a bound."""
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT count(*) FROM (SELECT FROM "{shape.queue}" LIMIT %s) q', [at_most])
        return int(cursor.fetchone()[0])


def records_of(shape: Shape, pks: Sequence[int], *, locked: bool) -> Values:
    """Return these records with their values; those that somebody else holds go back into the queue."""
    found = _values(
        f'SELECT t.id, {_texts(shape, "t")} FROM "{shape.table}" t WHERE t.id = ANY(%s::bigint[]) ORDER BY t.id'
        + (" FOR NO KEY UPDATE SKIP LOCKED" if locked else ""),
        [list(pks)],
    )
    if locked and len(found) < len(pks):
        missing = sorted(set(pks) - {pk for pk, _value in found})
        with connection.cursor() as cursor:  # a deleted one is not there any more
            cursor.execute(
                f'INSERT INTO "{shape.queue}" (id) SELECT id FROM "{shape.table}" WHERE id = ANY(%s::bigint[])',
                [missing],
            )
    return found


def versions_of(shape: Shape, pks: Sequence[int]) -> Values:
    """Return these versions with their values."""
    return _values(
        f'SELECT t.history_id, {_texts(shape, "t")} FROM "{shape.history}" t'
        " WHERE t.history_id = ANY(%s::bigint[]) ORDER BY t.history_id",
        [list(pks)],
    )


def _values(sql: str, parameters: list[Any]) -> Values:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return [(row[0], row[1:]) for row in cursor.fetchall()]


def write_records(shape: Shape, converted: dict[int, Converted], *, all_of_them: bool) -> None:
    """Fill the new column. `all_of_them`: also where there is no value, which stands there at first.

    :raises IntegrityError: two records would have one unique value.
    """
    _write(shape, shape.table, "id", converted, all_of_them=all_of_them)


def write_versions(shape: Shape, converted: dict[int, Converted], *, all_of_them: bool) -> None:
    """Fill the new column of history."""
    _write(shape, shape.history, "history_id", converted, all_of_them=all_of_them)


def _write(shape: Shape, table: str, key: str, converted: dict[int, Converted], *, all_of_them: bool) -> None:
    rows = [(pk, one.text) for pk, one in converted.items() if all_of_them or one.text is not None]
    if not rows:
        return
    kind = type_of(shape.after).sql_type(shape.after)
    with untracked(), connection.cursor() as cursor:
        cursor.execute(
            f'UPDATE "{table}" t SET "{shape.next}" = m.value::{kind}'
            f" FROM unnest(%s::bigint[], %s::text[]) AS m (pk, value) WHERE t.{key} = m.pk",
            [[pk for pk, _text in rows], [text for _pk, text in rows]],
        )


def record_names(spec: DatasetSpec, pks: Sequence[int]) -> dict[int, str]:
    """Return what people call records by: the key, or the number where there is none."""
    with connection.cursor() as cursor:
        cursor.execute(
            f'SELECT t.id, {_name_sql(spec, "t")} FROM "{spec.table}" t WHERE t.id = ANY(%s::bigint[])',
            [list(pks)],
        )
        return dict(cursor.fetchall())


def _name_sql(spec: DatasetSpec, alias: str) -> str:
    texts = [type_of(one).text_sql(f'{alias}."{one.name}"') for one in spec.key_columns]
    shown = f"nullif(concat_ws(' · ', {', '.join(texts)}), '')" if texts else "NULL"
    return f"coalesce({shown}, 'record ' || {alias}.id)"


# ---- repeated values


def find_repeats(shape: Shape, columns: tuple[str, ...], *, source: str, rule: str, change_pk: int) -> int:
    """Keep as failing every record whose values in these columns another record has too; return how many.

    :param source: the SQL table that holds id and the columns; `shape.table`, or a table of converted values.
    """
    listed = ", ".join(f'"{name}"' for name in columns)
    shown = ", ".join(f'r."{name}"::text' for name in columns)
    filled = " AND ".join(f'"{name}" IS NOT NULL' for name in columns)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO datasets_failingrecord (change_id, record_id, name, value, code, rule)"
            f" SELECT %s, t.id, {_name_sql(shape.old, 't')}, concat_ws(' · ', {shown}), 'unique-error',"
            f" format(%s, r.times) FROM (SELECT id, {listed}, count(*) OVER (PARTITION BY {listed}) AS times"
            f' FROM "{source}" WHERE {filled}) r JOIN "{shape.table}" t USING (id) WHERE r.times > 1'
            f" ORDER BY {', '.join(f'r."{name}"' for name in columns)}, t.id",
            [change_pk, rule],
        )
        return int(cursor.rowcount)


def find_empty(
    shape: Shape, column: ColumnSpec, *, rule: str, change_pk: int, only: Sequence[int] | None = None
) -> int:
    """Keep as failing every record, or those of `only`, without a value in a column; return how many."""
    is_empty = f't."{column.name}" IS NULL'
    if type_of(column).sql_type(column) == "text":
        is_empty += f" OR t.\"{column.name}\" = ''"
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO datasets_failingrecord (change_id, record_id, name, value, code, rule)"
            f" SELECT %s, t.id, {_name_sql(shape.old, 't')}, NULL, 'missing-cell', %s FROM \"{shape.table}\" t"
            f" WHERE ({is_empty}) AND (%s OR t.id = ANY(%s::bigint[])) ORDER BY t.id",
            [change_pk, rule, only is None, list(only or ())],
        )
        return int(cursor.rowcount)


def find_broken(shape: Shape, check: CheckSpec, *, source: str, change_pk: int) -> int:
    """Keep as failing every record that would break a check and fails by nothing else; return how many.

    :param source: the SQL table that holds id and the columns of the check, as they would be.
    """
    condition = check_sql(check, shape.new, lambda name: f'r."{name}"')
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO datasets_failingrecord (change_id, record_id, name, value, code, rule)"
            f' SELECT %s, t.id, {_name_sql(shape.old, "t")}, r."{shape.column}"::text, %s, %s'
            f' FROM "{source}" r JOIN "{shape.table}" t USING (id) WHERE {condition} IS FALSE AND NOT EXISTS'
            " (SELECT FROM datasets_failingrecord f WHERE f.change_id = %s AND f.record_id = t.id) ORDER BY t.id",
            [change_pk, CODE, rule_of(check, shape.new), change_pk],
        )
        return int(cursor.rowcount)


# ---- indexes


@as_owner()
def build_index(shape: Shape, constraint: str, *, records: int) -> bool:
    """Build the index a UNIQUE constraint will stand on; return False when another process is building it.

    :raises UniqueViolation: records have the same value.
    :raises DatasetBusy: it is small, and somebody writes to the table.
    """
    name, columns = shape.index(constraint), shape.names(shape.uniques_to_build[constraint])
    listed = ", ".join(f'"{each}"' for each in columns)
    if records <= AT_ONCE_ROWS:
        if not exists(name):
            with transaction.atomic(), ddl.short_wait(WAIT_SECONDS), connection.cursor() as cursor:
                cursor.execute(f'CREATE UNIQUE INDEX "{name}" ON "{shape.table}" ({listed})')
        return True
    schema = current_tenant().schema
    with _aside() as cursor:
        # A backend that builds an index holds this lock until it has done so.
        cursor.execute("SELECT pg_try_advisory_lock(hashtext(%s), hashtext(%s))", [schema, name])
        if not cursor.fetchone()[0]:
            return False
        cursor.execute(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", [f'"{schema}"."{name}"']
        )
        found = cursor.fetchone()
        if found and found[0]:
            return True
        if found:  # left by a process that died
            cursor.execute(f'DROP INDEX CONCURRENTLY IF EXISTS "{schema}"."{name}"')
        try:
            cursor.execute(
                f'CREATE UNIQUE INDEX CONCURRENTLY "{name}" ON "{schema}"."{shape.table}" ({listed})'
            )
        except UniqueViolation:
            cursor.execute(f'DROP INDEX CONCURRENTLY IF EXISTS "{schema}"."{name}"')
            raise
    return True


@contextmanager
def _aside() -> Iterator[Any]:
    """A connection of its own outside of any transaction, which CONCURRENTLY needs."""
    aside = connect_aside(
        {**connection.get_connection_params(), "connect_timeout": 5, "cursor_factory": None}
    )
    aside.autocommit = True
    try:
        with aside.cursor() as cursor:
            cursor.execute(
                "SET client_connection_check_interval = '2s'; SET lock_timeout = 0; SET statement_timeout = 0"
            )
            yield cursor
    finally:
        aside.close()


# ---- the swap


@as_owner()
def swap(shape: Shape, cursor: Any) -> None:
    """Make the tables those of the new definition. No record is read: the new rules hold for what is written next.

    Must be inside `whole_tables`, with nothing in the queue.
    """
    changes = [f'DROP CONSTRAINT "{name}"' for name in shape.uniques_to_drop]
    if shape.column is not None:
        changes += [f'DROP CONSTRAINT IF EXISTS "{name}"' for name in ddl.checks_of(shape.old, shape.before)]
        changes += [f'DROP CONSTRAINT "{name}"' for name in ddl.dataset_checks(shape.old, shape.column)]
        changes.append(f'ALTER COLUMN "{shape.column}" DROP DEFAULT')
    for column in shape.columns_with_other_rules:  # of a new key: its columns become required, or need not be
        changes += [f'DROP CONSTRAINT IF EXISTS "{name}"' for name in ddl.checks_of(shape.old, column)]
    loose = set(shape.no_longer_required)
    if shape.needs_column and shape.before.is_required:
        loose.add(shape.before.name)
    changes += [f'ALTER COLUMN "{name}" DROP NOT NULL' for name in sorted(loose)]
    _alter(cursor, shape.table, changes)
    if shape.needs_column:
        cursor.execute(f'DROP TRIGGER "{shape.queue}_reset" ON "{shape.table}"')
        for table in (shape.table, shape.history):
            if shape.source is not None:  # what they held stands in the new column now
                cursor.execute(f'ALTER TABLE "{table}" DROP COLUMN "{shape.source}"')
            cursor.execute(f'ALTER TABLE "{table}" RENAME COLUMN "{shape.column}" TO "{shape.former}"')
            cursor.execute(f'ALTER TABLE "{table}" RENAME COLUMN "{shape.next}" TO "{shape.column}"')
    added = [f"ADD {sql} NOT VALID" for sql in _new_checks(shape).values()]
    if shape.column is not None and shape.after.options.default is not None:
        added.append(f'ALTER COLUMN "{shape.column}" SET DEFAULT {ddl.default_sql(shape.after)}')
    added += [
        f'ADD CONSTRAINT "{_is_there(shape, name)}" CHECK ("{name}" IS NOT NULL) NOT VALID'
        for name in shape.newly_required
    ]
    added += [
        f'ADD CONSTRAINT "{name}" UNIQUE USING INDEX "{shape.index(name)}"' for name in shape.uniques_to_build
    ]
    _alter(cursor, shape.table, added)
    cursor.execute(f'DROP TRIGGER "{shape.queue}" ON "{shape.history}"')
    cursor.execute(f'DROP TABLE "{shape.queue}"')


def _alter(cursor: Any, table: str, changes: list[str]) -> None:
    if changes:
        cursor.execute(f'ALTER TABLE "{table}" {", ".join(changes)}')


def _new_checks(shape: Shape) -> dict[str, str]:
    made: dict[str, str] = {}
    names = {column.name for column in shape.columns_with_other_rules}
    for column in shape.new.columns:
        if column.name == shape.column or column.name in names:
            made |= ddl.checks_of(shape.new, column)
    return made if shape.column is None else made | ddl.dataset_checks(shape.new, shape.column)


def _is_there(shape: Shape, column: str) -> str:
    return f"{shape.table}_{column}_is_there"


@as_owner()
def validate(shape: Shape, cursor: Any) -> None:
    """Let PostgreSQL look at every record once, while others read and write; then say NOT NULL.

    :raises DatasetBusy: somebody holds the table.
    """
    cursor.execute(
        "SELECT conname FROM pg_constraint WHERE conrelid = to_regclass(%s) AND NOT convalidated ORDER BY conname",
        [f'"{shape.table}"'],
    )
    for (name,) in cursor.fetchall():
        cursor.execute(f'ALTER TABLE "{shape.table}" VALIDATE CONSTRAINT "{name}"')


@as_owner()
def require(shape: Shape, cursor: Any) -> None:
    """Turn the checked rule into NOT NULL, which reads no record then.

    :raises DatasetBusy: somebody holds the table.
    """
    changes = [f'ALTER COLUMN "{name}" SET NOT NULL' for name in shape.newly_required]
    with transaction.atomic(), ddl.short_wait(WAIT_SECONDS):
        _alter(cursor, shape.table, changes)
        _alter(
            cursor,
            shape.table,
            [f'DROP CONSTRAINT IF EXISTS "{_is_there(shape, n)}"' for n in shape.newly_required],
        )


# ---- the rests


def leave_nothing(shape: Shape) -> None:
    """Take away what a change that ended before its swap has put beside the records.

    :raises DatasetBusy: somebody holds the tables.
    """
    with whole_tables(shape), connection.cursor() as cursor:
        tidy(shape, cursor)


@as_owner()
def tidy(shape: Shape, cursor: Any) -> None:
    """Take away whatever stands beside the records, if anything does."""
    cursor.execute(f'DROP TRIGGER IF EXISTS "{shape.queue}_reset" ON "{shape.table}"')
    cursor.execute(f'DROP TRIGGER IF EXISTS "{shape.queue}" ON "{shape.history}"')
    cursor.execute(f'DROP TABLE IF EXISTS "{shape.queue}"')
    for name in shape.uniques_to_build:
        cursor.execute(f'DROP INDEX IF EXISTS "{shape.index(name)}"')
    if shape.column is not None:
        for table in (shape.table, shape.history):
            cursor.execute(f'ALTER TABLE "{table}" DROP COLUMN IF EXISTS "{shape.next}"')


@as_owner()
def forget_former(dataset_pk: int, column: str, change_pk: int, *, history_too: bool) -> None:
    """Drop the column with the values from before a change.

    :raises DatasetBusy: somebody holds the tables.
    """
    table = f"ds_{dataset_pk:d}"
    tables = [table, f"{table}_history"] if history_too else [table]
    with transaction.atomic(), ddl.short_wait(WAIT_SECONDS), connection.cursor() as cursor:
        for each in tables:
            cursor.execute(f'ALTER TABLE "{each}" DROP COLUMN IF EXISTS "{former_name(column, change_pk)}"')
