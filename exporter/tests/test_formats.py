"""The formats of export files: exact bytes, exact values, and a clear word where a format cannot say a value."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import json
import zipfile
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from django.db import connections
from openpyxl import load_workbook

from core.tenancy import TenantRef
from datasets.models import Dataset
from exporter.form import BadForm, check_form
from exporter.models import ExportFile, ExportSettings, State
from exporter.tests.helpers import column, content, dataset_with, export
from exporter.tests.test_content import NASTY, wide

RECORD = [
    "1", "=Ä\t\"1\"", "a\nb", "-0.5000", "true", "2026-08-26", "2026-08-26T14:00:00.25Z", "it's done", "14:00:00.5",
    "new; it's done", "a@b.example", "https://b.example/", "+4930123456", "123e4567-e89b-12d3-a456-426614174000",
    '{"a": 1.10, "b": [null, "x"]}',
]  # fmt: skip
NOTHING = ["2", *[None] * 14]
EMPTY = ["3", "", "", *[None] * 12]


@pytest.fixture
def everything(t1: TenantRef) -> Dataset:
    """One record with a value of every type, one with none, one with empty texts."""
    return dataset_with([RECORD, NOTHING, EMPTY], *wide())


@pytest.fixture(
    params=["", "-c DateStyle=German -c TimeZone=Asia/Kolkata -c extra_float_digits=-5 -c lc_monetary=C"]
)
def session_options(request: pytest.FixtureRequest) -> Iterator[None]:
    """Connections as the server gives them, and as an odd one would."""
    options = connections["default"].settings_dict["OPTIONS"]
    options["options"] = request.param
    yield
    del options["options"]


def moment(*parts: int) -> dt.datetime:
    """A time as a workbook knows it: without a zone."""
    return dt.datetime(*parts)  # type: ignore[arg-type] # noqa: DTZ001 -- as above


def written(**form: str) -> tuple[ExportFile, bytes]:
    """Export and return the only file."""
    run = export(None, None, **form)
    assert run.state == State.SUCCEEDED, run.error
    file = run.files.get()
    return file, content(file)


GOLDEN_CSV = (
    "id,text,long,amount,paid,day,at,state,opens,tags,mail,page,call,ref,data\n"
    '1,"=Ä\t""1""","a\nb",-0.5000,true,2026-08-26,2026-08-26T14:00:00.25Z,it\'s done,14:00:00.5,new; it\'s done,'
    "a@b.example,https://b.example/,+4930123456,123e4567-e89b-12d3-a456-426614174000,"
    '"{""a"": 1.10, ""b"": [null, ""x""]}"\n'
    '2,,,,,,,,,,,,,,\n3,"","",,,,,,,,,,,,\n'
)
GOLDEN_SPREADSHEET = "\ufeff" + GOLDEN_CSV.replace('"=Ä', "\"'=Ä").replace("+4930", "'+4930")
GOLDEN_JSONL = (
    '{"id":1,"text":"=Ä\\t\\"1\\"","long":"a\\nb","amount":-0.5000,"paid":true,"day":"2026-08-26",'
    '"at":"2026-08-26T14:00:00.25Z","state":"it\'s done","opens":"14:00:00.5","tags":["new","it\'s done"],'
    '"mail":"a@b.example","page":"https://b.example/","call":"+4930123456",'
    '"ref":"123e4567-e89b-12d3-a456-426614174000","data":{"a": 1.10, "b": [null, "x"]}}\n'
    '{"id":2,"text":null,"long":null,"amount":null,"paid":null,"day":null,"at":null,"state":null,"opens":null,'
    '"tags":null,"mail":null,"page":null,"call":null,"ref":null,"data":null}\n'
    '{"id":3,"text":"","long":"","amount":null,"paid":null,"day":null,"at":null,"state":null,"opens":null,'
    '"tags":null,"mail":null,"page":null,"call":null,"ref":null,"data":null}\n'
)


@pytest.mark.case("O02", "O18")
def test_the_bytes_are_the_same_for_ever_and_everywhere(everything: Dataset, session_options: None) -> None:
    """Change them and yesterday's files no longer compare with today's."""
    assert written()[1].decode() == GOLDEN_CSV
    assert written(mode="SPREADSHEET")[1].decode() == GOLDEN_SPREADSHEET
    assert written(format="jsonl")[1].decode() == GOLDEN_JSONL
    assert written(delimiter=";", null_word="NULL", encoding="utf-16")[1].decode("utf-16").splitlines()[-2:] == [
        "2" + ";NULL" * 14, '3;"";""' + ";NULL" * 12,
    ]  # fmt: skip


@pytest.mark.case("O18")
def test_equal_records_make_equal_files_of_every_format(everything: Dataset) -> None:
    for word in ("csv.gz", "xlsx", "parquet"):
        assert written(format=word)[1] == written(format=word)[1], word


def test_a_file_says_what_it_is(everything: Dataset) -> None:
    for word in ("csv", "csv.gz", "xlsx", "jsonl", "parquet"):
        file, _ = written(format=word, mode="SPREADSHEET")
        assert (file.format, file.mode, file.rows, file.form["mode"]) == (
            word,
            "SPREADSHEET",
            3,
            "SPREADSHEET",
        )
        assert file.key.endswith(f"Z.{word}") or "Z_" in file.key


def test_the_compressed_file_is_the_plain_one_without_a_name_or_a_time(everything: Dataset) -> None:
    data = written(format="csv.gz")[1]

    assert gzip.decompress(data).decode() == GOLDEN_CSV
    assert data[:4] == b"\x1f\x8b\x08\x00" and data[4:8] == b"\0\0\0\0"


@pytest.mark.case("O06")
def test_json_lines_hold_what_is_stored_to_the_last_digit(t1: TenantRef) -> None:
    dataset_with(
        [["1", text, "-12345678901234567890.123456789", '{"n": 1.000000000000000000001}'] for text in NASTY[:1]],
        column("id", "integer"), column('the "label", =1'), column("n", "decimal", precision=29, scale=9),
        column("data", "json"),
    )  # fmt: skip

    line = json.loads(written(format="jsonl")[1], parse_float=Decimal)

    assert line == {
        "id": 1, 'the "label", =1': NASTY[0], "n": Decimal("-12345678901234567890.123456789"),
        "data": {"n": Decimal("1.000000000000000000001")},
    }  # fmt: skip


@pytest.mark.case("O06")
def test_nasty_texts_are_the_same_in_json_lines_and_parquet(t1: TenantRef) -> None:
    rows = [[str(number), text] for number, text in enumerate((*NASTY, "", "\ufeff"))]
    dataset_with([*rows, ["100", None]])
    texts = [*(text for _, text in rows), None]

    assert [json.loads(line)["note"] for line in written(format="jsonl")[1].split(b"\n")[:-1]] == texts
    assert pl.read_parquet(io.BytesIO(written(format="parquet")[1]))["note"].to_list() == texts


def test_parquet_has_a_type_for_each_column(everything: Dataset) -> None:
    frame = pl.read_parquet(io.BytesIO(written(format="parquet")[1]))

    assert dict(frame.schema) == {
        "id": pl.Int64(), "text": pl.String(), "long": pl.String(), "amount": pl.Decimal(20, 4), "paid": pl.Boolean(),
        "day": pl.Date(), "at": pl.Datetime("us", "UTC"), "state": pl.String(), "opens": pl.Time(),
        "tags": pl.List(pl.String()), "mail": pl.String(), "page": pl.String(), "call": pl.String(),
        "ref": pl.String(), "data": pl.String(),
    }  # fmt: skip
    assert frame.row(0) == (
        1, RECORD[1], RECORD[2], Decimal("-0.5000"), True, dt.date(2026, 8, 26),
        dt.datetime(2026, 8, 26, 14, 0, 0, 250_000, tzinfo=dt.UTC), "it's done", dt.time(14, 0, 0, 500_000),
        ["new", "it's done"], *RECORD[10:],
    )  # fmt: skip
    assert frame.row(1) == (2, *[None] * 14)
    assert frame.row(2) == (3, "", "", *[None] * 12)


def test_parquet_keeps_the_ends_of_each_type(t1: TenantRef) -> None:
    low, high = "-9223372036854775808", "9223372036854775807"
    dataset_with(
        [
            ["1", low, "0001-01-01", "0001-01-01T00:00:00Z", "9" * 38, "1" * 50],
            ["2", high, "9999-12-31", "9999-12-31T23:59:59.999999Z", "-" + "9" * 38, "2" * 50],
        ],
        column("id", "integer"), column("n", "integer"), column("day", "date"), column("at", "timestamp"),
        column("d", "decimal", precision=38, scale=0), column("wide", "decimal", precision=50, scale=0),
    )  # fmt: skip

    assert pl.read_parquet(io.BytesIO(written(format="parquet")[1])).rows() == [
        (1, int(low), dt.date.min, dt.datetime.min.replace(tzinfo=dt.UTC), Decimal("9" * 38), "1" * 50),
        (
            2,
            int(high),
            dt.date.max,
            dt.datetime.max.replace(tzinfo=dt.UTC),
            Decimal("-" + "9" * 38),
            "2" * 50,
        ),
    ]


def test_an_empty_dataset_gives_a_file_that_every_reader_opens(t1: TenantRef) -> None:
    dataset_with()

    assert gzip.decompress(written(format="csv.gz")[1]) == b"id,note\n"
    assert written(format="jsonl")[1] == b""
    frame = pl.read_parquet(io.BytesIO(written(format="parquet")[1]))
    assert (dict(frame.schema), frame.height) == ({"id": pl.Int64(), "note": pl.String()}, 0)
    sheet = load_workbook(io.BytesIO(written(format="xlsx")[1])).active
    assert sheet is not None and [cell.value for cell in sheet[1]] == ["id", "note"] and sheet.max_row == 1


@pytest.mark.case("O05", "O04")
def test_a_workbook_holds_texts_as_texts_and_nothing_that_runs(t1: TenantRef) -> None:
    links = (
        "https://example.org/",
        "mailto:a@b.example",
        "internal:Sheet1!A1",
        "{=SUM(A1)}",
        "=HYPERLINK(1)",
    )
    texts = [*(text for text in NASTY if len(text) < 100), *links]
    dataset_with(
        [[str(number), text] for number, text in enumerate(texts)], column("id", "integer"), column("=label()"),
        slug="cmd",
    )  # fmt: skip
    Dataset.objects.update(title="=cmd()|'/C calc'!A0")

    data = written(format="xlsx")[1]

    archive = zipfile.ZipFile(io.BytesIO(data))
    assert archive.testzip() is None
    sheet = archive.read("xl/worksheets/sheet1.xml")
    assert b"<f>" not in sheet and b"<f " not in sheet and b"hyperlink" not in sheet
    assert not [name for name in archive.namelist() if "rels" in name and "sheet1" in name]
    book = load_workbook(io.BytesIO(data))
    assert book.sheetnames == ["_=cmd()|' C calc'!A0"]
    rows = list(book.active.iter_rows(min_row=1))
    assert [(cell.value, cell.data_type) for cell in rows[0]] == [("id", "s"), ("=label()", "s")]
    assert {row[1].data_type for row in rows[1:]} == {"s"}
    # openpyxl leaves _x000D_ as it stands; importer/tests/test_round_trip.py reads all of them back.
    plain = [text for text in texts if text.isprintable() and "_x" not in text]
    assert [row[1].value for row in rows[1:] if row[1].value in plain] == plain


def test_a_workbook_shows_values_and_keeps_what_it_would_round(t1: TenantRef) -> None:
    dataset_with(
        [
            ["1", "1234.50", "true", "2026-08-26", "2026-08-26T14:00:00.250Z", "14:00"],
            ["2", "123456789012345678.00", "false", "1900-12-31", "1900-01-01T00:00:00Z", "23:59:59.999"],
            ["3", "-0.01", None, "9999-12-31", "2026-08-26T14:00:00.000001Z", "00:00:00.000001"],
        ],
        column("id", "integer"), column("n", "decimal", precision=20, scale=2), column("is", "boolean"),
        column("day", "date"), column("at", "timestamp"), column("time", "time"),
    )  # fmt: skip

    sheet = load_workbook(io.BytesIO(written(format="xlsx")[1])).active

    assert sheet is not None
    assert [[cell.value for cell in row] for row in sheet.iter_rows(min_row=2)] == [
        [1, 1234.5, True, moment(2026, 8, 26), moment(2026, 8, 26, 14, 0, 0, 250_000), dt.time(14)],
        [2, "123456789012345678.00", False, "1900-12-31", "1900-01-01T00:00:00Z", dt.time(23, 59, 59, 999_000)],
        [3, -0.01, None, moment(9999, 12, 31), "2026-08-26T14:00:00.000001Z", "00:00:00.000001"],
    ]  # fmt: skip
    assert [cell.number_format for cell in sheet[2]] == [
        "0", "0.00", "General", "yyyy-mm-dd", "yyyy-mm-dd hh:mm:ss", "hh:mm:ss",
    ]  # fmt: skip


@pytest.mark.parametrize(("length", "is_right"), [(32_767, True), (32_768, False)])
def test_a_text_longer_than_a_cell_is_refused_with_its_record_and_column(
    t1: TenantRef, length: int, is_right: bool
) -> None:
    # A letter beyond the first plane counts twice, as in Excel.
    dataset_with([["1", "x"], ["17", "𝒳" + "y" * (length - 2)]])

    run = export(format="xlsx")

    if is_right:
        assert run.state == State.SUCCEEDED
    else:
        assert (run.state, run.error_code, run.files.count()) == (State.FAILED, "not-writable", 0)
        assert "Column “note” of record 2 (id 17) is 32,768 characters long" in run.error


def test_more_records_than_a_sheet_has_rows_are_refused(
    t1: TenantRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.writers.workbook.MOST_RECORDS", 2)
    dataset_with([[str(number), "a"] for number in range(3)])

    run = export(format="xlsx")

    assert (run.state, run.error_code) == (State.FAILED, "not-writable")
    assert "more records than a sheet has rows" in run.error


def test_a_letter_that_an_encoding_lacks_is_an_error_that_names_its_place(t1: TenantRef) -> None:
    dataset_with([["1", 'Grüße, "quoted"\nand more'], ["2", "fine"], ["42", "Łódź ☃"]])

    run = export(encoding="cp1252", delimiter=";")

    assert (run.state, run.error_code, run.files.count()) == (State.FAILED, "not-writable", 0)
    assert run.error.startswith("Column “note” of record 3 (id 42) holds “Ł” (U+0141, in “Łódź ☃”)")


def test_a_label_that_an_encoding_lacks_is_named_too(t1: TenantRef) -> None:
    dataset_with([], column("id", "integer"), column("☃ snow"))

    assert "The label “☃ snow” holds “☃” (U+2603" in export(encoding="cp1252").error


@pytest.mark.parametrize("encoding", ["cp1252", "iso8859-15", "utf-8-sig", "utf-16", "gb18030"])
def test_every_encoding_says_the_same(t1: TenantRef, encoding: str) -> None:
    dataset_with([[str(number), f'é, "{number}"\nx'] for number in range(2_000)])

    text = written(encoding=encoding)[1].decode(encoding)

    assert list(csv.reader(io.StringIO(text, newline="")))[1:] == [
        [str(number), f'é, "{number}"\nx'] for number in range(2_000)
    ]


@pytest.mark.case("O04")
def test_for_spreadsheets_labels_have_the_sign_too(t1: TenantRef) -> None:
    dataset_with([["1", "'a"]], column("id", "integer"), column("=1+1"))

    assert written(mode="SPREADSHEET")[1].decode("utf-8-sig") == "id,'=1+1\n1,''a\n"


def test_settings_decide_the_form_and_a_run_may_ask_for_another(t1: TenantRef) -> None:
    dataset = dataset_with([["1", "a"]])
    label = dataset.spec().columns[1]
    ExportSettings.objects.create(
        dataset=dataset, format="csv.gz", delimiter=";", columns=[{"column": label.pk, "label": "Remark"}]
    )

    assert gzip.decompress(written()[1]) == b"Remark\na\n"
    assert written(format="jsonl")[1] == b'{"Remark":"a"}\n'
    assert ExportSettings.objects.get().format == "csv.gz"


@pytest.mark.parametrize(
    "form",
    [{"format": "exe"}, {"mode": "WILD"}, {"delimiter": "x"}, {"encoding": "utf-7"}, {"null_word": "a,b"},
     {"null_word": "=x"}, {"null_word": " "}, {"null_word": "☃", "encoding": "cp1252"}],
)  # fmt: skip
def test_a_form_that_no_file_can_have_is_refused(form: dict[str, Any]) -> None:
    with pytest.raises(BadForm):
        check_form(form)


@pytest.mark.parametrize("word", ["csv.gz", "xlsx", "jsonl", "parquet"])
def test_a_storage_that_fails_in_the_middle_leaves_no_file(
    t1: TenantRef, word: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    from core.storage import LocalWriter  # noqa: PLC0415 -- beside its one use

    def full(self: LocalWriter, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    dataset_with([[str(number), "a" * 100] for number in range(100)])
    monkeypatch.setattr(LocalWriter, "_send", full)

    run = export(format=word)

    assert (run.state, run.files.count()) == (State.FAILED, 0)
    assert not [path for path in (tmp_path / "storage").rglob("*") if path.is_file()]
