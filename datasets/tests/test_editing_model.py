"""Change sets and their undo against a model in Python: random edits of every kind, and what must be left of them."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from accounts.models import User
from core.tenancy import TenantRef
from datasets import cells, changesets, operations
from datasets.cells import CellEdit, edit_cells
from datasets.changeset import ChangeSet, State
from datasets.columntypes.base import BadValue
from datasets.models import Dataset
from datasets.operations import Operation
from datasets.rows import get_row_model
from datasets.rules import NewColumn
from datasets.spec import ColumnOptions
from datasets.tests.conftest import add_record, make_dataset, person
from datasets.tests.test_cells import Contents, contents

COLUMNS = (
    NewColumn("Key", "integer"),
    NewColumn("Word", "text", options=ColumnOptions(max_length=4)),
    NewColumn("Code", "text", is_unique=True),
    NewColumn("Count", "integer", options=ColumnOptions(minimum="0", maximum="9")),
)
UNIQUE = (0, 2)  # the places of what must be unique
WORDS = ("", "a", "ab", "aB", "abab", "b")


def taken(there: Contents, pk: int, row: tuple[Any, ...]) -> bool:
    """Whether another record holds a unique value of a row."""
    return any(
        row[at] is not None and row[at] == other[at]
        for one, other in there.items()
        if one != pk
        for at in UNIQUE
    )


def edited(now: Contents, picked: set[int], operation: Operation, dataset: Dataset) -> tuple[Contents, int]:
    """Return what a bulk edit must leave, and how many records it must refuse."""
    columns = dataset.spec().columns
    place = next(at for at, one in enumerate(columns) if one.name == operation.column)
    column, wanted, refused = columns[place], {}, 0
    for pk in picked:
        old = None if now[pk][place] is None else str(now[pk][place])
        try:
            new = (
                operations.constant(operation, column)
                if operation.how in (operations.SET, operations.CLEAR)
                else operations.changed(operation, old, column)
            )
        except BadValue:
            refused += 1
            continue
        if new != old:
            typed = new if new is None or column.type == "text" else int(new)
            wanted[pk] = (*now[pk][:place], typed, *now[pk][place + 1 :])
    if place in UNIQUE:
        values = [row[place] for row in wanted.values() if row[place] is not None]
        bad = {
            pk for pk, row in wanted.items()
            if row[place] is not None and (values.count(row[place]) > 1 or taken(now, pk, row))
        }  # fmt: skip
        refused += len(bad)
        wanted = {pk: row for pk, row in wanted.items() if pk not in bad}
    return now | wanted, refused


def undone(before: Contents, after: Contents, now: Contents) -> tuple[Contents, int]:
    """Return what the undo of a change from `before` to `after` must leave of `now`, and how many it must keep."""
    touched = sorted(pk for pk in before.keys() | after.keys() if before.get(pk) != after.get(pk))
    kept = {
        pk for pk in touched
        if now.get(pk) != after.get(pk) and not (pk not in before and pk not in now)
    }  # fmt: skip
    left = [pk for pk in touched if pk not in kept and now.get(pk) == after.get(pk)]
    final = {pk: row for pk, row in now.items() if not (pk in left and pk not in before)}
    changed = [pk for pk in left if pk in before and pk in after]
    holders = dict(final)
    for pk in changed:
        moves = [at for at in UNIQUE if before[pk][at] is not None]
        if any(before[pk][at] == row[at] for at in moves for other, row in holders.items() if other != pk):
            kept.add(pk)
    for at in UNIQUE:
        wanting: set[Any] = set()
        for pk in changed:
            if pk in kept or before[pk][at] is None or now[pk][:] == before[pk][:]:
                continue
            if before[pk][at] in wanting:
                kept.add(pk)
            wanting.add(before[pk][at])
    final |= {pk: before[pk] for pk in changed if pk not in kept}
    for pk in left:
        if pk in before and pk not in after and taken(final, pk, before[pk]):
            kept.add(pk)
    final |= {pk: before[pk] for pk in left if pk in before and pk not in after and pk not in kept}
    return final, len(kept)


class Chance:
    """Everything random of one run."""

    def __init__(self, seed: int, dataset: Dataset, by: User) -> None:
        self.random, self.dataset, self.by = Random(seed), dataset, by
        self.spec = dataset.spec()
        self.names = [one.name for one in self.spec.columns]
        self.done: list[tuple[ChangeSet, Contents, Contents]] = []

    def value(self, place: int) -> str:
        if place in (0, 3):
            return str(self.random.randint(0, 12))
        return self.random.choice(WORDS)

    def some(self, now: Contents) -> set[int]:
        return {pk for pk in now if self.random.random() < 0.6}

    def keep(self, changes: ChangeSet | None, before: Contents) -> None:
        if changes is not None and changes.state == State.DONE:
            self.done.append((changes, before, contents(self.dataset)))

    def cells(self, now: Contents) -> None:
        """Edit some cells; what is refused, is left out."""
        edits = []
        for pk in self.some(now):
            place = self.random.randrange(4)
            seen = now[pk][place]
            edits.append(
                CellEdit(pk, self.names[place], None if seen is None else str(seen), self.value(place))
            )
        result = edit_cells(dataset=self.dataset, edits=edits, by=self.by, skips_refused=True)
        then = contents(self.dataset)
        for edit, cell in zip(edits, result.cells, strict=True):
            stored = then[edit.record_id][self.names.index(edit.column)]
            assert cell.status in ("saved", "same", "refused")
            assert (None if stored is None else str(stored)) == cell.now
        assert {pk: row for pk, row in then.items() if pk not in {one.record_id for one in edits}} == {
            pk: row for pk, row in now.items() if pk not in {one.record_id for one in edits}
        }
        self.keep(result.changes, now)

    def edit(self, now: Contents) -> None:
        """Edit many."""
        place = self.random.randrange(4)
        how = self.random.choice(operations.offered(self.spec.columns[place]))
        operation = Operation(
            self.names[place], how, self.value(place), self.random.choice(("a", "b", "AB")),
            match_case=self.random.random() < 0.5,
        )  # fmt: skip
        if operations.why_not(operation, self.spec.columns[place]):
            return
        picked = self.some(now)
        records = get_row_model(self.dataset).objects.filter(pk__in=picked)
        made = changesets.plan_edit(dataset=self.dataset, records=records, operation=operation, by=self.by)
        expected, refused = edited(now, picked, operation, self.dataset)
        assert (made.kept_records, contents(self.dataset)) == (refused, now)
        made = changesets.confirm_changes(changes=made, by=self.by, seen=made.plans)
        assert contents(self.dataset) == expected, operation
        self.keep(made, now)

    def delete(self, now: Contents) -> None:
        picked = {pk for pk in now if self.random.random() < 0.4}
        records = get_row_model(self.dataset).objects.filter(pk__in=picked)
        made = changesets.plan_delete(dataset=self.dataset, records=records, by=self.by)
        made = changesets.confirm_changes(changes=made, by=self.by, seen=made.plans)
        assert contents(self.dataset) == {pk: row for pk, row in now.items() if pk not in picked}
        self.keep(made, now)

    def add(self, now: Contents) -> None:
        key = self.random.randint(0, 30)
        if all(row[0] != key for row in now.values()):
            add_record(self.dataset, Key=key, Word=self.random.choice(WORDS), Count=self.random.randint(0, 9))

    def revert(self, now: Contents) -> None:
        """Put one record back to one of its versions."""
        if not now:
            return
        pk = self.random.choice(sorted(now))
        history = list(get_row_model(self.dataset).history.filter(id=pk).order_by("history_id"))
        version = self.random.choice(history)
        wanted = tuple(getattr(version, name) for name in self.names)
        try:
            made = cells.revert_record(
                dataset=self.dataset, record_id=pk, version_id=version.pk, seen=history[-1].pk, by=self.by
            )
        except cells.VersionUnfit:
            assert taken(now, pk, wanted)
            return
        assert contents(self.dataset) == now | {pk: wanted}
        self.keep(made, now)

    def undo(self, now: Contents) -> None:
        """Undo one of the changes that are in force."""
        if not self.done:
            return
        at = self.random.randrange(len(self.done))
        changes, before, after = self.done[at]
        changes.refresh_from_db()
        try:
            made = changesets.plan_undo(changes=changes, by=self.by)
        except changesets.NotUndoable:
            return
        expected, kept = undone(before, after, now)
        assert (made.kept_records, contents(self.dataset)) == (kept, now)
        made = changesets.confirm_changes(changes=made, by=self.by, seen=made.plans)
        assert (made.state, contents(self.dataset)) == (State.DONE, expected), changes
        self.keep(made, now)


@pytest.mark.parametrize(
    "seed", [*range(4), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(4, 16))]
)
def test_changes_and_their_undo_leave_what_the_model_says(
    as_acme: TenantRef, globex: TenantRef, acme: TenantRef, seed: int
) -> None:
    dataset = make_dataset("Things", COLUMNS, ["Key"])
    for key in range(6):
        add_record(dataset, Key=key, Word=WORDS[key % 6] or None, Code=f"c{key}", Count=key)
    chance = Chance(seed, dataset, person(acme, "owner"))
    steps = (
        chance.cells,
        chance.edit,
        chance.edit,
        chance.delete,
        chance.add,
        chance.revert,
        chance.undo,
        chance.undo,
    )
    for _ in range(14):
        chance.random.choice(steps)(contents(dataset))
