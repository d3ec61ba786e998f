"""The change of a column's type, with all its values: those of today and those of history.

A value converts as its canonical text would be read into the new type. History converts too, so that former
versions can be shown, compared and brought back; the limits of the new type (choices, smallest, largest,
length) need not hold there.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

from django.db import IntegrityError, connection, transaction

from accounts.models import User
from audit.services import record
from core.errors import RowhouseError
from core.words import count
from datasets import ddl, signals
from datasets.columntypes import BadValue, Reading, check_cell, type_of
from datasets.models import Column, Dataset, stored_options
from datasets.rules import NewColumn
from datasets.services import InvalidDefinition, checked_definition
from datasets.spec import ColumnOptions, ColumnSpec, DatasetSpec

SHOWN_PROBLEMS = 20
AT_ONCE = 10_000
CONVERTED = "rowhouse_converted"  # in pg_temp: which texts become another one


class NotConvertible(RowhouseError):
    """Values of a column cannot be of the type it was to have; `report` lists the first of them."""

    code = "not-convertible"
    status = 422

    def __init__(self, message: str, report: ConversionReport) -> None:
        super().__init__(message)
        self.report = report


@dataclass(frozen=True, slots=True)
class Unconvertible:
    """A value that does not convert. `records` hold it today; 0: only history does."""

    value: str
    rule: str
    records: int


@dataclass(frozen=True, slots=True)
class ConversionReport:
    """What a change of type meets: how many different values, how many do not convert, the first of those."""

    values: int
    unconvertible: int = 0
    problems: tuple[Unconvertible, ...] = ()

    @property
    def is_clean(self) -> bool:
        return not self.unconvertible


@dataclass(frozen=True, slots=True)
class _Value:
    text: str
    records: int


@transaction.atomic
def check_type_change(
    *, dataset: Dataset, column: Column, type: str, options: ColumnOptions | None = None
) -> ConversionReport:
    """Return what a change of type would meet; nothing is changed.

    Whether two records would have the same key or unique value only the change itself finds out.

    :raises InvalidDefinition: a column cannot be of this type with these options.
    """
    spec = dataset.spec()
    old, new = _old_and_new(dataset, spec, column, type, options)
    return _convert(spec, old, new)


@transaction.atomic
def change_type(
    *,
    dataset: Dataset,
    column: Column,
    type: str,
    options: ColumnOptions | None = None,
    by: User | None = None,
) -> ConversionReport:
    """Change a column's type and options, and every value of it, today's and history's. Writes no history of records.

    :raises InvalidDefinition: a column cannot be of this type with these options.
    :raises NotConvertible: a value cannot, or two records would have one key or unique value.
    :raises DatasetBusy: other work holds the dataset.
    :raises RowhouseError: an app above refuses, because it works on the dataset.
    """
    with ddl.short_wait():
        ddl.lock_dataset(dataset.pk)
    dataset = Dataset.objects.select_for_update().get(pk=dataset.pk)
    signals.changing.send(sender=Dataset, dataset=dataset, column=column)
    spec = dataset.spec()
    old, new = _old_and_new(dataset, spec, column, type, options)
    with ddl.short_wait(), connection.cursor() as cursor:
        # From here on nobody writes: a value that was not looked at could not be of the new type.
        cursor.execute(f'LOCK TABLE "{spec.table}", "{spec.history_table}" IN ACCESS EXCLUSIVE MODE')
    report = _convert(spec, old, new)
    if not report.is_clean:
        raise NotConvertible(_refusal(old, report), report)
    try:
        with transaction.atomic():
            _alter(spec, old, new)
    except IntegrityError as error:
        raise NotConvertible(
            f"Two records would have the same value in “{old.label}”, which must be unique. Change one of them.",
            report,
        ) from error
    _save(dataset, old, new, by)
    return report


def _old_and_new(
    dataset: Dataset, spec: DatasetSpec, column: Column, type: str, options: ColumnOptions | None
) -> tuple[ColumnSpec, ColumnSpec]:
    old = next((one for one in spec.columns if one.pk == column.pk), None)
    if old is None:
        raise InvalidDefinition(f"“{column.label}” is no column of “{dataset.title}”.")
    wanted = replace(old, type=type, options=options or ColumnOptions())
    columns = [
        NewColumn(one.label, one.type, one.is_required, one.is_unique, one.options)
        for one in (wanted if each.pk == old.pk else each for each in spec.columns)
    ]
    checked = checked_definition(
        title=dataset.title, columns=columns, key=[one.label for one in spec.key_columns]
    )
    found = next(one for one in checked.columns if one.label == old.label)
    return old, replace(wanted, options=found.options)


def _convert(spec: DatasetSpec, old: ColumnSpec, new: ColumnSpec) -> ConversionReport:
    """Read each different value as the new type; keep those whose text changes in a temporary table."""
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS pg_temp.{CONVERTED}")
        cursor.execute(f"CREATE TEMP TABLE {CONVERTED} (old text, new text) ON COMMIT DROP")
    if _is_surely_the_same(new):
        return ConversionReport(values=0)
    values = unconvertible = 0
    problems: list[Unconvertible] = []
    found = _values(spec, old)
    while batch := list(islice(found, AT_ONCE)):
        changed: list[tuple[str, str | None]] = []
        for value in batch:
            values += 1
            try:
                text = _converted(value, new)
            except BadValue as error:
                unconvertible += 1
                if len(problems) < SHOWN_PROBLEMS:
                    problems.append(Unconvertible(value.text[:200], error.rule, value.records))
                continue
            if text != value.text:
                changed.append((value.text, text))
        _keep(changed)
    return ConversionReport(values, unconvertible, tuple(problems))


def _is_surely_the_same(new: ColumnSpec) -> bool:
    # Every canonical text is a text; what is required is filled in already.
    return type_of(new).holds_text and new.options.max_length is None


def _values(spec: DatasetSpec, old: ColumnSpec) -> Iterator[_Value]:
    name = f'"{old.name}"'
    text = type_of(old).text_sql(name)
    with connection.chunked_cursor() as cursor:
        cursor.execute(
            "SELECT value, count(*) FILTER (WHERE is_now) FROM"
            f' (SELECT {text} AS value, true AS is_now FROM "{spec.table}" WHERE {name} IS NOT NULL UNION ALL'
            f' SELECT {text}, false FROM "{spec.history_table}" WHERE {name} IS NOT NULL) v GROUP BY value'
            " ORDER BY 2 DESC, 1"
        )
        while rows := cursor.fetchmany(AT_ONCE):
            for value, records in rows:
                yield _Value(value, records)


def _converted(value: _Value, new: ColumnSpec) -> str | None:
    """Return the canonical text of a value in the new type.

    :raises BadValue: records of today cannot hold it, or no version can.
    """
    is_now = value.records > 0
    try:
        return check_cell(value.text, replace(new, is_required=new.is_required and is_now), Reading())
    except BadValue:
        if is_now:
            raise
    if new.type == "choice":
        return value.text
    free = replace(new.options, minimum=None, maximum=None, max_length=None)
    return check_cell(value.text, replace(new, is_required=False, options=free), Reading())


def _keep(changed: list[tuple[str, str | None]]) -> None:
    if not changed:
        return
    file = io.StringIO()
    for old, new in changed:
        # Quoted throughout: only no value at all is an empty cell.
        csv.writer(file, quoting=csv.QUOTE_NOTNULL, lineterminator="\n").writerow([old, new])
    file.seek(0)
    with connection.cursor() as cursor:
        cursor.copy_expert(f"COPY pg_temp.{CONVERTED} FROM STDIN (FORMAT csv)", file)


def _refusal(old: ColumnSpec, report: ConversionReport) -> str:
    first = report.problems[0]
    where = "" if first.records else " (in the history of a record)"
    more = report.unconvertible - 1
    others = f" {count(more, 'more value')} cannot be converted either." if more else ""
    return (
        f"“{first.value[:60]}” of “{old.label}”{where} cannot be converted: {first.rule}{others}"
        " Correct the values, then change the type."
    )


def _alter(spec: DatasetSpec, old: ColumnSpec, new: ColumnSpec) -> None:
    name, kind = f'"{old.name}"', type_of(new).sql_type(new)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT EXISTS (SELECT FROM pg_temp.{CONVERTED})")
        text = type_of(old).text_sql(name)
        has_exceptions = bool(cursor.fetchone()[0])
        if has_exceptions:
            _create_function(cursor)
            text = f"pg_temp.{CONVERTED}({text})"
        change = f"ALTER COLUMN {name} TYPE {kind} USING ({text})::{kind}"
        changes = [
            *(f'DROP CONSTRAINT "{check}"' for check in ddl.checks_of(spec, old)),
            change,
            *(f"ADD {sql}" for sql in ddl.checks_of(spec, new).values()),
        ]
        cursor.execute(f'ALTER TABLE "{spec.table}" {", ".join(changes)}')
        cursor.execute(f'ALTER TABLE "{spec.history_table}" {change}')
        if has_exceptions:
            cursor.execute(f"DROP FUNCTION pg_temp.{CONVERTED}(text)")
        cursor.execute(f'ANALYZE "{spec.table}" ({name})')


def _create_function(cursor: object) -> None:
    # A hash: an index of the other kind would refuse long texts.
    cursor.execute(f"CREATE INDEX ON pg_temp.{CONVERTED} USING hash (old)")  # type: ignore[attr-defined]
    cursor.execute(  # type: ignore[attr-defined]
        f"CREATE FUNCTION pg_temp.{CONVERTED}(given text) RETURNS text LANGUAGE sql STABLE AS $$"
        f" SELECT CASE WHEN c.old IS NULL THEN given ELSE c.new END FROM (SELECT) one"
        f" LEFT JOIN pg_temp.{CONVERTED} c ON c.old = given $$"
    )


def _save(dataset: Dataset, old: ColumnSpec, new: ColumnSpec, by: User | None) -> None:
    column = Column.objects.get(pk=old.pk)
    column.type, column.options = new.type, stored_options(new.options)
    column._history_user = by  # type: ignore[attr-defined] # simple-history reads it
    column.save(update_fields=["type", "options"])
    dataset.definition_version += 1
    dataset._history_user = by  # type: ignore[attr-defined]
    dataset.save()
    record(
        "datasets.column.type_changed", actor=by, target=dataset, column=column.pk, before=old.type,
        after=new.type,
    )  # fmt: skip
