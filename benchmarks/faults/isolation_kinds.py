"""The kinds of the isolation check, and the marks on every statement their workers send. Installed by `installed`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import psycopg2
from django.apps import apps
from django.db import connection
from django.db.backends.signals import connection_created

from benchmarks.faults.isolation_acts import Task
from benchmarks.faults.isolation_faults import perform
from benchmarks.faults.isolation_sql import Marker
from jobs import ending, kinds, runner
from jobs.kinds import Ended, JobKind, Slice, Step

HERE = "benchmarks.faults.isolation_kinds"
KINDS = {
    "isolation.task": JobKind(run=f"{HERE}.run", ended=f"{HERE}.ended"),
    "isolation.plant": JobKind(run="benchmarks.faults.isolation_plants.run"),
}


@dataclass(slots=True)
class _Here:
    """What this process is doing, and where it keeps what must outlive it."""

    folder: Path = field(default_factory=Path)
    task: Marker | None = None


_here = _Here()


def run(work: Slice) -> Step:
    """Do a task's acts, all in one slice or one in each; the payload is {"tenant", "acts", "seed", "sliced"}."""
    names = work.payload["acts"]
    dice = Random(f"{work.payload['seed']} {work.step}")
    task = Task(work, work.payload["tenant"], dice, _here.folder)
    todo = range(work.step, work.step + 1) if work.payload.get("sliced") else range(len(names))
    for act in todo:
        perform(task, names[act], act)
    return Step(done=todo[-1] + 1 == len(names), cursor={"act": todo[-1]}, processed=len(todo))


def ended(work: Ended) -> None:
    """Hear of an end that was no success; no task of ours should have one."""


@contextmanager
def marked(marker: Marker) -> Iterator[None]:
    """Mark every statement of the block as this task's, and its two edges in the session."""
    _here.task = marker
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"{marker.comment('begin')}SELECT 1")
        yield
    finally:
        _here.task = None
        # Behind Django's back, which would send nothing in a transaction that is lost. The server logs it even
        # when it refuses it. When the connection is gone, so is the session.
        with suppress(psycopg2.Error):
            if connection.connection is not None and not connection.connection.closed:
                with connection.connection.cursor() as cursor:
                    cursor.execute(f"{marker.comment('end')}SELECT 1")


def mark(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
    """Put the task's comment before a statement (Django's hook); the search path needs none to be understood."""
    if _here.task is None or not isinstance(sql, str) or sql.startswith(("/*", "SET search_path")):
        return execute(sql, params, many, context)
    return execute(f"{_here.task.comment()}{sql}", params, many, context)


def hook(connection: Any, **_signal: Any) -> None:
    """Have a connection mark what it sends."""
    if mark not in connection.execute_wrappers:
        connection.execute_wrappers.append(mark)


def _marker_of(work: Slice) -> Marker:
    """Return whose task it is: by the payload where it says so, else by the job's row."""
    slug = work.tenant.slug if work.tenant else ""
    return Marker(str(work.payload.get("tenant", slug)), work.job_id)


def _handler_of(name: str) -> Callable[[Slice], Step]:
    handler = kinds.handler_of(name)

    def run_marked(work: Slice) -> Step:
        if work.tenant is None:
            return handler(work)
        with marked(_marker_of(work)):
            return handler(work)

    return run_marked


def _ended_of(name: str) -> Callable[[Ended], None] | None:
    handler = kinds.ended_of(name)

    def hear_marked(work: Ended) -> None:
        assert handler is not None
        if work.tenant is None:
            handler(work)
            return
        with marked(Marker(work.tenant.slug, work.job_id)):
            handler(work)

    return hear_marked if handler else None


def _forget_kinds() -> None:
    for cached in (kinds.registry, kinds.hourly_kinds, kinds.slot_kinds, kinds.long_kinds):
        cached.cache_clear()


@contextmanager
def installed(folder: Path) -> Iterator[None]:
    """Declare the kinds, mark statements and shorten rests, in this process and those it forks."""
    config = apps.get_app_config("jobs")
    own = {**getattr(config, "job_kinds", {}), **KINDS}
    folder.mkdir(parents=True, exist_ok=True)
    with (
        patch.object(config, "job_kinds", own, create=True),
        patch.object(runner, "handler_of", _handler_of),
        patch.object(ending, "ended_of", _ended_of),
        patch.object(ending, "backoff", lambda _attempts: timedelta(seconds=0.1)),
        patch.object(_here, "folder", folder),
    ):
        _forget_kinds()
        hook(connection)
        connection_created.connect(hook)
        # First of all: others ask a new connection for its types at once.
        connection_created.receivers.insert(0, connection_created.receivers.pop())
        try:
            yield
        finally:
            connection_created.disconnect(hook)
            connection.execute_wrappers.remove(mark)
    _forget_kinds()
