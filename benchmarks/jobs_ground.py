"""Where the jobs are measured: a PostgreSQL and a data folder of their own, tenants, real workers."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.jobs_file import SOURCE
from core.embedded import EmbeddedServer

if TYPE_CHECKING:
    from core.tenancy import TenantRef
    from datasets.models import Dataset

ROOT = Path(__file__).resolve().parents[1]
WORKERS = 2
PATIENCE_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class Ground:
    """A migrated installation without tenants. Django is set up in this process when it is handed out."""

    folder: Path
    server: EmbeddedServer

    def tenant(self, slug: str) -> TenantRef:
        """Provision a tenant that gets no hourly work."""
        from jobs.models import TenantShare  # noqa: PLC0415 -- after the settings
        from tenants.services import provision_tenant, request_tenant  # noqa: PLC0415 -- after the settings

        owner = f"owner@{slug}.example"
        tenant = request_tenant(slug=slug, name=slug.title(), owner_email=owner, provision_now=True)
        provision_tenant(tenant=tenant, owner_password="correct horse battery")
        TenantShare.objects.filter(schema=tenant.ref.schema).update(next_hour_at=None)
        return tenant.ref

    def dataset(self, tenant: TenantRef, title: str) -> Dataset:
        """Make an empty dataset of runways."""
        from core.tenancy import in_tenant  # noqa: PLC0415 -- after the settings
        from datasets.services import create_dataset, infer_definition  # noqa: PLC0415 -- after the settings

        with SOURCE.open(encoding="utf-8", newline="") as file:
            labels, *rows = ([cell or None for cell in row] for row in csv.reader(file))
        columns, key = infer_definition([label or "" for label in labels], rows, key=["id"])
        with in_tenant(tenant):
            return create_dataset(title=title, columns=columns, key=key, by=None)

    @contextmanager
    def worker(self, *command: str, settings: str = "benchmarks.jobs_settings") -> Iterator[None]:
        """Run a worker (by default ours) for the length of the block, and let it leave in good order."""
        words = command or ("worker", "--folder", str(self.folder / "run" / "worker"))
        log = self.folder / "worker.log"
        with log.open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "rowhouse", *words],
                env={**os.environ, "DJANGO_SETTINGS_MODULE": settings},
                cwd=ROOT, stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip
        try:
            yield
            if process.poll() is not None:
                sys.exit(f"The worker ended with {process.returncode}:\n{log.read_text()[-3000:]}")
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:  # the peer waits for its tasks, however long they are
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def operator(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Run a statement as the server's superuser in a database beside the one that is measured."""
        import psycopg2  # noqa: PLC0415 -- slow import

        link = psycopg2.connect(host=str(self.server.socket_folder), user="postgres", dbname="postgres")
        link.autocommit = True
        try:
            with link.cursor() as cursor:
                cursor.execute(statement, values or None)
                return cursor.fetchall() if cursor.description else []
        finally:
            link.close()


@contextmanager
def open_ground() -> Iterator[Ground]:
    """Start a server, set Django up on it and migrate; once per process. All of it is gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix="rowhouse-jobs-"))
    ground = Ground(folder, EmbeddedServer(folder / "postgres"))
    path = [str(ROOT), str(ROOT / "platform"), *filter(None, [os.environ.get("PYTHONPATH")])]
    try:
        ground.server.start()
        os.environ |= {
            "DATABASE_URL": ground.server.url(),
            "DJANGO_SETTINGS_MODULE": "benchmarks.jobs_settings",
            "PYTHONPATH": os.pathsep.join(path),
            "ROWHOUSE_SPARE_SCHEMAS": "0",
            "ROWHOUSE_DATA": str(folder / "data"),
            "ROWHOUSE_LOG_LEVEL": "ERROR",
            "ROWHOUSE_WORKERS": str(WORKERS),
        }
        import django  # noqa: PLC0415 -- after the environment
        from django.core.management import call_command  # noqa: PLC0415 -- after the environment

        django.setup()
        call_command("migrate", interactive=False, verbosity=0)
        yield ground
    finally:
        ground.server.remove()
        shutil.rmtree(folder, ignore_errors=True)


def until(is_so: Callable[[], object], what: str, *, pause: float = 0.1) -> None:
    """Wait.

    :raises SystemExit: it did not come about in time.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            sys.exit(f"Waited {PATIENCE_SECONDS:.0f} s in vain for {what}.")
        time.sleep(pause)


def quantile(values: list[float], part: float) -> float:
    """Return the smallest value that at least `part` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-part * len(ordered) // 1) - 1))]
