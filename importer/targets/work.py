"""The background work of an import into a plain model: its preview slice by slice, its merge in one transaction."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.db import IntegrityError, connection, transaction
from rest_framework.serializers import BaseSerializer

from core.tenancy import as_owner
from core.words import count
from datasets.spec import DatasetSpec
from importer import matching, preview, services, source, staging
from importer.collect import collect
from importer.dialect import Dialect
from importer.issues import Unreadable
from importer.matching import matches_of
from importer.models import PREVIEWING, ImportJob, State
from importer.parts import keys_of, mapped_columns, staged_of, validator_of
from importer.places import chunks_with_refused
from importer.plan import Counts
from importer.readers.csv import Position, read_chunks
from importer.refusals import find_refusals, remove_refused
from importer.specs import spec_of, version_of
from importer.stage import stage
from importer.staging import plan_table, quoted, refused_table, staging_table
from importer.targets.cells import changed_cells
from importer.targets.judging import Judge, Row, as_proxy
from importer.targets.shape import field_names, proxy_of, shape_of
from jobs.kinds import Slice, Step

BATCH_ROWS = 500


class RowsDiffer(Exception):
    """At the merge the rows would do something else than the plan says; nothing of it is kept."""


def run_preview(job: ImportJob, work: Slice) -> Step:
    """Do one slice of a preview."""
    if job.state not in PREVIEWING:
        return Step(done=True)
    preview.begin(job)
    phase = work.cursor.get("phase") or work.payload.get("phase", "open")
    try:
        return PHASES[phase](job, work)
    except Unreadable as error:
        services.fail(job, old=PREVIEWING, new=State.PREVIEW_FAILED, code=error.code, message=error.message)
        return Step(done=True)


@as_owner()
def open_file(job: ImportJob, work: Slice) -> Step:
    """Read the file's head, map its labels to the serializer's fields and create the staging table."""
    source.read_head(job, work)
    shape = shape_of(proxy_of(job))
    version = version_of(job)
    if job.definition_version not in (0, version):
        job.mapping = []  # the app's fields changed: its columns mean others now
    job.definition_version = version
    if shape.key:
        job.head["keyless"] = 0
    lost = [] if job.mapping else matching.map_labels(job, shape)
    job.save()
    if problems := lost or matching.blocking(job, shape):
        source.block(job, problems)
        return Step(done=True)
    staged = staged_of(job, shape)
    staging.create(job.pk, staged.columns, shape.key_columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f'CREATE UNLOGGED TABLE {plan_table(job.pk)} (rn bigint, id text, op "char", key text, cells jsonb)'
        )
    return Step(done=False, cursor={"phase": "stage"})


def stage_rows(job: ImportJob, work: Slice) -> Step:
    """Stage as many chunks as the slice has time for: as text, for the serializer judges them later."""
    if not staging.can_go_on(job):
        return preview.FROM_THE_START  # begun by an earlier release
    begin = _position(work)
    chunks = read_chunks(source.csv_path(job, work), Dialect.from_dict(job.dialect), start=begin)
    staged = stage(job, validator_of(job), keys_of(job), chunks, begin, work.time_left)
    job.save(update_fields=[*preview.COUNTED, "read_rows", "blank_rows", "head"])
    if staged.is_finished:
        return Step(done=False, cursor={"phase": "refuse"}, processed=staged.rows, total=job.read_rows)
    assert staged.end is not None
    return Step(done=False, cursor={"phase": "stage", "at": staged.end.to_dict()}, processed=staged.rows)


def refuse_rows(job: ImportJob, work: Slice) -> Step:
    """Find the rows whose key stands in the file before them."""
    if not staging.is_whole(job):
        return preview.FROM_THE_START
    with work.long_statement():
        find_refusals(staged_of(job, spec_of(job)))
    return Step(done=False, cursor={"phase": "judge", "after": -1})


@as_owner()
def judge_rows(job: ImportJob, work: Slice) -> Step:
    """Let the serializer judge as many rows as the slice has time for."""
    proxy = proxy_of(job)
    shape = shape_of(proxy)
    judge, names = Judge(as_proxy(job, proxy), shape), field_names(proxy)
    after = int(work.cursor.get("after", -1))
    if after < 0:
        with connection.cursor() as cursor:
            cursor.execute(f"TRUNCATE {plan_table(job.pk)}")
    for batch in _batches(job, shape, after=after, is_plan=False):
        with transaction.atomic():  # a hook may write; what it wrote at a preview is taken back
            rows = judge.judge(batch)
            transaction.set_rollback(True)
        _write(job, rows, names)
        after = batch[-1][0]
        if work.time_left() <= 0:
            return Step(done=False, cursor={"phase": "judge", "after": after}, total=job.read_rows)
    _refuse_repeated(job, shape)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT EXISTS (SELECT FROM {refused_table(job.pk)})")
        has_refused = cursor.fetchone()[0]
    return Step(done=False, cursor={"phase": "collect" if has_refused else "plan"}, total=job.read_rows)


def collect_refused(job: ImportJob, work: Slice) -> Step:
    """Fetch the raw cells of the refused rows from the file, then take them out of the staging table."""
    dialect = Dialect.from_dict(job.dialect)
    chunks = chunks_with_refused(job, source.csv_path(job, work), dialect, _position(work))
    end = collect(job, chunks, dialect, validator_of(job), work.time_left)
    if end is None:
        job.staged_rows -= remove_refused(staged_of(job, spec_of(job)))
    job.save(update_fields=preview.COUNTED)
    if end is not None:
        return Step(done=False, cursor={"phase": "collect", "at": end.to_dict()}, total=job.read_rows)
    return Step(done=False, cursor={"phase": "plan"}, total=job.read_rows)


def plan_rows(job: ImportJob, work: Slice) -> Step:
    """Count what the rows would do."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FILTER (WHERE op = '+'), count(*) FILTER (WHERE op = '~')"
            f" FROM {plan_table(job.pk)}"
        )
        created, updated = cursor.fetchone()
    services.finish_preview(job, counts=Counts(created, updated, 0, 0), snapshot="")
    return Step(done=True, total=job.read_rows)


PHASES = {
    "open": open_file,
    "stage": stage_rows,
    "refuse": refuse_rows,
    "judge": judge_rows,
    "collect": collect_refused,
    "plan": plan_rows,
}


def run_merge(job: ImportJob, work: Slice) -> Step:
    """Save what the plan says, each record through the serializer, in one transaction; then tidy up.

    :raises NoLongerPermitted: the person who confirmed may not do it any more.
    """
    from importer.merge import back, require_confirmer  # noqa: PLC0415 -- it imports the preview, as this does

    if work.cursor.get("phase") == "tidy":
        services.forget_files(job)
        return Step(done=True)
    if job.state != State.IMPORT_IN_PROGRESS:
        return Step(done=True)
    require_confirmer(job, work.payload.get("by"))
    if job.definition_version != version_of(job):
        return back(job, "What the records take changed since the preview. The file was read again.")
    if not staging.is_whole(job):
        return back(job, "The database restarted and lost the staged rows. The file was read again.")
    with work.long_statement():
        try:
            with transaction.atomic():
                _save_all(job, work)
        except (RowsDiffer, IntegrityError) as error:
            return back(
                job, f"{str(error).splitlines()[0]} The preview was made again; look at it and confirm."
            )
    services.finish_import(job)
    return Step(done=False, cursor={"phase": "tidy"}, processed=job.changes_in_all)


def _save_all(job: ImportJob, work: Slice) -> None:
    proxy = proxy_of(job)
    shape, made = shape_of(proxy), as_proxy(job, proxy)
    judge, names = Judge(made, shape, holds_records=True), field_names(proxy)
    _lock(job)
    for batch in _batches(job, shape, after=-1, is_plan=True):
        rows = judge.judge(batch)
        if wrong := next((row for row in rows if row.issues), None):
            raise RowsDiffer(f"Row {wrong.number} does not fit any more: {wrong.issues[0].rule}")
        if changed := _changed_since(job, rows, names):
            raise RowsDiffer(
                f"{count(len(changed), 'record')} changed since the preview ({', '.join(changed[:5])})."
            )
        instances = [_save(made, row, job) for row in rows if row.op != "=" and row.serializer is not None]
        made.after_batch(instances)
        work.is_cancelled()


def _changed_since(job: ImportJob, rows: Sequence[Row], names: Mapping[str, str]) -> list[str]:
    """Return the keys of the rows that would do something else to their records now than the preview showed."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT rn, op::text, id, cells::text FROM {plan_table(job.pk)} WHERE rn = ANY(%s)",
            [[row.number for row in rows]],
        )
        planned = {rn: (op, pk, json.loads(cells)) for rn, op, pk, cells in cursor.fetchall()}
    found = []
    for row in rows:
        pk = None if row.instance is None else str(row.instance.pk)
        now = (row.op, pk, json.loads(json.dumps(changed_cells(row, names))))
        if planned.get(row.number) != now:
            found.append(", ".join(row.key) or f"row {row.number}")
    return found


def _save(made: Any, row: Row, job: ImportJob) -> Any:
    serializer = row.serializer
    assert isinstance(serializer, BaseSerializer)
    if row.instance is not None:  # django-simple-history writes both beside the version it keeps
        row.instance._change_reason = job.reason  # type: ignore[attr-defined]
        row.instance._history_user = job.confirmed_by  # type: ignore[attr-defined]
    instance = serializer.save()
    made.after_row(row, instance)
    return instance


def _lock(job: ImportJob) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(current_schema()), hashtext(%s))", [job.target])


def _batches(
    job: ImportJob, shape: DatasetSpec, *, after: int, is_plan: bool
) -> Iterator[list[tuple[int, dict[str, str | None]]]]:
    """Yield staged rows as (number, column to text), in the file's order: those of the plan, or those not refused."""
    names = [column.name for column in mapped_columns(shape, matches_of(job))]
    condition = (
        f"EXISTS (SELECT FROM {plan_table(job.pk)} d WHERE d.rn = s.rn)"
        if is_plan
        else f"NOT EXISTS (SELECT FROM {refused_table(job.pk)} b WHERE b.rn = s.rn)"
    )
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT s.rn, {quoted(names, 's.')} FROM {staging_table(job.pk)} s"
                f" WHERE s.rn > %s AND {condition} ORDER BY s.rn LIMIT {BATCH_ROWS}",
                [after],
            )
            found = cursor.fetchall()
        if not found:
            return
        yield [(rn, dict(zip(names, texts, strict=True))) for rn, *texts in found]
        after = found[-1][0]


def _refuse_repeated(job: ImportJob, shape: DatasetSpec) -> None:
    """Refuse the rows that have the key of an earlier one once the hooks have changed them."""
    label = ", ".join(column.label for column in shape.key_columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH r AS (SELECT key, min(rn) AS first FROM {plan_table(job.pk)} WHERE key IS NOT NULL"
            " GROUP BY key HAVING count(*) > 1),"
            f" gone AS (DELETE FROM {plan_table(job.pk)} d USING r WHERE d.key = r.key AND d.rn > r.first"
            " RETURNING d.rn, d.key, r.first)"
            f" INSERT INTO {refused_table(job.pk)} SELECT rn, 'primary-key', %s, left(key, 200),"
            " 'The key is that of row {first} already; the first row counts.', first FROM gone",
            [label],
        )


def _write(job: ImportJob, rows: list[Row], names: Mapping[str, str]) -> None:
    refused = [
        (row.number, issue.code, issue.column, issue.value, issue.rule)
        for row in rows
        for issue in row.issues
    ]
    planned = [
        (
            row.number,
            None if row.instance is None else str(row.instance.pk),
            row.op,
            ", ".join(row.key) or None,
            json.dumps(changed_cells(row, names)),
        )
        for row in rows
        if not row.issues
    ]
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {refused_table(job.pk)} (rn, code, label, value, rule) VALUES (%s, %s, %s, %s, %s)",
            refused,
        )
        cursor.executemany(
            f"INSERT INTO {plan_table(job.pk)} (rn, id, op, key, cells) VALUES (%s, %s, %s, %s, %s)", planned
        )


def _position(work: Slice) -> Position | None:
    at = work.cursor.get("at")
    return Position.from_dict(at) if at else None
