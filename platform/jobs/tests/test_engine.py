"""The queue library stays where it belongs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.contrib import admin
from django.contrib.admin.sites import all_sites
from django_q import cluster, conf, models

from jobs import engine, heartbeat
from jobs.kinds import registry
from jobs.limits import backoff
from jobs.tests.apps import KINDS

ROOT = Path(__file__).resolve().parents[3]
APPS = ("platform", "tenants", "datasets", "importer", "exporter", "audit")
ALLOWED = {"platform/jobs/engine.py", "platform/jobs/management/commands/worker.py"}


def test_only_the_engine_and_the_worker_import_the_queue_library() -> None:
    imports = re.compile(r"^\s*(from|import) django_q\b", re.MULTILINE)
    found = {
        str(path.relative_to(ROOT))
        for app in APPS
        for path in (ROOT / app).rglob("*.py")
        if "tests" not in path.parts and imports.search(path.read_text(encoding="utf-8"))
    }
    assert found == ALLOWED


@pytest.mark.case("A20")
def test_no_admin_shows_the_queue_librarys_tables() -> None:
    sites = [*all_sites, admin.site]
    theirs = {models.Schedule, models.Success, models.Failure, models.OrmQ}
    assert not [site for site in sites for model in theirs if site.is_registered(model)]


@pytest.mark.case("A20")
def test_foreign_schedules_are_deleted(db: None) -> None:
    models.Schedule.objects.create(func="os.system", args="'true'")
    engine.sync_schedules()
    assert not models.Schedule.objects.exists()


@pytest.mark.case("I14")
def test_a_bell_has_no_time_limit_of_the_library_and_names_no_job(db: None) -> None:
    before = engine.pending()
    engine.ring(2)
    bell = models.OrmQ.objects.order_by("-id")[0].task
    assert engine.pending() == before + 2
    assert (bell["func"], bell["args"], bell["kwargs"], bell["timeout"]) == ("jobs.doorbell.work", (), {}, -1)


def test_the_library_still_has_the_names_that_are_touched() -> None:
    assert all(hasattr(cluster.Sentinel, name) for name in ("start", "guard", "reincarnate"))
    assert hasattr(conf.Conf, "WORKERS")
    assert cluster.Cluster.__init__.__code__.co_varnames[:2] == ("self", "broker")


def test_declared_kinds_are_found() -> None:
    assert set(KINDS) <= set(registry())


def test_rests_grow_and_stay_below_eight_minutes() -> None:
    assert [round(backoff(n).total_seconds()) <= 1.5 * min(2**n, 300) + 1 for n in (1, 5, 20)] == [True] * 3
    assert backoff(5).total_seconds() >= 16


def test_beats_do_nothing_outside_of_workers(tmp_path: Path) -> None:
    heartbeat.beat("main")
    assert not heartbeat.is_draining()
    assert heartbeat.oldest_slice_seconds() == 0
