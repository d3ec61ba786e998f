"""Removing jobs that ended long ago, so that the table stays as small as what is going on.

A job's idempotency key goes with its row. That is safe, because nobody can ask for a key again that is old
enough to be gone: the dispatcher names a slot by its hour and only ever makes the latest one that is due,
and the keys of imports hold a number that their own row counts up. Whether an import or an export was done
stands in its own row, which is not touched here.
"""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import connection, transaction

from jobs import engine

BATCH = 500
# A failed job is what an operator may still look into, or start again.
FAILED_TIMES = 3
MAX_DAYS = 36_500  # beyond it the database's calendar has an end
PURGE = """
WITH past AS MATERIALIZED (
  SELECT id FROM jobs_job
   WHERE finished_at < COALESCE(%(now)s::timestamptz, statement_timestamp()) - make_interval(days => %(days)s)
     AND (state IN ('DONE', 'CANCELLED') OR state = 'FAILED' AND finished_at <
          COALESCE(%(now)s::timestamptz, statement_timestamp()) - make_interval(days => %(failed_days)s))
   ORDER BY finished_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
DELETE FROM jobs_job WHERE id IN (SELECT id FROM past)"""


def purge(now: datetime | None = None, *, limit: int = 2000) -> int:
    """Delete at most `limit` jobs that ended longer ago than they are kept, and return how many those were.

    Never one that is active. `now` is the database's clock by default. Must run in `public`, outside any
    transaction: each batch is one of its own, and whoever else purges at the same time takes other rows.
    What the queue's library noted goes too.
    """
    gone = 0
    while gone < limit:
        batch = min(BATCH, limit - gone)
        deleted = _purge(now, batch)
        gone += deleted
        if deleted < batch:
            break
    engine.forget_results()
    return gone


def _purge(now: datetime | None, limit: int) -> int:
    days = min(int(settings.ROWHOUSE_JOB_KEEP_DAYS), MAX_DAYS)
    values = {"now": now, "days": days, "failed_days": days * FAILED_TIMES, "limit": limit}
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(PURGE, values)
        return int(cursor.rowcount)
