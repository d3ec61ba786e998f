"""A dataset whose definition changes to and fro while people edit, list, import and export.

What each record must say is kept beside, by whoever wrote it: every record has one writer at a time, so its last
accepted value is the truth. The values are whole numbers, which every type of the round writes in the same way.
"""

from __future__ import annotations

import io
import random
import re
import time
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import connection
from django.test import Client

from core import storage
from core.tenancy import TenantRef, in_tenant
from datasets import changing, ddl, editing
from datasets.change_models import RUNNING, Change
from datasets.columntypes import type_of
from datasets.models import Dataset
from datasets.rows import get_row_model
from datasets.rules import NewColumn
from datasets.services import create_dataset
from datasets.spec import ColumnOptions
from exporter.models import ExportFile
from exporter.services import request_export
from importer.models import ImportJob, State
from importer.services import confirm_import, create_import
from importer.signals import ImportRunning
from jobs.services import is_active

if TYPE_CHECKING:
    from collections.abc import Iterator

EDITORS, READERS = 2, 2
IMPORTED = 500_000_000  # the numbers imports write begin here, those of forms below
ROUND: tuple[dict[str, Any], ...] = (
    {"type": "integer"},
    {"options": ColumnOptions(minimum="0")},
    {"type": "decimal", "options": ColumnOptions(precision=12, scale=0)},
    {"is_required": True},
    {"type": "text"},
    {"options": ColumnOptions(max_length=12)},
    {"is_required": False},
    {"is_unique": True},
    {"type": "long_text", "is_unique": True, "options": ColumnOptions()},
    {"is_unique": False},
    {"type": "text", "options": ColumnOptions()},
)
PATIENCE_SECONDS = 120.0


@dataclass(slots=True)
class Traffic:
    """One play. `truth`: what each number's value must be; `wrong`: whatever nobody should have seen."""

    tenant: TenantRef
    dataset: Dataset
    seed: int
    records: int
    names: list[str]  # physical, of number, value and the other column: they never change
    truth: dict[int, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    over: Event = field(default_factory=Event)
    slowest: dict[str, float] = field(default_factory=dict)
    _lock: Any = field(default_factory=Lock)

    # ---- the stage

    @classmethod
    def opened(cls, tenant: TenantRef, *, records: int, seed: int) -> Traffic:
        """Make the dataset with its first records."""
        columns = [NewColumn("no", "integer"), NewColumn("v", "text"), NewColumn("w", "text")]
        with in_tenant(tenant):
            dataset = create_dataset(title="Traffic", columns=columns, key=["no"])
            made = cls(tenant, dataset, seed, records, [column.name for column in dataset.spec().columns])
            no, v, w = made.names
            with connection.cursor() as cursor:
                for first in (0, IMPORTED):
                    cursor.execute(
                        f"INSERT INTO ds_{dataset.pk} ({no}, {v}, {w}) SELECT n + %s, (n * 7 + %s)::text, 'w' || n"
                        " FROM generate_series(0, %s) n",
                        [first, first, records - 1],
                    )
                    made.truth |= {first + n: str(n * 7 + first) for n in range(records)}
                cursor.execute(f"ANALYZE ds_{dataset.pk}")
        return made

    def play(self, seconds: float) -> None:
        """Let everybody work for so long, then wait until all work is over."""
        v = self.names[1]
        acts: list[Callable[[random.Random, Client], None]] = [
            *(partial(self._edit, part=part, v=v) for part in range(EDITORS)),
            *([self._read] * READERS),
            self._add,
            self._import,
            self._export,
            self._change,
            self._columns,
        ]
        threads = [
            Thread(target=self._act, args=(act, random.Random(self.seed * 100 + number)), daemon=True)
            for number, act in enumerate(acts)
        ]
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        self.over.set()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
            if thread.is_alive():
                self.wrong.append("somebody waited for ever")

    def _act(self, act: Callable[[random.Random, Client], None], dice: random.Random) -> None:
        try:
            client = self._client()
            while not self.over.is_set():
                act(dice, client)
                time.sleep(dice.uniform(0.01, 0.05))
        except Exception as error:  # noqa: BLE001 -- whatever it is, it is a finding
            self.wrong.append(f"{type(error).__name__}: {error}"[:500])
        finally:
            connection.close()

    # ---- who does what

    def _client(self) -> Client:
        from accounts.models import User  # noqa: PLC0415 -- after the settings

        client = Client(HTTP_HOST=f"{self.tenant.slug}.localhost", raise_request_exception=False)
        with in_tenant(self.tenant):
            user = User.objects.get(email=f"owner@{self.tenant.slug}.example")
            client.force_login(user, backend="accounts.backends.TenantBackend")
        return client

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        took = time.monotonic() - started
        with self._lock:
            self.slowest[what] = max(self.slowest.get(what, 0.0), took)

    def _sent(self, what: str, answer: Any, *allowed: int) -> bool:
        with self._lock:
            self.counts[what] += 1
        if answer.status_code in allowed:
            return True
        text = re.sub(r"<[^>]+>|\s+", " ", answer.content.decode(errors="replace"))
        self.wrong.append(f"{what}: {answer.status_code} {text[-400:]}")
        return False

    def _rows(self, *parts: object) -> str:
        return f"/admin/datasets/dataset/{self.dataset.pk}/rows/" + "".join(f"{part}/" for part in parts)

    def _edit(self, dice: random.Random, client: Client, *, part: int, v: str) -> None:
        number = dice.randrange(self.records // EDITORS) * EDITORS + part
        with in_tenant(self.tenant):
            pk = get_row_model(self.dataset)._default_manager.get(**{self.names[0]: number}).pk
        with self._timed("edit"):
            page = client.get(self._rows(pk, "change"))
        if not self._sent("form opened", page, 200):
            return
        value = str(dice.randrange(10**8, 10**9))
        w = self.names
        with self._timed("edit"):
            answer = client.post(self._rows(pk, "change"), {w[0]: str(number), v: value, w[2]: f"w{value}"})
        if self._sent("form saved", answer, 302):
            self.truth[number] = value

    def _add(self, dice: random.Random, client: Client) -> None:
        names = self.names
        number, value = dice.randrange(10**6, 4 * 10**8), str(dice.randrange(10**8, 10**9))
        if number in self.truth:
            return
        answer = client.post(self._rows("add"), {names[0]: str(number), names[1]: value, names[2]: ""})
        if self._sent("record added", answer, 302):
            self.truth[number] = value

    def _read(self, dice: random.Random, client: Client) -> None:
        names = self.names
        v = names[1]
        order = dice.choice(["", f"?sort={v}", f"?sort=-{v}", f"?q={dice.randrange(10**4)}"])
        with self._timed("list"):
            answer = client.get(self._rows() + order)
        self._sent("list read", answer, 200)
        with in_tenant(self.tenant):
            some = (
                get_row_model(self.dataset)
                .history.order_by(names[0])
                .values_list("id", flat=True)[:1]
                .first()
            )
        if some:
            self._sent("history read", client.get(self._rows(some, "history")), 200)

    def _import(self, dice: random.Random, client: Client) -> None:
        first, size = dice.randrange(self.records), dice.randrange(1, 400)
        rows = {
            IMPORTED + (first + n) % (2 * self.records): str(dice.randrange(10**8, 10**9))
            for n in range(size)
        }
        file = io.BytesIO("\n".join(["no,v", *(f"{n},{v}" for n, v in rows.items())]).encode())
        with in_tenant(self.tenant):
            job = create_import(dataset=self.dataset, file=file, name="rows.csv", by=None)
            if self._until_merged(job):
                self.truth |= rows
                self.counts["rows imported"] += len(rows)

    def _until_merged(self, job: ImportJob) -> bool:
        """Confirm whenever there is a preview, as a person does who reads why it was made again."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            job.refresh_from_db()
            if job.state == State.IMPORT_SUCCEEDED:
                self.counts["import done"] += 1
                return True
            if job.state == State.PREVIEW_SUCCEEDED:
                if job.rejected_rows:
                    self.wrong.append(f"import: {job.rejected_rows} rejected, {job.issue_counts}")
                try:
                    confirm_import(job=job, by=None)
                except Exception as refused:  # noqa: BLE001 -- it is looked at
                    if (
                        "definition changed" not in str(refused)
                        and "being" not in str(refused)
                        and "Its preview" not in str(refused)
                    ):
                        self.wrong.append(f"confirm: {refused}")
                    self.counts["confirm asked again"] += 1
            elif job.state in (State.PREVIEW_FAILED, State.IMPORT_FAILED, State.CANCELLED):
                self.wrong.append(f"import: {job.state} {job.error_code} {job.error}")
                return False
            time.sleep(0.1)
        self.wrong.append(f"import: stuck in {job.state}: {job.notice}")
        return False

    def _export(self, dice: random.Random, client: Client) -> None:
        with in_tenant(self.tenant):
            run = request_export(by=None, datasets=[self.dataset])
            deadline = time.monotonic() + PATIENCE_SECONDS
            # Its job ends after it, and until then the next one is refused.
            while is_active("exporter.run", "by the platform") and time.monotonic() < deadline:
                time.sleep(0.1)
            run.refresh_from_db()
            if run.state != "SUCCEEDED":
                self.wrong.append(f"export: {run.state} {getattr(run, 'error', '')}")
                return
            file = ExportFile.objects.get(run=run)
            with storage.open_read(file.key) as stored:
                lines = stored.read().decode().splitlines()
            if len(lines) != file.rows + 1 or any(not line.split(",")[1].isdigit() for line in lines[1:]):
                self.wrong.append(f"export: {lines[:2]}")
            self.counts["export done"] += 1
        time.sleep(0.5)

    def _change(self, dice: random.Random, client: Client) -> None:
        done = self.counts["change done"]
        wanted = ROUND[done % len(ROUND)]
        with in_tenant(self.tenant):
            column = self.dataset.columns.get(label="v")
            try:
                change = self._through(changing.propose_change(dataset=self.dataset, column=column, **wanted))
            except changing.NothingToChange:
                self.counts["change done"] += 1
                return
            if change.state == "CHANGE_SUCCEEDED" and dice.random() < 0.3:
                back = self._through(changing.revert_change(change=change))
                if back.state == "CHANGE_SUCCEEDED":
                    self.counts["change reverted"] += 1
                    return
            self.counts["change done"] += 1

    def _columns(self, dice: random.Random, client: Client) -> None:
        """Let a column come, be moved and renamed, go, come back, and go for good."""
        label = f"x{dice.randrange(10**9)}"
        with in_tenant(self.tenant):
            [made] = self._patiently(editing.add_columns, columns=[NewColumn(label, "date")])
            order = list(self.dataset.columns.in_use().values_list("pk", flat=True))
            self._patiently(editing.arrange_columns, order=order, labels={made.pk: f"{label}!"})
            self._patiently(editing.retire_column, column=made)
            self._patiently(editing.bring_back_column, column=made)
            self._patiently(editing.retire_column, column=made)
            self._patiently(editing.order_purge, column=made, typed=f"{label}!")
            self._patiently(editing.call_off_purge, column=made)
        self.counts["column came and went"] += 1
        time.sleep(0.3)

    def _patiently(self, act: Callable[..., Any], **what: Any) -> Any:
        """Do it as soon as a change or an import that goes first has ended, as the sentence it is refused with says."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return act(dataset=self.dataset, **what)
            except (editing.ChangeRunning, ImportRunning, ddl.DatasetBusy):
                self.counts["column waited"] += 1
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def _through(self, change: Change) -> Change:
        """Follow a change from its check to its end."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            change.refresh_from_db()
            if change.state == "CHECK_SUCCEEDED":
                changing.confirm_change(change=change)
            elif change.state not in RUNNING:
                break
            time.sleep(0.05)
        if change.state != "CHANGE_SUCCEEDED":
            self.wrong.append(f"change: {change.state} {change.error} {change.log[-3:]}")
        return change

    # ---- the end

    def check(self) -> None:
        """Compare every record with the truth, and the catalog with what it must be."""
        with in_tenant(self.tenant):
            no, v, _w = self.names
            column = self.dataset.spec().columns[1]
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT {no}, {type_of(column).text_sql(v)} FROM ds_{self.dataset.pk}")
                found = dict(cursor.fetchall())
                cursor.execute(
                    "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace"
                    " AND relname LIKE %s",
                    [f"ds\\_{self.dataset.pk}\\_change%"],
                )
                left = [name for (name,) in cursor.fetchall()]
        lost = [n for n in self.truth if n not in found]
        differing = [n for n in found if found[n] != self.truth.get(n)]
        if lost:
            self.wrong.append(f"{len(lost)} records are lost: {lost[:5]}")
        if differing:
            shown = [(n, found[n], self.truth.get(n)) for n in differing[:5]]
            self.wrong.append(f"{len(differing)} records say something else: {shown}")
        if left:
            self.wrong.append(f"left behind: {left}")


assert settings.configured
