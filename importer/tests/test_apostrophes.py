"""Apostrophes before texts that begin like a formula: known, guessed or chosen, and taken away exactly."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.escaping import escaped
from importer.dialect import Sniffed, sniff_path
from importer.readers.apostrophes import unsigned, without_signs
from importer.readers.csv import read_chunks
from importer.readers.grammar import grammar_of

BOM = b"\xef\xbb\xbf"
SIGNED = "id;note\r\n1;'=1+1\r\n2;'+49 30\r\n3;-7\r\n"
CELL = st.none() | st.lists(
    st.sampled_from([*"=+-@'\t\r\n\",;a1＝", "''", "'=", "\"'=", ",'="]), max_size=5
).map("".join)


def found(tmp_path: Path, text: str | bytes, **overrides: object) -> Sniffed:
    path = tmp_path / "file.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return sniff_path(path, overrides=overrides)


def cells(tmp_path: Path, sniffed: Sniffed) -> list[list[str | None]]:
    grammar = sniffed.dialect.plain_grammar
    chunks = read_chunks(tmp_path / "file.csv", sniffed.dialect)
    return [record.cells for chunk in chunks for record in grammar.records(chunk.data.decode())]


def written(cell: str | None, delimiter: str) -> str:
    """Write a cell with quotes only where it needs them."""
    if cell is None or (cell and not any(mark in cell for mark in (delimiter, '"', "\r", "\n"))):
        return cell or ""
    return '"' + cell.replace('"', '""') + '"'


@given(st.lists(st.tuples(CELL, CELL, CELL), max_size=6), st.sampled_from([",", ";", "\t"]))
def test_whatever_got_a_sign_loses_it_and_nothing_else(
    rows: list[tuple[str | None, ...]], delimiter: str
) -> None:
    signed = [[cell and escaped(cell) for cell in row] for row in rows]
    data = "".join(delimiter.join(written(cell, delimiter) for cell in row) + "\n" for row in signed)

    bare = without_signs(data.encode(), delimiter, '"').decode()

    read = [record.cells for record in grammar_of(delimiter, '"').records(bare)]
    assert read == [list(row) for row in rows]
    assert [[cell and unsigned(cell) for cell in row] for row in signed] == [list(row) for row in rows]


@pytest.mark.parametrize(
    "text",
    [
        SIGNED,
        BOM + b"id,note\n1,'=1+1\n2,'+49 30\n3,-7\n",
        SIGNED.encode("utf-16"),
        "id,'=note\r\n1,'=1+1\r\n2,\"'+49 30\"\r\n3,-7\r\n",
    ],
)
def test_a_spreadsheets_file_is_read_without_the_signs_and_says_so(tmp_path: Path, text: str | bytes) -> None:
    sniffed = found(tmp_path, text)

    assert sniffed.dialect.drops_apostrophes
    assert cells(tmp_path, sniffed) == [["1", "=1+1"], ["2", "+49 30"], ["3", "-7"]]
    assert [row[1] for row in sniffed.samples] == ["=1+1", "+49 30", "-7"]
    assert sniffed.labels[1].lstrip("=") == "note"
    assert any("It is read as the sign that a text follows" in doubt for doubt in sniffed.doubts)


@pytest.mark.parametrize("other", ["=2", "'tis", "@home", "- none", '"=a\nb"'])
def test_one_text_without_the_sign_and_nothing_is_guessed(tmp_path: Path, other: str) -> None:
    sniffed = found(tmp_path, SIGNED + f"4;{other}\r\n")

    assert not sniffed.dialect.drops_apostrophes
    assert cells(tmp_path, sniffed)[0] == ["1", "'=1+1"]
    assert any("read as part of the text, because other cells begin so" in doubt for doubt in sniffed.doubts)


def test_a_file_of_a_program_is_never_guessed_about(tmp_path: Path) -> None:
    sniffed = found(tmp_path, "id,note\n1,'=1+1\n")

    assert (sniffed.dialect.drops_apostrophes, sniffed.doubts) == (False, ())
    assert cells(tmp_path, sniffed) == [["1", "'=1+1"]]


def test_what_a_person_chose_is_done_and_not_doubted(tmp_path: Path) -> None:
    kept, dropped = found(tmp_path, SIGNED, drops_apostrophes="no"), "id,note\n1,'=1+1\n2,=2\n3,'\n"

    assert (kept.dialect.drops_apostrophes, kept.doubts) == (False, ())
    sniffed = found(tmp_path, dropped, drops_apostrophes="yes")
    assert sniffed.doubts == ()
    assert cells(tmp_path, sniffed) == [["1", "=1+1"], ["2", "=2"], ["3", "'"]]


def test_a_sign_far_below_is_found_too(tmp_path: Path) -> None:
    rows = "".join(f"{number};plain\r\n" for number in range(400_000))

    assert found(tmp_path, f"id;note\r\n{rows}0;'=1\r\n").dialect.drops_apostrophes
    assert not found(tmp_path, f"id;note\r\n{rows}0;'=1\r\n1;=1\r\n").dialect.drops_apostrophes


def test_a_quote_that_is_an_apostrophe_is_no_sign(tmp_path: Path) -> None:
    sniffed = found(tmp_path, "id;note\r\n1;'=1;a'\r\n2;'=2;b'\r\n3;'c;d'\r\n")

    assert (sniffed.dialect.quote, sniffed.dialect.drops_apostrophes) == ("'", False)
