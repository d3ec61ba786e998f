"""Records that cannot go because others refer to them, and values that cannot come back: worked out in SQL.

The database says the last word, at the merge. What is worked out here says it before, of each record.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.db import IntegrityError, connection
from psycopg2.errors import ForeignKeyViolation

from datasets.columntypes.grammar import sql_literal
from datasets.models import Dataset
from datasets.references import Referrer, referrers_of
from datasets.spec import ColumnSpec, DatasetSpec
from importer.models import ImportIssue, Severity
from importer.refusals import Staged, Statement
from importer.stage import KEPT_ISSUES
from importer.staging import plan_table, quoted, same_key, staging_table

HELD, UNFIT = "still-referenced", "no-longer-fits"
BROKEN = (
    "A record that rows refer to, or one that was to go, is not as it was at the preview. The preview was made again;"
    " look at it and confirm."
)


def is_broken(error: IntegrityError) -> bool:
    """Return whether it was a reference that the database refused."""
    return isinstance(error.__cause__, ForeignKeyViolation)


# ---- records that cannot go


def deletions(staged: Staged, is_missing: str, entry: str) -> str:
    """Return the SQL of a plan's entries for the missing records that can go.

    A record stays to which a record of another dataset refers, or one of this dataset that will be there: a row of
    the file, a record whose row was refused, or a record that stays itself.

    :param is_missing: the condition of a record `t` that the file does not have.
    :param entry: the columns of an entry of a record `m` (id, seen, at).
    """
    spec = staged.spec
    referrers = _referrers(spec)
    if not referrers:
        missing = f"SELECT t.id, t.xmin AS seen, t.ctid AS at FROM {spec.table} t WHERE {is_missing}"
        return f"SELECT {entry} FROM ({missing}) m"
    key = quoted(spec.key, "t.")
    own = [one.name for one in referrers if one.dataset.pk == spec.pk]
    missing = (
        f"SELECT t.id, t.xmin AS seen, t.ctid AS at, {key} AS key{''.join(f', t.{name}' for name in own)}"
        f" FROM {spec.table} t WHERE {is_missing}"
    )
    holding = [f"SELECT {one.name} AS key FROM {one.table}" for one in referrers if one.name not in own]
    for name in own:
        holding += _own_holders(staged, name)
    held = " UNION ".join(
        f"SELECT m.key FROM m WHERE EXISTS (SELECT FROM ({one}) h WHERE h.key = m.key)" for one in holding
    )
    if own:
        further = " UNION ALL ".join(
            f"SELECT key, {name} AS ref FROM m WHERE {name} IS NOT NULL" for name in own
        )
        held = f"({held}) UNION SELECT o.ref FROM held JOIN ({further}) o ON o.key = held.key"
    return (
        f"WITH RECURSIVE m AS MATERIALIZED ({missing}), held(key) AS ({held})"
        f" SELECT {entry} FROM m WHERE NOT EXISTS (SELECT FROM held WHERE held.key = m.key)"
    )


def _own_holders(staged: Staged, name: str) -> list[str]:
    """Return the SQL of what the rows of the file will refer to in a column, and what stays of the records' values."""
    table, spec = staging_table(staged.job.pk), staged.spec
    stays = f"SELECT r.{name} AS key FROM {spec.table} r WHERE NOT EXISTS (SELECT FROM m g WHERE g.id = r.id)"
    if name not in {column.name for column in staged.columns}:
        return [stays]
    other = f" AND s.{name} IS NOT NULL" if name in staged.kept else ""
    unchanged = f"NOT EXISTS (SELECT FROM {table} s WHERE {same_key(spec.key, 's', 'r')}{other})"
    return [f"SELECT s.{name} AS key FROM {table} s", f"{stays} AND {unchanged}"]


def tell_of_kept(staged: Staged, is_missing: str, name: str) -> None:
    """Keep a warning for each missing record that the plan leaves because others refer to it, and count them.

    :param name: the SQL of what people call a record `t` by.
    """
    job, spec = staged.job, staged.spec
    ImportIssue.objects.filter(job=job, code=HELD)._raw_delete("default")
    counts = {code: number for code, number in job.warning_counts.items() if code != HELD}
    referrers = _referrers(spec)
    if referrers:
        kept = (
            f" FROM {spec.table} t WHERE {is_missing}"
            f" AND NOT EXISTS (SELECT FROM {plan_table(job.pk)} d WHERE d.op = '-' AND d.id = t.id)"
        )
        fields = quoted(["job_id", "code", "row", "line", "column", "value", "rule", "severity"])
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT count(*){kept}")
            if number := int(cursor.fetchone()[0]):
                counts[HELD] = number
                cursor.execute(
                    f"INSERT INTO {ImportIssue._meta.db_table} ({fields}) SELECT %s, %s, 0, 0, %s, left({name}, 200),"
                    f" {held_rule(referrers, 't')}, %s{kept} ORDER BY t.id LIMIT {KEPT_ISSUES}",
                    [job.pk, HELD, spec.key_columns[0].label, Severity.WARNING],
                )
    if counts != job.warning_counts:
        job.warning_counts = counts
        job.save(update_fields=["warning_counts"])


def held_rule(referrers: Sequence[Referrer], record: str) -> str:
    """Return the SQL of the sentence why a record stays, with how many records of which datasets refer to it."""
    parts = []
    for one in referrers:
        title = sql_literal(f" of “{one.dataset.title}”")
        of_them = f"SELECT count(*) AS n FROM {one.table} r WHERE r.{one.name} = {record}.{one.key}"
        words = f"CASE n WHEN 0 THEN NULL WHEN 1 THEN '1 record' ELSE n || ' records' END || {title}"
        parts.append(f"(SELECT {words} FROM ({of_them}) c)")
    found = f"coalesce(nullif(concat_ws(' and ', {', '.join(parts)}), ''), 'Rows of the file')"
    return f"'Others refer to this record, so it stays: ' || {found} || '.'"


def _referrers(spec: DatasetSpec) -> list[Referrer]:
    return referrers_of(Dataset(pk=spec.pk)) if len(spec.key) == 1 else []


# ---- undo


def keep_in_undo(spec: DatasetSpec, table: str, *, has_former: bool) -> bool:
    """Mark the entries of an undo's plan that a reference forbids; return whether there were any.

    What would go stays if a record refers to it that will be there; a former value does not come back if what it
    refers to will not be there. One keeps the other, so this goes on until nothing more is found.
    """
    referrers, found = _referrers(spec), False
    marks = [*_marks_of_others(spec, table, referrers, has_former=has_former)]
    own = [*_own_marks(spec, table, referrers, has_former=has_former)]
    with connection.cursor() as cursor:
        found = _mark(cursor, marks)
        while own and _mark(cursor, own):
            found = True
    return found


def _mark(cursor: Any, marks: Sequence[Statement]) -> bool:
    marked = 0
    for sql, parameters in marks:
        cursor.execute(sql, parameters)
        marked += int(cursor.rowcount)
    return marked > 0


def _marks_of_others(
    spec: DatasetSpec, table: str, referrers: Sequence[Referrer], *, has_former: bool
) -> Iterator[Statement]:
    for one in referrers:
        if one.dataset.pk != spec.pk:
            yield _held_sql(spec, table, one.key, f"SELECT 0 AS id, {one.name} AS value FROM {one.table}")
    for column, target in spec.references if has_former else ():
        if target.dataset != spec.pk:
            keys = f"SELECT {target.name} AS key FROM {target.table}"
            yield _unfit_sql(spec, table, column, keys)


def _own_marks(
    spec: DatasetSpec, table: str, referrers: Sequence[Referrer], *, has_former: bool
) -> Iterator[Statement]:
    comes = (
        f"FROM {table} q JOIN {spec.history_table} f ON f.history_id = q.former"
        " WHERE q.op IN ('~', '+') AND q.kept IS NULL"
    )
    for one in referrers:
        if one.dataset.pk != spec.pk:
            continue
        values = (
            f"SELECT r.id, r.{one.name} AS value FROM {spec.table} r"
            f" WHERE NOT EXISTS (SELECT FROM {table} q WHERE q.id = r.id AND q.kept IS NULL)"
        )
        if has_former:
            values += f" UNION ALL SELECT q.id, f.{one.name} {comes}"
        yield _held_sql(spec, table, one.key, values)
    if not has_former:
        return
    keys = (
        f"SELECT r.{{key}} AS key FROM {spec.table} r WHERE NOT EXISTS (SELECT FROM {table} q WHERE q.id = r.id"
        f" AND q.op IN ('~', '-') AND q.kept IS NULL) UNION ALL SELECT f.{{key}} {comes}"
    )
    for column in spec.own_references:
        yield _unfit_sql(spec, table, column, keys.format(key=spec.key[0]))


def _held_sql(spec: DatasetSpec, table: str, key: str, values: str) -> Statement:
    return (
        f"UPDATE {table} p SET kept = %s FROM {spec.table} t WHERE t.id = p.id AND p.op = '-' AND p.kept IS NULL"
        f" AND EXISTS (SELECT FROM ({values}) h WHERE h.value = t.{key} AND h.id <> t.id)",
        [HELD],
    )


def _unfit_sql(spec: DatasetSpec, table: str, column: ColumnSpec, keys: str) -> Statement:
    return (
        f"UPDATE {table} p SET kept = %s, label = %s FROM {spec.history_table} f WHERE f.history_id = p.former"
        f" AND p.op IN ('~', '+') AND p.kept IS NULL AND f.{column.name} IS NOT NULL"
        f" AND NOT EXISTS (SELECT FROM ({keys}) k WHERE k.key = f.{column.name})",
        [UNFIT, column.label],
    )


def held_rule_of(spec: DatasetSpec, record: str) -> str:
    """Return the SQL of why an undo leaves a record, given by an entry of its history."""
    referrers = _referrers(spec)
    return held_rule(referrers, record) if referrers else "''"
