"""What the tests of jobs share: kinds of their own, and a table that shows what was really done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.apps import apps
from django.db import connection

from core.tenancy import TenantRef, in_public, in_tenant
from jobs import heartbeat
from jobs.kinds import hourly_kinds, long_kinds, registry, slot_kinds
from jobs.tests.apps import KINDS

EffectsOf = Callable[[TenantRef, int], list[str]]
TABLE = "CREATE TABLE IF NOT EXISTS effects (id bigserial PRIMARY KEY, job bigint, what text, tenant text)"


@pytest.fixture(autouse=True)
def own_kinds(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Declare the tests' kinds on the jobs app."""
    config = apps.get_app_config("jobs")
    monkeypatch.setattr(config, "job_kinds", KINDS, raising=False)
    monkeypatch.setattr(config, "hourly_jobs", ("test.append", "test.stumble"), raising=False)
    monkeypatch.setattr(config, "slot_jobs", ("test.refuse",), raising=False)
    for cached in (registry, hourly_kinds, slot_kinds, long_kinds):
        cached.cache_clear()
    yield
    for cached in (registry, hourly_kinds, slot_kinds, long_kinds):
        cached.cache_clear()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """This process as a worker's: it has a folder of its own."""
    heartbeat.open_folder(tmp_path / "worker-1")
    yield tmp_path / "worker-1"
    heartbeat.abandon()


def make_effects(tenant: TenantRef) -> None:
    with in_public(), in_tenant(tenant), connection.cursor() as cursor:
        cursor.execute(TABLE)


@pytest.fixture
def effects_of(acme: TenantRef, globex: TenantRef) -> EffectsOf:
    """Return a function that lists what a job did in a tenant, in order."""
    for tenant in (acme, globex):
        make_effects(tenant)
    return read_effects


def read_effects(tenant: TenantRef, job_id: int) -> list[str]:
    with in_public(), in_tenant(tenant), connection.cursor() as cursor:
        cursor.execute(
            "SELECT what FROM effects WHERE job = %s AND tenant = %s ORDER BY id", [job_id, tenant.slug]
        )
        return [what for (what,) in cursor.fetchall()]
