"""Erasing values in records and their versions, and in what the datasets' own pages keep.

History is never written by anything but its triggers, with two exceptions by the owner of the tables: old versions go
(`datasets.pruning`), and an erased value goes out of all of them, here. A version stays as an entry: who, when and why.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.apps import apps
from django.db import IntegrityError, connection, transaction
from django.db.models import JSONField, Model
from django.db.models.functions import Now

from audit.actor import actor
from audit.services import record
from core.erasing import ERASED, Hunt, Json, Part
from core.errors import RowhouseError
from core.tenancy import current_tenant, in_public
from datasets import changeset_plan, ddl, references
from datasets.change_models import Change, ChangeState
from datasets.changeset import ChangeSet, State
from datasets.columntypes import type_of
from datasets.erasing import MOST_RECORDS
from datasets.erasure_models import Erasure, ErasureMode, ErasureRecord
from datasets.models import Column, Dataset
from datasets.recording import why_refused
from jobs.kinds import Slice
from jobs.models import ACTIVE, Job

SCAN_ROWS = 20_000
BATCH_RECORDS = 200
HELD_SECONDS = 0.3  # as `datasets.pruning`: whoever imports waits for that long
WAIT_SECONDS = 2.0
SCAN_PAGES = 512  # of 8 kB
MOST_ROWS = 1000
SCRATCH = re.compile(r"^(stg|keys|at|bad|diff|change|change_scratch)_[0-9]+$")


class TooMany(RowhouseError):
    """The values are found in more records than one person has."""

    code = "too-many-records"
    status = 422


class ErasureRefused(RowhouseError):
    """A rule of the dataset does not let values go."""

    code = "erasure-refused"
    status = 409


@dataclass(frozen=True, slots=True)
class Target:
    """One dataset of an erasure, with the physical columns of each table that are looked in, and those emptied."""

    dataset: Dataset
    find: tuple[Column, ...]
    also: tuple[Column, ...]

    @property
    def tables(self) -> tuple[str, str]:
        return f"ds_{self.dataset.pk}", f"ds_{self.dataset.pk}_history"


def targets(erasure: Erasure) -> list[Target]:
    """Return the datasets of an erasure that are still there, those that refer to others first."""
    by_pk = {one["dataset"]: one for one in erasure.scope}
    found = []
    for dataset in references.referring_first(Dataset.objects.filter(pk__in=by_pk)):
        columns = {column.pk: column for column in dataset.columns.all()}
        find, also = (
            tuple(columns[pk] for pk in by_pk[dataset.pk][name] if pk in columns) for name in ("find", "also")
        )
        found.append(Target(dataset, find, also))
    return found


# ---- finding the records


def find_records(hunt: Hunt, cursor: Json, work: Slice) -> Part:
    """Note the records of which any version, or what they are now, has one of the values in a chosen column."""
    erasure = Erasure.objects.get(pk=hunt.number)
    steps = [(target, table) for target in targets(erasure) for table in (0, 1)]
    at, after, found = cursor.get("step", 0), cursor.get("after", 0), 0
    while at < len(steps):
        target, which = steps[at]
        last, number = _find(hunt, target, which, after)
        found += number
        if ErasureRecord.objects.filter(erasure=erasure).count() > MOST_RECORDS:
            raise TooMany(
                f"The values are found in more than {MOST_RECORDS:,} records, so they tell no person apart."
                " Choose other columns or longer values."
            )
        at, after = (at + 1, 0) if last is None else (at, last)
        if work.time_left() <= 0:
            break
    return Part({"step": at, "after": after} if at < len(steps) else None, 0 if hunt.is_real else found)


def _find(hunt: Hunt, target: Target, which: int, after: int) -> tuple[int | None, int]:
    table, number = target.tables[which], ("id", "history_id")[which]
    columns = [name for column in target.find for name in _physical(table, column)]
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT count(*), max({number}) FROM (SELECT {number} FROM {table} WHERE {number} > %s"
            f" ORDER BY {number} LIMIT {SCAN_ROWS}) b",
            [after],
        )
        rows, last = cursor.fetchone()
        if not rows or not columns:
            return None, 0
        kinds = {column.pk: column.spec() for column in target.find}
        held = " OR ".join(f"({_holds(name, kinds)})" for name in columns)
        fields = "erasure_id, dataset_number, record_id, is_gone"
        cursor.execute(
            f"INSERT INTO {ErasureRecord._meta.db_table} ({fields})"
            f" SELECT DISTINCT %s, %s, t.id, false FROM {table} t WHERE t.{number} > %s AND t.{number} <= %s"
            f" AND ({held}) ON CONFLICT DO NOTHING",
            [hunt.number, target.dataset.pk, after, last, *[hunt.needle.lowered] * len(columns)],
        )
        return (int(last) if rows == SCAN_ROWS else None), int(cursor.rowcount)


def _physical(table: str, column: Column) -> list[str]:
    """Return what a column is called in a table: its own name, and those with values from before its changes."""
    return [name for name in _names(table) if re.fullmatch(rf"c{column.pk}(_.*)?", name)]


def _names(table: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped"
            " AND attname ~ '^c[0-9]' ORDER BY attnum",
            [table],
        )
        return [name for (name,) in cursor.fetchall()]


def _holds(name: str, kinds: Mapping[int, Any]) -> str:
    """Return the condition that a cell is one of the values; its one parameter is `Needle.lowered`."""
    spec = next((one for one in kinds.values() if one.name == name), None)
    text = type_of(spec).text_sql(f't."{name}"') if spec is not None else f't."{name}"::text'
    return f"lower(btrim({text})) = ANY(%s)"


# ---- erasing them


def erase_records(hunt: Hunt, cursor: Json, work: Slice) -> Part:
    """Empty or delete the records that were found, with all their versions; in the preview, say who refers to them."""
    erasure = Erasure.objects.get(pk=hunt.number)
    if not hunt.is_real:
        return Part(None, 0, _referring(erasure))
    until, found = time.monotonic() + HELD_SECONDS, 0
    at = cursor.get("at", 0)
    chosen = targets(erasure)
    while at < len(chosen):
        target = chosen[at]
        after = cursor.get("after", 0)
        ids = ErasureRecord.objects.filter(
            erasure=erasure, dataset_number=target.dataset.pk, record_id__gt=after
        )
        batch = list(ids.order_by("record_id").values_list("record_id", flat=True)[:BATCH_RECORDS])
        if not batch:
            at, cursor = at + 1, {}
            continue
        try:
            with transaction.atomic():
                _hold(target.dataset)
                found += _erase(hunt, erasure, target, batch)
        except ddl.DatasetBusy:
            return Part({"at": at, "after": after}, found, rest_seconds=WAIT_SECONDS)
        cursor = {"after": batch[-1]}
        if time.monotonic() >= until or work.time_left() <= 0:
            return Part({"at": at, **cursor}, found)
    return Part(None, found)


def _referring(erasure: Erasure) -> Json:
    """Return which records would keep others from going."""
    if erasure.mode != ErasureMode.DELETE:
        return {}
    left = {}
    for target in targets(erasure):
        chosen = (
            f"t.id IN (SELECT record_id FROM {ErasureRecord._meta.db_table}"
            " WHERE erasure_id = %s AND dataset_number = %s)"
        )
        for one in references.held(target.dataset, chosen, [erasure.pk, target.dataset.pk]):
            left[
                f"{one.words} refer to records that would be deleted: they are to be changed or deleted first"
            ] = one.records
    return left


def _hold(dataset: Dataset) -> None:
    if not ddl.try_lock_dataset(dataset.pk):
        raise ddl.DatasetBusy("Other work is using this dataset.")
    if Change.objects.filter(dataset=dataset, state=ChangeState.CHANGE_IN_PROGRESS).exists():
        raise ddl.DatasetBusy("The definition is being changed.")


def _erase(hunt: Hunt, erasure: Erasure, target: Target, ids: Sequence[int]) -> int:
    rows, history = target.tables
    spec = target.dataset.spec()
    try:
        with ddl.short_wait(ddl.ALTER_SECONDS), actor(hunt.by, hunt.name), references.refusals():
            if erasure.mode == ErasureMode.DELETE:
                _run(f"DELETE FROM {rows} WHERE id = ANY(%s)", [list(ids)])
            else:
                _empty(hunt, erasure, target, rows, ids)
    except IntegrityError as error:
        raise ErasureRefused(
            f"{why_refused(error, spec)} Nothing of these records was erased; delete them instead, or change the rule."
        ) from None
    if erasure.mode == ErasureMode.DELETE:
        names = _names(history)
        sets = ", ".join(f'"{name}" = NULL' for name in names)
        some = " OR ".join(f'"{name}" IS NOT NULL' for name in names)
        versions = _run(f"UPDATE {history} SET {sets} WHERE id = ANY(%s) AND ({some})", [list(ids)])
    else:
        versions = _empty(hunt, erasure, target, history, ids)
    # Of what was deleted long ago only versions are left: the timeline says of it, too, that it was erased.
    _run(
        f"INSERT INTO {history} (id, history_date, history_type, history_user_id, history_change_reason)"
        " SELECT i, statement_timestamp(), '-', %s, %s FROM unnest(%s::bigint[]) i WHERE NOT EXISTS"
        f" (SELECT FROM {history} h WHERE h.id = i AND h.history_change_reason = %s)"
        f" AND NOT EXISTS (SELECT FROM {rows} r WHERE r.id = i)",
        [hunt.by, hunt.name, list(ids), hunt.name],
    )
    ErasureRecord.objects.filter(erasure=erasure, dataset_number=target.dataset.pk, record_id__in=ids).update(
        is_gone=erasure.mode == ErasureMode.DELETE
    )
    return versions


def _empty(hunt: Hunt, erasure: Erasure, target: Target, table: str, ids: Sequence[int]) -> int:
    """Empty the chosen cells of some records, or of their versions; return how many rows that changed."""
    kinds = {column.pk: column.spec() for column in (*target.find, *target.also)}
    sets, some, values, conditions = [], [], list[Any](), list[Any]()
    also = {column.pk for column in target.also}
    for column in dict.fromkeys((*target.find, *target.also)):
        is_needed = (column.is_required and not column.is_retired) or column.pk in target.dataset.key
        for name in _physical(table, column):
            mark = f"'erased-{erasure.pk}-' || t.id"
            new = mark if is_needed and name == f"c{column.pk}" else "NULL"
            holds = f't."{name}" IS NOT NULL' if column.pk in also else _holds(name, kinds)
            parameters = [] if column.pk in also else [hunt.needle.lowered]
            sets.append(f'"{name}" = CASE WHEN {holds} THEN {new} ELSE t."{name}" END')
            some.append(f"({holds}" + (f' AND t."{name}" IS DISTINCT FROM {mark})' if new == mark else ")"))
            values += parameters
            conditions += parameters
    if not sets:
        return 0
    return _run(
        f"UPDATE {table} t SET {', '.join(sets)} WHERE t.id = ANY(%s) AND ({' OR '.join(some)})",
        [*values, list(ids), *conditions],
    )


def _run(sql: str, values: Sequence[Any]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return int(cursor.rowcount)


# ---- what the pages of datasets keep


def open_changes(hunt: Hunt, cursor: Json, work: Slice) -> Part:
    """Cancel bulk changes that are about to write one of the values: they would bring it back."""
    found = 0
    for changes in ChangeSet.objects.filter(state__in=(State.PLANNING, State.PLANNED, State.WORKING)):
        if not hunt.needle.in_value([changes.operation, changes.query]) and not _planned(hunt, changes):
            continue
        found += 1
        if not hunt.is_real:
            continue
        if changes.state != State.PLANNED:
            return Part({}, rest_seconds=WAIT_SECONDS)
        if changes.move(old=State.PLANNED, new=State.CANCELLED, ended_at=Now()):
            changeset_plan.sweep()
            record("datasets.changes.cancelled", target=changes)
    if hunt.is_real:
        changeset_plan.sweep()  # of datasets that are gone, too
    return Part(None, found)


def _planned(hunt: Hunt, changes: ChangeSet) -> bool:
    """Return whether the plan of a bulk change holds one of the values."""
    table, page, pages = changeset_plan.plan_table(changes.pk), 0, 1
    columns = _columns().get(table, [])
    while columns and page < pages:
        pages, held = _look(hunt, table, columns, page)
        if held:
            return True
        page += SCAN_PAGES
    return False


def background_work(hunt: Hunt, cursor: Json, work: Slice) -> Part:
    """Take the values out of what ended background work says of itself."""
    schema, found = current_tenant().schema, 0
    with in_public():
        ended = Job.objects.filter(schema=schema).exclude(state__in=ACTIVE)
        for pk, *texts in ended.values_list("pk", "error", "target", "payload", "cursor").iterator():
            if hunt.needle.in_value(texts):
                found += 1
                if hunt.is_real:
                    names = ("error", "target", "payload", "cursor")
                    new = {name: hunt.needle.without(text) for name, text in zip(names, texts, strict=True)}
                    Job.objects.filter(pk=pk).update(**new)
    return Part(None, found)


@cache
def kept_texts() -> tuple[tuple[type[Model], tuple[str, ...], tuple[str, ...]], ...]:
    """Return the models whose texts may hold values of records: (model, fields, those that hold a row's cells).

    Apps say them in `erased_texts` of their config: {"importer.RejectedRow": "cells* problem"}; of a row of cells,
    marked by a star, all go when one is a value that is erased, for all are that person's.
    """
    found = []
    for config in apps.get_app_configs():
        for label, words in getattr(config, "erased_texts", {}).items():
            names = words.split()
            fields = tuple(name.rstrip("*") for name in names)
            rows = tuple(name.rstrip("*") for name in names if name.endswith("*"))
            found.append((apps.get_model(label), fields, rows))
    return tuple(found)


def texts(hunt: Hunt, cursor: Json, work: Slice) -> Part:
    """Take the values out of texts that pages keep: samples, rejected rows, issues, saved views, notes, entries."""
    models = kept_texts()
    at, after, found = cursor.get("at", 0), cursor.get("after", ""), 0
    while at < len(models):
        last, number = _texts(hunt, *models[at], after)
        found += number
        at, after = (at + 1, "") if last is None else (at, last)
        if work.time_left() <= 0:
            break
    return Part({"at": at, "after": after} if at < len(models) else None, found)


def _texts(
    hunt: Hunt, model: type[Model], fields: Sequence[str], rows: Sequence[str], after: str
) -> tuple[str | None, int]:
    """Do the next rows of one model; return where the next go on, None at the end, and how many held a value."""
    table, key = model._meta.db_table, str(model._meta.pk.column)
    columns = [model._meta.get_field(name) for name in fields]
    quote = connection.ops.quote_name
    stored = [quote(str(getattr(one, "column", ""))) for one in columns]
    names = ", ".join(stored)
    bound = f"WHERE {quote(key)} > %s" if after else ""
    values = [after] if after else []
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT count(*), max(k) FROM (SELECT {quote(key)} AS k FROM {table} {bound} ORDER BY 1"
            f" LIMIT {SCAN_ROWS}) b",
            values,
        )
        number, last = cursor.fetchone()
        if not number:
            return None, 0
        likes = " OR ".join(f"{each}::text ILIKE ANY(%s)" for each in stored)
        lower = f"{quote(key)} > %s AND " if after else ""
        cursor.execute(
            f"SELECT {quote(key)}, {names} FROM {table} WHERE {lower}{quote(key)} <= %s AND ({likes})",
            [*values, last, *[hunt.needle.likes] * len(columns)],
        )
        held = cursor.fetchall()
    found = 0
    for pk, *cells in held:
        new = {}
        for name, column, cell in zip(fields, columns, cells, strict=True):
            value = json.loads(cell) if isinstance(column, JSONField) and isinstance(cell, str) else cell
            if value is None or not hunt.needle.in_value(value):
                continue
            new[name] = _without(hunt, value, is_row=name in rows)
            if isinstance(new[name], str) and (longest := getattr(column, "max_length", None)):
                new[name] = new[name][:longest]
        if new:
            found += 1
            if hunt.is_real:
                model._default_manager.filter(pk=pk).update(**new)
    return (str(last) if number == SCAN_ROWS else None), found


def _without(hunt: Hunt, value: Any, *, is_row: bool) -> Any:
    if is_row and isinstance(value, list):
        if any(isinstance(one, list) for one in value):  # rows of cells
            return [_without(hunt, one, is_row=True) if hunt.needle.in_value(one) else one for one in value]
        return [ERASED] * len(value)
    if isinstance(value, dict):  # a head, whose samples are rows
        return {
            hunt.needle.without(name): _without(hunt, each, is_row=name == "samples")
            if hunt.needle.in_value(each)
            else each
            for name, each in value.items()
        }
    return hunt.needle.without(value)


# ---- what is left


def look_again(hunt: Hunt, cursor: Json, work: Slice) -> Part:
    """Read every table of the tenant's schema, whatever it is, and say where one of the values still stands."""
    if not hunt.is_real:
        return Part(None)
    places = list(_columns().items())
    at, page, left = cursor.get("at", 0), cursor.get("page", 0), dict(cursor.get("left", {}))
    while at < len(places):
        table, columns = places[at]
        pages, held = _look(hunt, table, columns, page)
        for name, number in held.items():
            words = f"{table}.{name}: {_why(table)}"
            left[words] = left.get(words, 0) + number
        at, page = (at + 1, 0) if page + SCAN_PAGES >= pages else (at, page + SCAN_PAGES)
        if work.time_left() <= 0:
            break
    if at < len(places):
        return Part({"at": at, "page": page, "left": left})
    return Part(None, 0, left)


def _columns() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
            " JOIN pg_type t ON t.oid = a.atttypid"
            " WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND a.attnum > 0"
            " AND NOT a.attisdropped AND (t.typcategory IN ('S', 'A') OR t.typname IN ('json', 'jsonb', 'numeric',"
            " 'uuid', 'int8') AND c.relname ~ '^ds_[0-9]' OR t.typname IN ('json', 'jsonb'))"
            " AND a.attname !~ '^(history_|id$)' ORDER BY c.relname, a.attnum"
        )
        for table, column in cursor.fetchall():
            found.setdefault(table, []).append(column)
    return found


def _look(hunt: Hunt, table: str, columns: Sequence[str], page: int) -> tuple[int, dict[str, int]]:
    """Return how many pages a table has, and in which columns of some of them a value stands, how often."""
    quote = connection.ops.quote_name
    held: dict[str, int] = {}
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_relation_size(to_regclass(%s)) / 8192", [quote(table)])
        pages = int(cursor.fetchone()[0] or 0)  # a working table may be gone by now
        if not pages:
            return 0, {}
        names = ", ".join(f"{quote(name)}::text" for name in columns)
        likes = " OR ".join(f"{quote(name)}::text ILIKE ANY(%s)" for name in columns)
        cursor.execute(
            f"SELECT {names} FROM {quote(table)} WHERE ctid >= %s::tid AND ctid < %s::tid AND ({likes})"
            f" LIMIT {MOST_ROWS}",
            [f"({page},0)", f"({page + SCAN_PAGES},0)", *[hunt.needle.likes] * len(columns)],
        )
        for row in cursor.fetchall():
            for name, text in zip(columns, row, strict=True):
                if text is not None and hunt.needle.in_text(text):
                    held[name] = held.get(name, 0) + 1
    return pages, held


def _why(table: str) -> str:
    """Return why values stay in a table."""
    if table.startswith("audit_"):
        return "the log is sealed, and proves that nobody changed it"
    if re.match(r"^ds_[0-9]+", table):
        return "in a record or version by another column, or written since"
    if "historical" in table or table in ("datasets_column", "datasets_dataset"):
        return "part of a definition; change it if it is not"
    if table.startswith(("accounts_", "auth_")):
        return "an account; remove or rename it under Users"
    if SCRATCH.match(table):
        return "an import or a change that waits; cancel it"
    return "not among the places that are rewritten"
