"""Taking a job: whose turn it is, which of theirs, and the lease that says it is taken.

Everything here is one statement each, committed at once, by the database's clock. The attempt is on record
before the work begins, because the work may be what kills the process.
"""

from __future__ import annotations

from uuid import uuid4

from django.db import connection, transaction

from jobs.limits import SLICE_SECONDS, lease_seconds
from jobs.models import Job

_LEASE = """
UPDATE jobs_job j SET state = 'RUNNING', attempts = attempts + 1, lease = %(lease)s,
       lease_until = statement_timestamp() + make_interval(secs => %(seconds)s),
       started_at = COALESCE(started_at, statement_timestamp())
  FROM picked WHERE j.id = picked.id RETURNING j.*"""

# The tenant with the least virtual time that is below its cap and has something to do; what its running
# slices will cost is counted ahead. Then the tenant's own order: priority, and first come first served.
# The order of `turns` carries through the nested loop: only the rows of the first tenant are locked.
PICK = f"""
WITH running AS MATERIALIZED (
  SELECT schema, count(*) AS n FROM jobs_job WHERE state = 'RUNNING' GROUP BY schema),
turns AS MATERIALIZED (
  SELECT s.schema FROM jobs_tenantshare s LEFT JOIN running r USING (schema)
   WHERE s.state = 'ACTIVE' AND COALESCE(r.n, 0) < s.cap
   ORDER BY s.vtime + COALESCE(r.n, 0) * {SLICE_SECONDS} / s.weight, s.schema),
picked AS MATERIALIZED (
  SELECT w.id FROM turns CROSS JOIN LATERAL (
    SELECT id FROM jobs_job WHERE jobs_job.schema = turns.schema AND state = 'QUEUED'
       AND not_before <= statement_timestamp()
     ORDER BY priority, id LIMIT 1 FOR UPDATE SKIP LOCKED) w LIMIT 1)
{_LEASE}"""

ONE = f"""
WITH picked AS MATERIALIZED (
  SELECT job.id FROM jobs_job job JOIN jobs_tenantshare share USING (schema)
   WHERE job.id = %(id)s AND share.state = 'ACTIVE'
     AND (job.state = 'QUEUED' OR (job.state = 'RUNNING' AND job.lease_until < statement_timestamp()))
   FOR UPDATE OF job SKIP LOCKED)
{_LEASE}"""

REAP = """
UPDATE jobs_job SET state = 'QUEUED', lease = NULL, lease_until = NULL WHERE id IN (
  SELECT id FROM jobs_job WHERE state = 'RUNNING' AND lease_until < statement_timestamp()
  FOR UPDATE SKIP LOCKED)"""

ELIGIBLE = """
SELECT count(*) FROM (
  SELECT 1 FROM jobs_job j JOIN jobs_tenantshare s USING (schema)
   WHERE j.state = 'QUEUED' AND j.not_before <= statement_timestamp() AND s.state = 'ACTIVE' LIMIT %s) e"""


def claim() -> Job | None:
    """Take the job whose turn it is, or None. Must run in `public`, outside any transaction."""
    return _take(PICK, {}) or (_take(PICK, {}) if reap() else None)


def claim_one(job_id: int) -> Job | None:
    """Take this job if nobody has it and its tenant is not paused, whatever the others' turns."""
    return _take(ONE, {"id": job_id})


def reap() -> int:
    """Queue again what dead workers hold, and return how many jobs that were."""
    with connection.cursor() as cursor:
        cursor.execute(REAP)
        return int(cursor.rowcount)


def eligible(limit: int) -> int:
    """Return how many jobs could run now, counting no further than `limit`."""
    with connection.cursor() as cursor:
        cursor.execute(ELIGIBLE, [limit])
        return int(cursor.fetchone()[0])


def _take(statement: str, values: dict[str, object]) -> Job | None:
    with transaction.atomic(durable=True):
        found = Job.objects.raw(statement, {**values, "lease": uuid4(), "seconds": lease_seconds()})
        return next(iter(found), None)
