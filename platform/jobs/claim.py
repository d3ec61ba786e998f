"""Taking a job: whose turn it is, which of theirs, and the lease that says it is taken.

Everything here is one statement each, committed at once, by the database's clock. The attempt is on record
before the work begins, because the work may be what kills the process.
"""

from __future__ import annotations

from uuid import uuid4

from django.db import connection, transaction

from jobs import heartbeat
from jobs.limits import MAX_REST_SECONDS, SLICE_SECONDS, lease_seconds
from jobs.models import Job

_LEASE = """
UPDATE jobs_job j SET state = 'RUNNING', attempts = attempts + 1, lease = %(lease)s,
       worker = %(worker)s, lease_until = statement_timestamp() + make_interval(secs => %(seconds)s),
       started_at = COALESCE(started_at, statement_timestamp())
  FROM picked WHERE j.id = picked.id RETURNING j.*"""

# A table just filled or drained has statistics by which PostgreSQL would read and sort every tenant's history
# of ended jobs. The index of what waits is the right way whatever they say: sorting is the last choice.
_IN_ORDER = "SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_seqscan = off;"

# The tenant with the least virtual time that is below its cap and has something to do; what its running
# slices will cost is counted ahead. Then the tenant's own order: priority, and first come first served.
# The order of `turns` carries through the nested loop: only the rows of the first tenant are locked.
PICK = f"""{_IN_ORDER}
WITH running AS MATERIALIZED (
  SELECT schema, count(*) AS n FROM jobs_job WHERE state = 'RUNNING' GROUP BY schema),
turns AS MATERIALIZED (
  SELECT s.schema FROM jobs_tenantshare s LEFT JOIN running r USING (schema)
   WHERE s.state = 'ACTIVE' AND COALESCE(r.n, 0) < s.cap
   ORDER BY s.vtime + COALESCE(r.n, 0) * {SLICE_SECONDS} / s.weight, s.schema),
picked AS MATERIALIZED (
  SELECT w.id FROM turns CROSS JOIN LATERAL (
    SELECT id FROM jobs_job WHERE jobs_job.schema = turns.schema AND state = 'QUEUED'
       AND not_before <= statement_timestamp() AND kind <> ALL (%(without)s)
     ORDER BY priority, id LIMIT 1 FOR UPDATE SKIP LOCKED) w LIMIT 1)
{_LEASE}"""

ONE = f"""
WITH picked AS MATERIALIZED (
  SELECT job.id FROM jobs_job job JOIN jobs_tenantshare share USING (schema)
   WHERE job.id = %(id)s AND (share.state = 'ACTIVE' OR job.cancel_requested)
     AND (job.state = 'QUEUED' OR (job.state = 'RUNNING' AND job.lease_until < statement_timestamp()))
   FOR UPDATE OF job SKIP LOCKED)
{_LEASE}"""

# Whatever its tenant's turn: it only ends. A paused tenant's cancelled work ends as well.
CANCELLED = f"""
WITH picked AS MATERIALIZED (
  SELECT id FROM jobs_job WHERE state = 'QUEUED' AND cancel_requested AND not_before <= statement_timestamp()
   ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
{_LEASE}"""

# What killed its worker once may have been bad luck; from the second time on it rests before it gets another.
_QUEUE_AGAIN = f"""
UPDATE jobs_job SET state = 'QUEUED', lease = NULL, lease_until = NULL, error_code = '', error = '',
       not_before = CASE
       WHEN attempts < 2 OR cancel_requested THEN not_before
       ELSE statement_timestamp() + make_interval(secs => LEAST(power(2, LEAST(attempts, 20)), {MAX_REST_SECONDS}))
       END"""
REAP = f"""{_QUEUE_AGAIN} WHERE id IN (
  SELECT id FROM jobs_job WHERE state = 'RUNNING' AND lease_until < statement_timestamp()
  FOR UPDATE SKIP LOCKED)"""
RELEASE_FAMILY = f"""{_QUEUE_AGAIN} WHERE id IN (
  SELECT id FROM jobs_job WHERE state = 'RUNNING' AND worker = %s FOR UPDATE SKIP LOCKED)"""

ELIGIBLE = """
SELECT count(*) FROM (
  SELECT 1 FROM jobs_job j JOIN jobs_tenantshare s USING (schema)
   WHERE j.state = 'QUEUED' AND j.not_before <= statement_timestamp()
     AND (s.state = 'ACTIVE' OR j.cancel_requested) LIMIT %s) e"""

OTHERS_WAIT = f"""{_IN_ORDER}
SELECT EXISTS (
  SELECT 1 FROM jobs_tenantshare s CROSS JOIN LATERAL (
    SELECT 1 FROM jobs_job j WHERE j.schema = s.schema AND j.state = 'QUEUED'
       AND j.not_before <= statement_timestamp() ORDER BY priority, id LIMIT 1) waiting
   WHERE s.state = 'ACTIVE' AND NOT EXISTS (
     SELECT 1 FROM jobs_job r WHERE r.schema = s.schema AND r.state = 'RUNNING'))"""


def claim(*, without: tuple[str, ...] = ()) -> Job | None:
    """Take the job whose turn it is, or None; none of the kinds `without`.

    Must run in `public`, outside any transaction.
    """
    values: dict[str, object] = {"without": list(without)}
    return _take(PICK, values) or (_take(PICK, values) if reap() else None)


def claim_one(job_id: int) -> Job | None:
    """Take this job if nobody has it and its tenant is not paused, whatever the others' turns."""
    return _take(ONE, {"id": job_id})


def claim_cancelled() -> Job | None:
    """Take a job that waits and has nothing left to do but to end as cancelled."""
    return _take(CANCELLED, {})


def reap() -> int:
    """Queue again what silent workers hold, and return how many jobs that were."""
    with connection.cursor() as cursor:
        cursor.execute(REAP)
        return int(cursor.rowcount)


def release_family(family: str) -> int:
    """Queue again what a worker family held whose processes are all dead: nobody need wait for its leases."""
    if not family:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(RELEASE_FAMILY, [family])
        return int(cursor.rowcount)


def eligible(limit: int) -> int:
    """Return how many jobs could run now, counting no further than `limit`."""
    with connection.cursor() as cursor:
        cursor.execute(ELIGIBLE, [limit])
        return int(cursor.fetchone()[0])


def others_wait() -> bool:
    """Return whether a tenant waits of whom nobody does anything."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(OTHERS_WAIT)
        return bool(cursor.fetchone()[0])


def _take(statement: str, values: dict[str, object]) -> Job | None:
    with transaction.atomic(durable=True):
        found = Job.objects.raw(statement, {**values, **_holder()})
        return next(iter(found), None)


def _holder() -> dict[str, object]:
    return {"lease": uuid4(), "seconds": lease_seconds(), "worker": heartbeat.family()}
