"""What a rung bell sets off."""

from __future__ import annotations

from pathlib import Path

from core.tenancy import TenantRef, in_public
from jobs import doorbell, engine, heartbeat, services
from jobs.models import Job
from jobs.tests.conftest import EffectsOf


def test_bells_without_work_are_forgotten(db: None, folder: Path) -> None:
    engine.ring(5)
    doorbell.work()
    assert engine.pending() == 0


def test_bells_are_left_to_others_while_long_work_waits_that_has_no_room_here(
    as_acme: TenantRef, effects_of: EffectsOf, folder: Path
) -> None:
    job = services.submit("test.long", target="orders", payload={"seconds": 0})
    with in_public():
        rung = engine.pending()
        with heartbeat.room_for_long(1) as taken:
            assert taken
            doorbell.work()
        assert (Job.objects.get(pk=job.pk).state, engine.pending()) == ("QUEUED", rung)


def test_long_work_is_done_where_there_is_room(
    as_acme: TenantRef, effects_of: EffectsOf, folder: Path
) -> None:
    job = services.submit("test.long", target="orders", payload={"seconds": 0})
    with in_public():
        doorbell.work()
    assert services.status(job.pk).state == "DONE"
