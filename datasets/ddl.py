"""The tables of records: made and dropped here alone.

Table `ds_7` holds the records, `ds_7_history` every version of them, in django-simple-history's layout and
written by the triggers of `audit.tracking`. Everything runs in the caller's transaction and tenant.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import IntegrityError, OperationalError, ProgrammingError, connection, transaction
from psycopg2.errors import LockNotAvailable, UndefinedTable

from audit.referring import forget_reference, forget_references, refer
from audit.tracking import track
from core.backend.roles import protect_history
from core.errors import RowhouseError
from core.tenancy import as_owner, current_tenant
from datasets import checks
from datasets.columntypes import type_of
from datasets.columntypes.grammar import sql_literal
from datasets.spec import CheckSpec, ColumnSpec, DatasetSpec, Target

LOCK_SECONDS = 3
VACUUM_SECONDS = 0.1  # less than deadlock_timeout, at which a vacuum gives way to who waits for it
ALTER_SECONDS = 1  # whoever waits for a whole table keeps all later readers waiting too
MOST_PLACES = 1600  # PostgreSQL's limit of columns, counting those that were dropped


class DatasetBusy(RowhouseError):
    """Other work holds the dataset and did not finish in time."""

    code = "dataset-busy"


class DatasetGone(RowhouseError):
    """A dataset was deleted while somebody was about to use it."""

    code = "dataset-gone"
    status = 404


@contextmanager
def short_wait(seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """Run the block with a lock timeout, so that it never queues readers up behind itself.

    Must be inside a transaction.

    :raises DatasetBusy: a lock was not free within so many seconds.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = '{int(seconds * 1000)}ms'")
    try:
        yield
    except OperationalError as error:
        if isinstance(error.__cause__, LockNotAvailable):
            raise DatasetBusy(
                "Other work is using this dataset. Wait until it has finished, then try again."
            ) from error
        raise
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = DEFAULT")


def lock_dataset(pk: int) -> None:
    """Hold the dataset until the transaction ends: one import, schema change or mass deletion at a time."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(current_schema()), %s::int)", [pk])


def try_lock_dataset(pk: int) -> bool:
    """Hold the dataset as `lock_dataset` does if nobody else does; return whether it is held. Waits for nobody."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtext(current_schema()), %s::int)", [pk])
        return bool(cursor.fetchone()[0])


def hold_form(pk: int) -> None:
    """Keep a dataset's definition as it is until the transaction ends. Waits for no writer, and keeps none waiting.

    Whoever reads a definition and then records by it calls this before he reads: a change may come in between.

    :raises DatasetGone: there is no such table; the transaction has failed.
    """
    try:
        with connection.cursor() as cursor:
            cursor.execute(f'LOCK TABLE "ds_{int(pk)}" IN ACCESS SHARE MODE')
    except ProgrammingError as error:
        if isinstance(error.__cause__, UndefinedTable):
            raise DatasetGone("There is no such dataset here, or it was deleted a moment ago.") from error
        raise


@transaction.atomic
@as_owner()
def create_table(spec: DatasetSpec) -> None:
    """Create the table of records and the table of their versions, with constraints, indexes and triggers."""
    with short_wait(), connection.cursor() as cursor:
        cursor.execute(_table_sql(spec))
        for column, target in spec.references:
            _guard_reference(cursor, spec, column, target)
        for statement in _history_sql(spec):
            cursor.execute(statement)
        protect_history(cursor, current_tenant().schema, spec.history_table)
        track(spec.table)


@transaction.atomic
@as_owner()
def drop_table(spec: DatasetSpec) -> None:
    """Drop both tables, and what a change that goes on keeps beside them.

    :raises DatasetBusy: somebody is reading or writing them for longer than we wait.
    """
    with short_wait(), connection.cursor() as cursor:
        forget_references(spec.table)
        cursor.execute(f'DROP TABLE "{spec.table}", "{spec.history_table}"')
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'"
            " AND starts_with(relname, %s)",
            [f"{spec.table}_change_"],
        )
        for (name,) in cursor.fetchall():
            cursor.execute(f'DROP TABLE "{name}"')


@transaction.atomic
@as_owner()
def add_columns(spec: DatasetSpec, columns: Sequence[ColumnSpec]) -> None:
    """Add columns of `spec`, the definition they are part of already, to both tables.

    :raises DatasetBusy: somebody is reading or writing them for longer than we wait.
    """
    with short_wait(ALTER_SECONDS), connection.cursor() as cursor:
        _lock_both(cursor, spec)
        # History first: a record must never have a column that its versions lack.
        added = ", ".join(f"ADD COLUMN {_column_sql(column)}" for column in columns)
        cursor.execute(f'ALTER TABLE "{spec.history_table}" {added}')
        changes = []
        for column in columns:
            changes.append(f"ADD COLUMN {_column_sql(column)}" + (" NOT NULL" if column.is_required else ""))
            changes += [f"ADD {constraint}" for constraint in _column_constraints(spec, column)]
        cursor.execute(f'ALTER TABLE "{spec.table}" {", ".join(changes)}')
        for column in columns:
            if column.options.default is not None:  # of new records: those that are there have no value
                cursor.execute(_default_sql(spec, column))
            if (target := column.options.target) is not None:
                _guard_reference(cursor, spec, column, target)


@transaction.atomic
@as_owner()
def free_column(spec: DatasetSpec, column: ColumnSpec) -> None:
    """Let records be without a value in a column. What else holds for it still does: its values may come back.

    :raises DatasetBusy: somebody is reading or writing the records for longer than we wait.
    """
    with short_wait(ALTER_SECONDS), connection.cursor() as cursor:
        cursor.execute(
            f'ALTER TABLE "{spec.table}" ALTER COLUMN "{column.name}" DROP NOT NULL,'
            f' ALTER COLUMN "{column.name}" DROP DEFAULT,'
            f' DROP CONSTRAINT IF EXISTS "{filled_constraint(spec, column)}"'
        )


@transaction.atomic
@as_owner()
def restore_default(spec: DatasetSpec, column: ColumnSpec) -> None:
    """Give new records a column's default again, if it has one.

    :raises DatasetBusy: somebody is reading or writing the records for longer than we wait.
    """
    if column.options.default is not None:
        with short_wait(ALTER_SECONDS), connection.cursor() as cursor:
            cursor.execute(_default_sql(spec, column))


def _default_sql(spec: DatasetSpec, column: ColumnSpec) -> str:
    return f'ALTER TABLE "{spec.table}" ALTER COLUMN "{column.name}" SET DEFAULT {default_sql(column)}'


@transaction.atomic
@as_owner()
def drop_column(spec: DatasetSpec, column: ColumnSpec) -> None:
    """Drop a column from both tables.

    :raises DatasetBusy: somebody is reading or writing them for longer than we wait.
    """
    with short_wait(ALTER_SECONDS), connection.cursor() as cursor:
        _lock_both(cursor, spec)
        forget_reference(spec.table, column.name)
        for table in (spec.table, spec.history_table):
            cursor.execute(f'ALTER TABLE "{table}" DROP COLUMN IF EXISTS "{column.name}"')


def is_filled(spec: DatasetSpec) -> bool:
    """Return whether a dataset has any record."""
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT EXISTS (SELECT FROM "{spec.table}")')
        return bool(cursor.fetchone()[0])


@dataclass(frozen=True, slots=True)
class Places:
    """How many columns PostgreSQL lets us add to both tables, and how many places dropped ones keep in the fuller."""

    free: int
    dropped: int


def places(spec: DatasetSpec) -> Places:
    """Return how a dataset's tables stand with their places for columns."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT max(attnum) AS used, count(*) FILTER (WHERE attisdropped) FROM pg_catalog.pg_attribute"
            " WHERE attrelid IN (to_regclass(%s), to_regclass(%s)) GROUP BY attrelid ORDER BY used DESC LIMIT 1",
            [spec.table, spec.history_table],
        )
        used, dropped = cursor.fetchone()
        return Places(MOST_PLACES - int(used), int(dropped))


def _lock_both(cursor: Any, spec: DatasetSpec) -> None:
    # In the order in which whoever writes records takes them: two orders could deadlock.
    cursor.execute(f'LOCK TABLE "{spec.table}", "{spec.history_table}" IN ACCESS EXCLUSIVE MODE')


def _table_sql(spec: DatasetSpec) -> str:
    lines = ['"id" bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY']
    for column in spec.columns:
        default = f" DEFAULT {default_sql(column)}" if column.options.default is not None else ""
        lines.append(_column_sql(column) + default + (" NOT NULL" if column.is_required else ""))
    if spec.key:
        lines.append(f'CONSTRAINT "{key_constraint(spec)}" UNIQUE ({_quoted(spec.key)})')
    for column in spec.columns:
        lines += _column_constraints(spec, column)
    lines += dataset_checks(spec).values()
    return (
        f'CREATE TABLE "{spec.table}" ({", ".join(lines)})'
        f" WITH (fillfactor = {int(settings.ROWHOUSE_RECORD_FILLFACTOR)})"
    )


def _column_sql(column: ColumnSpec) -> str:
    return f'"{column.name}" {type_of(column).sql_type(column)}'


def default_sql(column: ColumnSpec) -> str:
    """Return the SQL of a column's default; NULL where it has none."""
    if column.options.default is None:
        return "NULL"
    return f"{sql_literal(column.options.default)}::{type_of(column).sql_type(column)}"


def _column_constraints(spec: DatasetSpec, column: ColumnSpec) -> list[str]:
    made = []
    if has_own_unique(spec, column):
        made.append(f'CONSTRAINT "{unique_constraint(spec, column)}" UNIQUE ("{column.name}")')
    if (target := column.options.target) is not None and target.dataset == spec.pk:
        made.append(_reference_sql(spec, column, target))
    return [*made, *checks_of(spec, column).values()]


def _reference_sql(spec: DatasetSpec, column: ColumnSpec, target: Target) -> str:
    # Of a dataset to itself. Only a foreign key can wait for its check until several statements are done, as a merge
    # asks of it (`references_at_the_end`): what one of them writes may refer to what a later one brings.
    return (
        f'CONSTRAINT "{reference_constraint(spec, column)}" FOREIGN KEY ("{column.name}")'
        f' REFERENCES "{target.table}" ("{target.name}") DEFERRABLE INITIALLY IMMEDIATE'
    )


def _guard_reference(cursor: Any, spec: DatasetSpec, column: ColumnSpec, target: Target) -> None:
    if target.dataset != spec.pk:
        name = reference_constraint(spec, column)
        refer(spec.table, column.name, target.table, target.name, name=name)
    elif statement := _reference_index_sql(spec, column):
        cursor.execute(statement)


def _reference_index_sql(spec: DatasetSpec, column: ColumnSpec) -> str | None:
    """Return the SQL of the index that finds who refers to a record of its own dataset; None where another does.

    A foreign key looks for each deleted record by itself. What guards other references looks once for all of them, and
    an index that every import has to fill, and that keeps changed records from staying on their page, costs far more.
    """
    if column.is_unique or spec.key[:1] == (column.name,):
        return None
    return f'CREATE INDEX "{spec.table}_{column.name}_by_target" ON "{spec.table}" ("{column.name}")'


@contextmanager
def references_at_the_end(spec: DatasetSpec) -> Iterator[None]:
    """Run the block, which writes records in several statements, and check only then what they refer to in each other.

    :raises IntegrityError: at the end of the block, a record refers to one that is not there.
    """
    names = ", ".join(f'"{reference_constraint(spec, column)}"' for column in spec.own_references)
    if not names:
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute(f"SET CONSTRAINTS {names} DEFERRED")
    yield
    with connection.cursor() as cursor:
        cursor.execute(f"SET CONSTRAINTS {names} IMMEDIATE")


def checks_of(spec: DatasetSpec, column: ColumnSpec) -> dict[str, str]:
    """Return the CHECK constraints of a column by their names, as CREATE TABLE writes them."""
    if column.options.target is not None:
        return {}  # the key holds them, and nothing but a key can stand here
    made = {}
    if column.is_required and type_of(column).sql_type(column) == "text":
        made[filled_constraint(spec, column)] = f"\"{column.name}\" <> ''"
    for number, check in enumerate(type_of(column).checks(column), start=1):
        made[f"{spec.table}_{column.name}_is_allowed_{number}"] = check.replace("{c}", f'"{column.name}"')
    return {name: f'CONSTRAINT "{name}" CHECK ({expression})' for name, expression in made.items()}


def dataset_checks(spec: DatasetSpec, reading: str = "") -> dict[str, str]:
    """Return the CHECK constraints across columns by their names, as CREATE TABLE writes them.

    :param reading: a column's physical name: only those that read it.
    """
    return {
        check_constraint(spec, check): f'CONSTRAINT "{check_constraint(spec, check)}" CHECK ({sql})'
        for check in spec.checks
        if not reading or checks.reads(check, spec, reading)
        for sql in [checks.check_sql(check, spec, lambda name: f'"{name}"')]
    }


def check_constraint(spec: DatasetSpec, check: CheckSpec | None) -> str:
    """Return the name of a check's constraint; what all begin with if it is None."""
    return f"{spec.table}_check_{'' if check is None else check.number}"


def broken_rule(spec: DatasetSpec, error: IntegrityError) -> str | None:
    """Return the sentence of the check that the database refused a record by, or None: it was another rule."""
    name = str(getattr(getattr(error.__cause__, "diag", None), "constraint_name", None))
    found = (checks.rule_of(check, spec) for check in spec.checks if check_constraint(spec, check) == name)
    if name.startswith(check_constraint(spec, None)):  # one that reads a column hidden from whoever is told
        return next(found, "A check of this dataset refuses it. Ask who manages the dataset.")
    return None


def _history_sql(spec: DatasetSpec) -> list[str]:
    table = spec.history_table
    columns = ", ".join(_column_sql(column) for column in spec.columns)
    return [
        f'CREATE TABLE "{table}" ("id" bigint NOT NULL, {columns}, '
        '"history_id" bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, '
        '"history_date" timestamptz NOT NULL, '
        '"history_type" varchar(1) NOT NULL, '
        '"history_user_id" bigint, '
        '"history_change_reason" text, '
        # Which transaction wrote it: whether a record changed since a preview is read from here.
        '"history_xid" xid8 NOT NULL DEFAULT pg_current_xact_id())',
        # One record's versions, and the versions of a stretch of time: no more, each index slows an import.
        f'CREATE INDEX "{table}_of_record" ON "{table}" ("id")',
        f'CREATE INDEX "{table}_by_date" ON "{table}" USING brin ("history_date")',
    ]


def index_new_versions(spec: DatasetSpec) -> None:
    """Take the versions since the last vacuum into the index by date; until then, searches by date read all of them.

    Where autovacuum works on them they are left to it: it does the same, and would give up if we waited for a second.
    """
    with (
        suppress(DatasetBusy),
        transaction.atomic(),
        short_wait(VACUUM_SECONDS),
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT brin_summarize_new_values(%s::regclass)", [f"{spec.history_table}_by_date"])


def key_constraint(spec: DatasetSpec) -> str:
    """Return the name of the UNIQUE constraint over the key columns."""
    return f"{spec.table}_key"


def unique_constraint(spec: DatasetSpec, column: ColumnSpec) -> str:
    """Return the name of a unique column's constraint."""
    return f"{spec.table}_{column.name}_unique"


def reference_constraint(spec: DatasetSpec, column: ColumnSpec) -> str:
    """Return the name of the rule that a reference is; `references.refusal_of` reads it."""
    return f"{spec.table}_{column.name}_refers"


def filled_constraint(spec: DatasetSpec, column: ColumnSpec) -> str:
    """Return the name of the CHECK that a required text is not empty."""
    return f"{spec.table}_{column.name}_is_filled"


def has_own_unique(spec: DatasetSpec, column: ColumnSpec) -> bool:
    """Return whether a column needs a UNIQUE constraint besides the key's."""
    return column.is_unique and spec.key != (column.name,)


def _quoted(names: tuple[str, ...]) -> str:
    return ", ".join(f'"{name}"' for name in names)
