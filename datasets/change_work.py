"""The background work of a change: the check, and the conversion from the new column to the swap.

Each function does one slice of a phase and says where the next goes on. A slice happens whole or not at all,
may happen twice, and the process may die anywhere: before the swap everything stands beside the records and is
taken away again, after it only the look at every record is left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from time import monotonic, sleep
from typing import Any

from django.db import IntegrityError, connection, transaction
from psycopg2.errors import UniqueViolation

from audit.services import record
from core.clock import now as clock
from core.errors import RowhouseError
from core.tenancy import as_owner
from core.words import count
from datasets import change_tables as tables
from datasets import ddl, signals
from datasets.change_models import OPEN, Change, ChangeState, FailingRecord, OnFailure
from datasets.change_shape import Shape, former_name
from datasets.checks import read_columns, reads
from datasets.columntypes import type_of
from datasets.conversion import Converted, Converter, Reverter
from datasets.models import Column, Dataset, options_of, stored_options
from datasets.spec import CheckSpec, ColumnSpec, DatasetSpec
from jobs.kinds import Slice, Step

SAMPLES = 20
SAMPLE_CHARACTERS = 200
HELD_SECONDS = 1.0  # of a slice that holds records: whoever edits one of them waits so long at most
DRAINED_ROWS = 2_000  # what was written last is converted while all wait: a few milliseconds
KEPT_DAYS = 30
PAUSES = (0.1, 0.2, 0.3)  # between the first attempts to have the tables, in seconds
REST_SECONDS = 1.0  # after them, and while an import goes first
NO_ROOM = (
    "The table has no room for another column, because dropped ones keep their place in it. Have it made anew with"
    " `rowhouse rebuild_dataset`, then ask again."
)
IN_THE_WAY = "Other work holds the dataset; the change waits for a moment without it."


def shape_of(change: Change, spec: DatasetSpec | None = None) -> Shape:
    """Return what a change does. `spec`: the dataset as it is before the swap; left out, it is read."""
    now = spec or change.dataset.spec()
    old, new = with_definition(now, change.before), with_definition(now, change.after)
    reverted = change.reverts
    column = f"c{change.column_id}" if change.column_id else None
    source = former_name(column, reverted.pk) if reverted and column and reverted.kept_until else None
    return Shape(change.pk, old, new, column, change.on_failure == OnFailure.EMPTY, source)


def with_definition(spec: DatasetSpec, stated: dict[str, Any]) -> DatasetSpec:
    """Return a dataset with the key and the columns as a change states them."""
    columns = tuple(
        column_with(column, stated["columns"][str(column.pk)])
        if str(column.pk) in stated["columns"]
        else column
        for column in spec.columns
    )
    return replace(spec, columns=columns, key=tuple(f"c{pk}" for pk in stated["key"]))


def column_with(column: ColumnSpec, stated: dict[str, Any]) -> ColumnSpec:
    """Return a column with the type and rules as a change states them. What a reference points to never changes."""
    options = column.options if stated["type"] == "reference" else options_of(stated["options"])
    return replace(column, **{**stated, "options": options})


def is_still(spec: DatasetSpec, stated: dict[str, Any]) -> bool:
    """Return whether a dataset's key and columns are, and are there, as a change states them."""
    pks = {str(column.pk) for column in spec.columns}
    return pks.issuperset(stated["columns"]) and with_definition(spec, stated) == spec


def stated_column(column: ColumnSpec) -> dict[str, Any]:
    """Return a column's type and rules as a change states them."""
    return {
        "type": column.type,
        "is_required": column.is_required,
        "is_unique": column.is_unique,
        "options": stored_options(column.options),
    }


def stated_definition(spec: DatasetSpec, columns: Sequence[int]) -> dict[str, Any]:
    """Return the key and some columns as a change states them."""
    return {
        "key": [column.pk for column in spec.key_columns],
        "columns": {str(one.pk): stated_column(one) for one in spec.columns if one.pk in columns},
    }


def _converter(shape: Shape) -> Converter | Reverter:
    if shape.source is None:
        return Converter(shape.after)
    return Reverter(changed=shape.before, former=shape.after)


# ---- the check


def check(change: Change, work: Slice) -> Step:
    """Do one slice of the check: nothing is changed."""
    if change.state != ChangeState.CHECK_IN_PROGRESS:
        return Step(done=True)
    ddl.hold_form(change.dataset_id)
    change.dataset.refresh_from_db()
    spec = change.dataset.spec()
    if not is_still(spec, change.before):
        return _fail_check(change)
    phase = work.cursor.get("phase", "records")
    if phase == "records":
        return _check_records(change, work)
    with work.long_statement():
        _check_repeats(change)
    return _finish_check(change, work)


def _check_records(change: Change, work: Slice) -> Step:
    shape = shape_of(change)
    after, total = int(work.cursor.get("after", -(2**63))), None
    if not work.cursor:
        total = _start_check(change, shape)
    if shape.column is None:
        return Step(done=False, cursor={"phase": "repeats"}, total=total)
    converter, processed = _converter(shape), 0
    while True:
        found, is_last = tables.records_after(shape, after)
        _count(change, shape, found, converter.convert([value for _pk, value in found]))
        processed += len(found)
        if is_last:
            change.save(update_fields=["records", "rewritten", "failing", "edited", "samples"])
            return Step(done=False, cursor={"phase": "repeats"}, processed=processed, total=total)
        after = found[-1][0]
        if work.time_left() <= 0 or work.is_cancelled():
            change.save(update_fields=["records", "rewritten", "failing", "edited", "samples"])
            cursor = {"phase": "records", "after": after}
            return Step(done=False, cursor=cursor, processed=processed, total=total)


@as_owner()
def _start_check(change: Change, shape: Shape) -> int:
    change.failing_records.all()._raw_delete("default")  # begun twice
    change.records = change.rewritten = change.failing = change.edited = 0
    change.samples = []
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT count(*) FROM "{shape.table}"')
        total = int(cursor.fetchone()[0])
        cursor.execute(f'DROP TABLE IF EXISTS "{_check_table(shape)}"')
        if _keeps_values(shape):
            kind = type_of(shape.after).sql_type(shape.after)
            cursor.execute(f'CREATE UNLOGGED TABLE "{_check_table(shape)}" (id bigint, value {kind})')
    if shape.column is None:
        change.records = total
        change.save(update_fields=["records"])
    return total


def _check_table(shape: Shape) -> str:
    return f"{shape.queue}_check"


def _keeps_values(shape: Shape) -> bool:
    """Whether the converted values are needed as a whole, to find those that would repeat or break a check."""
    is_unique = any(shape.column in names for names in shape.uniques_to_build.values())
    return shape.needs_column and (is_unique or bool(_checks(shape)))


def _checks(shape: Shape) -> list[CheckSpec]:
    """Return the dataset's checks that read the column."""
    if shape.column is None:
        return []
    return [check for check in shape.new.checks if reads(check, shape.new, shape.column)]


def _count(change: Change, shape: Shape, found: tables.Values, converted: list[Converted]) -> None:
    change.records += len(found)
    failing = []
    for (pk, value), one in zip(found, converted, strict=True):
        text = value[-1]
        if one.is_failing or one.is_edited:
            failing.append((pk, text, one))
        if one.is_edited:
            change.edited += 1
        if one.is_failing:
            change.failing += 1
        elif one.text != text:
            change.rewritten += 1
            sample = [_short(text), _short(one.text)]
            if len(change.samples) < SAMPLES and sample not in change.samples:
                change.samples = [*change.samples, sample]
    _keep_failing(change, shape, failing)
    if _keeps_values(shape):
        kind = type_of(shape.after).sql_type(shape.after)
        rows = [
            (pk, one.text) for (pk, _value), one in zip(found, converted, strict=True) if one.text is not None
        ]
        with connection.cursor() as cursor:
            cursor.execute(
                f'INSERT INTO "{_check_table(shape)}" SELECT pk, value::{kind}'
                " FROM unnest(%s::bigint[], %s::text[]) AS m (pk, value)",
                [[pk for pk, _text in rows], [text for _pk, text in rows]],
            )


def _short(text: str | None) -> str | None:
    return text if text is None or len(text) <= SAMPLE_CHARACTERS else text[:SAMPLE_CHARACTERS] + "…"


def _keep_failing(change: Change, shape: Shape, failing: list[tuple[int, str | None, Converted]]) -> None:
    if not failing:
        return
    names = tables.record_names(shape.old, [pk for pk, _text, _one in failing])
    FailingRecord.objects.bulk_create(
        [
            FailingRecord(
                change=change,
                record_id=pk,
                name=names.get(pk, f"record {pk}"),
                value=text,
                code=one.code if one.is_failing else "edited-since",
                rule=one.rule if one.is_failing else "Edited since the change: what it is now is converted.",
            )
            for pk, text, one in failing
        ],
        batch_size=1000,
    )


def _check_repeats(change: Change) -> None:
    shape = shape_of(change)
    for name, columns in shape.uniques_to_build.items():
        source = shape.table
        if _keeps_values(shape) and shape.column in columns:
            source = _converted_source(shape, columns)
        change.failing += tables.find_repeats(
            shape, columns, source=source, rule=_repeat_rule(name, shape), change_pk=change.pk
        )
    for check in _checks(shape):
        source = shape.table
        if _keeps_values(shape):
            source = _converted_source(shape, tuple(one.name for one in read_columns(check, shape.new)))
        change.failing += tables.find_broken(shape, check, source=source, change_pk=change.pk)
    for column in shape.new.columns:  # of a new key
        if column.name != shape.column and column.name in shape.newly_required:
            rule = f"“{column.label}” needs a value in every record, because it is part of the key."
            change.failing += tables.find_empty(shape, column, rule=rule, change_pk=change.pk)


@as_owner()
def _converted_source(shape: Shape, columns: tuple[str, ...]) -> str:
    """Return a table of some columns as they would be."""
    name = f"{_check_table(shape)}_all"
    listed = ", ".join(f'k.value AS "{c}"' if c == shape.column else f't."{c}"' for c in columns)
    with connection.cursor() as cursor:
        cursor.execute(f'DROP TABLE IF EXISTS "{name}"')
        cursor.execute(
            f'CREATE UNLOGGED TABLE "{name}" AS SELECT t.id, {listed}'
            f' FROM "{shape.table}" t LEFT JOIN "{_check_table(shape)}" k USING (id)'
        )
    return name


def _repeat_rule(constraint: str, shape: Shape) -> str:
    if constraint == ddl.key_constraint(shape.new):
        labels = ", ".join(column.label for column in shape.new.key_columns)
        return f"%s records would have this key ({labels.replace('%', '%%')})."
    return "%s records would have this value, which must be unique."


def _finish_check(change: Change, work: Slice) -> Step:
    _forget_check(shape_of(change))
    change.say(f"Checked {count(change.records, 'record')}: {count(change.failing, 'record')} would fail.")
    change.move(
        old=(ChangeState.CHECK_IN_PROGRESS,), new=ChangeState.CHECK_SUCCEEDED, checked_at=clock(), log=change.log,
        failing=change.failing,
    )  # fmt: skip
    record("datasets.change.checked", target=change.dataset, change=change.pk, failing=change.failing)
    return Step(done=True)


@as_owner()
def _forget_check(shape: Shape) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f'DROP TABLE IF EXISTS "{_check_table(shape)}", "{_check_table(shape)}_all"')


def _fail_check(change: Change) -> Step:
    change.move(
        old=(ChangeState.CHECK_IN_PROGRESS,), new=ChangeState.CHECK_FAILED, ended_at=clock(),
        error_code="definition-changed", error=DEFINITION_CHANGED,
    )  # fmt: skip
    return Step(done=True)


DEFINITION_CHANGED = (
    "The definition was changed by somebody else meanwhile. Look at it, then ask for the change again."
)


# ---- the conversion


def convert(change: Change, work: Slice) -> Step:
    """Do one slice of a confirmed change."""
    cursor = dict(work.cursor) or {"phase": "begin"}
    if change.state != ChangeState.CHANGE_IN_PROGRESS:
        return _leave_nothing(change, work) if cursor["phase"] == "tidy" else Step(done=True)
    phase: Callable[[Change, Shape, Slice, dict[str, Any]], Step] = PHASES[cursor["phase"]]
    spec = change.dataset.spec()
    if change.swapped_at is None and not is_still(spec, change.before):
        return give_up(change, "definition-changed", DEFINITION_CHANGED)
    shape = shape_of(change, spec)
    if cursor["phase"] in ("records", "versions", "catch_up") and not tables.has_begun(shape):
        return Step(done=False, cursor={"phase": "begin"})  # started again after its rests were taken away
    try:
        return phase(change, shape, work, cursor)
    except ddl.DatasetBusy:
        return again(change, cursor)
    except Stop as stop:
        return give_up(change, stop.code, stop.message)


class Stop(Exception):
    """What ends a change before its swap, for good."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def again(change: Change, cursor: dict[str, Any], why: str = IN_THE_WAY) -> Step:
    """Try the same again after a pause, which grows: who waits for the whole table is in everybody's way."""
    tries = int(cursor.get("tries", 0))
    if why != cursor.get("why"):
        change.say(why)
        change.save(update_fields=["log"])
    waiting = {**cursor, "tries": tries + 1, "why": why}
    if why == IN_THE_WAY and tries < len(PAUSES):
        sleep(PAUSES[tries])
        return Step(done=False, cursor=waiting)
    return Step(done=False, cursor=waiting, rest_seconds=REST_SECONDS)


def _begin(change: Change, shape: Shape, work: Slice, cursor: dict[str, Any]) -> Step:
    if shape.needs_column and not ddl.places(shape.old).free:
        raise Stop("no-room", NO_ROOM)
    tables.begin(shape)
    change.failing_records.all()._raw_delete("default")  # those of the check: they may be others by now
    change.failing = change.rewritten = change.edited = change.unreadable_versions = 0
    with connection.cursor() as database:
        database.execute(f'SELECT count(*) FROM "{shape.table}"')
        change.records = int(database.fetchone()[0])
        versions = 0
        if shape.needs_column:
            database.execute(f'SELECT count(*) FROM "{shape.history}"')
            versions = int(database.fetchone()[0])
    change.say("Began. What is written from now on is noted and converted too.")
    change.save()
    return Step(done=False, cursor={"phase": "records"}, total=change.records + versions)


def _records(change: Change, shape: Shape, work: Slice, cursor: dict[str, Any]) -> Step:
    tables.writing(shape)
    if shape.column is None:
        _refuse_empty(change, shape)
        return Step(done=False, cursor={"phase": "catch_up"}, processed=change.records)
    after, processed, started = int(cursor.get("after", -(2**63))), 0, monotonic()
    converter = _converter(shape)
    is_last = False
    while not is_last and monotonic() - started < HELD_SECONDS:
        found, is_last = tables.records_after(shape, after, locked=shape.needs_column)
        if found:
            after = found[-1][0]
        _take(change, shape, found, converter, all_of_them=False)
        processed += len(found)
    change.save(update_fields=["failing", "rewritten", "edited"])
    if not is_last:
        return Step(done=False, cursor={"phase": "records", "after": after}, processed=processed)
    change.say(f"{count(change.records, 'record')} looked at.")
    change.save(update_fields=["log"])
    following = "versions" if shape.needs_column else "catch_up"
    return Step(done=False, cursor={"phase": following}, processed=processed)


def _take(
    change: Change, shape: Shape, found: tables.Values, converter: Converter | Reverter, *, all_of_them: bool
) -> None:
    converted = converter.convert([value for _pk, value in found])
    failing = []
    for (pk, value), one in zip(found, converted, strict=True):
        if one.is_failing and not shape.may_empty:
            name = tables.record_names(shape.old, [pk]).get(pk, f"record {pk}")
            FailingRecord.objects.create(
                change=change, record_id=pk, name=name, value=value[-1], code=one.code, rule=one.rule
            )
            change.failing += 1
            change.save(update_fields=["failing"])
            raise Stop("not-convertible", _refusal(shape, name, value[-1], one))
        if one.is_failing or one.is_edited:
            failing.append((pk, value[-1], one))
            change.failing += one.is_failing
            change.edited += one.is_edited
        if one.text != value[-1] and not one.is_failing:
            change.rewritten += 1
    if all_of_them:  # they may have been looked at before
        FailingRecord.objects.filter(change=change, record_id__in=[pk for pk, _value in found]).delete()
    _keep_failing(change, shape, failing)
    if shape.needs_column:
        _write(
            shape,
            {pk: one for (pk, _value), one in zip(found, converted, strict=True)},
            all_of_them=all_of_them,
        )


def _write(shape: Shape, converted: dict[int, Converted], *, all_of_them: bool) -> None:
    try:
        with transaction.atomic():
            tables.write_records(shape, converted, all_of_them=all_of_them)
    except IntegrityError as error:
        if isinstance(error.__cause__, UniqueViolation):
            raise Stop("repeated-values", _repeated(shape)) from error
        raise


def _refusal(shape: Shape, name: str, text: str | None, one: Converted) -> str:
    shown = "No value" if text is None else f"“{text[:60]}”"
    return (
        f"{shown} in “{shape.before.label}” of {name} does not fit: {one.rule} Nothing was changed."
        " Correct the records, or let those that fail lose their value, and ask for the change again."
    )


def _repeated(shape: Shape) -> str:
    return (
        "Records would have the same value where it must be unique. Nothing was changed."
        " Ask for the change again: its check names them."
    )


def _versions(change: Change, shape: Shape, work: Slice, cursor: dict[str, Any]) -> Step:
    tables.writing(shape)
    after, processed = int(cursor.get("after", -(2**63))), 0
    converter, is_last = _converter(shape), False
    while not is_last and work.time_left() > 0:
        found, is_last = tables.versions_after(shape, after)
        if found:
            after = found[-1][0]
        _take_versions(change, shape, found, converter, all_of_them=False)
        processed += len(found)
    change.save(update_fields=["unreadable_versions"])
    if not is_last:
        return Step(done=False, cursor={"phase": "versions", "after": after}, processed=processed)
    change.say("The former versions are converted too.")
    change.save(update_fields=["log"])
    return Step(done=False, cursor={"phase": "catch_up"}, processed=processed)


def _take_versions(
    change: Change, shape: Shape, found: tables.Values, converter: Converter | Reverter, *, all_of_them: bool
) -> None:
    converted = converter.in_history([value for _pk, value in found])
    change.unreadable_versions += sum(one.is_failing for one in converted)
    rows = {pk: one for (pk, _value), one in zip(found, converted, strict=True)}
    tables.write_versions(shape, rows, all_of_them=all_of_them)


def _catch_up(change: Change, shape: Shape, work: Slice, cursor: dict[str, Any]) -> Step:
    tables.writing(shape)
    started = monotonic()
    before = tables.waiting(shape, DRAINED_ROWS * 100)
    while tables.waiting(shape, 1) and monotonic() - started < HELD_SECONDS:
        _drain(change, shape, tables.BATCH_ROWS, locked=True)
        if tables.waiting(shape, before + 1) >= before:  # others hold these records
            break
    change.save(update_fields=["failing", "rewritten", "edited", "unreadable_versions"])
    if tables.waiting(shape, DRAINED_ROWS) >= DRAINED_ROWS:
        return Step(done=False, cursor={"phase": "catch_up"})
    return Step(done=False, cursor={"phase": "index"})


def _drain(change: Change, shape: Shape, limit: int, *, locked: bool) -> None:
    versions, records = tables.written_since(shape, limit)
    converter = _converter(shape) if shape.column else None
    if converter is None:
        _refuse_empty(change, shape, records)
        return
    found = tables.records_of(shape, records, locked=locked and shape.needs_column)
    _take(change, shape, found, converter, all_of_them=True)
    if shape.needs_column and versions:
        _take_versions(change, shape, tables.versions_of(shape, versions), converter, all_of_them=True)


def _refuse_empty(change: Change, shape: Shape, records: list[int] | None = None) -> None:
    """Stop where a column of a new key has no value in one of these records, or in any."""
    for column in shape.new.columns:
        if column.name in shape.newly_required:
            rule = f"“{column.label}” needs a value in every record, because it is part of the key."
            found = tables.find_empty(shape, column, rule=rule, change_pk=change.pk, only=records)
            if found:
                change.failing += found
                change.save(update_fields=["failing"])
                raise Stop(
                    "not-convertible", f"{rule} {count(found, 'record')} has none. Nothing was changed."
                )


def _index(change: Change, shape: Shape, work: Slice, cursor: dict[str, Any]) -> Step:
    # Not a word to the table in this slice: the index waits for every transaction that uses it, ours too.
    with work.long_statement():
        for name in shape.uniques_to_build:
            try:
                is_built = tables.build_index(shape, name, records=change.records)
            except UniqueViolation as error:
                raise Stop("repeated-values", _repeated(shape)) from error
            except IntegrityError as error:
                raise Stop("repeated-values", _repeated(shape)) from error
            if not is_built:
                return again(change, cursor, "Another process builds an index of this change.")
    return Step(done=False, cursor={"phase": "swap"})


def _swap(change: Change, shape: Shape, work: Slice, cursor: dict[str, Any]) -> Step:
    if tables.waiting(shape, DRAINED_ROWS) >= DRAINED_ROWS:
        return Step(done=False, cursor={"phase": "catch_up"})
    try:
        with tables.whole_tables(shape, dataset_too=True), connection.cursor() as database:
            dataset = Dataset.objects.select_for_update().get(pk=change.dataset_id)
            signals.changing.send(
                sender=Dataset, dataset=dataset, column=change.column if shape.needs_column else None
            )
            if tables.waiting(shape, DRAINED_ROWS) >= DRAINED_ROWS:
                raise ddl.DatasetBusy(IN_THE_WAY)
            while tables.waiting(shape, 1):
                _drain(change, shape, DRAINED_ROWS, locked=False)
            tables.swap(shape, database)
            _define(change, dataset, shape)
    except RowhouseError as waits:  # an import that was confirmed goes first
        return again(change, cursor, waits.message)
    return Step(done=False, cursor={"phase": "validate"})


def _define(change: Change, dataset: Dataset, shape: Shape) -> None:
    """Make the definition the new one, in the transaction of the swap."""
    for column in Column.objects.filter(pk__in=[int(pk) for pk in change.after["columns"]]):
        new = next(one for one in shape.new.columns if one.pk == column.pk)
        column.type, column.is_required, column.is_unique = new.type, new.is_required, new.is_unique
        column.options = stored_options(new.options)
        column._history_user = change.confirmed_by  # type: ignore[attr-defined] # simple-history reads it
        column._change_reason = str(change)  # type: ignore[attr-defined]
        column.save(update_fields=["type", "is_required", "is_unique", "options"])
    dataset.key = change.after["key"]
    dataset.definition_version += 1
    dataset._history_user = change.confirmed_by  # type: ignore[attr-defined]
    dataset._change_reason = str(change)  # type: ignore[attr-defined]
    dataset.save()
    change.swapped_at = clock()
    if shape.needs_column:
        change.kept_until = change.swapped_at + timedelta(days=KEPT_DAYS)
    change.say("The new definition is in force.")
    change.save()
    if change.reverts is not None:
        change.reverts.move(old=(ChangeState.CHANGE_SUCCEEDED,), new=ChangeState.REVERTED)
    record(
        "datasets.change.made", actor=change.confirmed_by, target=dataset, change=change.pk,
        before=change.before, after=change.after, emptied=change.failing,
    )  # fmt: skip
    signals.changed.send(sender=Dataset, dataset=dataset)


def validate(change: Change, shape: Shape, work: Slice, cursor: dict[str, Any]) -> Step:
    """Let PostgreSQL look at every record for rules that hold so far for new ones alone."""
    with (
        work.long_statement(),
        transaction.atomic(),
        ddl.short_wait(WAITS_FOR_WRITERS),
        connection.cursor() as database,
    ):
        tables.validate(shape, database)
    return Step(done=False, cursor={"phase": "require"})


WAITS_FOR_WRITERS = 2.0  # it keeps nobody from reading or writing


def require(change: Change, shape: Shape, work: Slice, cursor: dict[str, Any]) -> Step:
    """Say NOT NULL where it was found so, and end the change well."""
    with connection.cursor() as database:
        tables.require(shape, database)
        if shape.column:
            database.execute(f'ANALYZE "{shape.table}" ("{shape.column}")')
    finish(change)
    return Step(done=True)


def finish(change: Change, note: str = "Done.") -> None:
    """End a change whose definition is in force."""
    change.say(note)
    change.move(
        old=(ChangeState.CHANGE_IN_PROGRESS,),
        new=ChangeState.CHANGE_SUCCEEDED,
        ended_at=clock(),
        log=change.log,
    )


PHASES = {
    "begin": _begin,
    "records": _records,
    "versions": _versions,
    "catch_up": _catch_up,
    "index": _index,
    "swap": _swap,
    "validate": validate,
    "require": require,
}


# ---- the end of one that was not to be


def give_up(change: Change, code: str, message: str) -> Step:
    """End a change before its swap, and tidy up in the next slice."""
    end(change, new=ChangeState.CHANGE_FAILED, code=code, message=message)
    return Step(done=False, cursor={"phase": "tidy"})


def end(change: Change, *, new: str, code: str, message: str) -> None:
    """End a change before its swap: the records are as they were."""
    change.say(message)
    if change.move(old=OPEN, new=new, error_code=code, error=message, ended_at=clock(), log=change.log):
        record("datasets.change.ended", target=change.dataset, change=change.pk, state=new, code=code)


def _leave_nothing(change: Change, work: Slice) -> Step:
    """Take away what stands beside the records."""
    if change.swapped_at is not None or change.state == ChangeState.CHANGE_IN_PROGRESS:
        return Step(done=True)
    shape = shape_of(change)
    try:
        tables.leave_nothing(shape)
    except ddl.DatasetBusy:
        return Step(done=False, cursor={"phase": "tidy"}, rest_seconds=REST_SECONDS)
    _forget_check(shape)
    return Step(done=True)


def leave_nothing(change: Change, work: Slice) -> Step:
    """Do one slice of tidying up after a change that was cancelled or failed."""
    return _leave_nothing(change, work)
