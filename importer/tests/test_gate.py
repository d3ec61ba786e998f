"""What may enter: content decides, not the name."""

from __future__ import annotations

import io
import zipfile

import pytest

from importer.gate import file_kind
from importer.issues import EmptyFile, WrongKind
from importer.tests.workbooks import parts


def zipped(contents: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, body in contents.items():
            archive.writestr(name, body)
    return out.getvalue()


@pytest.mark.case("F01")
@pytest.mark.parametrize("head", [b"", b"\n\n  \n"])
def test_a_file_without_bytes_is_called_empty(head):
    with pytest.raises(EmptyFile, match="is empty"):
        file_kind(head, "nothing.csv")


@pytest.mark.case("F35")
def test_a_workbook_named_csv_is_a_workbook_and_text_named_xlsx_is_text():
    assert file_kind(zipped(parts()), "prices.csv") == "xlsx"
    assert file_kind(b"id,name\n1,a\n", "prices.xlsx") == "csv"


@pytest.mark.case("F35")
@pytest.mark.parametrize(
    ("head", "what"),
    [
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"%PDF-1.7\n", "PDF"),
        (b"\x89PNG\r\n\x1a\nid,name\n1,a\n", "PNG"),
        (zipped({"data.csv": "id\n1\n"}), "zip archive"),
        (b"<!DOCTYPE html><html>", "web page"),
        (bytes(range(256)) * 40 + b"\x00" * 400, "binary"),
    ],
)
def test_other_kinds_are_refused_with_their_name(head, what):
    with pytest.raises(WrongKind, match=what):
        file_kind(head, "data.csv")


@pytest.mark.case("X02")
def test_an_old_or_protected_workbook_is_told_how_to_become_readable():
    with pytest.raises(WrongKind, match=r"save it as \.xlsx without a password"):
        file_kind(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 504, "prices.xlsx")


def test_utf_16_text_and_one_nul_in_a_long_text_pass():
    assert file_kind("id,name\n1,a\n".encode("utf-16"), "a.csv") == "csv"
    assert file_kind("id,name\n1,a\n".encode("utf-16-le"), "a.csv") == "csv"
    assert file_kind(b"id,name\n" + b"1,abc\n" * 50 + b"2,\x00\n", "a.csv") == "csv"
