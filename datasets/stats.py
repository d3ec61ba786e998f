"""How many records there are and when they last changed, without reading whole tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import connection

EXACT_UP_TO = 10_000


def count_label(count: int, *, is_exact: bool) -> str:
    """Return a count for people.

    >>> count_label(214, is_exact=True), count_label(1203411, is_exact=False)
    ('214', 'about 1,203,000')
    """
    return f"{count:,}" if is_exact else f"about {round(count, -3):,}"


def record_counts(tables: Sequence[str]) -> dict[str, tuple[int, bool]]:
    """Return of each table how many records it holds, and whether that is exact.

    Up to EXACT_UP_TO records are counted; above that it is the planner's estimate. One query for the
    estimates and one for the counts.
    """
    if not tables:
        return {}
    estimates = _estimates(tables)
    counts = _bounded_counts([table for table in tables if estimates[table] <= EXACT_UP_TO * 10])
    found = {}
    for table in tables:
        bounded = counts.get(table, EXACT_UP_TO + 1)
        is_exact = bounded <= EXACT_UP_TO
        found[table] = (bounded if is_exact else max(bounded, estimates[table]), is_exact)
    return found


def _estimates(tables: Sequence[str]) -> dict[str, int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name, c.reltuples::bigint FROM unnest(%s) AS name"
            " JOIN pg_catalog.pg_class c ON c.oid = to_regclass(name)",
            [list(tables)],
        )
        return dict(cursor.fetchall())


def _bounded_counts(tables: Sequence[str]) -> dict[str, int]:
    if not tables:
        return {}
    parts = [
        f"SELECT '{table}', count(*) FROM (SELECT FROM \"{table}\" LIMIT {EXACT_UP_TO + 1}) s{number}"
        for number, table in enumerate(tables)
    ]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(parts))
        return dict(cursor.fetchall())


def last_changes(tables: Sequence[str]) -> dict[str, datetime]:
    """Return when a record of each table last changed; a table nobody has written is left out. One query."""
    if not tables:
        return {}
    parts = [
        f"(SELECT '{table}', history_date FROM \"{table}_history\" ORDER BY history_id DESC LIMIT 1)"
        for table in tables
    ]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(parts))
        return dict(cursor.fetchall())
