"""What is found about a file before it is read, and what a person may change."""

from __future__ import annotations

import pytest

from importer.dialect import Dialect, sniff
from importer.issues import BadOverride, EmptyFile, EncodingDoubtful, NotTabular

GERMAN = "name;stadt\nMüller;Köln\nJürgen;Düsseldorf\nGrüße;Übermäßig\n"


@pytest.mark.case("F06")
def test_windows_text_is_read_right_with_a_doubt_and_can_be_changed():
    found = sniff(GERMAN.encode("cp1252"))
    assert (found.dialect.encoding, found.samples[0]) == ("cp1252", ("Müller", "Köln"))
    assert "choose another encoding" in found.doubts[0]
    changed = sniff(GERMAN.encode("cp1252"), overrides={"encoding": "windows-1251"})
    assert (changed.dialect.encoding, changed.doubts) == ("cp1251", ())


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        ("cp1251", "имя;город\nИван;Москва\nПётр;Санкт-Петербург\nОльга;Новосибирск\n"),
        ("cp932", "名前,都市\n田中太郎,東京都\n鈴木一郎,大阪市\n"),
    ],
)
def test_other_scripts_are_told_by_their_letters(encoding, words):
    assert sniff(words.encode(encoding)).dialect.encoding == encoding


@pytest.mark.case("F05")
def test_utf_16_needs_its_mark_or_a_persons_word():
    assert sniff("id,name\n1,é\n".encode("utf-16")).samples == (("1", "é"),)
    bare = "id,name\n1,é\n".encode("utf-16-be")
    with pytest.raises(EncodingDoubtful, match="utf-16-be is likely"):
        sniff(bare)
    assert sniff(bare, overrides={"encoding": "utf-16-be"}).samples == (("1", "é"),)


@pytest.mark.case("F08")
def test_broken_bytes_in_the_header_are_refused_with_their_column():
    with pytest.raises(EncodingDoubtful, match="column 2"):
        sniff(b"id,na\xc0\xafme\n1,a\n")


@pytest.mark.case("F21")
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_though_the_others_occur_in_cells(delimiter):
    others = "".join(mark for mark in ",;|" if mark != delimiter)
    lines = [
        delimiter.join(("id", "name", "note")),
        *(delimiter.join((str(n), f"a{others * (n % 3)}", "x")) for n in range(9)),
    ]
    found = sniff("\n".join(lines).encode())
    assert (found.dialect.delimiter, found.labels) == (delimiter, ("id", "name", "note"))


@pytest.mark.case("F22")
def test_decimal_commas_do_not_win_over_semicolons():
    found = sniff(b"id;price\n1;2,50\n2;3,50\n3;4,75\n")
    assert (found.dialect.delimiter, found.samples[0]) == (";", ("1", "2,50"))


def test_a_spreadsheets_separator_line_is_believed():
    found = sniff(b"sep=;\nid;name\n1;a,b\n")
    assert (found.dialect.delimiter, found.dialect.header_row, found.labels) == (";", 2, ("id", "name"))


@pytest.mark.case("F17")
def test_titles_above_the_table_are_skipped_and_a_person_can_move_the_header():
    head = b"Stock of May,,\n\nid,name,qty\n1,a,2\n2,b,3\n3,c,4\n"
    found = sniff(head)
    assert (found.dialect.header_row, found.labels) == (3, ("id", "name", "qty"))
    assert "Choose another row" in found.doubts[0]
    moved = sniff(head, overrides={"header_row": 1})
    assert moved.labels == ("Stock of May", "column 2", "column 3")


@pytest.mark.case("F19")
def test_a_file_without_labels_gets_columns_by_position():
    found = sniff(b"1,Oslo,2020-01-31\n2,Bergen,2020-02-28\n")
    assert (found.dialect.header_row, found.labels) == (0, ("column 1", "column 2", "column 3"))
    assert "looks like data" in found.doubts[0]
    assert len(found.samples) == 2


def test_years_may_be_labels():
    assert sniff(b"country,2020,2021\nNO,1,2\nSE,3,4\n").dialect.header_row == 1


def test_labels_of_the_dataset_are_the_header_though_they_look_like_data():
    head = b"2024,2025\n1,2\n3,4\n"
    assert sniff(head, known=["2024", "2025", "note"]).labels == ("2024", "2025")
    assert sniff(b"1,2\n3,4\n", known=["2024", "2025"]).labels == ("column 1", "column 2")


@pytest.mark.case("F39")
def test_an_empty_label_is_named_by_its_position():
    assert sniff(b"id,name,\n1,a,x\n2,b,y\n").labels == ("id", "name", "column 3")


def test_delimiters_behind_the_last_cell_leave_no_doubt_but_cells_there_do():
    found = sniff(b"id,name,city\n1,Ann,Rome,\n2,Bob,Oslo,\n")
    assert (found.labels, found.samples[0], found.doubts) == (
        ("id", "name", "city"), ("1", "Ann", "Rome"), (),
    )  # fmt: skip
    assert sniff(b"id,name\n1,Ann\n2,Bob,x\n3,Cy\n").doubts == ()
    assert "3 labels" in sniff(b"id,name,city\n1,Ann,Rome,x\n2,Bob,Oslo,\n").doubts[0]


@pytest.mark.case("F07")
@pytest.mark.parametrize(
    ("head", "encoding", "cell"),
    [
        (b"id,name\n1,Ann\n2,B\xffb\n3,C\xc3\xa9\n", None, "B\\xffb"),
        (b"id,name\n1,Ann\n2,B\xffb\n", "utf-8", "B\\xffb"),
        ("id,name\n1,Ann\n2,B\ud800b\n".encode("utf-16-le", "surrogatepass"), "utf-16-le", "B\\ud800b"),
        (b"id,name\n1,Ann\n2,B\x00b\n", None, "B\\x00b"),
    ],
)
def test_what_is_no_text_in_the_first_rows_is_shown_escaped(head, encoding, cell):
    assert sniff(head, overrides={"encoding": encoding}).samples[1] == ("2", cell)


@pytest.mark.case("F02")
def test_a_header_alone_is_a_table_of_no_rows():
    found = sniff(b"id,name\n")
    assert (found.labels, found.samples) == (("id", "name"), ())


@pytest.mark.case("F46")
@pytest.mark.parametrize("soup", [b'"\n' * 32_768, b",\n" * 131_072, b'"a' * 131_072])
def test_soup_is_refused_in_linear_time(soup):
    with pytest.raises((EmptyFile, NotTabular)):
        sniff(soup)


@pytest.mark.case("F11")
def test_line_ends_of_carriage_returns_are_seen():
    found = sniff(b"id,name\r1,a\r2,b\r")
    assert (found.labels, found.samples) == (("id", "name"), (("1", "a"), ("2", "b")))


@pytest.mark.parametrize(
    "overrides", [{"encoding": "klingon"}, {"delimiter": "ab"}, {"header_row": 99}, {"quote": "x"}]
)
def test_a_choice_that_cannot_be_is_refused(overrides):
    with pytest.raises(BadOverride):
        sniff(b"id,name\n1,a\n", overrides=overrides)


def test_a_dialect_survives_being_saved():
    dialect = Dialect(encoding="cp1252", delimiter=";", header_row=3, sheet="May")
    assert Dialect.from_dict(dialect.to_dict()) == dialect
