"""Whether what people were promised is so: every record, every version, every job, every run, every file."""

from __future__ import annotations

from collections import Counter
from typing import Any

from benchmarks.fleet.people import Tenant, Write
from benchmarks.fleet.releases import Release
from benchmarks.fleet.site import Site, until

DRAIN_SECONDS = 120


def drain(site: Site) -> None:
    """Wait until no job waits or runs but what is planned for later.

    :raises AssertionError: some work never ends.
    """
    until(lambda: not _active(site), "the end of all work", DRAIN_SECONDS)


def _active(site: Site) -> list[Any]:
    return site.sql(
        "SELECT kind, target FROM public.jobs_job WHERE state IN ('QUEUED', 'RUNNING')"
        " AND not_before < statement_timestamp() + interval '1 hour' LIMIT 1"
    )


def findings(site: Site, release: Release, tenants: list[Tenant], *, since: float = 0.0) -> list[str]:
    """Return in sentences whatever is not as people were promised, once all work is over.

    `since`: what was asked for later (seconds since 1970) may be missing; 0: nothing may.
    """
    found = jobs(site)
    for tenant in tenants:
        found += records(site, tenant, until_at=since)
        found += runs(site, tenant, until_at=since)
        done = site.run(release, "verify_exports", "--tenant", tenant.slug, "--json")
        if done.returncode:
            found.append(f"{tenant.slug}: verify_exports: {(done.stdout or done.stderr)[-500:]}")
    return found


def jobs(site: Site) -> list[str]:
    """Return the jobs that did not end well, and those that were made twice."""
    rows = site.sql(
        "SELECT slug, kind, target, state, error_code, error FROM public.jobs_job WHERE state <> 'DONE' ORDER BY id"
    )
    bad = [
        f"{slug or 'platform'}: {kind} {target} is {state} {code} {error}"
        for slug, kind, target, state, code, error in rows
    ]
    twice = site.sql(
        "SELECT slug, kind, payload->>'slot', count(*) FROM public.jobs_job WHERE payload ? 'slot'"
        " GROUP BY 1, 2, 3 HAVING count(*) > 1"
    )
    return bad + [f"twice: {one}" for one in twice]


def records(site: Site, tenant: Tenant, *, until_at: float = 0.0) -> list[str]:
    """Return the records whose value or number of versions is not what was accepted."""
    table, (no, value, _) = f"{tenant.schema}.ds_{tenant.dataset}", tenant.columns
    there = {
        number: (text, versions, newest)
        for number, text, versions, newest in site.sql(
            f"SELECT r.{no}, r.{value}, count(h.history_id),"
            f" (array_agg(h.{value} ORDER BY h.history_id DESC))[1]"
            f" FROM {table} r LEFT JOIN {table}_history h ON h.id = r.id GROUP BY r.id, 1, 2"
        )
    }
    found = []
    for number in sorted({*range(tenant.seeded), *tenant.writes, *tenant.open, *there}):
        text, versions, newest = there.get(number, (None, 0, None))
        allowed = _allowed(tenant, number, until_at)
        if (text, versions) not in allowed:
            found.append(
                f"{tenant.slug}: record {number} is {text!r} in {versions} versions, not one of {allowed}"
            )
        elif text != newest:
            found.append(f"{tenant.slug}: record {number} is {text!r}, its newest version {newest!r}")
    return found


def settle(site: Site, tenant: Tenant) -> int:
    """Let what is there be what was promised, as after a restore; returns how many of the accepted writes are there."""
    table, (no, _, _) = f"{tenant.schema}.ds_{tenant.dataset}", tenant.columns
    versions = dict(
        site.sql(
            f"SELECT r.{no}, count(h.history_id) FROM {table} r LEFT JOIN {table}_history h ON h.id = r.id"
            f" GROUP BY r.id, r.{no}"
        )
    )
    there = 0
    for number in {*tenant.writes, *tenant.open}:
        sent = [*tenant.writes.get(number, ())]
        if number in tenant.open:
            sent.append(tenant.open[number])
        kept = sent[: versions.get(number, 0) - (number < tenant.seeded)] if number in versions else []
        tenant.writes[number] = kept
        there += len(kept)
    tenant.open.clear()
    tenant.runs.clear()
    return there


def _allowed(tenant: Tenant, number: int, until_at: float) -> list[tuple[str | None, int]]:
    """Return what a record may be: its value and its versions. Of what was on its way, either."""
    is_seeded = number < tenant.seeded
    begun: list[str | None] = [f"v{number}" if is_seeded else None]
    sent: list[Write] = [*tenant.writes.get(number, ())]
    if number in tenant.open:
        sent.append(tenant.open[number])
    values = begun + [one.value for one in sent]
    # Those that were answered before are there; of the others, none but the first so many.
    certain = sum(1 for one in tenant.writes.get(number, ()) if not until_at or one.done_at <= until_at)
    possible = sum(1 for one in sent if not until_at or one.sent_at <= until_at)
    return [(values[n], n + is_seeded) for n in range(certain, possible + 1)]


def runs(site: Site, tenant: Tenant, *, until_at: float = 0.0) -> list[str]:
    """Return the export runs that were promised and are not there or not well, and slots that are lost or doubled."""
    states = dict(site.sql(f"SELECT id, state FROM {tenant.schema}.exporter_exportrun"))
    promised = {run for run, asked_at in tenant.runs.items() if not until_at or asked_at < until_at - 1}
    found = [
        f"{tenant.slug}: export run {run} is {states.get(run, 'gone')}"
        for run in sorted(promised)
        if states.get(run) != "SUCCEEDED"
    ]
    found += [
        f"{tenant.slug}: export run {run} is {state}"
        for run, state in states.items()
        if state not in {"SUCCEEDED"} and run not in promised
    ]
    slots = Counter(
        slot
        for (slot,) in site.sql(f"SELECT slot FROM {tenant.schema}.exporter_exportrun WHERE slot IS NOT NULL")
    )
    found += [f"{tenant.slug}: slot {slot} has {count} runs" for slot, count in slots.items() if count > 1]
    return found


def slots_of(site: Site, tenant: Tenant) -> int:
    """Return how many slots of scheduled exports a tenant has had."""
    return int(
        site.sql(f"SELECT count(*) FROM {tenant.schema}.exporter_exportrun WHERE slot IS NOT NULL")[0][0]
    )
