"""A kind of job that does nothing, for the cost of what is around it."""

from __future__ import annotations

from typing import ClassVar

from django.apps import AppConfig

from jobs.kinds import JobKind, Slice, Step

NOTHING = "bench.nothing"


class BenchKinds(AppConfig):
    name = "benchmarks"
    job_kinds: ClassVar = {NOTHING: JobKind(run="benchmarks.jobs_apps.nothing", title="Nothing")}


def nothing(work: Slice) -> Step:
    return Step(done=True)
