"""Chunks of whole records, from any position, with exact rows, lines and offsets."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from importer.dialect import Dialect
from importer.issues import RecordTooLarge, UnterminatedQuote
from importer.readers import csv as reader
from importer.readers.csv import Position, read_chunks
from importer.readers.grammar import grammar_of


@pytest.fixture
def read(tmp_path):
    def run(content, size=1 << 20, start=None, **dialect):
        path = tmp_path / "file.csv"
        path.write_bytes(content)
        return list(read_chunks(path, Dialect(**dialect), start=start, size=size))

    return run


def cells(chunks):
    return [record.cells for chunk in chunks for record in grammar_of(",", '"').records(chunk.data.decode())]


NASTY = st.text(alphabet='a,"\n\r é\u2028', max_size=30)


@settings(deadline=None)
@given(NASTY)
def test_records_and_cells_are_those_of_the_csv_module(text):
    text += "" if text.endswith(("\n", "\r")) else "\n"
    grammar = grammar_of(",", '"')
    data = grammar.unify_line_ends(text.encode())
    end, count, _ = grammar.complete(data)
    if end == len(data):  # else a quote is open at the end
        mine = [[cell or "" for cell in record.cells] for record in grammar.records(data.decode())]
        assert mine == [row or [""] for row in csv.reader(io.StringIO(text, newline=""))]
        assert count == len(mine)
    else:
        assert grammar.open_quote(data[end:]) >= 0


@pytest.mark.parametrize("size", [1, 7, 64, 1 << 20])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_no_record_is_split_whatever_the_size_and_the_line_end(read, size, end):
    lines = ["id,note", '1,"a', 'b"', "2,", '3,"say ""hi"", twice"', "", "4,x"]
    chunks = read(end.join(lines).encode(), size=size)
    inner = end if end != "\n" else "\n"
    assert cells(chunks) == [["1", f"a{inner}b"], ["2", None], ["3", 'say "hi", twice'], [None], ["4", "x"]]
    assert (chunks[0].first_row, chunks[0].first_line) == (2, 2)
    assert (chunks[-1].end.row, chunks[-1].end.line) == (7, 8)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "cp1252", "gb18030"])
def test_reading_resumes_at_any_chunk(read, encoding):
    word = "中" if encoding == "gb18030" else "é"
    content = ("id,name\n" + "".join(f'{n},"{word}\n{n}"\n' for n in range(40))).encode(encoding)
    whole = read(content, size=64, encoding=encoding)
    for at, chunk in enumerate(whole[:-1]):
        start = Position.from_dict(chunk.end.to_dict())
        rest = read(content, size=64, start=start, encoding=encoding)
        assert (cells(rest), rest[-1].end) == (cells(whole[at + 1 :]), whole[-1].end)
        assert (rest[0].first_row, rest[0].first_line) == (chunk.end.row, chunk.end.line)
    assert whole[-1].end == Position(len(content), 82, 42)


def test_byte_order_marks_are_no_data(read):
    for encoding, codec in (("utf-8", "utf-8-sig"), ("utf-16-le", "utf-16")):
        assert cells(read("é,b\n1,2\n".encode(codec), header_row=0, encoding=encoding)) == [
            ["é", "b"],
            ["1", "2"],
        ]


@pytest.mark.case("F13")
def test_unicode_line_separators_are_data(read):
    chunks = read("id,note\n1,a\u2028b\u0085c\n".encode())
    assert cells(chunks) == [["1", "a\u2028b\u0085c"]]
    assert chunks[0].rows == 1


@pytest.mark.case("F07")
def test_a_bad_byte_marks_its_row_with_its_offset_and_nothing_else(read):
    content = b"id,name\n" + b"1,caf\xc3\xa9\n" * 3 + b"2,caf\xe9\n" + b"3,ok\n"
    (chunk,) = read(content)
    assert {row: (bad.offset, bad.word) for row, bad in chunk.bad_rows.items()} == {
        5: (content.index(b"\xe9\n"), "\\xe9")
    }
    assert cells([chunk])[2:] == [["1", "café"], ["2", "caf\\xe9"], ["3", "ok"]]


def test_bytes_that_the_encoding_has_no_letter_for_are_marked_too(read):
    content = b"id,name\n1,\x81\n2,\xe9\n"
    (chunk,) = read(content, encoding="cp1252")
    assert (chunk.bad_rows[2].offset, chunk.bad_rows[2].word) == (10, "\\x81")
    assert cells([chunk]) == [["1", "\\x81"], ["2", "é"]]


@pytest.mark.case("F27")
def test_a_quote_that_never_closes_refuses_the_file_with_its_line(read):
    content = b'id,note\n1,a\n2,"open\n' + b"3,b\n" * 400_000
    with pytest.raises(UnterminatedQuote, match=r"opens on line 3 \(row 3\)"):
        read(content)
    with pytest.raises(UnterminatedQuote, match="opens on line 4"):
        read(b'id,note\n1,"a\nb",x\n2,"open\n')


@pytest.mark.case("F31")
def test_an_endless_line_is_refused_at_the_cap(read, monkeypatch):
    monkeypatch.setattr(reader, "MAX_RECORD_BYTES", 10_000)
    with pytest.raises(RecordTooLarge, match="Row 2, which begins on line 2"):
        read(b"id\n" + b"x" * 100_000, size=4_096)


def test_a_quote_within_a_cell_is_only_a_character(read):
    chunks = read(b'id,name\n1,3" pipe\n2,"ab"c\n3,d\n')
    assert not chunks[0].is_plain
    assert cells(chunks) == [["1", '3" pipe'], ["2", "abc"], ["3", "d"]]
