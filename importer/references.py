"""Records that cannot go because others refer to them, and values that cannot come back: worked out in SQL.

The database says the last word, at the merge. What is worked out here says it before, of each record.
"""

from __future__ import annotations

from django.db import IntegrityError, connection
from psycopg2.errors import ForeignKeyViolation

from datasets.undo_references import HELD, held_rule, single_key_referrers
from importer.models import ImportIssue, Severity
from importer.refusals import Staged
from importer.stage import KEPT_ISSUES
from importer.staging import plan_table, quoted, same_key, staging_table

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
    referrers = single_key_referrers(spec)
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
    referrers = single_key_referrers(spec)
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
