"""Work by the clock: one job per tenant, kind and slot, however many dispatchers run and whatever was down.

A slot is an hour (UTC) of a tenant, or a quarter of one where a tenant needs that; kinds of hourly work have one job
per hour in both. A slot is due at the tenant's own stable offset, shorter than the slot, so that a thousand tenants do
not come at once. After an outage the latest slot that is due is caught up, once; those before it are not.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zlib import crc32

from django.db import connection, transaction

from jobs import engine
from jobs.kinds import hourly_kinds, slot_kinds
from jobs.limits import DEFAULT_PRIORITY, HOUR_MINUTES, MAX_DOORBELLS, hourly_jitter_seconds

BATCH = 500
NOW = "COALESCE(%(now)s::timestamptz, statement_timestamp())"
LENGTH = "make_interval(mins => slot_minutes)"
# Seconds into the slot: of a quarter's a quarter of the hour's jitter.
SHIFT = "make_interval(secs => spread %% GREATEST(1, %(jitter)s * slot_minutes / 60))"
EPOCH = "'2000-01-01 00:00:00+00'::timestamptz"
# `slot` is the latest one whose due time has come, `hour` the latest hour. The jobs and the next due time, or neither.
# A key names its slot by when it begins, so an hour's first quarter and the hour itself are one slot.
DISPATCH = f"""
WITH due AS MATERIALIZED (
  SELECT schema, slug, {LENGTH} AS length, {SHIFT} AS shift, {NOW} AS now
    FROM jobs_tenantshare
   WHERE next_hour_at <= {NOW} AND state = 'ACTIVE'
   ORDER BY next_hour_at LIMIT %(batch)s FOR UPDATE SKIP LOCKED),
slots AS MATERIALIZED (
  SELECT schema, slug, length, shift, date_bin(length, now - shift, {EPOCH}) AS slot,
         date_trunc('hour', now - shift, 'UTC') AS hour
    FROM due),
wanted AS MATERIALIZED (
  SELECT schema, slug, kind, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS') || '+00:00' AS name
    FROM (SELECT schema, slug, kind, hour AS at FROM slots CROSS JOIN unnest(%(hourly)s::text[]) AS kind
          UNION ALL
          SELECT schema, slug, kind, slot FROM slots CROSS JOIN unnest(%(by_slot)s::text[]) AS kind) AS each),
made AS (
  INSERT INTO jobs_job (schema, slug, kind, target, idem_key, payload, priority, state, not_before,
                        step, cursor, processed, busy_seconds, attempts, cancel_requested, error_code, error)
  SELECT schema, slug, kind, name, schema || ':' || kind || ':' || name, jsonb_build_object('slot', name),
         %(priority)s, 'QUEUED', statement_timestamp(), 0, '{{}}', 0, 0, 0, false, '', ''
    FROM wanted
  ON CONFLICT DO NOTHING RETURNING 1),
moved AS (
  UPDATE jobs_tenantshare s SET next_hour_at = slots.slot + slots.shift + slots.length
    FROM slots WHERE s.schema = slots.schema RETURNING 1)
SELECT (SELECT count(*) FROM made), (SELECT count(*) FROM moved)"""  # noqa: S608 -- our own words
# What is overdue stays so: it is still to be caught up.
RESIZE = f"""
UPDATE jobs_tenantshare SET slot_minutes = %(minutes)s, next_hour_at =
       CASE WHEN next_hour_at > {NOW}
            THEN date_bin(length, {NOW} - shift, {EPOCH}) + length + shift ELSE next_hour_at END
  FROM (SELECT {LENGTH} AS length, {SHIFT} AS shift
          FROM (SELECT spread, %(minutes)s AS slot_minutes FROM jobs_tenantshare
                 WHERE schema = %(schema)s) AS wanted) AS new
 WHERE schema = %(schema)s AND slot_minutes <> %(minutes)s"""  # noqa: S608 -- our own words


def dispatch(now: datetime | None) -> int:
    """Submit what is due at `now` (by default the database's) and return how many jobs that made."""
    hourly, by_slot = hourly_kinds(), slot_kinds()
    made = 0
    while hourly or by_slot:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                DISPATCH,
                {
                    "now": now,
                    "jitter": _modulus(),
                    "batch": BATCH,
                    "priority": DEFAULT_PRIORITY,
                    "hourly": list(hourly),
                    "by_slot": list(by_slot),
                },
            )
            jobs, tenants = cursor.fetchone()
            engine.ring(min(jobs, MAX_DOORBELLS))
        made += jobs
        if not tenants:
            break
    return made


def resize(schema: str, minutes: int, now: datetime | None) -> bool:
    """Give a tenant slots of another length from the next one on; False if they have it already.

    No slot comes twice by it: an hour has the name of its first quarter.
    """
    with connection.cursor() as cursor:
        cursor.execute(RESIZE, {"schema": schema, "minutes": minutes, "now": now, "jitter": _modulus()})
        return bool(cursor.rowcount)


def first_due(schema: str, now: datetime) -> datetime:
    """Return when a tenant admitted at `now` has its first hourly work: its offset into the next hour.

    >>> first_due("t_00000000", datetime(2026, 8, 26, 14, 5, tzinfo=UTC)).hour
    15
    """
    hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return hour + timedelta(hours=1) + offset(schema)


def offset(schema: str, minutes: int = HOUR_MINUTES) -> timedelta:
    """Return how long into its slots of so many minutes a tenant's work is due.

    >>> offset("t_00000000", 15) < timedelta(minutes=15)
    True
    """
    return timedelta(seconds=crc32(schema.encode()) % max(1, _modulus() * minutes // HOUR_MINUTES))


def _modulus() -> int:
    return min(max(hourly_jitter_seconds(), 1), 3600)
