"""An app that declares the kinds of the tests, for worker processes started by tests."""

from __future__ import annotations

from django.apps import AppConfig

from jobs.kinds import JobKind

HANDLERS = ("append", "stumble", "refuse", "explode", "robbed", "suicide", "hang", "slow_statement")
KINDS = {
    **{
        f"test.{name}": JobKind(run=f"jobs.tests.kinds.{name}", ended="jobs.tests.kinds.ended")
        for name in HANDLERS
    },
    "test.long": JobKind(run="jobs.tests.kinds.slow_statement", ended="jobs.tests.kinds.ended", is_long=True),
    "test.deaf": JobKind(run="jobs.tests.kinds.refuse", ended="jobs.tests.kinds.ended_badly"),
}


class TestKindsConfig(AppConfig):
    name = "jobs.tests"
    label = "jobs_tests"
    job_kinds = KINDS
