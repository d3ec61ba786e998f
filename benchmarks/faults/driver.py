"""The people: a process that imports, exports, cancels and pauses, and writes down what it was answered.

It does what a client should: an upload whose answer was lost is sent again under its own key. It ends when it
was told to and everything it began has ended.
"""

from __future__ import annotations

import io
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from django.db import DatabaseError, InterfaceError, connection, connections

from accounts.models import User
from benchmarks.faults import points
from benchmarks.faults.journal import FAIL, OK, UNKNOWN, File, Journal
from core.errors import RowhouseError
from core.tenancy import TenantRef, in_public, in_tenant, leave_tenant
from datasets.models import Dataset
from exporter.models import OPEN_STATES, ExportRun
from exporter.services import cancel_export, request_export
from importer.models import ImportJob, State
from importer.services import cancel_import, confirm_import, create_import
from jobs.models import ACTIVE, Job
from jobs.services import cancel, pause_tenant, resume_tenant, submit

OPEN_IMPORTS = 3  # of one tenant at a time
OPEN_LEDGERS = 4
KEYS = 1500  # files overlap, so that they create, change and leave
PAUSE_SECONDS = 0.7
ODD = ("suicide", "unpicklable", "badcursor", "refuse", "import", "export", "gone")


@dataclass(slots=True)
class People:
    """One tenant's people, and what they have under way."""

    tenant: TenantRef
    datasets: list[int]
    unanswered: list[tuple[str, int, File]] = field(default_factory=list)
    paused_until: float = 0.0


@dataclass(slots=True)
class Driver:
    """All people, one after the other. `stop`: a file that says no more new work."""

    tenants: list[People]
    journal: Journal
    stop: Path
    dice: Random
    odd_left: int
    events: Path
    slow_seconds: float = 1.5  # longer than a lease
    number: int = 0

    def run(self) -> None:
        """Work until told to stop, then until nothing is open."""
        while True:
            is_over = self.stop.exists()
            busy = [self.visit(people, is_over=is_over) for people in self.tenants]
            if is_over and not any(busy):
                return
            time.sleep(0.02)

    def visit(self, people: People, *, is_over: bool) -> bool:
        """Look after one tenant; returns whether something is still open there."""

        try:
            with in_tenant(people.tenant):
                self._resume(people, at_once=is_over)
                self._send_again(people)
                is_busy = self._go_on(people)
                if not is_over:
                    self._begin(people)
                return is_busy or bool(people.unanswered) or people.paused_until > 0
        except (DatabaseError, InterfaceError):  # the server is away; the looks are repeated
            connection.close()
            leave_tenant()
            time.sleep(0.1)
            return True

    # ---- what is under way --------------------------------------------------------------------------------

    def _go_on(self, people: People) -> bool:

        waiting = (State.CREATED, State.PREVIEW_IN_PROGRESS, State.PREVIEW_SUCCEEDED)
        opened = list(ImportJob.objects.filter(state__in=(*waiting, State.IMPORT_IN_PROGRESS)).order_by("pk"))
        merging = {job.dataset_id for job in opened if job.state == State.IMPORT_IN_PROGRESS}
        for job in opened:
            if self.dice.random() < 0.002:
                self._cancel(people, job)
            elif job.state == State.PREVIEW_SUCCEEDED and job.dataset_id not in merging:
                merging.add(job.dataset_id)
                self._confirm(people, job)
        return bool(opened)

    def _confirm(self, people: People, job: Any) -> None:

        if self.dice.random() < 0.05:
            self._cancel(people, job)
        else:
            self._ask("confirm", people, lambda: confirm_import(job=job, by=None), imported=job.pk)

    def _cancel(self, people: People, job: Any) -> None:

        self._ask("cancel", people, lambda: cancel_import(job=job, by=None), imported=job.pk)

    def _send_again(self, people: People) -> None:
        for upload in list(people.unanswered):
            people.unanswered.remove(upload)
            self._upload(people, *upload)

    # ---- what is new --------------------------------------------------------------------------------------

    def _begin(self, people: People) -> None:

        ended = (State.IMPORT_SUCCEEDED, State.IMPORT_FAILED, State.CANCELLED, State.PREVIEW_FAILED)
        if ImportJob.objects.exclude(state__in=ended).count() < OPEN_IMPORTS:
            self.number += 1
            self._upload(
                people, f"upload-{self.number}", self.dice.choice(people.datasets), self._file(people)
            )
        if self.dice.random() < 0.3:
            self._export(people)
        if self.dice.random() < 0.5:
            self._ledger(people)
        if self.odd_left and self.dice.random() < 0.1:
            self.odd_left -= 1
            self._odd(people, ODD[self.odd_left % len(ODD)])
        if self.dice.random() < 0.01:
            self._pause(people)

    def _file(self, people: People) -> File:
        count = self.dice.choice((50, 80, 120, 200, 400, 2000 if self.dice.random() < 0.3 else 300))
        return File(
            tenant=people.tenant.slug,
            first=self.dice.randint(1, KEYS),
            count=count,
            salt=self.dice.randint(1, 9),
            bad=self.dice.choice((0, 0, 0, 1, 5)),
        )

    def _upload(self, people: People, key: str, dataset_pk: int, file: File) -> None:

        facts: dict[str, Any] = {
            "key": key,
            "dataset": dataset_pk,
            "file": [file.first, file.count, file.salt, file.bad],
        }

        def upload() -> int:
            made = create_import(
                dataset=Dataset.objects.get(pk=dataset_pk),
                file=io.BytesIO(file.content()),
                name=f"{key}.csv",
                by=None,
                request_key=key,
            )
            return int(made.pk)

        if self._ask("upload", people, upload, **facts) == UNKNOWN:
            people.unanswered.append((key, dataset_pk, file))

    def _export(self, people: People) -> None:

        running = ExportRun.objects.filter(state__in=OPEN_STATES).first()
        if running is not None and self.dice.random() < 0.1:
            self._ask("cancel", people, lambda: cancel_export(run=running, by=None), export=running.pk)
        by = self.dice.choice((None, User.objects.first()))
        self._ask("export", people, lambda: int(request_export(by=by).pk))

    def _ledger(self, people: People) -> None:

        with in_public():
            running = list(
                Job.objects.filter(
                    schema=people.tenant.schema, kind="fault.ledger", state__in=ACTIVE
                ).values_list("pk", flat=True)[:OPEN_LEDGERS]
            )
        if running and self.dice.random() < 0.05:
            self._ask("cancel", people, lambda: int(cancel(running[0])), job=running[0])
        if len(running) < OPEN_LEDGERS:
            payload = {"steps": self.dice.randint(2, 6), "seconds": self.dice.choice((0, 0, 0.05))}
            if self.dice.random() < 0.2:
                payload["slow"] = self.slow_seconds
            self._submit(people, "fault.ledger", payload)

    def _odd(self, people: People, what: str) -> None:
        if what == "import":
            self._submit(people, "importer.merge", {"import": "not a number"})
        elif what == "export":
            self._submit(people, "exporter.run", {"run": 10**9})
        elif what == "gone":
            self._ask("insert", people, lambda: insert_job_of_no_kind(people.tenant, self.number))
        else:
            self._submit(people, f"fault.{what}", {})

    def _submit(self, people: People, kind: str, payload: dict[str, Any]) -> None:

        self.number += 1
        key = f"{people.tenant.schema}:fault:{self.number}"
        target = "the same" if self.dice.random() < 0.1 else f"fault {self.number}"
        self._ask(
            "submit",
            people,
            lambda: int(submit(kind, target=target, payload=payload, idem_key=key).pk),
            kind=kind,
            key=key,
        )

    def _pause(self, people: People) -> None:

        people.paused_until = time.monotonic() + PAUSE_SECONDS
        self._ask("pause", people, lambda: pause_tenant(people.tenant.schema))

    def _resume(self, people: People, *, at_once: bool) -> None:

        is_due = people.paused_until and (at_once or time.monotonic() > people.paused_until)
        if is_due and self._ask("resume", people, lambda: resume_tenant(people.tenant.schema)) == OK:
            people.paused_until = 0.0

    # ---- the answer ---------------------------------------------------------------------------------------

    def _ask(self, op: str, people: People, action: Callable[[], int | None], **facts: Any) -> str:

        try:
            answer = action()
        except RowhouseError as refused:
            self.journal.note(op, people.tenant.slug, FAIL, code=refused.code, **facts)
            return FAIL
        except (DatabaseError, InterfaceError) as error:
            self.journal.note(op, people.tenant.slug, UNKNOWN, error=type(error).__name__, **facts)
            connection.close()
            return UNKNOWN
        self.journal.note(op, people.tenant.slug, OK, answer=answer, **facts)
        return OK


def insert_job_of_no_kind(tenant: TenantRef, number: int) -> int:
    """Insert a job whose app is gone, as an update that removed an app would leave it."""

    with in_public():
        made = Job.objects.create(
            schema=tenant.schema, slug=tenant.slug, kind="gone.kind", target=f"gone {number}"
        )
    return int(made.pk)


def start(driver: Driver) -> int:
    """Run the driver in a process of its own; returns its id. It exits with 0 when all is said and done."""

    connections.close_all()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        points.install_commits(points.Hand(driver.dice, driver.events, points.draw_lost_commit))
        driver.run()
        code = 0
    except BaseException:  # noqa: BLE001 -- the parent hears of it by the exit code
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)
