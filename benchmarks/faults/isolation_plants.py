"""Leaks on purpose: what the check must find, or its silence proves nothing.

Each is a task of one tenant that touches another's data or might have, by a way that has leaked in real
installations or that the text of its statements does not show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from django.conf import settings
from django.db import transaction
from django_tenants.postgresql_backend import base

from audit.models import Event
from benchmarks.faults.isolation_acts import READ, second_connection
from core.backend.base import DatabaseWrapper
from core.tenancy import TenantRef, connection, in_public, in_tenant
from jobs import claim, ending, runner
from jobs import services as jobs
from jobs.kinds import Slice, Step


@dataclass(frozen=True, slots=True)
class Plant:
    """A leak: what the task does, and what is broken around it. With `tasks` 2 the second one leaks."""

    name: str
    act: Callable[[Slice], None]
    broken: Callable[[], AbstractContextManager[Any]] = nullcontext
    tasks: int = 1


def run(work: Slice) -> Step:
    """Leak; the payload is {"tenant", "plant", "other"}: the number of the plant and the other tenant's schema."""
    PLANTS[work.payload["plant"]].act(work)
    return Step(done=True)


def _other(work: Slice) -> str:
    return str(work.payload["other"])


def _read(statement: str = READ) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        cursor.fetchall()


def _sets_path(work: Slice) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f'SET search_path = "{_other(work)}"')
        cursor.execute(READ)


def _sets_schema(work: Slice) -> None:
    connection.set_schema(_other(work))
    _read()


def _sets_local_path(work: Slice) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL search_path TO {_other(work)}; {READ}")


def _names_schema(work: Slice) -> None:
    _read(f'SELECT tenant FROM "{_other(work)}"."isolation_rows"')


def _configures(work: Slice) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('search_path', %s, false)", [_other(work)])
        cursor.execute(READ)


def _hides_path(work: Slice) -> None:
    """Set the path in a block whose text never says so."""
    with connection.cursor() as cursor:
        cursor.execute(f"DO $$ BEGIN EXECUTE 'SET search' || '_path = t' || '{_other(work)[1:]}'; END $$")
        cursor.execute(READ)


def _hides_name(work: Slice) -> None:
    """Read through a query that is put together by the server."""
    _read(
        f"SELECT query_to_xml('SELECT * FROM t' || '{_other(work)[1:]}' || '.isolation_rows', true, true, '')"
    )


def _reads(work: Slice) -> None:
    _read()


def _reads_events_of_public(work: Slice) -> None:
    """Read the platform's own rows of a table that every tenant has too."""
    with in_public():
        list(Event.objects.all()[:3])


def _forgets_second_connection(work: Slice) -> None:
    with second_connection(is_bound=False) as second, second.cursor() as cursor:
        cursor.execute("SELECT id FROM audit_event LIMIT 3")


def _writes_foreign_row(work: Slice) -> None:
    """Write a row of another's into this tenant's table: no path tells, the row does."""
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO isolation_effects SELECT %s, 0, 'somebody-else', 1", [work.job_id])


def _leaves_path(work: Slice) -> None:
    """Leave another tenant's path to whoever comes next."""
    with connection.connection.cursor() as cursor:
        cursor.execute(f'SET search_path = "{_other(work)}"')
    _read()


@contextmanager
def _sticky() -> Iterator[None]:
    """A worker that stays in the first tenant it served."""
    first: list[TenantRef] = []

    def inside(tenant: TenantRef | None) -> AbstractContextManager[Any]:
        if tenant:
            first.append(tenant)
        return in_tenant(first[0]) if tenant else nullcontext()

    with patch.object(ending, "inside", inside):
        yield


def _public_behind() -> AbstractContextManager[Any]:
    """django-tenants' own path, with `public` behind the tenant."""
    return patch.object(
        DatabaseWrapper, "_get_cursor_search_paths", base.DatabaseWrapper._get_cursor_search_paths
    )


def _limited() -> AbstractContextManager[Any]:
    """django-tenants' setting that trusts what it set last."""
    return patch.object(settings, "TENANT_LIMIT_SET_CALLS", True, create=True)


@contextmanager
def _stays() -> Iterator[None]:
    """A worker that looks around in the tenant after its task has ended."""
    work = runner._work

    def work_and_look(job: Any, started: float) -> Step:
        step = work(job, started)
        with in_tenant(job.tenant):
            _read()
        return step

    with patch.object(runner, "_work", work_and_look):
        yield


PLANTS: Sequence[Plant] = (
    Plant("a handler sets another tenant's path", _sets_path),
    Plant("a handler moves the connection", _sets_schema),
    Plant("a path set for a transaction alone", _sets_local_path),
    Plant("a worker does not leave the tenant", _reads, _sticky, tasks=2),
    Plant("a table with another schema's name", _names_schema),
    Plant("public behind the tenant", _reads, _public_behind),
    Plant("set_config() in a query", _configures),
    Plant("a path set where no text shows it", _hides_path),
    Plant("a name put together by the server", _hides_name),
    Plant("a second connection that is not bound", _forgets_second_connection),
    Plant("a tenant's table read in public", _reads_events_of_public),
    Plant("another's row in the tenant's own table", _writes_foreign_row),
    Plant("a path trusted since it was set", _leaves_path, _limited),
    Plant("a statement after the task's end", _reads, _stays),
)


def plant_all(tenants: Sequence[TenantRef]) -> dict[int, int]:
    """Run every leak, one after the other, and return which plant each job is of. Nobody else may be at work."""
    planted: dict[int, int] = {}
    for number, plant in enumerate(PLANTS):
        ids = []
        for at in range(plant.tasks):
            one, other = tenants[at], tenants[-1]
            payload = {"tenant": one.slug, "plant": number, "other": other.schema}
            with in_public(), in_tenant(one):
                ids.append(jobs.submit("isolation.plant", target=str(number), payload=payload).pk)
        with plant.broken():
            for job_id in ids:
                job = claim.claim_one(job_id)
                assert job is not None, f"the job of {plant.name!r} cannot be claimed"
                runner.run_slice(job)
        planted |= dict.fromkeys(ids, number)
        connection.close()
    return planted
