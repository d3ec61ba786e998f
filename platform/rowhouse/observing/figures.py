"""How the platform as a whole stands, for Prometheus: read from `public` alone, with a dozen small statements.

Nothing here asks a tenant's schema, so that a thousand tenants cost what one does and a little more. What there is to
know of tenants stands in `public`: their jobs, their backups, and what they were measured to take an hour ago at most.
docs/operations/observability.md lists every figure.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import nlargest
from time import monotonic, time
from typing import Any

import psycopg2
from django.conf import settings
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from core.patience import Patient, StillAsking
from core.quotas import Resource
from jobs.signs import ALIVE_SECONDS
from rowhouse.observing.link import Link, Row
from rowhouse.observing.readiness import missing_of_public
from tenants.backup.services import BACKED_UP
from tenants.quotas import default_limits

logger = logging.getLogger(__name__)

STATEMENT_SECONDS = 2
WAIT_SECONDS = 8.0  # of the ten that Prometheus waits for an answer
EXPORT_LATE_SECONDS = 2 * 3600  # an hourly export was left out

Values = dict[str, Any]
Metrics = list[Metric]

JOBS = """
SELECT kind, 'queued', count(*) FROM public.jobs_job
 WHERE state = 'QUEUED' AND not_before <= statement_timestamp() GROUP BY kind
UNION ALL
SELECT kind, 'resting', count(*) FROM public.jobs_job
 WHERE state = 'QUEUED' AND not_before > statement_timestamp() GROUP BY kind
UNION ALL
SELECT kind, 'running', count(*) FROM public.jobs_job WHERE state = 'RUNNING' GROUP BY kind"""

# How long the oldest job of each tenant waits for its first turn. Nobody works for tenants that are paused, and who has
# as many jobs at work as it may waits for itself.
WAITING = """
SELECT j.slug, extract(epoch FROM statement_timestamp() - min(GREATEST(j.not_before, s.resumed_at)))
  FROM public.jobs_job j JOIN public.jobs_tenantshare s ON s.schema = j.schema AND s.state = 'ACTIVE'
  LEFT JOIN (SELECT schema, count(*) AS n FROM public.jobs_job WHERE state = 'RUNNING' GROUP BY schema) running
    ON running.schema = j.schema
 WHERE j.state = 'QUEUED' AND j.step = 0 AND j.started_at IS NULL AND j.not_before <= statement_timestamp()
   AND COALESCE(running.n, 0) < s.cap GROUP BY j.slug"""

LATE = """
SELECT COALESCE(max(extract(epoch FROM statement_timestamp() - next_hour_at)), 0) FROM public.jobs_tenantshare
 WHERE state = 'ACTIVE' AND next_hour_at <= statement_timestamp()"""

FAILED = """
SELECT kind, slug, count(*) FROM public.jobs_job
 WHERE state = 'FAILED' AND finished_at > statement_timestamp() - interval '1 day' GROUP BY kind, slug"""

# A key of a slot is schema:kind:2026-…: the newest that was done is the last of its range in the index of keys.
# A tenant that was paused has the time since it goes on.
EXPORTS = """
SELECT t.slug, extract(epoch FROM statement_timestamp()
       - GREATEST(COALESCE(done.finished_at, t.created_at), s.resumed_at))
  FROM public.tenants_tenant t
  JOIN public.jobs_tenantshare s ON s.schema = t.schema_name AND s.state = 'ACTIVE'
  LEFT JOIN LATERAL (
    SELECT j.finished_at FROM public.jobs_job j
     WHERE j.schema = t.schema_name AND j.state = 'DONE'
       AND j.idem_key BETWEEN t.schema_name || ':exporter.run:2' AND t.schema_name || ':exporter.run:3'
     ORDER BY j.idem_key DESC LIMIT 1) done ON true
 WHERE t.state = 'ACTIVE'"""

BACKUPS = """
SELECT t.slug, extract(epoch FROM statement_timestamp() - COALESCE((
         SELECT COALESCE(b.taken_at, b.finished_at) FROM public.tenants_tenantbackup b
          WHERE b.tenant_id = t.id AND b.state = 'SUCCEEDED' AND b.deleted_at IS NULL
          ORDER BY b.id DESC LIMIT 1), t.created_at))
  FROM public.tenants_tenant t WHERE t.state = ANY (%(backed_up)s)"""

# None was tried yet: since there is one that could be.
DRILLS = """
SELECT extract(epoch FROM statement_timestamp() - COALESCE(
         (SELECT max(verified_at) FROM public.tenants_tenantbackup WHERE verified_at IS NOT NULL),
         (SELECT finished_at FROM public.tenants_tenantbackup WHERE state = 'SUCCEEDED' ORDER BY id LIMIT 1))),
       (SELECT count(*) FROM (SELECT DISTINCT ON (tenant_id) verdict FROM public.tenants_tenantbackup
          WHERE verified_at IS NOT NULL ORDER BY tenant_id, verified_at DESC) last WHERE last.verdict = 'BAD')"""

QUOTAS = """
SELECT t.slug,
       f.rows / NULLIF(COALESCE(l.rows, %(rows)s), 0)::float,
       (f.database_bytes + f.file_bytes) / NULLIF(COALESCE(l.bytes, %(bytes)s), 0)::float,
       f.datasets / NULLIF(COALESCE(l.datasets, %(datasets)s), 0)::float,
       COALESCE(j.active, 0) / NULLIF(COALESCE(l.jobs, %(jobs)s), 0)::float,
       f.users / NULLIF(COALESCE(l.users, %(users)s), 0)::float
  FROM public.tenants_tenant t
  JOIN public.tenants_tenantfigures f ON f.tenant_id = t.id
  LEFT JOIN public.tenants_tenantlimits l ON l.tenant_id = t.id
  LEFT JOIN (SELECT schema, count(*) AS active FROM (
         SELECT schema FROM public.jobs_job WHERE state = 'QUEUED'
         UNION ALL SELECT schema FROM public.jobs_job WHERE state = 'RUNNING') each GROUP BY schema) j
    ON j.schema = t.schema_name
 WHERE t.state IN ('ACTIVE', 'SUSPENDED')"""

TENANTS = """SELECT lower(state), count(*) FROM public.tenants_tenant GROUP BY state"""

UNMIGRATED = """
SELECT count(*) FROM public.tenants_migrationoutcome WHERE state = 'FAILED'
   AND run = (SELECT run FROM public.tenants_migrationoutcome ORDER BY id DESC LIMIT 1)"""

# What is sent out by no job says so by its last look.
STREAMS = """
SELECT COALESCE(t.slug, 'platform'), GREATEST(0, extract(epoch FROM statement_timestamp() - COALESCE(
         s.waiting_since_at,
         CASE WHEN s.looked_at < statement_timestamp() - interval '5 minutes' THEN s.looked_at END,
         statement_timestamp()))), s.stopped_at IS NOT NULL
  FROM public.tenants_eventstream s LEFT JOIN public.tenants_tenant t ON t.id = s.tenant_id
 WHERE s.is_on AND (t.state = 'ACTIVE' OR (t.id IS NULL AND %(has_syslog)s))"""

WORKERS = """
SELECT count(*), COALESCE(sum(processes), 0), COALESCE(max(abs(clock_skew_seconds)), 0)
  FROM public.jobs_workersign
 WHERE seen_at > statement_timestamp() - make_interval(secs => %(alive_seconds)s)"""

# All sessions of the server count against its own limit; those of a database and of a role against theirs.
CONNECTIONS = """
SELECT used, most FROM (
  SELECT (SELECT sum(numbackends) FROM pg_stat_database) AS used,
         current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int AS most
  UNION ALL
  SELECT s.numbackends, d.datconnlimit FROM pg_stat_database s JOIN pg_database d ON d.oid = s.datid
   WHERE d.datname = current_database() AND d.datconnlimit > 0
  UNION ALL
  SELECT (SELECT count(*) FROM pg_stat_activity WHERE usename = current_user), rolconnlimit
    FROM pg_roles WHERE rolname = current_user AND rolconnlimit > 0) each
 ORDER BY used::float / most DESC LIMIT 1"""

CLOCK = "SELECT extract(epoch FROM clock_timestamp())"


@dataclass(frozen=True, slots=True)
class Question:
    """One statement, and what its rows are told as. `name` says in the counter of errors which it was."""

    name: str
    statement: str
    told: Callable[[Sequence[Row]], Metrics]


@dataclass(frozen=True, slots=True)
class Told:
    """What one look has found, and what could not be asked."""

    metrics: Metrics
    failed: tuple[str, ...]
    seconds: float
    at: float


def gauge(name: str, said: str, rows: Iterable[Row], labels: Sequence[str] = ()) -> GaugeMetricFamily:
    """Return a gauge of rows: its labels first, the value last. Rows without a value are left out."""
    family = GaugeMetricFamily(name, said, labels=labels)
    for *words, value in rows:
        if value is not None:
            family.add_metric([str(word) for word in words], float(value))
    return family


def worst(rows: Iterable[Row]) -> list[Row]:
    """Return the tenants to be told one by one: those with the highest figure, as many as the setting says.

    Rows are of a slug and a figure. The platform's own work has no slug and is no tenant's.
    """
    named = [row for row in rows if row[0] and row[1] is not None]
    return nlargest(settings.ROWHOUSE_METRICS_TENANTS, named, key=lambda row: float(row[1]))


def highest(rows: Iterable[Row]) -> list[Row]:
    """Return the one row of the highest figure, 0 without any."""
    return [(max((float(value) for *_, value in rows if value is not None), default=0.0),)]


def _jobs(rows: Sequence[Row]) -> Metrics:
    return [gauge("rowhouse_jobs", "Jobs that have not ended, by kind and state.", rows, ["kind", "state"])]


def _waiting(rows: Sequence[Row]) -> Metrics:
    return [
        gauge("rowhouse_queue_age_seconds", "How long the oldest job has waited for its first turn.", highest(rows)),
        gauge(
            "rowhouse_tenant_queue_age_seconds", "The same of the tenants that wait longest.", worst(rows), ["tenant"]
        ),
    ]  # fmt: skip


def _late(rows: Sequence[Row]) -> Metrics:
    return [
        gauge("rowhouse_dispatch_late_seconds", "How long hourly work is due and nobody has begun it.", rows)
    ]


def _failed(rows: Sequence[Row]) -> Metrics:
    kinds: dict[str, int] = {}
    tenants: dict[str, int] = {}
    for kind, slug, count in rows:
        kinds[kind] = kinds.get(kind, 0) + count
        tenants[slug] = tenants.get(slug, 0) + count
    return [
        gauge("rowhouse_jobs_failed_last_day", "Jobs that failed in the last day.", [(sum(kinds.values()),)]),
        gauge(
            "rowhouse_jobs_failed_last_day_by_kind", "The same by kind, if any.", list(kinds.items()), ["kind"]
        ),
        gauge(
            "rowhouse_tenant_jobs_failed_last_day", "The same of the tenants with most.",
            worst(tenants.items()), ["tenant"],
        ),
    ]  # fmt: skip


def _exports(rows: Sequence[Row]) -> Metrics:
    late = sum(float(age) > EXPORT_LATE_SECONDS for _, age in rows)
    return [
        gauge("rowhouse_export_age_seconds", "Longest time since a tenant's last slot of exports.", highest(rows)),
        gauge("rowhouse_tenants_export_late", "Tenants whose last slot of exports is older than 2 h.", [(late,)]),
        gauge("rowhouse_tenant_export_age_seconds", "Time since the last slot of the worst.", worst(rows), ["tenant"]),
    ]  # fmt: skip


def _backups(rows: Sequence[Row]) -> Metrics:
    return [
        gauge("rowhouse_backup_age_seconds", "Age of the oldest newest backup of a tenant.", highest(rows)),
        gauge(
            "rowhouse_tenant_backup_age_seconds", "The same of the worst tenants.", worst(rows), ["tenant"]
        ),
        gauge(
            "rowhouse_backup_interval_seconds",
            "How often tenants are backed up; 0: only on demand.",
            [(settings.ROWHOUSE_BACKUP_HOURS * 3600,)],
        ),
    ]


def _drills(rows: Sequence[Row]) -> Metrics:
    age, failed = rows[0]
    return [
        gauge("rowhouse_drill_age_seconds", "Time since a backup was last restored on trial.", [(age or 0,)]),
        gauge("rowhouse_drills_failed", "Tenants whose last restore on trial failed.", [(failed,)]),
        gauge(
            "rowhouse_drill_interval_seconds",
            "How often one is tried; 0: never.",
            [(settings.ROWHOUSE_DRILL_DAYS * 86_400,)],
        ),
    ]


def _quotas(rows: Sequence[Row]) -> Metrics:
    by_resource = [
        (resource.value, max((row[at] for row in rows if row[at] is not None), default=0.0))
        for at, resource in enumerate((*_RESOURCES,), start=1)
    ]
    tenants = [(slug, max((one for one in used if one is not None), default=None)) for slug, *used in rows]
    return [
        gauge(
            "rowhouse_quota_use_ratio", "What the fullest tenant has of its limit, by resource.",
            by_resource, ["resource"],
        ),
        gauge(
            "rowhouse_tenant_quota_use_ratio", "The fullest resource of the fullest tenants.",
            worst(tenants), ["tenant"],
        ),
    ]  # fmt: skip


def _tenants(rows: Sequence[Row]) -> Metrics:
    return [gauge("rowhouse_tenants", "Tenants, by state.", rows, ["state"])]


def _unmigrated(rows: Sequence[Row]) -> Metrics:
    return [gauge("rowhouse_migrations_failed_tenants", "Tenants the last migration left behind.", rows)]


def _streams(rows: Sequence[Row]) -> Metrics:
    lags = [(slug, lag) for slug, lag, _ in rows]
    return [
        gauge("rowhouse_stream_lag_seconds", "How long the oldest event waits to be sent out.", highest(lags)),
        gauge("rowhouse_tenant_stream_lag_seconds", "The same of the worst tenants.", worst(lags), ["tenant"]),
        gauge(
            "rowhouse_streams_stopped", "Receivers of events that were given up.",
            [(sum(bool(stopped) for _, _, stopped in rows),)],
        ),
    ]  # fmt: skip


def _workers(rows: Sequence[Row]) -> Metrics:
    alive, processes, skew = rows[0]
    return [
        gauge("rowhouse_workers_alive", "Workers that were heard of in the last minute.", [(alive,)]),
        gauge("rowhouse_worker_processes", "Processes of theirs that work.", [(processes,)]),
        gauge(
            "rowhouse_workers_clock_skew_seconds", "Most that a worker's clock is off the database's.", [(skew,)]
        ),
    ]  # fmt: skip


def _connections(rows: Sequence[Row]) -> Metrics:
    used, most = rows[0]
    return [
        gauge("rowhouse_database_connections", "Sessions that count against the nearest limit.", [(used,)]),
        gauge(
            "rowhouse_database_connections_limit", "That limit: of the server, database or role.", [(most,)]
        ),
    ]


_RESOURCES = (Resource.ROWS, Resource.BYTES, Resource.DATASETS, Resource.JOBS, Resource.USERS)
QUESTIONS = (
    Question("jobs", JOBS, _jobs),
    Question("queue", WAITING, _waiting),
    Question("dispatch", LATE, _late),
    Question("failed", FAILED, _failed),
    Question("exports", EXPORTS, _exports),
    Question("backups", BACKUPS, _backups),
    Question("drills", DRILLS, _drills),
    Question("quotas", QUOTAS, _quotas),
    Question("tenants", TENANTS, _tenants),
    Question("unmigrated", UNMIGRATED, _unmigrated),
    Question("streams", STREAMS, _streams),
    Question("workers", WORKERS, _workers),
    Question("connections", CONNECTIONS, _connections),
)


def values() -> Values:
    """Return what the statements are told of the settings."""
    limits = {resource.value: limit for resource, limit in default_limits().items()}
    return {
        **limits,
        "backed_up": [state.value for state in BACKED_UP],
        "alive_seconds": ALIVE_SECONDS,
        "has_syslog": bool(settings.ROWHOUSE_SYSLOG),
    }


def look(link: Link) -> Told:
    """Read every figure once. What cannot be read is left out and named, and the others go on.

    Never raises for what the database says.
    """
    begun = monotonic()
    metrics: Metrics = []
    failed: list[str] = []
    given = values()

    def ask(name: str, found: Callable[[], Metrics]) -> bool:
        try:
            metrics.extend(found())
        except psycopg2.Error as error:
            failed.append(name)
            logger.warning("The figures of %s could not be read: %s", name, type(error).__name__)
            # Without a connection the others would wait for one as long, each.
            return not isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError) or isinstance(
                error, psycopg2.errors.QueryCanceled
            )
        return True

    goes_on = ask("clock", lambda: [_skew(link)]) and ask("migrations", lambda: [_behind(link)])
    for question in QUESTIONS if goes_on else ():
        if not ask(question.name, lambda one=question: one.told(link.ask(one.statement, given))):  # type: ignore[misc]
            break
    return Told(metrics, tuple(failed), monotonic() - begun, monotonic())


def _skew(link: Link) -> Metric:
    link.ask("SELECT 1")  # making a connection is not part of the way there and back
    before = time()
    ((there,),) = link.ask(CLOCK)
    return gauge(
        "rowhouse_clock_skew_seconds",
        "How far this process's clock is ahead of the database's.",
        [((before + time()) / 2 - float(there),)],
    )


def _behind(link: Link) -> Metric:
    return gauge(
        "rowhouse_migrations_behind", "Migrations that `public` lacks.", [(len(missing_of_public(link)),)]
    )


class PlatformFigures(Collector):
    """Tells the platform's figures, read at most once in so many seconds, and how well reading them goes.

    If the database does not answer in time, what is told is that, and no figure: an old one would look like a good one.
    """

    def __init__(self, link: Link | None = None) -> None:
        self._link = link or Link(seconds=STATEMENT_SECONDS, name="rowhouse-metrics")
        self._patient = Patient(self._look, fresh_seconds=settings.ROWHOUSE_METRICS_SECONDS)
        self._errors: dict[str, int] = dict.fromkeys(ERRORS, 0)

    def describe(self) -> Iterable[Metric]:
        """Return nothing: registering must not ask the database."""
        return ()

    def collect(self) -> Iterator[Metric]:
        try:
            told = self._patient.answer(wait_seconds=WAIT_SECONDS)
        except StillAsking:
            self._errors["timeout"] += 1
        else:
            yield from told.metrics
            yield gauge(
                "rowhouse_collection_seconds",
                "How long the last look at the database took.",
                [(told.seconds,)],
            )
        errors = CounterMetricFamily(
            "rowhouse_collection_errors",
            "Figures that could not be read, by which it was.",
            labels=["figure"],
        )
        for name, count in self._errors.items():
            errors.add_metric([name], count)
        yield errors

    def _look(self) -> Told:
        told = look(self._link)
        for name in told.failed:
            self._errors[name] += 1
        return told


ERRORS = ("timeout", "clock", "migrations", *(question.name for question in QUESTIONS))
