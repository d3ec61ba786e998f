"""Text files made to cost: each is refused, or read to its end, within two seconds of CPU and little memory.

The limits are the kernel's, in a child process: what breaks them is killed or gets no memory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from datasets.models import Dataset
from importer.issues import Unreadable
from importer.models import State
from importer.tests.tools import counts, import_text, upload

ROOT = Path(__file__).resolve().parents[2]
CPU_SECONDS = 2
MEMORY_MIB = 160  # beyond what the program itself takes; a worker may take 256 in all
MIB = 1 << 20
GIB = 1 << 30

type Maker = Callable[[], bytes]

# Said of the whole file. The rest of a file of 1 GiB is a hole: whoever reads on finds NULs without end.
REFUSED: dict[str, tuple[Maker, int]] = {
    "one-line": (lambda: b"a" * (4 * MIB), GIB),
    "one-line-below-a-header": (lambda: b"id,name\n1," + b"a" * (32 * MIB), GIB),
    "one-line-of-delimiters": (lambda: b"id,name\n" + b"1," * (16 * MIB), GIB),
    "one-quote": (lambda: b'id,name\n1,"' + b"a" * (32 * MIB), GIB),
    "columns": (lambda: _wide(10_000), 0),
    "columns-below-a-narrow-header": (lambda: b"id,name\n" + _wide(10_000) * 5, 0),
    "nul": (lambda: b"id,name\n" + bytes(MIB), GIB),
    "nul-soup": (lambda: b"id,name\n" + _soup("\0,a\n", 4 * MIB), 0),
    "a-label": (lambda: b"id," + b"n" * MIB + b"\n1,2\n", 0),
    "labels": (lambda: b",".join(b"n%0700d" % at for at in range(1_500)) + b"\n1,2\n", 0),
}

# Read to the end: what is wrong is said row by row.
READ: dict[str, Maker] = {
    "quote-soup": lambda: b"id,name,amount,due\n" + _soup("\",\n'a;", MIB // 4) + b'\n1,"x"\n',
    "quotes-alone": lambda: b"id,name\n" + _soup('""""",\n', MIB // 4) + b"\n",
    "quotes-repeated": lambda: b"id,name\n1," + b'"' * 900_000 + b"\n2,x\n",
    "quotes-repeated-and-one-more": lambda: b"id,name\n1," + b'"' * 900_001 + b"\n2,x\n",
    "lines-of-quotes": lambda: b"id,name\n" + b'""""""\n' * 75_000,
    "lines-of-odd-quotes": lambda: b"id,name\n" + b'"""""""\n' * 75_000,
    "a-million-delimiters": lambda: b"id,name\n1,x\n" + b"," * MIB + b"\n2,y\n",
    "half-a-million-cells": lambda: b"id,name\n1" + b",x" * (MIB // 2 - 20) + b"\n2,y\n",
    "nul-behind-the-sample": lambda: b"id,name\n" + b"1,abcdef\n" * 40_000 + _soup("\0,a\n", MIB // 8),
    "blank-lines": lambda: b"id,name\n" + b"\n" * (MIB // 2) + b"1,x\n",
    "carriage-returns": lambda: b"id,name\n" + b"\r" * (MIB // 4) + b"1,x\n",
    "rows-of-one-cell": lambda: b"id,name\n" + b"1\n" * (MIB // 8),
    "bad-cells": lambda: b"id,name\n" + b"x,\n" * (MIB // 12),
    "bad-bytes": lambda: b"\xef\xbb\xbfid,name\n" + b"\xff,\n" * (MIB // 16),
    "digits-for-a-label": lambda: b"1" * 200_000 + b"x," + b"1." * 20_000 + b"\n1,y\n",
    "an-address-for-a-label": lambda: b"a@" + b"b." * 100_000 + b"!,x\n1,y\n",
    "digits-in-a-cell": lambda: b"id,amount\n1," + b"1" * 900_000 + b"\n2,3\n",
    "a-date-without-end": lambda: b"id,due\n1," + b"1-" * 400_000 + b"\n2,2026-01-01\n",
}


def _wide(columns: int) -> bytes:
    return b",".join(b"%d" % at for at in range(columns)) + b"\n"


def _soup(signs: str, size: int) -> bytes:
    return bytes(Random(1).choices(signs.encode(), k=size))


def read_in_child(
    path: Path, cpu_seconds: int = CPU_SECONDS, memory_mib: int = MEMORY_MIB
) -> tuple[int, dict[str, Any], str]:
    """Return the child's exit code, what it told and the end of its stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "importer.tests.hostile_child", str(path), str(cpu_seconds), str(memory_mib)],
        capture_output=True, cwd=ROOT, check=False, timeout=120,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}"},
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout or b"{}"), done.stderr.decode()[-400:]


def write(path: Path, data: bytes, size: int = 0) -> Path:
    with path.open("wb") as file:
        file.write(data)
        if size:
            file.truncate(size)
    return path


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_is_no_table_is_refused_at_little_cost(tmp_path: Path, name: str) -> None:
    make, size = REFUSED[name]
    code, told, said = read_in_child(write(tmp_path / "hostile.csv", make(), size))
    assert (code, said) == (0, "")
    assert told["refused"] in ("not-tabular", "record-too-large", "unterminated-quote", "wrong-file-kind")
    assert told["message"].endswith(".")


@pytest.mark.parametrize("name", READ)
def test_a_file_of_nonsense_is_read_to_its_end_at_little_cost(tmp_path: Path, name: str) -> None:
    code, told, said = read_in_child(write(tmp_path / "hostile.csv", READ[name]()))
    assert (code, said) == (0, "")
    assert "refused" in told or told["staged"] + told["rejected"] > 0


@pytest.mark.parametrize("row", [b"1\n", b"x,\n", b"\xff,\n", b"\n", b"1,x\n"])
def test_memory_does_not_grow_with_the_number_of_tiny_rows(tmp_path: Path, row: bytes) -> None:
    path = write(tmp_path / "hostile.csv", b"\xef\xbb\xbfid,name\n" + row * (4 * MIB // len(row)) + b"1,x\n")
    code, told, said = read_in_child(path, cpu_seconds=100)
    assert (code, said) == (0, "")
    assert told["staged"] > 0


def test_quote_soup_of_many_chunks_costs_no_more_than_its_length(tmp_path: Path) -> None:
    path = write(tmp_path / "hostile.csv", b"id,name,amount,due\n" + _soup("\",\n'a;", 2 * MIB))
    code, _, said = read_in_child(path, cpu_seconds=20)
    assert (code, said) == (0, "")


def test_the_limits_are_real(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", b"id,name\n" + b"1,some words\n" * 400_000)
    assert read_in_child(path)[0] == 0
    assert read_in_child(path, memory_mib=1)[0] != 0
    slow = write(tmp_path / "slow.csv", b"id,name\n" + b'x,"a""b"\n' * 1_000_000)
    assert read_in_child(slow, cpu_seconds=1)[0] != 0


@pytest.mark.parametrize("name", ["one-quote", "columns", "nul-soup", "labels", "quote-soup", "quotes-alone"])
def test_the_import_ends_with_a_reason_and_the_next_one_runs(orders: Dataset, name: str) -> None:
    make = REFUSED[name][0] if name in REFUSED else READ[name]
    with suppress(Unreadable):  # refused before there was a job
        job = upload(orders, make())
        assert job.state in (State.PREVIEW_FAILED, State.PREVIEW_SUCCEEDED)
        assert bool(job.error_code) == (job.state == State.PREVIEW_FAILED)
    assert counts(import_text(orders)) == (3, 0, 0, 0)
