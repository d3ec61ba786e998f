"""Files made from what they hold: whatever the encoding, marks, line ends and rows above, the same must come back."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from importer.dialect import Dialect, sniff_path
from importer.readers.csv import read_chunks
from importer.readers.grammar import grammar_of

ENCODINGS = {"utf-8": "utf-8", "utf-8-sig": "utf-8", "utf-16": "utf-16-le", "cp1252": "cp1252"}
DELIMITERS = (",", ";", "\t", "|")
LINE_ENDS = ("\n", "\r\n", "\r")
STYLES = ("needed", "all", "single", "escaped")
ABOVE = ((), ("Report of May",), ("Report of May", ""), ("", ""))
WORDS = (
    "Ann",
    "",
    "Zoë",
    "a, b",
    "x;y",
    "p|q",
    '3" pipe',
    'say "hi"',
    "two\nlines",
    "don't",
    "-1.5",
    "1,234",
    "2026-05-01",
    " around ",
    "=1+1",
    "tab\there",
    "Müller & Söhne",
    "null",
    "0",
    'quarter\'s "end"',
)


def written(cell: str | None, delimiter: str, style: str, end: str) -> str:
    """Return a cell as a writer of that style writes it."""
    if cell is None:
        return ""
    cell = cell.replace("\n", end if end == "\r\n" else "\n")
    quote = "'" if style == "single" else '"'
    is_needed = (
        not cell or any(mark in cell for mark in (delimiter, quote, "\n", "\r")) or cell != cell.strip()
    )
    if style == "needed" and not is_needed:
        return cell
    if style == "escaped":
        return '"' + cell.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return quote + cell.replace(quote, quote * 2) + quote


def made(
    labels: list[str],
    rows: list[list[str | None]],
    delimiter: str,
    style: str,
    end: str,
    above: tuple[str, ...],
) -> str:
    lines = [*above, delimiter.join(written(label, delimiter, style, end) for label in labels)]
    lines += [delimiter.join(written(cell, delimiter, style, end) for cell in row) for row in rows]
    return "".join(line + end for line in lines)


def read(path: Path, dialect: Dialect, size: int) -> tuple[list[list[str | None]], list[str]]:
    grammar = grammar_of(dialect.delimiter, dialect.quote)
    chunks = list(read_chunks(path, dialect, size=size))
    records = [record.cells for chunk in chunks for record in grammar.records(chunk.data.decode())]
    return records, [bad.code for chunk in chunks for bad in chunk.bad_rows.values()]


def expected(rows: list[list[str | None]], end: str) -> list[list[str | None]]:
    inner = "\r\n" if end == "\r\n" else "\n"
    return [[cell and cell.replace("\n", inner) for cell in row] for row in rows]


def table(seed: str) -> list[list[str | None]]:
    chance = random.Random(seed)
    return [
        [str(number), chance.choice(WORDS), chance.choice((None, *WORDS)), f"{chance.random():.2f}"]
        for number in range(1, 13)
    ]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("delimiter", DELIMITERS, ids=("comma", "semicolon", "tab", "bar"))
@pytest.mark.parametrize("end", LINE_ENDS, ids=("lf", "crlf", "cr"))
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("above", ABOVE, ids=("none", "title", "title-and-blank", "blanks"))
def test_what_was_written_is_found_out_and_read_back(
    encoding: str, delimiter: str, end: str, style: str, above: tuple[str, ...], tmp_path: Path
) -> None:
    rows = table(f"{encoding}{delimiter}{end}{style}{above}")
    if not any('"' in cell for row in rows for cell in row if cell):
        rows[0][1] = 'an "escape"'
    text = made(["id", "first name", "note", "amount"], rows, delimiter, style, end, above)
    path = tmp_path / "file.csv"
    path.write_bytes(text.encode(encoding))
    found = sniff_path(path)
    dialect = found.dialect
    assert (dialect.encoding, dialect.delimiter) in (
        (ENCODINGS[encoding], delimiter),
        ("utf-8" if text.isascii() else "", delimiter),
    )
    assert (found.labels, dialect.header_row) == (("id", "first name", "note", "amount"), len(above) + 1)
    if style == "single":
        assert dialect.quote == "'"
    for size in (97, 1 << 20):
        assert read(path, dialect, size) == (expected(rows, end), [])


CELLS = st.none() | st.text(alphabet="a,;|\t\"'\\\n é\x00\u2028", max_size=8)


@settings(deadline=None, max_examples=200)
@given(
    rows=st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=1, max_size=5),
    delimiter=st.sampled_from(DELIMITERS),
    end=st.sampled_from(LINE_ENDS),
    style=st.sampled_from(STYLES),
    size=st.integers(1, 80),
)
def test_any_text_is_read_back_where_the_dialect_is_known(
    folder: Path, rows: list[list[str | None]], delimiter: str, end: str, style: str, size: int
) -> None:
    path = folder / "file.csv"
    path.write_bytes(made(["a", "b", "c"], rows, delimiter, style, end, ()).encode())
    quote = "'" if style == "single" else '"'
    escape = "\\" if style == "escaped" else None
    dialect = Dialect(delimiter=delimiter, quote=quote, escape=escape)
    assert read(path, dialect, size) == (expected(rows, end), [])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


@pytest.mark.parametrize("broken", ['{n},"open', '{n},a,"b', '"{n},x', '{n},"a"",b'])
@pytest.mark.parametrize("below", ["plain", "quoted", "lines"])
@pytest.mark.parametrize("end", LINE_ENDS, ids=("lf", "crlf", "cr"))
def test_rows_with_an_open_quote_take_no_other_row_with_them(
    broken: str, below: str, end: str, tmp_path: Path
) -> None:
    chance = random.Random(f"{broken}{below}{end}")
    lines, good = ["id,b,c"], []
    for number in range(300):
        if chance.random() < 0.1:
            lines.append(broken.format(n=number))
            continue
        cell = {"plain": f"w{number}", "quoted": f'"w, {number}"', "lines": f'"w\n{number}"'}[below]
        lines.append(f"{number},{cell},x")
        good.append([str(number), cell.strip('"'), "x"])
    path = tmp_path / "file.csv"
    path.write_bytes(end.join(lines).encode())
    dialect = sniff_path(path, overrides={"quote": '"', "delimiter": ","}).dialect
    for size in (97, 1 << 20):
        records = []
        bad = 0
        for chunk in read_chunks(path, dialect, size=size):
            bad += len(chunk.bad_rows)
            found = grammar_of(",", '"').records(chunk.data.decode())
            records += [
                r.cells for n, r in enumerate(found, start=chunk.first_row) if n not in chunk.bad_rows
            ]
        assert records == good
        assert bad == len(lines) - 1 - len(good)
