"""Bells that are foreign, poisoned, gone or far too many; and what else may reach a worker from outside.

A bell is only a row that says "there may be work". So whatever stands in it, nothing of it is run, nobody dies
of it and no job waits for it.
"""

from __future__ import annotations

import pickle
import sys
import time

from django.db import connection, connections, transaction
from django_q.conf import Conf
from django_q.signing import SignedPackage, signing

from benchmarks.faults.clocks import Figures, clocks, frozen
from benchmarks.faults.ground import Ground
from benchmarks.faults.processes import Yard, check_ledgers, until
from core.tenancy import in_tenant
from exporter.services import request_export
from jobs import services

ROTATED = {"ROWHOUSE_SECRET_KEY": "rotated-abcdefghijklmnopqrstuvwxyz-0123456789-ABCDEFGHIJ"}
ROTATION_SECONDS = 90
FLOOD = 5000
FLOOD_SECONDS = 5.0


def run(ground: Ground, *, short: bool, seed: int) -> Figures:
    """Try everything once; the long form repeats what depends on the moment."""
    yard = Yard(ground, ground.tenants(2, "bells"), ground.folder / "bells")
    for ref in yard.refs:
        ground.dataset(ref)
    figures: Figures = {}
    for trial in (_rotation, _poison_silence_flood, clocks, frozen, _unknown_kind):
        for _ in range(1 if short else 3):
            for name, value in trial(yard).items():
                before = figures.get(name, 0)
                figures[name] = max(before, value) if name.endswith("_seconds") else before + value
        print(f"bells: {trial.__name__.strip('_')} is done", file=sys.stderr)
    lost, doubled = check_ledgers(ground, yard.refs)
    assert (lost, doubled) == (0, 0), f"seed {seed}: {lost} slices lost, {doubled} doubled"
    ground.sql("DELETE FROM django_q_ormq")
    connections.close_all()
    return {**figures, "lost": lost, "doubled": doubled}


# ---- what stands in a bell


def _rotation(yard: Yard) -> Figures:
    """Bells of the former key wait when workers with the new one come, and old and new work side by side."""
    old = [SignedPackage.dumps(_task("jobs.doorbell.work")) for _ in range(20)]
    _put_bells(yard, *old)
    jobs = yard.submit(6)
    with yard.workers(ROTATED):
        seconds = yard.finish(jobs, ROTATION_SECONDS)
        with yard.workers({}):
            more = yard.submit(6)
            seconds = max(seconds, yard.finish(more, ROTATION_SECONDS))
    return {"rotation_jobs": len(jobs) + len(more), "rotation_seconds": round(seconds, 2)}


def _poison_silence_flood(yard: Yard) -> Figures:
    """One family goes through all of it, and none of its processes dies."""
    with yard.workers({}):
        return {**_poison(yard), **_silence(yard), **_flood(yard)}


def _poison(yard: Yard) -> Figures:
    """Bells nobody can read, and bells that would run a command if somebody did."""
    marks = [yard.folder / f"ran-{number}" for number in range(3)]
    poison = [
        "",
        "garbage",
        "gAJ9:1x:nonsense",
        SignedPackage.dumps("no task at all"),
        _signed(b"cno_such_module\nNoSuchClass\n."),
        _signed(pickle.dumps({**_task("jobs.doorbell.work"), "args": ("surprise",)})),
        _signed(f"cos\nsystem\n(S'touch {marks[0]}'\ntR.".encode()),
        SignedPackage.dumps({**_task("os.system"), "args": (f"touch {marks[1]}",)}),
    ]
    yard.ground.sql(
        "INSERT INTO django_q_schedule (func, args, schedule_type, repeats, next_run)"
        " VALUES ('os.system', %s, 'I', -1, statement_timestamp() - interval '1 hour')",
        f"('touch {marks[2]}',)",
    )
    _put_bells(yard, *poison)
    jobs = yard.submit(4)
    _put_bells(yard, *poison)
    yard.finish(jobs)
    until(lambda: _bells(yard) == 0, "an answer to every poisoned bell")
    ran = [mark for mark in marks if mark.exists()]
    assert not ran, f"a bell was executed: {ran}"
    yard.ground.sql("DELETE FROM django_q_schedule")
    return {"poisoned_bells": 2 * len(poison), "executed": len(ran)}


def _silence(yard: Yard) -> Figures:
    """Every bell is lost, that of the job among them: the tick rings again."""
    with transaction.atomic():
        jobs = yard.submit(3)
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM django_q_ormq")
    seconds = yard.finish(jobs)
    return {"silenced_jobs": len(jobs), "silence_seconds": round(seconds, 2)}


def _flood(yard: Yard) -> Figures:
    """Thousands of bells for nothing: a job that comes behind them begins at once."""
    yard.ground.sql(
        'INSERT INTO django_q_ormq (key, payload, "lock") SELECT %s, %s, statement_timestamp()'
        " FROM generate_series(1, %s)",
        Conf.CLUSTER_NAME, "bell", FLOOD,
    )  # fmt: skip
    begin = time.monotonic()
    jobs = yard.submit(4, steps=1)
    until(lambda: "DONE" in yard.states(jobs), "a first slice behind the flood")
    seconds = time.monotonic() - begin
    assert seconds <= FLOOD_SECONDS, f"{FLOOD} bells delayed a job by {seconds:.1f} s"
    yard.finish(jobs)
    until(lambda: _bells(yard) == 0, "the end of the flood")
    return {"flood_bells": FLOOD, "flood_start_seconds": round(seconds, 2)}


def _put_bells(yard: Yard, *payloads: str) -> None:
    for payload in payloads:
        yard.ground.sql(
            'INSERT INTO django_q_ormq (key, payload, "lock") VALUES (%s, %s, statement_timestamp())',
            Conf.CLUSTER_NAME,
            payload,
        )


def _bells(yard: Yard) -> int:
    return int(yard.ground.sql("SELECT count(*) FROM django_q_ormq")[0][0])


def _task(function: str) -> dict[str, object]:
    return {"id": "0" * 32, "name": "bell", "func": function, "args": (), "kwargs": {}, "timeout": -1}


def _signed(package: bytes) -> str:
    """Sign bytes as they are, as only somebody could who knows the key."""

    class Raw:
        def dumps(self, data: bytes) -> bytes:
            return data

    return str(signing.dumps(package, key=Conf.SECRET_KEY, salt=Conf.PREFIX, serializer=Raw))


def _unknown_kind(yard: Yard) -> Figures:
    """A release that is rolled back does not know a job's kind: the job says so and waits, the others run."""
    strange = yard.submit(1)
    with in_tenant(yard.refs[1]):
        known = request_export(by=None).job_id or 0
    with yard.workers({"DJANGO_SETTINGS_MODULE": "rowhouse.settings"}):
        yard.finish([known])
        until(lambda: services.status(strange[0]).error_code, "a word on the unknown kind", 10)
        status = services.status(strange[0])
    assert (status.error_code, status.state) == ("unknown-kind", "QUEUED"), status
    assert "fault.ledger" in status.error, status
    yard.ground.sql("UPDATE jobs_job SET not_before = statement_timestamp() WHERE id = %s", strange[0])
    with yard.workers({}):
        yard.finish(strange)
    return {"unknown_kinds": 1}
