"""Real public files, read cell by cell as Python's csv module reads them."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from importer.dialect import sniff_path
from importer.readers.csv import read_chunks
from importer.readers.grammar import grammar_of

FILES = sorted((Path(__file__).parents[2] / "platform" / "rowhouse" / "demo" / "files").glob("*.csv"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_real_file_is_read_as_the_csv_module_reads_it(path: Path) -> None:
    found = sniff_path(path)
    mine = [
        [cell or "" for cell in record.cells]
        for chunk in read_chunks(path, found.dialect)
        for record in grammar_of(found.dialect.delimiter, found.dialect.quote).records(chunk.data.decode())
    ]
    with path.open(encoding="utf-8-sig", newline="") as file:
        header, *rows = csv.reader(file)
    assert [" ".join(label.split()) for label in header] == list(found.labels)
    assert mine == [row or [""] for row in rows]
    assert found.doubts == ()


def test_there_are_real_files() -> None:
    assert len(FILES) >= 10
