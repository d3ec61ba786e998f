"""The process that opens a workbook is killed for its memory: the file is refused, and nothing else is touched."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from django.db import connection

from audit.models import Event
from benchmarks.imports_xlsx import write_workbook
from core import storage
from core.tenancy import TenantRef, in_tenant
from datasets.models import Dataset
from importer.models import ImportJob, State
from importer.tests.tools import GOOD, import_text, make_orders, records, upload

ROWS = 40_000
LIMITED_CHILD = """
import sys
import importer.readers.xlsx_child as child
child.MEMORY_BYTES = {bytes}
child.limit_resources()
sys.stdout.write(child.json.dumps(child.answer(child.json.load(sys.stdin))))
"""


@pytest.fixture
def book(tmp_path: Path) -> bytes:
    write_workbook(tmp_path / "book.xlsx", ROWS)
    return (tmp_path / "book.xlsx").read_bytes()


def children() -> list[str]:
    """Return the ids of this process's children, whichever thread started them."""
    found: list[str] = []
    for task in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):
            found += task.read_text().split()
    return found


def has_open(pid: str, size: int) -> bool:
    """Return whether a process has a file of so many bytes open: the workbook, however it is called."""
    for opened in Path(f"/proc/{pid}/fd").glob("*"):
        with suppress(OSError):
            if opened.stat().st_size == size:
                return True
    return False


@contextmanager
def out_of_memory(size: int) -> Iterator[list[int]]:
    """Kill each child that reads the workbook, as the kernel does that needs its memory; gives whom it killed."""
    killed: list[int] = []
    is_over = threading.Event()

    def kill() -> None:
        while not is_over.wait(0.002):
            for pid in children():
                with suppress(OSError):
                    if int(pid) not in killed and has_open(pid, size):
                        os.kill(int(pid), signal.SIGKILL)
                        killed.append(int(pid))

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield killed
    finally:
        is_over.set()
        killer.join()


def staging_tables(tenant: TenantRef) -> list[str]:
    """Return the tables of the tenant's schema that belong to one import."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind = 'r'"
            " AND relpersistence = 'u'",
            [tenant.schema],
        )
        return [name for (name,) in cursor.fetchall()]


def left_as_it_was(tenant: TenantRef, dataset: Dataset, job: ImportJob) -> None:
    """See that the refused file left a reason and its upload, and no row, no table, no half-made sheet."""
    assert (job.state, job.read_rows, job.staged_rows, job.sheet) == (State.PREVIEW_FAILED, 0, 0, {})
    assert (job.error_code, "memory" in job.error) == ("workbook-refused", True)
    assert [row[0] for row in records(dataset)] == [1, 2, 3]
    assert staging_tables(tenant) == []
    assert [key for key, _ in storage.list_keys(f"uploads/{job.pk}")] == [job.key]
    ended = Event.objects.get(name="importer.job.ended", target_id=str(job.pk))
    assert ended.data["code"] == "workbook-refused"


@pytest.mark.case("I05")
def test_a_workbook_whose_reader_is_killed_is_refused_and_the_next_one_is_read(
    acme: TenantRef, globex: TenantRef, book: bytes
) -> None:
    datasets = {}
    for tenant in (acme, globex):
        with in_tenant(tenant):
            datasets[tenant] = make_orders()
            import_text(datasets[tenant], GOOD)
    with in_tenant(acme), out_of_memory(len(book)) as killed:
        job = upload(datasets[acme], book, name="orders.xlsx")

    assert killed
    with in_tenant(acme):
        left_as_it_was(acme, datasets[acme], job)
    with in_tenant(globex):
        assert [row[0] for row in records(datasets[globex])] == [1, 2, 3]
    with in_tenant(acme):  # the same file, once there is memory: whoever read it before took nothing along
        again = upload(datasets[acme], book, name="orders.xlsx")
        assert (again.state, again.read_rows) == (State.PREVIEW_SUCCEEDED, ROWS)


@pytest.mark.case("I05")
def test_a_workbook_that_the_kernel_gives_no_memory_for_is_refused(
    as_acme: TenantRef, globex: TenantRef, book: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = make_orders()
    import_text(dataset, GOOD)
    (tmp_path / "limited_child.py").write_text(LIMITED_CHILD.format(bytes=24 << 20))
    with monkeypatch.context() as patched:
        patched.syspath_prepend(tmp_path)
        patched.setattr("importer.readers.xlsx.CHILD", "limited_child")
        job = upload(dataset, book, name="orders.xlsx")

    left_as_it_was(as_acme, dataset, job)
