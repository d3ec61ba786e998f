"""The ground the faults are played on: a PostgreSQL and a data folder of their own, gone at the end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg2

from core.embedded import EmbeddedServer

if TYPE_CHECKING:
    from core.tenancy import TenantRef
    from datasets.models import Dataset

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = "benchmarks.faults.settings"
PASSWORD = "correct horse battery"
PATIENCE_SECONDS = 60.0
# A short patience makes many deaths fit into a minute.
ENVIRONMENT = {
    "ROWHOUSE_JOB_LEASE_SECONDS": "2",
    "ROWHOUSE_TICK_SECONDS": "1",
    "ROWHOUSE_WORKERS": "2",
    "ROWHOUSE_LOG_LEVEL": "CRITICAL",
    "DJANGO_SETTINGS_MODULE": SETTINGS,
}
# Earlier tenants stay, with nothing to do and none of the hourly work.
CLEAR = (
    "DELETE FROM jobs_job",
    "DELETE FROM django_q_ormq",
    "UPDATE jobs_tenantshare SET state = 'PAUSED' WHERE schema <> 'public'",
)


@dataclass(slots=True)
class Ground:
    """What a scenario works with. Django is set up in this process when it is handed out."""

    folder: Path
    server: EmbeddedServer
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    restarts: int = 0
    _links: dict[int, Any] = field(default_factory=dict)  # by process: a fork must not use its parent's

    @property
    def url(self) -> str:
        """The DATABASE_URL of the application's role."""
        return self.server.url()

    def tenants(self, count: int, prefix: str) -> list[TenantRef]:
        """Provision tenants `<prefix>-0`, `<prefix>-1` …, with the tables of the harness's kinds."""
        from benchmarks.faults.kinds import make_tables  # noqa: PLC0415 -- after the settings
        from core.tenancy import in_tenant  # noqa: PLC0415 -- after the settings
        from tenants.services import provision_tenant, request_tenant  # noqa: PLC0415 -- after the settings

        refs = []
        for number in range(count):
            slug = f"{prefix}-{number}"
            owner = f"owner@{slug}.example"
            tenant = request_tenant(slug=slug, name=slug.title(), owner_email=owner, provision_now=True)
            provision_tenant(tenant=tenant, owner_password=PASSWORD)
            with in_tenant(tenant.ref):
                make_tables()
            refs.append(tenant.ref)
        return refs

    def dataset(self, tenant: TenantRef, title: str = "Orders") -> Dataset:
        """Make a dataset of id (the key), name and amount."""
        from core.tenancy import in_tenant  # noqa: PLC0415 -- after the settings
        from datasets.rules import NewColumn  # noqa: PLC0415 -- after the settings
        from datasets.services import create_dataset  # noqa: PLC0415 -- after the settings

        columns = [
            NewColumn("id", "integer", is_required=True),
            NewColumn("name", "text"),
            NewColumn("amount", "integer"),
        ]
        with in_tenant(tenant):
            return create_dataset(title=title, columns=columns, key=["id"], by=None)

    def restart(self) -> None:
        """Stop the server as a crash does and start it again; every connection is lost."""
        self.server.stop("immediate")
        self.server.start()
        self.restarts += 1

    def sql(self, statement: str, *params: object) -> list[tuple[Any, ...]]:
        """Run one statement, committed at once, as the application's role and outside Django.

        It is repeated on a new connection while the server is away, so it should be one that may run twice.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                with self._link().cursor() as cursor:
                    cursor.execute(statement, params or None)
                    return cursor.fetchall() if cursor.description else []
            except psycopg2.Error as error:
                # Errors the server itself reports have a code; 57P0x say that it is going down or coming up.
                is_gone = error.pgcode is None or error.pgcode.startswith("57P")
                if not is_gone or time.monotonic() > deadline:
                    raise
                self._drop_link()
                time.sleep(0.1)

    def _drop_link(self) -> None:
        with suppress(psycopg2.Error, KeyError):
            self._links.pop(os.getpid()).close()

    def _link(self) -> Any:
        link = self._links.get(os.getpid())
        if link is None or link.closed:
            link = self._links[os.getpid()] = psycopg2.connect(self.url, connect_timeout=5)
            link.autocommit = True
        return link

    def worker(
        self, *, folder: Path, env: Mapping[str, str] | None = None, settings: str | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a real `rowhouse worker` in a session of its own; its output goes to `<folder>.log`."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        chosen = {"DJANGO_SETTINGS_MODULE": settings} if settings else {}
        with folder.with_name(f"{folder.name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "rowhouse", "worker", "--folder", str(folder)],
                env={**os.environ, **(env or {}), **chosen},
                cwd=ROOT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.workers.append(process)
        return process

    def clear(self) -> None:
        """End the workers and the work of the last scenario, so that the next has the ground for itself."""
        for process in self.workers:
            kill_family(process)
        self.workers.clear()
        for statement in CLEAR:
            self.sql(statement)

    def close(self) -> None:
        """End what was started and leave nothing behind."""
        from django.db import connections  # noqa: PLC0415 -- after the settings

        for process in self.workers:
            kill_family(process)
        connections.close_all()
        for link in self._links.values():
            with suppress(psycopg2.Error):
                link.close()
        self.server.remove()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def open_ground(
    folder: Path | None = None,
    *,
    settings: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Ground]:
    """Start a server, set Django up on it and migrate; possible once per process.

    :param settings: of PostgreSQL, beyond those of every embedded server.
    :param environment: variables of this process and of the workers it starts, beyond ENVIRONMENT.
    """
    own = Path(tempfile.mkdtemp(prefix="rowhouse-faults-")) if folder is None else folder
    own.mkdir(parents=True, exist_ok=True)
    server = EmbeddedServer(own / "postgres")
    ground = Ground(own, server)
    try:
        server.start()
        if settings:
            with (server.data / "postgresql.conf").open("a", encoding="utf-8") as config:
                config.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
            server.stop()
            server.start()
        _set_up(ground, environment or {})
        yield ground
    finally:
        ground.close()


def _set_up(ground: Ground, environment: Mapping[str, str]) -> None:
    if "django.conf" in sys.modules and sys.modules["django.conf"].settings.configured:
        raise RuntimeError("Django is set up in this process already; start the harness in one of its own.")
    path = [str(ROOT), str(ROOT / "platform"), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ |= {
        **ENVIRONMENT,
        "DATABASE_URL": ground.url,
        "ROWHOUSE_SPARE_SCHEMAS": "0",
        "ROWHOUSE_DATA": str(ground.folder / "data"),
        "PYTHONPATH": os.pathsep.join(path),
        **environment,
    }
    import django  # noqa: PLC0415 -- after the environment
    from django.core.management import call_command  # noqa: PLC0415 -- after the environment

    django.setup()
    call_command("migrate", interactive=False, verbosity=0)


def family_of(pid: int) -> list[int]:
    """Return the ids of a process's children and theirs, as Linux lists them."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in task.read_text().split():
                found += [int(child), *family_of(int(child))]
    return found


def kill_family(process: subprocess.Popen[bytes]) -> int:
    """Kill a worker and everything below it at once, as a node that loses power would; returns how many."""
    victims = [process.pid, *family_of(process.pid)]
    killed = 0
    for pid in victims:
        with suppress(ProcessLookupError):
            if process.poll() is None or pid != process.pid:
                os.kill(pid, signal.SIGKILL)
                killed += 1
    process.wait()
    return killed
