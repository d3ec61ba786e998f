"""Chunks of whole records, from any position, with exact rows, lines and offsets."""

from __future__ import annotations

import csv
import io
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from importer.dialect import Dialect
from importer.issues import RecordTooLarge
from importer.readers import csv as reader
from importer.readers.csv import Position, read_chunks
from importer.readers.grammar import grammar_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("files")


@pytest.fixture
def read(tmp_path):
    def run(content, size=1 << 20, start=None, **dialect):
        path = tmp_path / "file.csv"
        path.write_bytes(content)
        return list(read_chunks(path, Dialect(**dialect), start=start, size=size))

    return run


def cells(chunks):
    return [record.cells for chunk in chunks for record in grammar_of(",", '"').records(chunk.data.decode())]


NASTY = st.text(alphabet='a,"\n\r é\u2028', max_size=40)
LINE_END = re.compile("\r\n|\n|\r")


def slowly(text):
    """Read a text character by character: (cells, lines, whether a quote broke it) of every record."""
    records, at = [], 0
    while at < len(text):
        begin, cells, is_broken = at, [], False
        while True:
            if text[at] == '"':
                close = re.compile('"(?:[^"]|"")*"(?!")').match(text, at)
                behind = close and re.compile("[ \t]*(?=[,\r\n])").match(text, close.end())
                if not close or (not behind and LINE_END.search(close[0])):
                    end = LINE_END.search(text, at).start()
                    rest = text[at:end].split(",")
                    cells += [{"": None, '""': ""}.get(cell, cell) for cell in rest]
                    at, is_broken = end, True
                    break
                end = re.compile("[,\r\n]").search(text, close.end()).start()
                cells.append(close[0][1:-1].replace('""', '"') + text[close.end() : end])
            else:
                end = re.compile("[,\r\n]").search(text, at).start()
                cells.append(text[at:end] or None)
            at = end
            if text[at] != ",":
                break
            at += 1
        at = LINE_END.match(text, at).end()
        records.append((cells, len(LINE_END.findall(text[begin:at])), is_broken))
    return records


@settings(deadline=None, max_examples=300)
@given(NASTY)
def test_records_and_cells_are_those_of_the_csv_module_where_no_quote_breaks_a_row(text):
    text += "" if text.endswith(("\n", "\r")) else "\n"
    expected = slowly(text)
    if not any(is_broken for _, _, is_broken in expected):
        mine = [[cell or "" for cell in cells] for cells, _, _ in expected]
        assert mine == [row or [""] for row in csv.reader(io.StringIO(text, newline=""))]


@settings(deadline=None, max_examples=500)
@given(text=NASTY, size=st.integers(1, 50))
def test_what_is_read_is_the_same_however_the_file_is_cut(folder, text, size):
    text += "" if text.endswith(("\n", "\r")) else "\n"
    (folder / "cut.csv").write_bytes(text.encode())
    chunks = list(read_chunks(folder / "cut.csv", Dialect(header_row=0), size=size))
    mine = [
        (record.cells, record.lines, chunk.first_row + number in chunk.bad_rows)
        for chunk in chunks
        for number, record in enumerate(grammar_of(",", '"').records(chunk.data.decode()))
    ]
    assert mine == slowly(text)
    assert sum(chunk.rows for chunk in chunks) == len(mine)
    assert all(chunk.lines >= chunk.rows for chunk in chunks)
    assert chunks[-1].end == Position(len(text.encode()), len(LINE_END.findall(text)) + 1, len(mine) + 1)


@settings(deadline=None, max_examples=300)
@given(text=st.text(alphabet='aé,"\\\n\r', max_size=60), size=st.integers(1, 50), limit=st.integers(4, 30))
def test_limits_and_escapes_do_not_depend_on_the_cut_either(folder, text, size, limit):
    (folder / "cut.csv").write_bytes(text.encode())

    def read(size, dialect):
        chunks = list(read_chunks(folder / "cut.csv", dialect, size=size))
        bad = [(row, bad.offset, bad.code) for chunk in chunks for row, bad in chunk.bad_rows.items()]
        return cells(chunks), sum(chunk.lines for chunk in chunks), bad

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "MAX_RECORD_BYTES", limit)
        for dialect in (Dialect(header_row=0), Dialect(header_row=0, escape="\\", skips_space=True)):
            assert read(size, dialect) == read(1 << 20, dialect)


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
def test_a_quote_that_never_closes_breaks_its_own_row_and_no_other(read):
    content = b'id,note\n1,a\n2,"open\n' + b"3,b\n" * 400_000
    chunks = read(content)
    assert sum(chunk.rows for chunk in chunks) == 400_002
    bad = {row: why for chunk in chunks for row, why in chunk.bad_rows.items()}
    assert list(bad) == [3]
    assert (bad[3].code, bad[3].offset, bad[3].word, bad[3].position) == (
        "unterminated-quote",
        14,
        '"open',
        1,
    )
    assert "opens on line 3 " in bad[3].rule
    assert cells(chunks)[1:3] == [["2", '"open'], ["3", "b"]]


def test_a_quote_that_closes_within_a_later_row_breaks_its_own_row_only(read):
    (chunk,) = read(b'id,note\n1,"a\nb"\n2,"open\n3,b\n"4","c"\n5,"d\n')
    assert cells([chunk]) == [["1", "a\nb"], ["2", '"open'], ["3", "b"], ["4", "c"], ["5", '"d']]
    assert {row: why.rule.split(" closes")[0] for row, why in chunk.bad_rows.items()} == {
        3: "The quote that opens on line 4",
        6: "The quote that opens on line 7",
    }


@pytest.mark.case("F30")
@pytest.mark.parametrize("size", [1 << 16, 1 << 20])
def test_a_row_that_is_too_large_is_an_issue_and_the_others_are_read(read, size):
    big = b"x" * 10_000_000
    chunks = read(b"id,note\n1,a\n2," + big + b'\n3,"b\n' + big + b'"\n4,c\n', size=size)
    assert [(row, why.code, why.offset) for chunk in chunks for row, why in chunk.bad_rows.items()] == [
        (3, "cell-too-large", 12),
        (4, "unterminated-quote", 10_000_017),
        (5, "cell-too-large", 10_000_020),
    ]
    found = cells(chunks)
    assert (found[0], found[2], found[-1]) == (["1", "a"], ["3", '"b'], ["4", "c"])
    assert all(len(cell or "") <= 200 for row in found for cell in row)


@pytest.mark.case("F31")
def test_an_endless_line_is_refused_at_the_cap(read, monkeypatch):
    monkeypatch.setattr(reader, "MAX_RECORD_BYTES", 10_000)
    monkeypatch.setattr(reader, "MAX_LINE_BYTES", 1_000_000)
    with pytest.raises(RecordTooLarge, match="Row 2, which begins on line 2"):
        read(b"id\n" + b"x" * 10_000_000, size=4_096)


def test_a_quote_within_a_cell_is_only_a_character(read):
    chunks = read(b'id,name\n1,3" pipe\n2,"ab"c\n3,d\n')
    assert cells(chunks) == [["1", '3" pipe'], ["2", "abc"], ["3", "d"]]
    assert (chunks[0].data, chunks[0].bad_rows) == (b'1,"3"" pipe"\n2,"abc"\n3,d\n', {})


@pytest.mark.parametrize("size", [1, 64, 1 << 20])
def test_escapes_and_blanks_after_delimiters_are_read_where_the_dialect_says_so(read, size):
    content = b'id, note, more\n1, "say \\"hi\\", \\\\o/", C:\\temp\n2,   a\\,b,"x\ny"\n'
    chunks = read(content, size=size, escape="\\", skips_space=True)
    assert cells(chunks) == [["1", 'say "hi", \\o/', "C:\\temp"], ["2", "a,b", "x\ny"]]
    assert chunks[-1].end == Position(len(content), 5, 4)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "cp1252"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_the_last_lines_can_be_left_out(read, encoding, ends):
    content = ends.join(["id,name", "1,é", "2,b", "", "Total,2", "Source: ü", "", ""]).encode(encoding)
    for size in (1, 1 << 20):
        assert cells(read(content, size=size, encoding=encoding, skip_footer=2)) == [
            ["1", "é"],
            ["2", "b"],
            [None],
        ]
    assert (
        len(cells(read(content, encoding=encoding, skip_footer=99))) == 6
    )  # no such lines: nothing is left out
