"""Making a dataset's tables anew before PostgreSQL's column places run out.

A table of PostgreSQL has 1,600 places for columns, and a dropped one keeps its place for ever. When few are left that
could be had back, small tables are made anew at once, in the transaction of the change that used the place; large
ones by a job beside the traffic, which goes on as a change of the definition does (`datasets.change_work`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, connection, transaction

import jobs.services
from audit.services import record
from core.clock import now as clock
from core.errors import RowhouseError
from core.tenancy import current_tenant
from core.words import count
from datasets import access, change_tables, change_work, ddl, rules, signals
from datasets import rebuild_tables as tables
from datasets.change_models import RUNNING, Change, ChangeState
from datasets.change_shape import Shape
from datasets.models import Dataset
from jobs.kinds import Slice, Step

# So many columns may be added at once: there is room for any addition while the job is still to come.
WORN_BELOW = rules.MAX_COLUMNS
# With fewer to be had back it would have to be done again soon.
LEAST_GAIN = 100
AT_ONCE_BYTES = 16 * 1024**2  # copied in less than a second


class RebuildRunning(RowhouseError):
    """The tables of the dataset are being made anew already, or its definition is being changed."""

    code = "change-running"


class NothingToRebuild(RowhouseError):
    """No dropped column takes a place in the tables."""

    code = "nothing-to-change"
    status = 422


def is_worn(places: ddl.Places) -> bool:
    """Return whether tables should be made anew."""
    return places.free < WORN_BELOW and places.dropped >= LEAST_GAIN


def keep_room(dataset: Dataset, by: Any = None, *, at_once: bool = True) -> Change | None:
    """Make worn tables anew: small ones now, large ones by a job; return the change it is, or None.

    In the transaction of the change that used the places up, which holds the dataset and gives it its next version.

    :param at_once: small ones may be done now; else all by a job.
    :raises DatasetBusy: somebody holds the tables of a small dataset.
    """
    spec = dataset.spec()
    places = ddl.places(spec)
    if not is_worn(places):
        return None
    if not at_once or tables.bytes_of(spec.table, spec.history_table) > AT_ONCE_BYTES:
        try:
            return _start(dataset, places, by)
        except RebuildRunning:
            return None  # the next change will see to it
    change = _change(dataset, places, by, state=ChangeState.CHANGE_SUCCEEDED)
    rows = tables.at_once(change_work.shape_of(change, spec))
    change.swapped_at = change.ended_at = clock()
    change.say(f"The tables were made anew at once: {count(rows, 'record')} and versions copied.")
    change.save()
    _note(change, by)
    return change


def request_rebuild(*, dataset: Dataset, by: Any = None) -> Change:
    """Have a dataset's tables made anew by a job, however many places are left.

    :raises PermissionDenied: the person may not change definitions.
    :raises NothingToRebuild: no dropped column takes a place.
    :raises RebuildRunning: they are being made anew, or another change of the dataset is going on.
    """
    if not access.may_define(by, dataset):
        raise PermissionDenied("You may not change the definition of a dataset. Ask an owner to do it.")
    with transaction.atomic():
        dataset = Dataset.objects.select_for_update(no_key=True).get(pk=dataset.pk)
        places = ddl.places(dataset.spec())
        if not places.dropped:
            raise NothingToRebuild(
                f"No dropped column takes a place in the tables of “{dataset.title}”. There is nothing to be had back."
            )
        return _start(dataset, places, by)


def _start(dataset: Dataset, places: ddl.Places, by: Any) -> Change:
    change = _change(dataset, places, by, state=ChangeState.CHANGE_IN_PROGRESS)
    change.say(
        f"Dropped columns take {places.dropped:,} of {ddl.MOST_PLACES:,} places. The tables are made anew without them."
    )
    try:
        with transaction.atomic():
            change.save()
    except IntegrityError as error:
        raise RebuildRunning(
            "A change of this dataset is going on. Wait until it has ended, then ask for this again."
        ) from error
    change.jobs_in_all = 1
    submitted = jobs.services.submit(
        "datasets.change",
        target=f"change:{change.pk}",
        payload={"change": change.pk},
        idem_key=f"{current_tenant().schema}:datasets.change:{change.pk}:1",
    )
    change.job_id = str(submitted.pk)
    change.save(update_fields=["job_id", "jobs_in_all"])
    record(
        "datasets.rebuild.started", actor=by, target=dataset, change=change.pk, free=places.free,
        dropped=places.dropped,
    )  # fmt: skip
    return change


def _change(dataset: Dataset, places: ddl.Places, by: Any, *, state: ChangeState) -> Change:
    stated = change_work.stated_definition(dataset.spec(), [])
    used = ddl.MOST_PLACES - places.free
    change = Change(
        dataset=dataset,
        is_rebuild=True,
        state=state,
        created_by=by,
        confirmed_by=by,
        confirmed_at=clock(),
        before={**stated, "places": used},
        after={**stated, "places": used - places.dropped},
    )
    if state == ChangeState.CHANGE_SUCCEEDED:
        change.save()  # its number is in the names of the new tables
    return change


def _note(change: Change, by: Any) -> None:
    record(
        "datasets.dataset.rebuilt", actor=by, target=change.dataset, change=change.pk,
        before=change.before["places"], after=change.after["places"],
    )  # fmt: skip


def running(dataset: Dataset) -> Change | None:
    """Return the rebuild of a dataset that goes on, if one does."""
    return Change.objects.filter(dataset=dataset, is_rebuild=True, state__in=RUNNING).first()


# ---- the job


def rebuild(change: Change, work: Slice) -> Step:
    """Do one slice of making tables anew. It may run twice; before the exchange everything stands beside them."""
    cursor = dict(work.cursor) or {"phase": "begin"}
    if change.state != ChangeState.CHANGE_IN_PROGRESS:
        return leave_nothing(change, work) if cursor["phase"] == "tidy" else Step(done=True)
    shape = change_work.shape_of(change)
    phase: Callable[[Change, Shape, Slice, dict[str, Any]], Step] = PHASES[cursor["phase"]]
    if cursor["phase"] in _BESIDE:
        if not change_tables.has_begun(shape):
            return Step(
                done=False, cursor={"phase": "begin"}
            )  # started again after its rests were taken away
        if not tables.still_fit(shape):
            return change_work.give_up(change, "definition-changed", change_work.DEFINITION_CHANGED)
    try:
        return phase(change, shape, work, cursor)
    except ddl.DatasetBusy:
        return change_work.again(change, cursor)
    except change_work.Stop as stop:
        return change_work.give_up(change, stop.code, stop.message)


def _begin(change: Change, shape: Shape, work: Slice, cursor: dict[str, Any]) -> Step:
    tables.begin(shape)
    total = 0
    with connection.cursor() as database:
        for pair in tables.pairs(shape):
            database.execute(f'SELECT count(*) FROM "{pair.old}"')
            number = int(database.fetchone()[0])
            change.records = change.records if total else number
            total += number
    change.say("Began. What is written from now on is noted and brought over too.")
    change.save(update_fields=["records", "log"])
    return Step(done=False, cursor={"phase": "records"}, total=total)


def _rows(change: Change, shape: Shape, work: Slice, cursor: dict[str, Any]) -> Step:
    is_records = cursor["phase"] == "records"
    pair = tables.records(shape) if is_records else tables.versions(shape)
    after, processed = int(cursor.get("after", -(2**63))), 0
    while True:
        number, last = tables.copy(pair, after, tables.BATCH_ROWS)
        processed += number
        if number < tables.BATCH_ROWS:
            break
        assert last is not None
        after = last
        if work.time_left() <= 0:
            return Step(done=False, cursor={"phase": cursor["phase"], "after": after}, processed=processed)
    change.say("The records are copied." if is_records else "Their versions are copied.")
    change.save(update_fields=["log"])
    return Step(done=False, cursor={"phase": "versions" if is_records else "index"}, processed=processed)


def _index(change: Change, shape: Shape, work: Slice, cursor: dict[str, Any]) -> Step:
    with work.long_statement():
        if missing := tables.missing_indexes(shape):
            tables.take_out_written(shape)
            _name, sql = missing[0]
            tables.build(sql)
            return Step(done=False, cursor={"phase": "index"})
        tables.analyze(shape)
    return Step(done=False, cursor={"phase": "catch_up"})


def _catch_up(change: Change, shape: Shape, work: Slice, cursor: dict[str, Any]) -> Step:
    while change_tables.waiting(shape, change_work.DRAINED_ROWS) >= change_work.DRAINED_ROWS:
        tables.drain(shape, change_tables.BATCH_ROWS)
        if work.time_left() <= 0:
            return Step(done=False, cursor={"phase": "catch_up"})
    return Step(done=False, cursor={"phase": "exchange"})


def _exchange(change: Change, shape: Shape, work: Slice, cursor: dict[str, Any]) -> Step:
    if tables.missing_indexes(shape):  # one that somebody asked for meanwhile
        return Step(done=False, cursor={"phase": "index"})
    if change_tables.waiting(shape, change_work.DRAINED_ROWS) >= change_work.DRAINED_ROWS:
        return Step(done=False, cursor={"phase": "catch_up"})
    try:
        with change_tables.whole_tables(shape, dataset_too=True), connection.cursor() as database:
            dataset = Dataset.objects.select_for_update().get(pk=change.dataset_id)
            signals.changing.send(sender=Dataset, dataset=dataset)
            most = change_work.DRAINED_ROWS
            is_late = change_tables.waiting(shape, most) >= most or tables.missing_indexes(shape)
            if is_late or not tables.still_fit(shape):
                raise ddl.DatasetBusy(change_work.IN_THE_WAY)
            tables.drain(shape, most)  # at once, so that no record waits for another one
            tables.exchange(shape, database, validated=False)
            _define(change, dataset)
    except RowhouseError as waits:  # an import that was confirmed goes first
        return change_work.again(change, cursor, waits.message)
    return Step(done=False, cursor={"phase": "validate"})


def _define(change: Change, dataset: Dataset) -> None:
    # Records are at other places and of other transactions than plans say: those are made again.
    dataset.definition_version += 1
    dataset._history_user = change.confirmed_by  # type: ignore[attr-defined] # simple-history reads it
    dataset._change_reason = str(change)  # type: ignore[attr-defined]
    dataset.save()
    change.swapped_at = clock()
    change.say("The new tables are in use.")
    change.save()
    _note(change, change.confirmed_by)
    signals.changed.send(sender=Dataset, dataset=dataset)


PHASES = {
    "begin": _begin,
    "records": _rows,
    "versions": _rows,
    "index": _index,
    "catch_up": _catch_up,
    "exchange": _exchange,
    "validate": change_work.validate,
    "require": change_work.require,
}
_BESIDE = ("records", "versions", "index", "catch_up", "exchange")


def leave_nothing(change: Change, work: Slice) -> Step:
    """Take away what stands beside the tables after a rebuild that was cancelled or failed."""
    if change.swapped_at is not None or change.state == ChangeState.CHANGE_IN_PROGRESS:
        return Step(done=True)
    try:
        tables.leave_nothing(change_work.shape_of(change))
    except ddl.DatasetBusy:
        return Step(done=False, cursor={"phase": "tidy"}, rest_seconds=change_work.REST_SECONDS)
    return Step(done=True)
