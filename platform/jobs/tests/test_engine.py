"""The queue library stays where it belongs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.contrib import admin
from django.contrib.admin.sites import all_sites
from django_q import cluster, conf, models
from django_q.signing import SignedPackage

from core.clock import now as clock
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
    assert engine.pending() == before + 2
    [(acknowledged, packed)] = engine.Bells().dequeue() or []
    bell = SignedPackage.loads(packed)
    assert (engine.pending(), acknowledged) == (before + 1, 0)
    assert (bell["func"], bell["args"], bell["kwargs"], bell["timeout"]) == ("jobs.doorbell.work", (), {}, -1)


@pytest.mark.case("A20")
def test_what_a_bell_holds_is_never_read(db: None) -> None:
    models.OrmQ.objects.all().delete()
    theirs = SignedPackage.dumps(
        {"id": "1", "name": "x", "func": "os.system", "args": ("false",), "kwargs": {}}
    )
    for payload in (theirs, "garbage", ""):
        models.OrmQ.objects.create(key="other", payload=payload, lock=clock())
    for _ in range(3):
        [(_, packed)] = engine.Bells().dequeue() or []
        assert SignedPackage.loads(packed)["func"] == "jobs.doorbell.work"
    assert engine.pending() == 0


def test_nobody_takes_a_bell_who_cannot_answer_it(db: None, folder: Path) -> None:
    engine.ring()
    before = engine.pending()
    with heartbeat.busy():
        (folder / "busy-1").touch()
        assert engine.Bells().dequeue() is None
    assert engine.pending() == before
    heartbeat.leave()
    assert engine.Bells().dequeue() is None
    assert engine.pending() == before


def test_the_library_still_has_the_names_that_are_touched() -> None:
    assert all(hasattr(cluster.Sentinel, name) for name in ("start", "guard", "reincarnate"))
    assert hasattr(conf.Conf, "WORKERS")
    assert cluster.Cluster.__init__.__code__.co_varnames[:2] == ("self", "broker")


def test_declared_kinds_are_found() -> None:
    assert set(KINDS) <= set(registry())


def test_rests_grow_and_stay_below_eight_minutes() -> None:
    assert [round(backoff(n).total_seconds()) <= 1.5 * min(2**n, 300) + 1 for n in (1, 5, 20)] == [True] * 3
    assert backoff(5).total_seconds() >= 16
