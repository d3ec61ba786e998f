"""What a job may be: the kinds apps declare, and the three values a handler works with.

An app declares its kinds on its AppConfig and writes the handlers in its `tasks.py`::

    class ImporterConfig(AppConfig):
        job_kinds = {
            "importer.preview": JobKind(run="importer.tasks.preview", ended="importer.tasks.preview_ended"),
        }

    def preview(work: Slice) -> Step: ...
    def preview_ended(work: Ended) -> None: ...
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, Protocol

from django.apps import apps
from django.utils.module_loading import import_string

from core.errors import RowhouseError
from core.tenancy import TenantRef

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class JobKind:
    """One sort of background work. The dotted paths are resolved when first needed.

    `run` does a slice, `ended` hears of an end that was no success, `retried` of a job that is about to be
    started again, and may refuse it. `is_long`: it can keep a process busy for long, and a pool of
    workers keeps one process free of such jobs. `ends_suspended`: it does not wait while its tenant is suspended but
    ends FAILED, because nobody would expect it to go on by itself months later. `writes`: it changes what the
    tenant's people see, and is not done while the tenant is read-only.
    """

    run: str
    ended: str | None = None
    retried: str | None = None
    title: str = ""
    is_long: bool = False
    ends_suspended: bool = False
    writes: bool = True


@dataclass(frozen=True, slots=True)
class Step:
    """What one slice achieved: `cursor` is where the next goes on, `processed` counts this slice alone.

    `rest_seconds`: the job waits for something, and others, its own tenant's younger jobs too, go first.
    """

    done: bool
    cursor: Json = field(default_factory=dict)
    processed: int = 0
    total: int | None = None
    rest_seconds: float = 0.0


class Tell(Protocol):
    """Says from inside a long block how far it is, for people to see."""

    def __call__(self, processed: int, total: int | None = None) -> None: ...


class Slice(Protocol):
    """One slice of a job, given to its handler inside the job's tenant and one transaction.

    The transaction is the runner's: it commits the handler's changes together with the cursor, or nothing.
    `tenant` is None for the platform's own work. What a slice changes outside the database must have a name
    that a repeat would use again, and be written before the row that speaks of it.
    """

    job_id: int
    tenant: TenantRef | None
    payload: Json
    cursor: Json
    step: int
    attempt: int  # 1 at the first try of this step; an earlier one may still be writing somewhere

    def time_left(self) -> float:
        """Return the seconds left of this slice's five; a handler returns its Step when none are."""
        ...

    def is_cancelled(self) -> bool:
        """Return whether someone has asked for the job's end. One small query.

        Must be asked every second or so by what streams for long: it ends the slice, by an exception that
        the runner understands, when the worker has to leave.
        """
        ...

    def long_statement(self) -> AbstractContextManager[Tell]:
        """Lift the time limit for one long statement; the lease is renewed meanwhile from aside.

        The block may tell how far it is; its Step then counts as `processed` only what was not told.
        """
        ...


@dataclass(frozen=True, slots=True)
class Ended:
    """How a job ended that did not succeed, in the transaction that ends it, at its n-th `attempt` of a step."""

    job_id: int
    tenant: TenantRef | None
    payload: Json
    outcome: Literal["failed", "cancelled"]
    code: str
    message: str
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Again:
    """A failed or cancelled job about to be started again, in the transaction that queues it.

    `code` is why it ended, `cursor` where it stood; the handler returns where it goes on.
    """

    job_id: int
    tenant: TenantRef | None
    payload: Json
    cursor: Json
    code: str


class NotYet(Exception):
    """The work cannot begin now and is tried again by the job's rules; the message is for people to read."""


class UnknownKind(RowhouseError):
    """No installed app declares this kind of job."""

    code = "unknown-kind"
    status = 422


@cache
def registry() -> dict[str, JobKind]:
    """Return every declared kind by name."""
    found: dict[str, JobKind] = {}
    for config in apps.get_app_configs():
        for name, kind in getattr(config, "job_kinds", {}).items():
            if name in found:
                raise ValueError(f"two apps declare the job kind {name!r}")
            found[name] = kind
    return found


@cache
def hourly_kinds() -> tuple[str, ...]:
    """Return the kinds that every tenant gets once per hour, however long its slots are."""
    return _declared("hourly_jobs")


@cache
def slot_kinds() -> tuple[str, ...]:
    """Return the kinds that every tenant gets once per slot: an hour, or less where it needs less."""
    return _declared("slot_jobs")


@cache
def chores() -> tuple[Callable[[], None], ...]:
    """Return what apps want done every ten minutes, by dotted path in their config's `chores`: quick, in `public`.

    Every worker does it, several at once too; what takes longer than a moment submits a job.
    """
    paths = [path for config in apps.get_app_configs() for path in getattr(config, "chores", ())]
    return tuple(import_string(path) for path in paths)


def _declared(attribute: str) -> tuple[str, ...]:
    names = [name for config in apps.get_app_configs() for name in getattr(config, attribute, ())]
    for name in names:
        kind_of(name)
    return tuple(names)


def kind_of(name: str) -> JobKind:
    """Return the declared kind.

    :raises UnknownKind: no app declares it.
    """
    try:
        return registry()[name]
    except KeyError:
        raise UnknownKind(f"No installed app declares the job kind {name!r}.") from None


def handler_of(name: str) -> Callable[[Slice], Step]:
    """Return the function that runs a slice of this kind."""
    handler: Callable[[Slice], Step] = import_string(kind_of(name).run)
    return handler


@cache
def long_kinds() -> tuple[str, ...]:
    """Return the kinds that a pool of workers keeps one process free of."""
    return tuple(sorted(name for name, kind in registry().items() if kind.is_long))


@cache
def kinds_ending_suspended() -> tuple[str, ...]:
    """Return the kinds whose jobs end when their tenant is suspended."""
    return tuple(sorted(name for name, kind in registry().items() if kind.ends_suspended))


@cache
def kinds_writing() -> tuple[str, ...]:
    """Return the kinds that are not done while their tenant is read-only."""
    return tuple(sorted(name for name, kind in registry().items() if kind.writes))


def retried_of(name: str) -> Callable[[Again], Json] | None:
    """Return the function asked before a job of this kind starts again, if the kind has one."""
    path = kind_of(name).retried
    handler: Callable[[Again], Json] | None = import_string(path) if path else None
    return handler


def ended_of(name: str) -> Callable[[Ended], None] | None:
    """Return the function told of an unsuccessful end, if the kind has one."""
    path = kind_of(name).ended
    handler: Callable[[Ended], None] | None = import_string(path) if path else None
    return handler
