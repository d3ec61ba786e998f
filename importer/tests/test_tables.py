from __future__ import annotations

from pathlib import Path

import pytest
from openpyxl import Workbook

from importer.issues import Unreadable
from importer.tables import open_table

TABLE = (["id", "name"], [["1", "Ann"], ["2", "Bob"]])


def read(path: Path) -> tuple[list[str], list[list[str | None]]]:
    with open_table(path) as table:
        return table.labels, list(table.rows)


@pytest.mark.parametrize(
    "content",
    [
        b"id,name\n1,Ann\n2,Bob\n",
        b"id;name\r\n1;Ann\r\n\r\n2;Bob\r\n",
        "id\tname\n1\tAnn\n2\tBob\n".encode("utf-16"),
        b"\xef\xbb\xbfid,name\n1,Ann\n2,Bob",
        b"sep=;\nid;name\n1;Ann\n2;Bob\n",
        b"Monthly report\n\nid,name\n1,Ann\n2,Bob\n",
        b"id,name,\n1,Ann,x\n2,Bob,\n",
    ],
)
def test_a_file_is_read_for_a_definition_as_an_import_reads_it(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "people.csv"
    file.write_bytes(content)
    assert read(file) == TABLE


def test_a_workbook_is_read_too(tmp_path: Path) -> None:
    book = Workbook()
    assert book.active is not None
    for row in (["id", "name"], [1, "Ann"], [2, "Bob"]):
        book.active.append(row)
    book.save(tmp_path / "people.xlsx")
    assert read(tmp_path / "people.xlsx") == TABLE


def test_stray_quotes_do_not_stop_it(tmp_path: Path) -> None:
    file = tmp_path / "parts.csv"
    file.write_text('id,note\n1,5" pipe\n2,say "hi" now\n')
    assert read(file) == (["id", "note"], [["1", '5" pipe'], ["2", 'say "hi" now']])


@pytest.mark.parametrize("content", [b"", b"<html><body>id,name</body></html>", b"%PDF-1.7\n"])
def test_what_is_no_table_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "people.csv"
    file.write_bytes(content)
    with pytest.raises(Unreadable):
        read(file)
