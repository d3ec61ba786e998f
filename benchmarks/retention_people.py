"""One person of `benchmarks.retention`, in a process of his own: saves, reads or imports until a file says to stop.

    python -m benchmarks.retention_people SLUG DATASET ROLE NUMBER STOP OUT

Every statement of his is timed. What he took, in seconds by sort, is written to OUT as JSON; an empty object stands
there as soon as he is at work. He exits 1 where anything failed.
"""

from __future__ import annotations

import io
import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PATIENCE_SECONDS = 300.0
PAUSE_SECONDS = 0.02
FILE_ROWS = 50


def main() -> None:
    """Work until the stop file is there."""
    slug, pk, role, number, stop, out = sys.argv[1:]
    import django  # noqa: PLC0415 -- after the environment

    django.setup()
    from django.db import connection  # noqa: PLC0415 -- after the settings

    from benchmarks.retention_people import Person  # noqa: PLC0415 -- its own module, not __main__

    person = Person(slug, int(pk), int(number))
    act = {"edit": person.edit, "read": person.read, "import": person.bring}[role]
    act()  # the first of everything loads code
    person.taken = {}
    Path(out).write_text("{}")
    with connection.execute_wrapper(person.timed(role)):
        while not Path(stop).exists():
            act()
            time.sleep(PAUSE_SECONDS)
    Path(out).write_text(json.dumps(person.taken))


class Person:
    """Somebody at one dataset. `taken`: seconds of each thing done, by sort."""

    def __init__(self, slug: str, dataset_pk: int, number: int) -> None:
        from django.test import Client  # noqa: PLC0415 -- after the settings

        from accounts.models import User  # noqa: PLC0415 -- after the settings
        from core.tenancy import in_tenant  # noqa: PLC0415 -- after the settings
        from datasets.models import Dataset  # noqa: PLC0415 -- after the settings
        from tenants.models import Tenant  # noqa: PLC0415 -- after the settings

        self.tenant = Tenant.objects.get(slug=slug).ref
        self.dice = random.Random(number)
        self.taken: dict[str, list[float]] = {}
        self.client = Client(HTTP_HOST=f"{slug}.localhost")
        with in_tenant(self.tenant):
            self.dataset = Dataset.objects.get(pk=dataset_pk)
            self.names = [column.name for column in self.dataset.spec().columns]
            self.records = self._largest()
            user = User.objects.get(email=f"owner@{slug}.example")
            self.client.force_login(user, backend="accounts.backends.TenantBackend")

    def timed(self, role: str) -> Callable[..., Any]:
        """Return what times each statement."""

        def run(execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
            started = time.perf_counter()
            try:
                return execute(sql, params, many, context)
            finally:
                self._took(f"{role}_statement", started)

        return run

    def edit(self) -> None:
        """Open a record's form and save another amount."""
        pk = self._number()
        address = f"{self._rows()}{pk}/change/"
        page = self.client.get(address)
        assert page.status_code == 200, page.status_code
        no, name, amount = self.names
        values = {no: str(pk), name: f"record {pk}", amount: str(self.dice.randrange(100, 10**6))}
        started = time.perf_counter()
        answer = self.client.post(address, values)
        self._took("save", started)
        assert answer.status_code == 302, answer.status_code

    def read(self) -> None:
        """Open a page of the list, and a record's history."""
        started = time.perf_counter()
        assert self.client.get(self._rows()).status_code == 200
        assert self.client.get(f"{self._rows()}{self._number()}/history/").status_code == 200
        self._took("look", started)

    def bring(self) -> None:
        """Import a small file, from upload to the end of the merge; a few of its records are new."""
        from core.tenancy import in_tenant  # noqa: PLC0415 -- after the settings
        from importer.models import ImportJob, State  # noqa: PLC0415 -- after the settings
        from importer.services import confirm_import, create_import  # noqa: PLC0415 -- after the settings

        lines = ["no,amount"]
        numbers = self.dice.sample(range(self.records // 2, self.records + 1000), FILE_ROWS)
        lines += [f"{number},{self.dice.randrange(10**6)}" for number in numbers]
        started = time.perf_counter()
        with in_tenant(self.tenant):
            file = io.BytesIO("\n".join(lines).encode())
            job: ImportJob = create_import(dataset=self.dataset, file=file, name="rows.csv", by=None)
            while job.state != State.IMPORT_SUCCEEDED:
                assert time.perf_counter() - started < PATIENCE_SECONDS, job.state
                assert job.state not in (State.PREVIEW_FAILED, State.IMPORT_FAILED, State.CANCELLED), (
                    job.error
                )
                if job.state == State.PREVIEW_SUCCEEDED:
                    confirm_import(job=job, by=None)
                time.sleep(0.05)
                job.refresh_from_db()
        self._took("import", started)

    def _took(self, sort: str, started: float) -> None:
        self.taken.setdefault(sort, []).append(time.perf_counter() - started)

    def _number(self) -> int:
        # Those who edit keep to records that no file of the import has: nobody is refused for another's change.
        return self.dice.randrange(1, self.records // 2)

    def _largest(self) -> int:
        from django.db import connection  # noqa: PLC0415 -- after the settings

        with connection.cursor() as cursor:
            cursor.execute(f"SELECT max(id) FROM ds_{self.dataset.pk}")
            return int(cursor.fetchone()[0])

    def _rows(self) -> str:
        return f"/admin/datasets/dataset/{self.dataset.pk}/rows/"


if __name__ == "__main__":
    main()
