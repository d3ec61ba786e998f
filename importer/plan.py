"""What an import would do, worked out in SQL: staged rows compared with the records there are now.

The plan is a table `diff_<job>` of (rn, source, id, op, seen, at, columns): "+" a row that creates a record, "~" one
that changes the record `id`, "-" a record that goes; `seen` is the record's version, `at` its place, `source` that of
the staged row, `columns` has a bit for each column that changes. What stays as it is has no entry.
Entries of records that go are numbered from DELETIONS_FROM on, so that every entry has a number of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from core import clock
from core.tenancy import as_owner
from datasets.changing import has_moved
from datasets.spec import DatasetSpec
from datasets.sqltext import key_text
from datasets.unseen import (
    LONGEST_TRANSACTION,
    current_number,
    has_unseen,
    last_number,
    oldest_transaction,
    unseen_since,
)
from importer import references
from importer.models import ImportJob, Mode
from importer.refusals import Staged
from importer.staging import analyze, kept_keys, keys_table, plan_table, quoted, same_key, staging_table

DELETIONS_FROM = 1 << 59
NAMED_KEYS = 5
FETCHED_SHARE = 4  # one staged row of so many is fetched in less time than all are read
MOST_BITS = 62
# With more, the planner would rather join in one process than in three, which takes longer.
PLANNING_MEMORY = "SET LOCAL work_mem = '64MB'"


@dataclass(frozen=True, slots=True)
class Counts:
    """How many records the plan creates, changes and deletes, and how many the file does not have."""

    created: int
    updated: int
    deleted: int
    missing: int


@dataclass(frozen=True, slots=True)
class Drift:
    """How many entries of a plan are not true any more, and the keys of the first of their records."""

    entries: int = 0
    keys: tuple[str, ...] = ()

    def words(self) -> str:
        """Return the keys as people read them.

        >>> Drift(7, ("1", "2")).words(), Drift(1, ("1",)).words()
        ('1, 2 and 5 more', '1')
        """
        more = (
            f" and {self.entries - len(self.keys):,} more"
            if self.keys and self.entries > len(self.keys)
            else ""
        )
        return f"{', '.join(self.keys)}{more}"


@as_owner()
def make(staged: Staged) -> tuple[Counts, str]:
    """Write the plan; return its counts and the snapshot it saw."""
    table = plan_table(staged.job.pk)
    with connection.cursor() as cursor:
        cursor.execute(PLANNING_MEMORY)
        cursor.execute(f"DROP TABLE IF EXISTS {table}")
        snapshot = snapshot_of(cursor, staged.job, staged.spec)
        cursor.execute(f"SELECT EXISTS (SELECT FROM {staged.spec.table})")
        is_filled = cursor.fetchone()[0]
        if not is_filled:  # every row creates a record: the staged rows themselves are the plan
            _create(cursor, staged, f"{_plan_sql(staged)} AND false")
            return Counts(staged.job.staged_rows, 0, 0, 0), snapshot
        _create(cursor, staged, _plan_sql(staged))
        # Or the merge would take these for a few entries, and hash all staged rows instead of them.
        analyze(table, ["rn", "op"])
        deleted = 0
        if staged.job.mode == Mode.SYNC:
            cursor.execute(f"INSERT INTO {table} {_missing_sql(staged)}")
            deleted = int(cursor.rowcount)
            references.tell_of_kept(
                staged, _is_missing(staged), f"coalesce({key_text(staged.spec, 't')}, '')"
            )
        cursor.execute(
            "SELECT count(*) FILTER (WHERE op = '+'), count(*) FILTER (WHERE op = '~'), bit_or(columns)"
            f" FROM {table}"
        )
        created, updated, bits = cursor.fetchone()
        names = _compared(staged)
        changing = [name for at, name in enumerate(names) if bits is None or bits >> at & 1]
        staged.job.head["changing"] = {"snapshot": snapshot, "columns": changing, "knows_sources": True}
    missing = deleted if staged.job.mode == Mode.SYNC else _missing(staged, created)
    return Counts(created, updated, deleted, missing), snapshot


def make_empty(staged: Staged) -> str:
    """Write a plan that does nothing; return the snapshot it saw."""
    with connection.cursor() as cursor:
        snapshot = snapshot_of(cursor, staged.job, staged.spec)
        _create(cursor, staged, f"{_plan_sql(staged)} AND false")
    return snapshot


def _create(cursor: Any, staged: Staged, source: str) -> None:
    table = plan_table(staged.job.pk)
    cursor.execute(f"CREATE UNLOGGED TABLE {table} WITH (autovacuum_enabled = off) AS {source}")


def snapshot_of(cursor: Any, job: ImportJob, spec: DatasetSpec) -> str:
    """Return what a plan made from here on sees, and keep on the job how entries are told that it does not.

    They were written since the oldest transaction began, and have numbers above the last one, where that is known.
    """
    since, number = oldest_transaction(), last_number(spec)  # before the snapshot, as both ask for
    cursor.execute("SELECT pg_current_snapshot()::text")
    job.head = {
        **job.head,
        "unseen_since": None if since is None else since.isoformat(),
        "last_number": number,
    }
    return str(cursor.fetchone()[0])


def planned(job: ImportJob) -> str:
    """Return an SQL source of the plan's entries: its table, or the staged rows if each creates a record."""
    if job.created_rows == job.staged_rows and not (job.mode == Mode.SYNC and job.missing_rows):
        return f"(SELECT rn, NULL::bigint AS id, '+'::\"char\" AS op, NULL::xid AS seen FROM {staging_table(job.pk)})"
    return plan_table(job.pk)


def drift(staged: Staged) -> Drift:
    """Return which entries would be different if the plan were made now.

    The version (xmin) of each record to change is part of the plan, so a record edited since counts even
    if the file would change it still.
    """
    job, spec = staged.job, staged.spec
    if not is_touched(job, spec):
        return Drift()
    now = _plan_sql(staged)
    if job.mode == Mode.SYNC:
        now = f"{now} UNION ALL ({_missing_sql(staged)})"
    is_other, parameters = _is_other(staged)
    with connection.cursor() as cursor:
        cursor.execute(PLANNING_MEMORY)
        cursor.execute(
            f"WITH drifted AS MATERIALIZED (SELECT rn, coalesce(n.id, d.id) AS id FROM ({now}) n"
            f" FULL JOIN {planned(job)} d USING (rn) WHERE {is_other}),"
            f" first AS (SELECT rn, id FROM drifted ORDER BY rn LIMIT {NAMED_KEYS})"
            f" SELECT (SELECT count(*) FROM drifted), ARRAY(SELECT coalesce({key_text(spec, 't')},"
            f" {key_text(spec, 's')}, 'record ' || d.id) FROM first d LEFT JOIN {spec.table} t ON t.id = d.id"
            f" LEFT JOIN {staging_table(job.pk)} s ON s.rn = d.rn ORDER BY d.rn)",
            parameters,
        )
        entries, keys = cursor.fetchone()
    return Drift(int(entries), tuple(key for key in keys if key))


def _is_other(staged: Staged) -> tuple[str, list[Any]]:
    """Return the condition, with parameters, that an entry made now (n) is not what the plan (d) says."""
    job = staged.job
    assert job.previewed_at is not None
    if not has_moved(staged.spec.pk, since=job.previewed_at):
        return "(n.id, n.op, n.seen::text) IS DISTINCT FROM (d.id, d.op, d.seen::text)", []
    # A change of the definition has written every record anew without a word to history: that is no edit.
    edited = (
        f"SELECT id FROM {staged.spec.history_table} WHERE history_date >= %s"
        " AND NOT pg_visible_in_snapshot(history_xid, %s::pg_snapshot)"
    )
    return (
        "(n.id, n.op) IS DISTINCT FROM (d.id, d.op)"
        f" OR n.seen::text IS DISTINCT FROM d.seen::text AND n.id IN ({edited})",
        [unseen_since(_oldest_transaction(job), job.previewed_at), job.snapshot],
    )


def is_touched(job: ImportJob, spec: DatasetSpec) -> bool:
    """Return whether history has an entry the plan may not have seen. Cheap, and never a wrong no.

    An old plan counts as touched: entries may have been pruned.
    """
    assert job.previewed_at is not None
    if clock.now() - job.previewed_at > LONGEST_TRANSACTION:
        return True
    if job.head.get("last_number") == current_number(spec):
        return False
    with connection.cursor() as cursor:
        return has_unseen(
            cursor, spec, snapshot=job.snapshot, taken_at=job.previewed_at, oldest=_oldest_transaction(job)
        )


def _oldest_transaction(job: ImportJob) -> datetime | None:
    """Return when the oldest transaction began that went on when the job's plan was made, if that is known."""
    known = job.head.get("unseen_since")
    return datetime.fromisoformat(known) if known else None


def is_in_key_order(job: ImportJob, spec: DatasetSpec) -> bool:
    """Return whether the file's rows come in the key's order, as far as statistics tell. Only speed hangs on it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT correlation FROM pg_stats WHERE schemaname = current_schema()"
            " AND tablename = %s AND attname = %s",
            [staging_table(job.pk), spec.key[0] if spec.key else "rn"],
        )
        found = cursor.fetchone()
        return bool(found and found[0] is not None and found[0] > 0.99)


def new_value(staged: Staged, name: str) -> str:
    """Return the SQL of what a column becomes in the record `t` by the staged row `s`."""
    value = quoted([name], "s.")
    return f"coalesce({value}, {quoted([name], 't.')})" if name in staged.kept else value


def changing_columns(staged: Staged) -> list[str]:
    """Return the columns in which the plan changes any record, or more: the merge need not write the others.

    They are those of this very plan: an earlier release, still at work during a deploy, makes plans without them.
    """
    compared, known = _compared(staged), _known(staged.job)
    return [name for name in compared if name in known["columns"]] if known else compared


def changing_rows(staged: Staged) -> str:
    """Return an SQL source of the staged rows (s) that change a record, each with its entry of the plan (d).

    Where they are few they are fetched from their places, else found in one pass over all. A table written anew
    meanwhile has other rows there: `rn` says that these are the ones.
    """
    job = staged.job
    places = ""
    if _known(job).get("knows_sources") and job.updated_rows * FETCHED_SHARE <= job.staged_rows:
        places = "s.ctid = d.source AND "
    return f"{staging_table(job.pk)} s JOIN {plan_table(job.pk)} d ON {places}s.rn = d.rn WHERE d.op = '~'"


def _known(job: ImportJob) -> dict[str, Any]:
    """Return what is known of this very plan beside its table; nothing where an earlier release made it."""
    known: dict[str, Any] = job.head.get("changing", {})
    return known if known.get("snapshot") == job.snapshot else {}


def _compared(staged: Staged) -> list[str]:
    # Columns the file does not have keep their values, so only those it has are compared.
    return [column.name for column in staged.columns if column.name not in staged.spec.key]


def _plan_sql(staged: Staged) -> str:
    others = _compared(staged)
    new, old = [new_value(staged, name) for name in others], [quoted([name], "t.") for name in others]
    is_changed = f"({', '.join(new)}) IS DISTINCT FROM ({', '.join(old)})"
    if not others:
        is_changed = "false"
    elif len(others) == 1:
        is_changed = f"{new[0]} IS DISTINCT FROM {old[0]}"
    bits = [
        f"CASE WHEN {one} IS DISTINCT FROM {other} THEN {1 << at}::bigint ELSE 0 END"
        for at, (one, other) in enumerate(zip(new, old, strict=True))
    ]
    columns = (
        f"CASE WHEN t.id IS NOT NULL THEN {' | '.join(bits)} END" if 0 < len(bits) <= MOST_BITS else "NULL"
    )
    return (
        "SELECT s.rn, s.ctid AS source, t.id, (CASE WHEN t.id IS NULL THEN '+' ELSE '~' END)::\"char\" AS op,"
        f" t.xmin AS seen, t.ctid AS at, ({columns})::bigint AS columns"
        f" FROM {staging_table(staged.job.pk)} s LEFT JOIN {staged.spec.table} t"
        f" ON {same_key(staged.spec.key, 't', 's')} WHERE (t.id IS NULL OR {is_changed})"
    )


def _missing_sql(staged: Staged) -> str:
    entry = f"{DELETIONS_FROM} + m.id, NULL::tid, m.id, '-'::\"char\", m.seen, m.at, NULL::bigint"
    return references.deletions(staged, _is_missing(staged), entry)


def _is_missing(staged: Staged) -> str:
    """Return the condition of a record `t` that no row of the file names, refused or not."""
    pk, key = staged.job.pk, staged.spec.key
    return (
        f"NOT EXISTS (SELECT FROM {staging_table(pk)} s WHERE {same_key(key, 's', 't')})"
        f" AND NOT EXISTS (SELECT FROM {keys_table(pk)} k WHERE {same_key(key, 'k', 't')})"
    )


def _missing(staged: Staged, created: int) -> int:
    """Return how many records stand in no row of the file, refused or not, without comparing them all."""
    pk, spec = staged.job.pk, staged.spec
    if not spec.key:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {spec.table}")
        records = int(cursor.fetchone()[0])
        if not kept_keys(staged.job):
            return records - (staged.job.staged_rows - created)
        cursor.execute(
            f"SELECT count(*) FROM {spec.table} t WHERE EXISTS"
            f" (SELECT FROM {keys_table(pk)} k WHERE {same_key(spec.key, 'k', 't')}) AND NOT EXISTS"
            f" (SELECT FROM {staging_table(pk)} s WHERE {same_key(spec.key, 's', 't')})"
        )
        only_refused = int(cursor.fetchone()[0])
    return records - (staged.job.staged_rows - created) - only_refused
