"""The clean-up of history: versions older than a dataset's retention, in batches that keep nobody waiting.

What stays whatever its age: the last version before the cutoff of each record that was there then, so that every
moment since can be shown and undone; and the very last version of the dataset, by which imports see who wrote last.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import connection, transaction

from audit.models import Event
from audit.services import record
from core.clock import now as clock
from core.errors import RowhouseError
from datasets import access, ddl
from datasets.change_models import Change, ChangeState
from datasets.models import Dataset
from datasets.rules import LEAST_HISTORY_DAYS, MOST_HISTORY_DAYS
from jobs.kinds import Slice, Step

BATCH_ROWS = 5_000
# A slice holds the dataset until it is committed, and whoever imports or deletes waits for that long.
HELD_SECONDS = 0.3
# Whoever holds the dataset is let go first, so many times in a row; then it is tried again an hour later.
GIVING_WAY_SECONDS, MOST_GIVING_WAY = 2.0, 30
AT_ONCE_GIVING_WAY = 3  # of the command, HELD_SECONDS apart
EVERY = timedelta(hours=23)  # asked for hourly, done once a day
# Versions come in the order of their numbers but for what transactions of different lengths wrote at once.
OUT_OF_ORDER = timedelta(days=1)


class BadRetention(RowhouseError):
    """History cannot be kept for so long, or for so short a time."""

    code = "bad-retention"
    status = 422


@dataclass(frozen=True, slots=True)
class Batch:
    """What one batch did: how many versions went, and the number of the last one looked at, None at the end."""

    removed: int
    last: int | None


@transaction.atomic
def set_history_days(*, dataset: Dataset, days: int | None, by: Any = None) -> None:
    """Have versions older than so many days removed once a day; None keeps all.

    :raises PermissionDenied: the person may not change definitions.
    :raises BadRetention: too few days, or too many.
    """
    if not access.may_define(by, dataset):
        raise PermissionDenied("You may not change the definition of a dataset. Ask an owner to do it.")
    if days is not None and not LEAST_HISTORY_DAYS <= days <= MOST_HISTORY_DAYS:
        raise BadRetention(
            f"History is kept for {LEAST_HISTORY_DAYS} to {MOST_HISTORY_DAYS:,} days, or for ever. Choose another one."
        )
    found = Dataset.objects.select_for_update(no_key=True).get(pk=dataset.pk)
    dataset.history_days = days
    if found.history_days == days:
        return
    before, found.history_days = found.history_days, days
    found._history_user = by  # type: ignore[attr-defined] # simple-history reads it
    found.save(update_fields=["history_days", "changed_at"])
    record("datasets.history.retention_set", actor=by, target=dataset, before=before, after=days)


def cutoff_of(dataset: Dataset, now: datetime) -> datetime | None:
    """Return before which moment versions go; None if all stay."""
    return None if dataset.history_days is None else now - timedelta(days=dataset.history_days)


def removed_before(dataset: Dataset, now: datetime, *, using: str | None = None) -> datetime | None:
    """Return the moment before which versions may be gone; None: none ever went."""
    removals = Event.objects.using(using).filter(
        name="datasets.history.pruned", target_type=dataset._meta.label_lower, target_id=str(dataset.pk)
    )
    moments = [datetime.fromisoformat(before) for before in removals.values_list("data__before", flat=True)]
    if (cutoff := cutoff_of(dataset, now)) is not None:
        moments.append(cutoff)
    return max(moments, default=None)


# Twice the cutoff: a version goes that another one has taken the place of by then, or that says that the
# record is gone.
_GOES = (
    "h.history_date < %s AND (h.history_type = '-' OR EXISTS (SELECT FROM {table} l WHERE l.id = h.id"
    " AND l.history_id > h.history_id AND l.history_date < %s))"
    " AND h.history_id < (SELECT max(history_id) FROM {table})"
)


def count_old(dataset: Dataset, before: datetime) -> int:
    """Return how many versions would go. Reads the whole history."""
    table = dataset.spec().history_table
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table} h WHERE {_GOES.format(table=table)}", [before, before])
        return int(cursor.fetchone()[0])


def prune_batch(dataset: Dataset, before: datetime, after: int) -> Batch:
    """Remove the old ones among the next versions after a number, in the caller's transaction.

    The older go first, so that a plan made in between never takes a version for the one before another. It waits for
    nobody: a clean-up that stands in line would have whoever comes next stand behind it.

    :raises DatasetBusy: an import or a change of the definition is at work.
    """
    if not ddl.try_lock_dataset(dataset.pk):
        raise ddl.DatasetBusy("Other work is using this dataset. History is cleaned up after that.")
    if Change.objects.filter(dataset=dataset, state=ChangeState.CHANGE_IN_PROGRESS).exists():
        raise ddl.DatasetBusy("The definition is being changed. History is cleaned up after that.")
    table = dataset.spec().history_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT count(*), max(history_id), min(history_date) FROM (SELECT history_id, history_date FROM {table}"
            " WHERE history_id > %s ORDER BY history_id LIMIT %s) b",
            [after, BATCH_ROWS],
        )
        number, last, oldest = cursor.fetchone()
        if not number or oldest >= before + OUT_OF_ORDER:
            return Batch(0, None)
        cursor.execute(
            f"DELETE FROM {table} h WHERE h.history_id > %s AND h.history_id <= %s AND {_GOES.format(table=table)}",
            [after, last, before, before],
        )
        return Batch(int(cursor.rowcount), int(last) if number == BATCH_ROWS else None)


def prune(work: Slice) -> Step:
    """Do one slice of the daily clean-up of every dataset with a retention.

    `cursor`: the dataset at work, its cutoff, the last version looked at, and how many went.
    """
    cursor, processed = dict(work.cursor), 0
    until = time.monotonic() + HELD_SECONDS
    while True:
        dataset = _at_work(cursor)
        if dataset is None:
            return Step(done=True, processed=processed)
        try:
            with transaction.atomic():
                batch = prune_batch(dataset, datetime.fromisoformat(cursor["before"]), cursor["after"])
        except ddl.DatasetBusy:
            cursor["gave_way"] = cursor.get("gave_way", 0) + 1
            if cursor["gave_way"] <= MOST_GIVING_WAY:
                return Step(done=False, cursor=cursor, processed=processed, rest_seconds=GIVING_WAY_SECONDS)
            _tell(dataset, cursor)  # an hour later, from the beginning
            cursor = {"done": dataset.pk}
            continue
        processed += batch.removed
        cursor |= {"removed": cursor["removed"] + batch.removed, "after": batch.last, "gave_way": 0}
        if batch.last is None:
            _finish(dataset, cursor)
            cursor = {"done": dataset.pk}
        if work.time_left() <= 0 or time.monotonic() >= until:
            return Step(done=False, cursor=cursor, processed=processed)


def _at_work(cursor: dict[str, Any]) -> Dataset | None:
    """Return the dataset that is being cleaned up, or the next one, with its beginning in the cursor."""
    if "dataset" in cursor:
        found = Dataset.objects.filter(pk=cursor["dataset"], history_days__isnull=False).first()
        if found is not None:
            return found
        if (kept := Dataset.objects.filter(pk=cursor["dataset"]).first()) is not None:
            _tell(kept, cursor)
        cursor["done"] = cursor["dataset"]  # deleted meanwhile, or kept after all
    due = Dataset.objects.filter(pk__gt=cursor.get("done", 0), history_days__isnull=False)
    now = clock()
    for dataset in due.order_by("pk"):
        before = cutoff_of(dataset, now)
        if before is not None and (
            dataset.history_pruned_at is None or dataset.history_pruned_at < now - EVERY
        ):
            cursor.update(dataset=dataset.pk, before=before.isoformat(), after=0, removed=0)
            return dataset
    return None


def _finish(dataset: Dataset, cursor: dict[str, Any]) -> None:
    Dataset.objects.filter(pk=dataset.pk).update(history_pruned_at=clock())
    _tell(dataset, cursor)


def _tell(dataset: Dataset, cursor: dict[str, Any]) -> None:
    """Note what went, also where a clean-up was not finished: nothing older can be told of any more."""
    if cursor["removed"]:
        record("datasets.history.pruned", target=dataset, before=cursor["before"], removed=cursor["removed"])


def prune_now(*, dataset: Dataset, before: datetime) -> int:
    """Remove the old versions of a dataset here and now, batch by batch; return how many went.

    :raises DatasetBusy: other work holds the dataset for long; what went so far stays gone.
    """
    after: int | None = 0
    removed = gave_way = 0
    while after is not None:
        try:
            with transaction.atomic():
                batch = prune_batch(dataset, before, after)
        except ddl.DatasetBusy:
            gave_way += 1
            if gave_way > AT_ONCE_GIVING_WAY:
                _tell(dataset, {"before": before.isoformat(), "removed": removed})
                raise
            time.sleep(HELD_SECONDS)
            continue
        after, removed, gave_way = batch.last, removed + batch.removed, 0
    _finish(dataset, {"before": before.isoformat(), "removed": removed})
    return removed
