"""What a claim costs: 20,000 queued jobs of 1,000 tenants, and the cases that could make it slow."""

from __future__ import annotations

import statistics
import time

from django.db import connection

from benchmarks.jobs_ground import quantile
from jobs import claim, ending
from jobs.models import Job

TENANTS, JOBS = 1000, 20_000
LONG = ("importer.merge",)
FILL = f"""
TRUNCATE jobs_job, jobs_tenantshare;
INSERT INTO jobs_tenantshare (schema, slug, state, vtime, weight, cap, spread)
SELECT 't_' || lpad(n::text, 8, '0'), 'tenant-' || n, 'ACTIVE', random() * 100, 1, 2, 0
  FROM generate_series(1, {TENANTS}) n;
INSERT INTO jobs_job (schema, slug, kind, target, payload, priority, state, step, cursor, processed,
                      busy_seconds, attempts, cancel_requested, error_code, error)
SELECT 't_' || lpad((1 + n % {TENANTS})::text, 8, '0'), 'tenant-' || 1 + n % {TENANTS}, 'exporter.run',
       'export ' || n, '{{}}', 100, 'QUEUED', 0, '{{}}', 0, 0, 0, false, '', ''
  FROM generate_series(1, {JOBS}) n"""
ANALYZE = "VACUUM ANALYZE jobs_job", "VACUUM ANALYZE jobs_tenantshare"
# The only one with work comes last in the order of turns.
ONE_BUSY = (
    "UPDATE jobs_job SET schema = 't_00000500', slug = 'tenant-500'",
    "UPDATE jobs_tenantshare SET vtime = 1000 WHERE schema = 't_00000500'",
)
CASES: dict[str, tuple[str, ...]] = {
    "all_busy": ANALYZE,
    "one_busy": (*ONE_BUSY, *ANALYZE),
    "just_filled": ONE_BUSY,  # statistics come a minute later
    "half_paused": (
        "UPDATE jobs_tenantshare SET state = 'PAUSED', vtime = -1 WHERE schema <= 't_00000500'",
        *ANALYZE,
    ),
    "hundred_running": (
        "UPDATE jobs_job SET state = 'RUNNING', lease = gen_random_uuid(),"
        " lease_until = statement_timestamp() + interval '1 hour'"
        " WHERE id IN (SELECT id FROM jobs_job ORDER BY id LIMIT 100)",
        *ANALYZE,
    ),
    "without_long": (
        f"UPDATE jobs_job SET kind = '{LONG[0]}' WHERE schema <= 't_00000500'",
        "UPDATE jobs_tenantshare SET vtime = -1 WHERE schema <= 't_00000500'",
        *ANALYZE,
    ),
    # By these statistics PostgreSQL would read the tenant's jobs anew for each of the others.
    "only_long": (*ONE_BUSY, f"UPDATE jobs_job SET kind = '{LONG[0]}'", "ANALYZE jobs_job, jobs_tenantshare"),
    "nothing": ("UPDATE jobs_job SET state = 'DONE', finished_at = statement_timestamp()", *ANALYZE),
}
CHARGE = "UPDATE jobs_tenantshare SET vtime = vtime + 5 WHERE schema = %s"


def run(*, short: bool) -> dict[str, float]:
    """Return median and p95 of each case in milliseconds. Empties the tables of jobs and shares."""
    figures: dict[str, float] = {}
    for name, prepare in CASES.items():
        with connection.cursor() as cursor:
            for statement in (FILL, *prepare):
                cursor.execute(statement)
        without = LONG if name.endswith("_long") else ()
        taken = _claims(30 if short else 200, without, is_empty=name in ("only_long", "nothing"))
        is_first = name == "all_busy"
        figures["claim_median_ms" if is_first else f"claim_{name}_ms"] = round(statistics.median(taken), 2)
        figures["claim_p95_ms" if is_first else f"claim_{name}_p95_ms"] = round(quantile(taken, 0.95), 2)
    return figures


def _claims(count: int, without: tuple[str, ...], *, is_empty: bool) -> list[float]:
    claim.claim(without=without)  # the first one of a connection reads the catalog
    seconds = []
    for _ in range(count):
        started = time.perf_counter()
        job = claim.claim(without=without)
        seconds.append(time.perf_counter() - started)
        assert (job is None) == is_empty, job
        if job is not None:
            assert job.kind not in without
            _give_back(job)
    return [1000 * one for one in seconds]


def _give_back(job: Job) -> None:
    """Queue it again, and let its tenant pay as if it had worked: the next turn is another's."""
    ending.give_back(job)
    with connection.cursor() as cursor:
        cursor.execute(CHARGE, [job.schema])
