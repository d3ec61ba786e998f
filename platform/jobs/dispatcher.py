"""Hourly work: one job per tenant, kind and UTC hour, however many dispatchers run and whatever was down.

A tenant's hour is due at its own stable offset, so that a thousand tenants do not come at once. After an
outage the latest hour that is due is caught up, once; the hours before it are not.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zlib import crc32

from django.db import connection, transaction

from jobs import engine
from jobs.kinds import hourly_kinds
from jobs.limits import DEFAULT_PRIORITY, MAX_DOORBELLS, hourly_jitter_seconds

BATCH = 500
# `slot` is the latest hour whose due time has come. The jobs and the next due time, or neither.
DISPATCH = """
WITH due AS MATERIALIZED (
  SELECT schema, slug, make_interval(secs => spread %% %(jitter)s) AS shift,
         COALESCE(%(now)s::timestamptz, statement_timestamp()) AS now
    FROM jobs_tenantshare
   WHERE next_hour_at <= COALESCE(%(now)s::timestamptz, statement_timestamp()) AND state = 'ACTIVE'
   ORDER BY next_hour_at LIMIT %(batch)s FOR UPDATE SKIP LOCKED),
slots AS MATERIALIZED (
  SELECT schema, slug, shift, date_trunc('hour', now - shift, 'UTC') AS slot,
         to_char(date_trunc('hour', now - shift, 'UTC') AT TIME ZONE 'UTC',
                 'YYYY-MM-DD"T"HH24:MI:SS') || '+00:00' AS name
    FROM due),
made AS (
  INSERT INTO jobs_job (schema, slug, kind, target, idem_key, payload, priority, state, not_before,
                        step, cursor, processed, busy_seconds, attempts, cancel_requested, error_code, error)
  SELECT schema, slug, kind, name, schema || ':' || kind || ':' || name, jsonb_build_object('slot', name),
         %(priority)s, 'QUEUED', statement_timestamp(), 0, '{}', 0, 0, 0, false, '', ''
    FROM slots CROSS JOIN unnest(%(kinds)s::text[]) AS kind
  ON CONFLICT DO NOTHING RETURNING 1),
moved AS (
  UPDATE jobs_tenantshare s SET next_hour_at = slots.slot + slots.shift + interval '1 hour'
    FROM slots WHERE s.schema = slots.schema RETURNING 1)
SELECT (SELECT count(*) FROM made), (SELECT count(*) FROM moved)"""


def dispatch(now: datetime | None) -> int:
    """Submit what is due at `now` (by default the database's) and return how many jobs that made."""
    kinds = hourly_kinds()
    made = 0
    while kinds:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                DISPATCH,
                {
                    "now": now,
                    "jitter": _modulus(),
                    "batch": BATCH,
                    "priority": DEFAULT_PRIORITY,
                    "kinds": list(kinds),
                },
            )
            jobs, tenants = cursor.fetchone()
            engine.ring(min(jobs, MAX_DOORBELLS))
        made += jobs
        if not tenants:
            break
    return made


def first_due(schema: str, now: datetime) -> datetime:
    """Return when a tenant admitted at `now` has its first hourly work: its offset into the next hour.

    >>> first_due("t_00000000", datetime(2026, 8, 26, 14, 5, tzinfo=UTC)).hour
    15
    """
    hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return hour + timedelta(hours=1, seconds=crc32(schema.encode()) % _modulus())


def _modulus() -> int:
    return min(max(hourly_jitter_seconds(), 1), 3600)
