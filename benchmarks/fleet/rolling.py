"""A rolling upgrade: the new release comes while the old one serves and works, and the old one leaves.

In the order of docs/operations/upgrading.md: migrate by the new code, start its web and worker beside the old ones, let
the old ones leave, finish. People of several tenants are at work all the time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from benchmarks.fleet import verdict
from benchmarks.fleet.people import Crowd, Tenant
from benchmarks.fleet.releases import Release
from benchmarks.fleet.site import Site

RECORDS = 40
SLOTS_DUE = (
    "UPDATE public.jobs_tenantshare SET next_hour_at = statement_timestamp() - interval '1 second'"
    " WHERE schema <> 'public' AND next_hour_at IS NOT NULL"
)


@dataclass(slots=True)
class Report:
    """What came of it: `wrong` in sentences, the figures, and how long each part took in seconds."""

    wrong: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    schemas: list[dict[str, Any]] = field(default_factory=list)


def roll(site: Site, old: Release, new: Release, *, tenants: int = 2, times: int = 2) -> Report:
    """Upgrade a site from one release to another; everybody does everything at least so many times in each part.

    :raises AssertionError: a process does not start, migrate or leave as it should.
    """
    report = Report()
    clock = _Clock(report)
    with site.opened():
        site.told(old, "migrate_tenants")
        people = [Tenant.of(told, RECORDS) for told in site.seed(old, tenants=tenants, records=RECORDS)]
        clock.note("installed")
        former = [site.web(old, people[0].host), site.worker(old)]
        crowd = Crowd(site, people)
        crowd.begin()
        try:
            crowd.go_on(times)
            site.sql(SLOTS_DUE)
            clock.note("old alone")
            report.schemas = site.told(new, "migrate_tenants")["schemas"]
            clock.note("migrated under the old")
            crowd.go_on(times)  # by the old web and worker, on the new schema
            newer = [site.web(new, people[0].host), site.worker(new)]
            crowd.go_on(times, where=newer[0].port)
            clock.note("side by side")
            for process in former:
                site.retire(process)
            clock.note("old left")
            site.told(new, "migrate_tenants")
            crowd.go_on(times)
            clock.note("new alone")
        finally:
            crowd.end()
        report.wrong += crowd.wrong
        report.counts = dict(crowd.counts)
        if not report.wrong:
            verdict.drain(site)
            report.wrong += verdict.findings(site, new, people)
            report.wrong += [
                f"{one.slug} had no scheduled export" for one in people if not verdict.slots_of(site, one)
            ]
            behind = site.run(new, "migrate_tenants", "--check")
            report.wrong += [behind.stdout] * bool(behind.returncode)
        clock.note("checked")
    return report


def serve_only(site: Site, old: Release, new: Release) -> Report:
    """Let the old release serve while the new one migrates, and return what people saw; no further."""
    report = Report()
    with site.opened():
        site.told(old, "migrate_tenants")
        people = [Tenant.of(told, RECORDS) for told in site.seed(old, tenants=1, records=RECORDS)]
        site.web(old, people[0].host)
        site.worker(old)
        crowd = Crowd(site, people)
        crowd.begin()
        try:
            crowd.go_on(1)
            site.told(new, "migrate_tenants")
            crowd.go_on(2)
        finally:
            crowd.end()
        report.wrong, report.counts = crowd.wrong, dict(crowd.counts)
    return report


@dataclass(slots=True)
class _Clock:
    report: Report
    began: float = field(default_factory=time.monotonic)

    def note(self, what: str) -> None:
        now = time.monotonic()
        self.report.seconds[what] = round(now - self.began, 1)
        self.began = now
