"""What one look at the platform's figures costs with many tenants and all that they leave behind in a month.

python -m benchmarks.figures [--tenants N] [--looks N]

On a server of its own, whose `public` is filled as by N tenants: their jobs of thirty days (three kinds an hour), some
of them failed and waiting, a backup a day for a year, figures and limits. There are no tenants' schemas: nothing is
read from them. Then everything is read as Prometheus has it read, again and again, and each question by itself.

The last line is one JSON object: milliseconds of a look (median and worst), of its slowest question, and how many
statements it is.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time

from benchmarks.imports_ground import Ground, open_ground

FILL = (
    "INSERT INTO tenants_tenant (schema_name, slug, name, owner_email, state, error, created_at)"
    " SELECT 't_' || lpad(n::text, 10, '0'), 'tenant-' || n, 'Tenant', 'o@t.example', 'ACTIVE', '',"
    " now() - interval '1 year' FROM generate_series(1, {tenants}) n",
    "INSERT INTO jobs_tenantshare (schema, slug, state, vtime, weight, cap, spread, next_hour_at)"
    " SELECT schema_name, slug, 'ACTIVE', 0, 1, 2, id, now() + interval '30 minutes' FROM tenants_tenant",
    "INSERT INTO tenants_tenantfigures (tenant_id, database_bytes, file_bytes, rows, datasets, users, measured_at)"
    " SELECT id, 1000 * id, id, id, 10, 5, now() FROM tenants_tenant",
    "INSERT INTO tenants_tenantlimits (tenant_id, rows, bytes) SELECT id, 1000000, 1000000000 FROM tenants_tenant",
    "INSERT INTO jobs_job (schema, slug, kind, target, idem_key, payload, priority, state, step, cursor, processed,"
    " busy_seconds, attempts, cancel_requested, error_code, error, started_at, finished_at)"
    " SELECT t.schema_name, t.slug, k, slot, t.schema_name || ':' || k || ':' || slot, '{{}}', 100,"
    " CASE WHEN (t.id + h) %% 500 = 0 THEN 'FAILED' ELSE 'DONE' END, 1, '{{}}', 0, 0.1, 0, false, '', '', at, at"
    " FROM generate_series(720, 1, -1) h CROSS JOIN tenants_tenant t"
    " CROSS JOIN unnest(ARRAY['exporter.run', 'importer.tidy', 'rowhouse.measure']) k"
    " CROSS JOIN LATERAL (SELECT date_trunc('hour', now()) - make_interval(hours => h)"
    " + make_interval(secs => t.id %% 3300) AS at) a"
    " CROSS JOIN LATERAL (SELECT to_char(date_trunc('hour', at), 'YYYY-MM-DD\"T\"HH24:MI:SS') || '+00:00' AS slot) s",
    "INSERT INTO jobs_job (schema, slug, kind, target, payload, priority, state, step, cursor, processed, busy_seconds,"
    " attempts, cancel_requested, error_code, error)"
    " SELECT schema_name, slug, 'importer.merge', 'x', '{{}}', 100, 'QUEUED', 0, '{{}}', 0, 0, 0, false, '', ''"
    " FROM tenants_tenant WHERE id %% 5 = 0",
    "INSERT INTO tenants_tenantbackup (tenant_id, trigger, state, asked_by, created_at, finished_at, taken_at, key,"
    " path, bytes, rows, tables, sha256, is_sealed, version, verdict, findings, error_code, error, deleted_at)"
    " SELECT t.id, 'SCHEDULED', 'SUCCEEDED', '', at, at, at, 'k', '', 1, 1, 1, 'x', true, '', '', '', '', '',"
    " CASE WHEN d > 30 THEN at END FROM generate_series(365, 0, -1) d CROSS JOIN tenants_tenant t"
    " CROSS JOIN LATERAL (SELECT now() - make_interval(days => d) AS at) a",
    "UPDATE tenants_tenantbackup SET verified_at = finished_at, verdict = 'GOOD' WHERE id %% 7000 = 0",
    "VACUUM ANALYZE",
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tenants", type=int, default=1000)
    parser.add_argument("--looks", type=int, default=20)
    asked = parser.parse_args()
    with open_ground() as ground:
        ground.run("-m", "rowhouse", "migrate_tenants")
        _fill(ground, asked.tenants)
        os.environ.update(ground.environment)
        os.environ["DJANGO_SETTINGS_MODULE"] = "rowhouse.settings"
        import django  # noqa: PLC0415 -- after the environment

        django.setup()
        _measure(asked.looks, asked.tenants)


def _fill(ground: Ground, tenants: int) -> None:
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):  # nothing here is to last
        ground.superuser(f"ALTER SYSTEM SET {setting} = off")
    ground.superuser("SELECT pg_reload_conf()")
    link = ground.link()
    with link.cursor() as cursor:
        for statement in FILL:
            cursor.execute(statement.format(tenants=tenants).replace("%%", "%"))
    link.close()
    ground.settle()


def _measure(looks: int, tenants: int) -> None:
    from rowhouse.observing import figures  # noqa: PLC0415 -- after the settings
    from rowhouse.observing.link import Link  # noqa: PLC0415 -- after the settings

    link = Link(seconds=60, name="benchmark")
    taken = []
    for _ in range(looks + 1):
        told = figures.look(link)
        assert told.failed == (), told.failed
        taken.append(told.seconds * 1000)
    taken.pop(0)  # the first connects, and loads the migrations
    each = {}
    for question in figures.QUESTIONS:
        started = time.perf_counter()
        question.told(link.ask(question.statement, figures.values()))
        each[question.name] = (time.perf_counter() - started) * 1000
    for name, milliseconds in sorted(each.items(), key=lambda item: -item[1]):
        print(f"{name:>12} {milliseconds:8.1f} ms")
    slowest = max(each, key=lambda name: each[name])
    print(f"{tenants:,} tenants: a look takes {statistics.median(taken):.0f} ms")
    print(
        json.dumps(
            {
                "tenants": tenants,
                "look_ms": round(statistics.median(taken), 1),
                "worst_look_ms": round(max(taken), 1),
                "slowest": slowest,
                "slowest_ms": round(each[slowest], 1),
                "statements": len(figures.QUESTIONS) + 3,
            }
        )
    )


if __name__ == "__main__":
    main()
