"""Hostile and large workbooks: refused or read within two seconds and the memory limit, and the parent lives on."""

from __future__ import annotations

import os
import re
import resource
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.imports_xlsx import write_workbook
from importer.issues import WorkbookRefused
from importer.readers.xlsx import to_csv
from importer.readers.xlsx_child import MEMORY_BYTES
from importer.tests.corpus_xlsx.layout import SIMPLE
from importer.tests.corpus_xlsx.refused import REFUSED_QUICKLY
from importer.tests.workbooks import parts, rows, sheet, text, write

SECONDS = 2.0  # of the processor's time, for the clock also counts what else the machine does
SHEET = "xl/worksheets/sheet1.xml"


def child_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def refusal(path: Path) -> str:
    """Return why a workbook is refused, in time."""
    before, begun = child_seconds(), time.monotonic()
    with pytest.raises(WorkbookRefused) as refused:
        to_csv(path, None, path.with_suffix(".csv"))
    assert child_seconds() - before < SECONDS
    assert time.monotonic() - begun < SECONDS * 10
    return refused.value.message


def with_sheet(body: bytes, **more: bytes) -> dict[str, str | bytes]:
    return dict(parts(SIMPLE)) | {SHEET: body} | dict(more)


def bomb(inside: bytes, megabytes: int) -> bytes:
    head, tail = sheet(rows(text("A1", "@"))).encode().split(b"@")
    return head + inside * (megabytes * 2**20 // len(inside)) + tail


def entries(count: int) -> bytes:
    """Return an archive of many empty entries, written by hand: zipfile would take long."""
    local = struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, 0, 0, 0, 0, 0, 0, 0, 1, 0) + b"a"
    entry = struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    directory = entry * count
    end = struct.pack(
        "<4s4H2IH", b"PK\x05\x06", 0, 0, count % 65536, count % 65536, len(directory), len(local), 0
    )
    return local + directory + end


def rows_of(row: str, count: int, **options: str) -> dict[str, str | bytes]:
    data = "".join(f'<row r="{at}">{row.replace("@", str(at))}</row>' for at in range(1, count))
    return with_sheet(sheet(data, **options).encode())


def endless(begin: bytes) -> dict[str, str | bytes]:
    return with_sheet(begin + os.urandom(6 << 20).hex().encode())


def repeated(part: str, begin: str, element: str, end: str, count: int) -> dict[str, str | bytes]:
    return {**parts(SIMPLE), part: begin + element * count + end}


COMMENT = b"<worksheet><!--" + b"".join(os.urandom(8).hex().encode() + b"<" for _ in range(1 << 19))
DEEP = b"<worksheet>" + b"".join(b"<r%d>" % at for at in range(1_000_000))
MERGES = "".join(f'<mergeCell ref="A{at}:B{at}"/>' for at in range(1, 250_000))
HOSTILE: dict[str, tuple[Callable[[], dict[str, str | bytes]], str]] = {
    "a cell of blanks": (lambda: with_sheet(bomb(b" ", 64)), "times its packed size"),
    "rows of the same": (
        lambda: with_sheet(bomb(b"</t></is></c></row><row><c><is><t>", 64)),
        "times its packed size",
    ),
    "many small bombs": (
        lambda: with_sheet(b"<a/>", **{f"xl/{at}.xml": b"<a>" + b" " * 2**22 + b"</a>" for at in range(20)}),
        "The workbook unpacks to",
    ),
    "a text that no tag ends": (lambda: endless(b"<worksheet>"), "a text of more than 4 MiB"),
    "a tag that never ends": (lambda: endless(b'<worksheet a="'), "a text of more than 4 MiB"),
    "a comment that never ends": (lambda: with_sheet(COMMENT), "no XML"),
    "a million tags deep": (lambda: with_sheet(DEEP), "more than 100 deep"),
    "all columns in all rows": (
        lambda: rows_of('<c r="BIJ@"><v>1</v></c>', 20_000),
        "more than 25,000,000 cells",
    ),
    "errors without end": (
        lambda: rows_of('<c r="A@" t="e"><v>#N/A</v></c>', 110_000),
        "100,000 cells of the sheet hold errors",
    ),
    "merged cells without end": (lambda: rows_of("", 1, after=MERGES), "too many merged cells"),
    "formats without end": (
        lambda: repeated("xl/styles.xml", "<s><cellXfs>", '<xf numFmtId="1"/>', "</cellXfs></s>", 110_000),
        "more than 100,000 formats",
    ),
    "broken texts without end": (
        lambda: repeated("xl/sharedStrings.xml", "<sst>", "<si><t>_xD800_</t></si>", "</sst>", 110_000),
        "texts hold half of a surrogate pair",
    ),
}


@pytest.mark.case("X08")
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_workbook_is_refused_in_time(name: str, tmp_path: Path) -> None:
    make, message = HOSTILE[name]
    path = write(tmp_path / "book.xlsx", make())
    assert re.search(message, refusal(path))


@pytest.mark.parametrize("count", [20_000, 400_000])
def test_an_archive_of_too_many_parts_is_refused_in_time(count: int, tmp_path: Path) -> None:
    (tmp_path / "book.xlsx").write_bytes(entries(count))
    assert "more than 10,000 parts" in refusal(tmp_path / "book.xlsx")


@pytest.mark.case("X09")
def test_a_bomb_that_lies_about_its_size_is_cut_where_it_lies(tmp_path: Path) -> None:
    path = write(tmp_path / "book.xlsx", with_sheet(bomb(b" ", 64)))
    raw = bytearray(path.read_bytes())
    at = raw.rfind(SHEET.encode()) - 46
    raw[at + 24 : at + 28] = (1_000_000).to_bytes(4, "little")
    path.write_bytes(bytes(raw))
    assert "Bad CRC-32" in refusal(path)


@pytest.mark.parametrize("case", REFUSED_QUICKLY, ids=lambda case: case.name)
def test_a_damaged_workbook_is_refused_by_the_child_in_time(case, tmp_path: Path) -> None:
    assert refusal(case.write(tmp_path / "book.xlsx"))


def test_the_next_workbook_is_read_after_one_that_took_the_child_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dying_child.py").write_text("import os; os.abort()")
    path = write(tmp_path / "book.xlsx", parts(SIMPLE))
    with monkeypatch.context() as patched:
        patched.syspath_prepend(tmp_path)
        patched.setattr("importer.readers.xlsx.CHILD", "dying_child")
        assert "within the limits of memory and time" in refusal(path)
    assert to_csv(path, None, tmp_path / "out.csv").rows == 3


WAITING = """
import sys, pathlib
from importer.readers.xlsx import to_csv
to_csv(pathlib.Path(sys.argv[1]), None, pathlib.Path(sys.argv[2]))
"""


def test_the_child_ends_when_its_worker_is_killed(tmp_path: Path) -> None:
    write_workbook(tmp_path / "book.xlsx", 150_000)
    paths = os.pathsep.join(path for path in sys.path if path)
    worker = subprocess.Popen(
        [sys.executable, "-c", WAITING, str(tmp_path / "book.xlsx"), str(tmp_path / "out.csv")],
        env={"PYTHONPATH": paths},
    )
    children = Path(f"/proc/{worker.pid}/task/{worker.pid}/children")
    while not (child := children.read_text().split()):
        time.sleep(0.01)
    while not list(tmp_path.glob("*.narrow")):  # by then it watches
        time.sleep(0.01)
    worker.kill()
    worker.wait()
    before = time.monotonic()
    while Path(f"/proc/{child[0]}/cmdline").exists() and Path(f"/proc/{child[0]}/cmdline").read_bytes():
        assert time.monotonic() - before < 10
        time.sleep(0.05)
    assert not (tmp_path / "out.csv").exists()


LIMITED_CHILD = """
import sys
import importer.readers.xlsx_child as child
child.MEMORY_BYTES = {bytes}
child.limit_resources()
sys.stdout.write(child.json.dumps(child.answer(child.json.load(sys.stdin))))
"""


@pytest.fixture
def with_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    def limit(size: int) -> None:
        (tmp_path / "limited_child.py").write_text(LIMITED_CHILD.format(bytes=size))
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setattr("importer.readers.xlsx.CHILD", "limited_child")

    return limit


def test_the_child_and_a_worker_stay_below_512_mib() -> None:
    worker = 190 << 20  # with Django, polars and the chunk it works at: 157 MiB measured
    assert MEMORY_BYTES + worker <= 512 << 20


def test_a_hundred_thousand_rows_with_texts_of_their_own_need_little_memory(
    tmp_path: Path, with_memory: Callable[[int], None]
) -> None:
    write_workbook(tmp_path / "book.xlsx", 100_000)
    with_memory(80 << 20)  # of address space: the interpreter alone takes half of it
    made = to_csv(tmp_path / "book.xlsx", None, tmp_path / "out.csv")
    assert (made.rows, made.width, made.hazards) == (100_001, 12, {})
    with (tmp_path / "out.csv").open(encoding="utf-8") as file:
        last = file.readlines()[-1]
    assert last.startswith("99999,code-91892158,lost,") and "Customer 99960 of 99999" in last


def test_a_workbook_that_needs_more_memory_than_there_is_is_refused(
    tmp_path: Path, with_memory: Callable[[int], None]
) -> None:
    write_workbook(tmp_path / "book.xlsx", 20_000)
    with_memory(24 << 20)
    assert "memory" in refusal(tmp_path / "book.xlsx")
