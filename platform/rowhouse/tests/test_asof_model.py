"""The past of a dataset against a model of the truth: plain dicts, one for each moment.

Random edits, bulk edits, imports of every mode, undos, reverts, restores and changes of the definition are done to a
dataset by the real services, and to the dicts by a few lines of Python. Then every moment is asked for, records are put
back to what they were, and any two moments are compared.

`ROWHOUSE_ASOF_RUNS=200 pytest …` runs that many sequences, each twice as long; without it there are a few.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any

import pytest
from django.db import connection

from accounts.models import User
from audit.tracking import untracked
from core.errors import RowhouseError
from core.tenancy import TenantRef, in_tenant
from datasets import cells, changesets, changing
from datasets.asof import records_as_of, spec_of_then
from datasets.cells import CellEdit, edit_cells
from datasets.change_models import OnFailure
from datasets.changeset import State
from datasets.columntypes import type_of
from datasets.differing import Between
from datasets.editing import add_columns, bring_back_column, retire_column
from datasets.models import Column, Dataset
from datasets.operations import SET, Operation
from datasets.rows import get_row_model
from datasets.rules import NewColumn
from datasets.tests.changes import worked
from datasets.tests.conftest import make_dataset, person
from datasets.tests.moments import database_time
from datasets.unrecorded import Unrecorded, unrecorded
from importer.models import ImportJob
from importer.models import State as ImportState
from importer.tests.tools import merge, upload, work
from importer.undo import undo_import
from rowhouse.restoring import request_restore

LONG_RUNS = int(os.environ.get("ROWHOUSE_ASOF_RUNS", "0"))
SEEDS = range(LONG_RUNS or 3)
STEPS = 60 if LONG_RUNS else 26
COLUMNS = (
    NewColumn("Key", "text"),
    NewColumn("Word", "text"),
    NewColumn("Code", "text"),
    NewColumn("Note", "text"),
)
# Half of them are numbers too, in their canonical form.
VALUES = ("alpha", "beta", "x1", "7", "42", "-3", "100")

Row = dict[int, str | None]
Contents = dict[int, Row]


@dataclass
class Moment:
    """What was there at a moment."""

    at: datetime
    contents: Contents


@dataclass
class Done:
    """What one cause did."""

    cause: Any
    before: Contents
    after: Contents


@dataclass
class Truth:
    """A dataset and all that is known of its past, and the dice."""

    dataset: Dataset
    by: User
    random: Random
    now: Contents = field(default_factory=dict)
    moments: list[Moment] = field(default_factory=list)
    done: list[Done] = field(default_factory=list)
    began: dict[int, datetime] = field(default_factory=dict)  # when columns were added
    log: list[str] = field(default_factory=list)
    keys: int = 0

    # ---- what is known

    def columns(self) -> list[Column]:
        return list(Column.objects.filter(dataset=self.dataset, is_retired=False).order_by("position"))

    def key(self) -> int:
        return int(self.dataset.key[0])

    def others(self) -> list[Column]:
        return [column for column in self.columns() if column.pk != self.key()]

    def held(self) -> dict[int, str]:
        """Return the table's columns by their numbers: retired ones too, and below 0, by that of the change, those
        in which a change of type has kept what was there before it."""
        names = {
            pk: f"c{pk}" for pk in Column.objects.filter(dataset=self.dataset).values_list("pk", flat=True)
        }
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT attname::text FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
                " AND NOT attisdropped AND attname ~ '_was'",
                [f"ds_{self.dataset.pk}"],
            )
            return names | {-int(name.rpartition("_was")[2]): name for (name,) in cursor.fetchall()}

    def live(self) -> Contents:
        """Return what the table holds, read by itself."""
        held = self.held()
        with connection.cursor() as cursor:
            read = ", ".join(f"{name}::text" for name in held.values())
            cursor.execute(f"SELECT id, {read} FROM ds_{self.dataset.pk}")
            return {row[0]: dict(zip(held, row[1:], strict=True)) for row in cursor.fetchall()}

    def expect(self, wanted: Contents, new: list[Row] | None = None) -> None:
        """Go on from what the dataset must be now: these records, and new ones under whatever number."""
        found = self.live()
        added = {pk: row for pk, row in found.items() if pk not in wanted}
        assert {pk: row for pk, row in found.items() if pk in wanted} == self.whole(wanted), self.log
        as_text = [sorted(row.items()) for row in self.whole(dict(enumerate(new or []))).values()]
        assert sorted(sorted(row.items()) for row in added.values()) == sorted(as_text), self.log
        self.now = found

    def whole(self, contents: Contents) -> Contents:
        """Return records with every column there is by now."""
        held = self.held()
        return {id_: {pk: row.get(pk) for pk in held} for id_, row in contents.items()}

    def remember(self) -> None:
        self.moments.append(Moment(database_time(), {pk: dict(row) for pk, row in self.now.items()}))

    def every(self) -> Iterator[Contents]:
        yield self.now
        yield from (moment.contents for moment in self.moments)
        for done in self.done:
            yield done.before
            yield done.after

    def value(self, column: Column) -> str:
        return str(self.random.randint(-5, 99)) if column.type == "integer" else self.random.choice(VALUES)

    def some(self, share: float = 0.5) -> list[int]:
        return [pk for pk in sorted(self.now) if self.random.random() < share]

    def keep(self, cause: Any, before: Contents) -> None:
        self.done.append(
            Done(
                cause,
                {pk: dict(row) for pk, row in before.items()},
                {pk: dict(row) for pk, row in self.now.items()},
            )
        )

    # ---- what is done to it

    def add(self) -> None:
        self.keys += 1
        row: Row = {self.key(): f"K{self.keys}"}
        for column in self.others():
            if self.random.random() < 0.7:
                row[column.pk] = self.value(column)
        values = {f"c{pk}": value for pk, value in row.items()}
        get_row_model(self.dataset).objects.create(**values)
        self.expect(self.now, [row])

    def edit(self) -> None:
        edits, wanted = [], {pk: dict(row) for pk, row in self.now.items()}
        for pk in self.some():
            column = self.random.choice(self.others())
            value = self.value(column)
            edits.append(CellEdit(pk, f"c{column.pk}", self.now[pk].get(column.pk), value))
            wanted[pk][column.pk] = value
        before = self.now
        changes = edit_cells(dataset=self.dataset, edits=edits, by=self.by).changes
        self.expect(wanted)
        if changes is not None:
            self.keep(changes, before)

    def bulk_edit(self) -> None:
        column, picked, before = self.random.choice(self.others()), self.some(), self.now
        value = self.value(column)
        records = get_row_model(self.dataset).objects.filter(pk__in=picked)
        made = changesets.plan_edit(
            dataset=self.dataset,
            records=records,
            operation=Operation(f"c{column.pk}", SET, value),
            by=self.by,
        )
        made = changesets.confirm_changes(changes=made, by=self.by, seen=made.plans)
        self.expect({pk: {**row, column.pk: value} if pk in picked else row for pk, row in before.items()})
        self.note(made, before)

    def bulk_delete(self) -> None:
        picked, before = self.some(0.3), self.now
        records = get_row_model(self.dataset).objects.filter(pk__in=picked)
        made = changesets.plan_delete(dataset=self.dataset, records=records, by=self.by)
        made = changesets.confirm_changes(changes=made, by=self.by, seen=made.plans)
        self.expect({pk: row for pk, row in before.items() if pk not in picked})
        self.note(made, before)

    def note(self, made: Any, before: Contents) -> None:
        if made.state == State.DONE:
            self.keep(made, before)

    def load(self) -> None:
        """Import a file of some records that are there and some new ones."""
        mode = self.random.choice(("upsert", "insert", "update", "sync"))
        columns = [column for column in self.others() if self.random.random() < 0.8] or self.others()
        there = {str(self.now[pk][self.key()]): pk for pk in self.some(0.6)}
        fresh = [f"K{self.keys + at}" for at in range(1, self.random.randint(1, 4))]
        self.keys += len(fresh)
        rows: dict[str, Row] = {
            key: {column.pk: self.value(column) for column in columns} for key in [*there, *fresh]
        }
        lines = [["Key", *(column.label for column in columns)]]
        lines += [[key, *(str(value) for value in row.values())] for key, row in rows.items()]
        text = "".join(",".join(line) + "\n" for line in lines)
        before = self.now
        job = upload(self.dataset, text, mode=mode, by=self.by)
        if job.state != ImportState.PREVIEW_SUCCEEDED:
            raise RowhouseError(f"{mode}: {job.error}")
        job = merge(job, by=self.by, deletes=job.deleted_rows or None)
        if job.state != ImportState.IMPORT_SUCCEEDED:
            raise RowhouseError(f"{mode}: {job.error} {job.notice}")
        wanted = {pk: dict(row) for pk, row in before.items()}
        if mode != "insert":
            for key, pk in there.items():
                wanted[pk] |= rows[key]
        if mode == "sync":
            wanted = {pk: row for pk, row in wanted.items() if pk in there.values()}
        new: list[Row] = [] if mode == "update" else [{self.key(): key, **rows[key]} for key in fresh]
        self.expect(wanted, new)
        self.keep(job, before)

    def undo(self) -> None:
        """Undo something that was done: records that say otherwise since stay, and keys that others have."""
        if not self.done:
            return
        what, before = self.random.choice(self.done[-6:]), self.now
        what.cause.refresh_from_db()
        if isinstance(what.cause, ImportJob):
            job = work(undo_import(job=what.cause, by=self.by))
            if job.state != ImportState.PREVIEW_SUCCEEDED:
                raise RowhouseError(job.error)
            made: Any = merge(job, by=self.by, deletes=job.deleted_rows or None)
            assert made.state == ImportState.IMPORT_SUCCEEDED, made.error or made.notice
        else:
            made = changesets.plan_undo(changes=what.cause, by=self.by)
            made = changesets.confirm_changes(changes=made, by=self.by, seen=made.plans)
            assert made.state == State.DONE, made.error
        then, left = self.whole(what.before), self.whole(what.after)
        wanted = self.whole(before)
        touched = [pk for pk in then.keys() | left.keys() if then.get(pk) != left.get(pk)]
        agrees = [pk for pk in touched if wanted.get(pk) == left.get(pk)]
        for pk in agrees:
            if pk not in then:
                del wanted[pk]
            elif pk in left:
                wanted[pk] = then[pk]
        for pk in agrees:
            if pk in then and pk not in left:
                taken = {row[self.key()] for row in wanted.values()}
                if then[pk][self.key()] not in taken:
                    wanted[pk] = then[pk]
        self.expect(wanted)
        self.keep(made, before)

    def revert(self) -> None:
        """Put a record back to what it was at some moment, whole or one column; what it was the model says."""
        if not self.now or not self.moments:
            return
        moment, pk = self.random.choice(self.moments), self.random.choice(sorted(self.now))
        if pk not in moment.contents:
            return
        model, before = get_row_model(self.dataset), self.now
        version = model.history.filter(id=pk, history_date__lte=moment.at).order_by("-history_id").first()
        newest = model.history.filter(id=pk).order_by("-history_id").first()
        columns = self.columns()
        if self.random.random() < 0.5:
            columns = [self.random.choice(columns)]
        made = cells.revert_record(
            dataset=self.dataset, record_id=pk, version_id=version.history_id, seen=newest.history_id, by=self.by,
            columns=None if len(columns) > 1 else [f"c{columns[0].pk}"],
        )  # fmt: skip
        then = self.whole(moment.contents)[pk]
        self.expect(before | {pk: {**before[pk], **{column.pk: then[column.pk] for column in columns}}})
        if made is not None:
            self.keep(made, before)

    def bring_back(self) -> None:
        """Bring a deleted record back as it was at some moment."""
        gone = [(moment, pk) for moment in self.moments for pk in moment.contents if pk not in self.now]
        if not gone:
            return
        moment, pk = self.random.choice(gone)
        model, before = get_row_model(self.dataset), self.now
        version = model.history.filter(id=pk, history_date__lte=moment.at).order_by("-history_id").first()
        newest = model.history.filter(id=pk).order_by("-history_id").first()
        made = cells.bring_back(
            dataset=self.dataset,
            record_id=pk,
            version_id=version.history_id,
            seen=newest.history_id,
            by=self.by,
        )
        self.expect(before | {pk: self.whole(moment.contents)[pk]})
        self.keep(made, before)

    def restore(self) -> None:
        """Make the dataset what it was, by key: what was not known then stays, and deleted records come anew."""
        if not self.moments:
            return
        moment, before = self.random.choice(self.moments), self.now
        known = [one.pk for one in spec_of_then(self.dataset, self.dataset.spec(), moment.at)[0].columns]
        job = work(request_restore(dataset=self.dataset, by=self.by, at=moment.at))
        assert job.state == ImportState.PREVIEW_SUCCEEDED, (job.error, job.issue_counts)
        job = merge(job, by=self.by, deletes=job.deleted_rows or None)
        assert job.state == ImportState.IMPORT_SUCCEEDED, job.error or job.notice
        then = {row[self.key()]: row for row in moment.contents.values()}
        wanted = {
            pk: {**row, **{column: then[row[self.key()]].get(column) for column in known}}
            for pk, row in before.items()
            if row[self.key()] in then
        }
        there = {row[self.key()] for row in before.values()}
        new = [{column: row.get(column) for column in known} for key, row in then.items() if key not in there]
        self.expect(wanted, new)
        self.keep(job, before)

    def change_type(self) -> None:
        """Make a column another type; what it cannot hold is no value from now on, and never was one."""
        column = self.random.choice(self.others())
        kind = "text" if column.type == "integer" else "integer"
        change = worked(changing.propose_change(dataset=self.dataset, column=column, type=kind, by=self.by))
        changing.confirm_change(change=change, on_failure=OnFailure.EMPTY, by=self.by)
        worked(change)
        assert change.state == "CHANGE_SUCCEEDED", change.error
        for contents in self.every():
            for row in contents.values():
                # Kept, and so a record whose value was lost with the type is none that nobody has edited.
                row[-change.pk] = row.get(column.pk)
                if kind == "integer" and not re.fullmatch(r"-?[0-9]+", row.get(column.pk) or ""):
                    row[column.pk] = None
        self.expect(self.now)

    def add_column(self) -> None:
        if len(self.columns()) > 7:
            return
        [made] = add_columns(
            dataset=self.dataset, columns=[NewColumn(f"Extra {len(self.began)}")], by=self.by
        )
        self.began[made.pk] = database_time()
        self.expect(self.now)

    def retire(self) -> None:
        if len(self.others()) > 2:
            retire_column(dataset=self.dataset, column=self.random.choice(self.others()), by=self.by)
        self.expect(self.now)

    def unretire(self) -> None:
        if retired := list(Column.objects.filter(dataset=self.dataset, is_retired=True).order_by("pk")):
            bring_back_column(dataset=self.dataset, column=self.random.choice(retired), by=self.by)
        self.expect(self.now)

    def step(self) -> None:
        everyday: list[Callable[[], None]] = [
            self.add,
            self.edit,
            self.bulk_edit,
            self.load,
            self.revert,
            self.undo,
        ]
        rare = [
            self.bulk_delete,
            self.bring_back,
            self.restore,
            self.change_type,
            self.add_column,
            self.retire,
        ]
        what = self.random.choice([*everyday, *everyday, *rare, self.unretire])
        self.log.append(what.__name__)
        try:
            what()
        except RowhouseError as refused:  # a rule forbids it: nothing was done
            self.log[-1] += f" refused: {refused.message}"
            self.expect(self.now)
        self.dataset.refresh_from_db()
        self.remember()

    # ---- what the past must say

    def faults(self, *, pairs: int = 12) -> list[str]:
        """Return what the past says otherwise than the model does."""
        found = [f"{one.what}: {one.record_id}" for one in unrecorded(self.dataset.spec())]
        for moment in self.moments:
            spec, later = spec_of_then(self.dataset, self.dataset.spec(), moment.at)
            if {one.pk for one in later} != {pk for pk, at in self.began.items() if at > moment.at} & {
                one.pk for one in self.columns()
            }:
                found.append(f"columns as of {moment.at}")
            wanted = {
                pk: {column.pk: row.get(column.pk) for column in spec.columns}
                for pk, row in moment.contents.items()
            }
            for all_of_them in (False, True):
                rows = records_as_of(spec, moment.at, all_of_them=all_of_them)
                read = {
                    row.pk: {one.pk: _text(one, getattr(row, one.name)) for one in spec.columns}
                    for row in rows
                }
                if read != wanted:
                    found.append(f"as of {moment.at}")
        for _ in range(pairs):
            older, newer = sorted(self.random.sample(self.moments, 2), key=lambda one: one.at)
            found += self.faults_between(older, newer)
        return found

    def faults_between(self, older: Moment, newer: Moment) -> list[str]:
        spec = spec_of_then(self.dataset, self.dataset.spec(), newer.at)[0]
        between = Between(spec, older.at, newer.at)
        wanted: dict[int, tuple[str, dict[int, tuple[str | None, str | None]]]] = {}
        for pk in older.contents.keys() | newer.contents.keys():
            was, is_ = older.contents.get(pk), newer.contents.get(pk)
            cells = {
                one.pk: ((was or {}).get(one.pk), (is_ or {}).get(one.pk))
                for one in spec.columns
                if (was or {}).get(one.pk) != (is_ or {}).get(one.pk)
            }
            if was is None or is_ is None:
                wanted[pk] = ("created" if was is None else "deleted", cells)
            elif cells:
                wanted[pk] = ("changed", cells)
        read: dict[int, Any] = {}
        while page := between.page(after=max(read, default=0), size=7):
            for one in page:
                read[one.record_id] = (
                    one.kind,
                    {int(cell.column[1:]): (cell.old, cell.new) for cell in one.cells},
                )
        totals = between.totals()
        kinds = {kind: sum(1 for found, _ in wanted.values() if found == kind) for kind in totals.kinds}
        columns = {one.name: sum(one.pk in found for _, found in wanted.values()) for one in spec.columns}
        said = (read, dict(totals.kinds), dict(totals.columns))
        return [] if said == (wanted, kinds, columns) else [f"between {older.at} and {newer.at}"]


def _text(column: Any, value: Any) -> str | None:
    return None if value is None else type_of(column).to_text(value)


def told(seed: int, by: User, steps: int = STEPS) -> Truth:
    """Return a dataset with a past."""
    truth = Truth(make_dataset("Things", COLUMNS, ["Key"]), by, Random(seed))
    truth.remember()
    for _ in range(5):
        truth.add()
    for _ in range(steps):
        truth.step()
    return truth


@pytest.mark.parametrize("seed", SEEDS)
def test_every_moment_and_any_two_say_what_the_model_does(
    acme: TenantRef, globex: TenantRef, seed: int
) -> None:
    with in_tenant(globex):
        theirs = make_dataset("Things", COLUMNS, ["Key"])
        get_row_model(theirs).objects.create(**{theirs.spec().columns[0].name: "THEIRS"})
    owner = person(acme, "owner")
    with in_tenant(acme):
        truth = told(seed, owner)
        assert truth.faults(pairs=40 if LONG_RUNS else 12) == [], truth.log


def test_the_sequences_do_everything_there_is(as_acme: TenantRef, acme: TenantRef) -> None:
    """The dice of the short form come up with each kind of change that is not refused."""
    done = {
        name for seed in range(2) for name in told(seed, person(acme, "owner")).log if "refused" not in name
    }
    assert done >= {"edit", "bulk_edit", "load", "undo", "revert"}, done


def test_a_write_without_history_is_found(as_acme: TenantRef, acme: TenantRef) -> None:
    truth = told(1, person(acme, "owner"), steps=4)
    assert truth.faults() == []
    spec = truth.dataset.spec()
    pk = max(truth.now)
    word = next(f"c{one.pk}" for one in truth.others() if one.type == "text")
    with untracked(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE {spec.table} SET {word} = 'unseen' WHERE id = %s", [pk])
    truth.now = truth.live()
    truth.remember()
    assert unrecorded(spec) == [Unrecorded(pk, "other")]
    assert f"as of {truth.moments[-1].at}" in truth.faults()


def test_an_entry_that_is_lost_is_found(as_acme: TenantRef, acme: TenantRef) -> None:
    truth = told(2, person(acme, "owner"), steps=4)
    spec = truth.dataset.spec()
    with connection.cursor() as cursor:
        cursor.execute(
            f"DELETE FROM {spec.history_table} WHERE history_id = (SELECT min(history_id) FROM {spec.history_table})"
        )
    assert truth.faults() != []
