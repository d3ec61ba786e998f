"""Undo against a model in Python: random imports of every mode, random edits, and what must be left of both."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from core.tenancy import TenantRef
from datasets.models import Dataset
from importer.models import State
from importer.tests.tools import make_orders, merge, upload
from importer.tests.undo_tools import Contents, add, buckets, contents, edit, kept, remove, undone

STATES = ("new", "paid", "sent")
UNIQUE = ((0,), (3,))  # the key, the note
Expected = tuple[Contents, tuple[int, int, int, int], list[tuple[str, str]]]


def expected(before: Contents, after: Contents, now: Contents) -> Expected:
    """What undo makes of a dataset: what was touched between `before` and `after`, and edited until `now`."""
    touched = {pk for pk in before.keys() | after.keys() if before.get(pk) != after.get(pk)}
    kept = {
        pk: "edited-since"
        for pk in touched
        if now.get(pk) != after.get(pk) and not (pk not in before and pk not in now)
    }
    left = sorted(pk for pk in touched - kept.keys() if now.get(pk) == after.get(pk))
    removed = {pk for pk in left if pk not in before}
    there = {pk: row for pk, row in now.items() if pk not in removed}
    changed = [pk for pk in left if pk in before and pk in after]
    back = [pk for pk in left if pk in before and pk not in after]
    # What changes may not take what another record has now.
    for pk in changed:
        if any(_has(row, before[pk]) for other, row in there.items() if other != pk):
            kept[pk] = "key-taken"
    for columns in UNIQUE:
        for place, pk in enumerate(changed):
            older = [one for one in changed[:place] if one not in kept]
            if pk not in kept and any(_has(before[one], before[pk], (columns,)) for one in older):
                kept[pk] = "key-taken"
    final = there | {pk: before[pk] for pk in changed if pk not in kept}
    # What comes back may not take what another record will have then.
    for pk in back:
        if any(_has(row, before[pk]) for row in final.values()):
            kept[pk] = "key-taken"
    final |= {pk: before[pk] for pk in back if pk not in kept}
    restored = sum(pk not in kept for pk in changed)
    came = sum(pk not in kept for pk in back)
    names = sorted((str((after.get(pk) or before[pk])[0]), code) for pk, code in kept.items())
    return final, (len(removed), restored, came, len(kept)), names


def _has(row: tuple[Any, ...], wanted: tuple[Any, ...], unique: tuple[tuple[int, ...], ...] = UNIQUE) -> bool:
    """Whether a record holds a unique value that another one wants."""
    return any(all(row[at] is not None and row[at] == wanted[at] for at in columns) for columns in unique)


class Chance:
    """Everything random of one run."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def file(self) -> str:
        """A file of some orders; few values, so that they meet again."""
        keys = self.random.sample(range(1, 16), self.random.randint(0, 10))
        return "id,status,amount,note\n" + "".join(
            f"{key},{self.random.choice(STATES)},{self.random.choice(('', '1.00', '2.00'))},{self.note()}\n"
            for key in keys
        )

    def note(self) -> str:
        return str(self.random.choice(["", *"abcdefgh"]))

    def edits(self, dataset: Dataset) -> None:
        """Change, delete and add some records by hand; what a rule forbids does not happen."""
        for _ in range(self.random.randint(0, 6)):
            keys = [row[0] for row in contents(dataset).values()]
            what = self.random.choice(("edit", "edit", "remove", "add"))
            try:
                with transaction.atomic():
                    if what == "add":
                        key, note = self.random.randint(1, 20), self.note()
                        add(dataset, id=key, status="new", note=note or None)
                    elif keys and what == "remove":
                        remove(dataset, self.random.choice(keys))
                    elif keys:
                        edit(dataset, self.random.choice(keys), **self.values())
            except IntegrityError:
                continue

    def values(self) -> dict[str, Any]:
        if self.random.random() < 0.5:
            return {"note": self.note() or None}
        return {"status": self.random.choice(STATES)}


@pytest.mark.parametrize(
    "seed", [*range(6), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(6, 40))]
)
def test_undo_leaves_what_the_model_says(as_acme: TenantRef, seed: int) -> None:
    chance, dataset = Chance(seed), make_orders(unique_note=True)
    chance.edits(dataset)
    for _ in range(3):
        before = contents(dataset)
        job = upload(
            dataset, chance.file(), mode=chance.random.choice(("upsert", "sync", "insert", "update"))
        )
        job = merge(job, deletes=job.deleted_rows or None)
        assert job.state == State.IMPORT_SUCCEEDED, job.error or job.notice
        after = contents(dataset)
        for _undo in range(chance.random.randint(1, 3)):  # an undo, the undo of it, and so on
            chance.edits(dataset)
            now = contents(dataset)
            final, counts, left = expected(before, after, now)
            job = undone(job)
            assert (contents(dataset), buckets(job), sorted(kept(job))) == (final, counts, left)
            before, after = now, final
