"""What goes on: whether every schema is of this release, and whether somebody does the background work."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings
from django.db import connection

from core.tenancy import in_public
from core.words import count
from jobs import engine
from rowhouse.doctor.findings import Finding, failure, warning, well
from tenants import template
from tenants.fanout import PUBLIC, tenants_to_migrate
from tenants.planning import behind

MOST_WAITING_SECONDS = 300
SHOWN = 5
# What can be done now and is not: of a tenant whose work is paused nothing can.
_WAITING = """
SELECT COALESCE(EXTRACT(EPOCH FROM statement_timestamp() - min(GREATEST(j.created_at, j.not_before))), 0)::float8,
       count(*)
  FROM public.jobs_job j LEFT JOIN public.jobs_tenantshare s ON s.schema = j.schema
 WHERE j.state = 'QUEUED' AND j.step = 0 AND j.not_before <= statement_timestamp()
   AND s.state IS DISTINCT FROM 'PAUSED'"""
_WORKERS = """
SELECT count(*) FROM pg_catalog.pg_stat_activity
 WHERE application_name = %s AND usename = current_user AND datname = current_database()"""


def migrations() -> Iterator[Finding]:
    """Ask every schema which migrations it has."""
    with in_public():
        if behind([PUBLIC]):
            yield failure(
                "migrations",
                "The platform's own schema is behind this release.",
                "Run `rowhouse migrate_tenants`.",
            )
            return
        yield _template()
        tenants = tenants_to_migrate()
        found = [tenants[schema].slug for schema in behind(list(tenants))]
    if found:
        names = ", ".join(found[:SHOWN]) + (", …" if len(found) > SHOWN else "")
        yield failure(
            "migrations",
            f"{count(len(found), 'tenant')} behind this release: {names}.",
            "Run `rowhouse migrate_tenants`.",
        )
    else:
        yield well("migrations", f"The platform and {count(len(tenants), 'tenant')} are of this release.")


def _template() -> Finding:
    if template.current() is None:
        return warning(
            "template",
            "There is none of this release yet, so the next tenant is set up by migrations, which takes a while.",
            "Run `rowhouse migrate_tenants`, which makes it.",
        )
    return well("template", "New tenants are set up from one of this release.")


def workers() -> Iterator[Finding]:
    """Count the workers' connections to the database, wherever they run, and look how long work waits."""
    if engine.is_immediate():
        yield well("workers", "None is needed: whoever asks for work does it.")
        return
    with in_public(), connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('public.jobs_job')")
        if cursor.fetchone()[0] is None:
            return  # said by the migrations
        cursor.execute(_WORKERS, [settings.WORKER_NAME])
        connected = cursor.fetchone()[0]
        cursor.execute(_WAITING)
        seconds, waiting = cursor.fetchone()
    advice = "Start `rowhouse worker`, or look into its log."
    if seconds > MOST_WAITING_SECONDS:
        yield failure(
            "workers",
            f"{count(waiting, 'job')} of which the oldest has waited for {seconds / 60:.0f} minutes;"
            f" {count(connected, 'connection')} of workers.",
            advice,
        )
    elif not connected:
        yield warning("workers", "No worker is connected to the database.", advice)
    else:
        yield well(
            "workers", f"{count(connected, 'connection')} of workers, {count(waiting, 'job')} waiting."
        )
