"""What stands in a file: exactly the records."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.db import connections

from core.tenancy import TenantRef
from datasets.columntypes import check_cell
from datasets.columntypes.base import Reading
from datasets.models import Dataset
from exporter.models import ExportFile, Mode, State
from exporter.tests.helpers import column, content, dataset_with, export, parsed

NASTY = (
    'a "quoted" word', '"', '""', "one\ntwo", "one\r\ntwo", "\r", "a,b;c\td|e", " spaces ", "=1+1", "+1", "-1", "@a",
    "'=1", "\\.", "\\N", "NULL", "null", "\\n", "<script>alert(1)</script>",
    "naïve ☃ 𝒳 👩‍👩‍👧", "e\u0301", "\u2028\u0085", "\ufeff", "\u202eevil",
    "\x01\x1f\x7f", "0x1F", "1e5", "00123", "%s %(a)s %%", "$1 {0}", "x" * 100_000,
)  # fmt: skip


def wide() -> tuple[Any, ...]:
    return (
        column("id", "integer"),
        column("text"),
        column("long", "long_text"),
        column("amount", "decimal", precision=20, scale=4),
        column("paid", "boolean"),
        column("day", "date"),
        column("at", "timestamp"),
        column("state", "choice", choices=("new", "it's done")),
        column("opens", "time"),
        column("tags", "multi_choice", choices=("new", "it's done")),
        column("mail", "email"),
        column("page", "url"),
        column("call", "phone"),
        column("ref", "uuid"),
        column("data", "json"),
    )


@pytest.mark.case("O02", "O06")
def test_an_export_holds_exactly_the_records(t1: TenantRef) -> None:
    rows: list[list[str | None]] = [[str(number), text] for number, text in enumerate(NASTY)]
    rows += [["100", None], ["101", ""]]
    dataset_with(rows)

    run = export()

    file = run.files.get()
    assert (run.state, file.rows, file.mode) == (State.SUCCEEDED, len(rows), Mode.EXACT)
    assert parsed(content(file)) == [["id", "note"], *rows]


def test_no_value_and_an_empty_text_are_two_things(t1: TenantRef) -> None:
    dataset_with([["1", None], ["2", ""]])

    assert content(export().files.get()) == b'id,note\n1,\n2,""\n'


def test_records_stand_in_the_order_they_were_added(t1: TenantRef) -> None:
    dataset_with([["10", "a"], ["9", "b"], ["-1", "c"]])

    assert content(export().files.get()) == b"id,note\n10,a\n9,b\n-1,c\n"


def test_an_empty_dataset_gives_its_header(t1: TenantRef) -> None:
    dataset_with()

    file = export().files.get()

    assert (content(file), file.rows) == (b"id,note\n", 0)


@pytest.mark.case("O06")
def test_labels_are_quoted_and_never_cut(t1: TenantRef) -> None:
    labels = ["id", 'the "best", of all', "ünïcode ☃", "l" * 255, "l" * 254 + "k", "=1+1"]
    dataset_with(
        [["1", *"abcde"]], *(column(label, "integer" if label == "id" else "text") for label in labels)
    )

    assert parsed(content(export().files.get()))[0] == labels


CELLS = {
    "integer": ["-9223372036854775808", "9223372036854775807", "0"],
    "decimal": ["1234567890123456.7891", "-0.0001", "0.0000"],
    "boolean": ["true", "false"],
    "date": ["0001-01-01", "9999-12-31", "2024-02-29"],
    "timestamp": ["2026-08-26T14:00:00Z", "1969-12-31T23:59:59.999999Z", "0001-01-01T00:00:00Z"],
    "choice": ["new", "it's done"],
    "time": ["14:00", "9:30:00.5", "23:59:59.999999"],
    "multi_choice": ["new", "it's done;new"],
    "email": ["Ada@Example.org", "o'neil@münchen.example"],
    "url": ["HTTP://Example.org/A,b", "https://[::1]/é"],
    "phone": ["+49 30 123456"],
    "uuid": ["{123E4567-E89B-12D3-A456-426614174000}"],
    "json": ['{"b":1e5,"a":[1.10,-0]}', "null", '"\\u00e9"'],
}


def test_every_type_comes_back_as_the_importer_reads_it(t1: TenantRef) -> None:
    columns = [column("id", "integer"), *(one for one in wide() if one.type in CELLS and one.label != "id")]
    raw = [
        [str(number), *(CELLS[one.type][number % len(CELLS[one.type])] for one in columns[1:])]
        for number in range(6)
    ]
    spec = dataset_with((), *columns, slug="probe").spec()
    canonical = [
        [check_cell(cell, one, Reading()) for cell, one in zip(row, spec.columns, strict=True)] for row in raw
    ]
    filled = dataset_with(canonical, *columns, slug="filled")

    file = export(datasets=[filled]).files.get()

    exported = parsed(content(file))[1:]
    assert exported == canonical
    again = [
        [check_cell(cell, one, Reading()) for cell, one in zip(row, spec.columns, strict=True)]
        for row in exported
    ]
    assert again == canonical


@pytest.mark.case("O18")
def test_the_text_does_not_depend_on_the_sessions_settings(t1: TenantRef) -> None:
    everything = ["1", "Ärger", "a\nb", "-0.5000", "true", "2026-08-26", "2026-08-26T14:00:00Z", "it's done"]
    everything += ["14:00:00.5", "new; it's done", "a@b.example", "https://b.example/", "+4930123456"]
    everything += ["123e4567-e89b-12d3-a456-426614174000", '{"a": 1.10}']
    dataset_with([everything], *wide())
    options = connections["default"].settings_dict["OPTIONS"]
    options["options"] = (
        "-c DateStyle=German -c IntervalStyle=sql_standard -c extra_float_digits=-5 -c bytea_output=escape"
    )
    try:
        data = content(export().files.get())
    finally:
        del options["options"]

    # The bytes of every version to come: change them and yesterday's files no longer compare with today's.
    assert data.decode() == (
        "id,text,long,amount,paid,day,at,state,opens,tags,mail,page,call,ref,data\n"
        "1,Ärger,\"a\nb\",-0.5000,true,2026-08-26,2026-08-26T14:00:00Z,it's done,14:00:00.5,new; it's done,a@b.example,"
        'https://b.example/,+4930123456,123e4567-e89b-12d3-a456-426614174000,"{""a"": 1.10}"\n'
    )


@pytest.mark.case("O06")
def test_polars_reads_the_same(t1: TenantRef) -> None:
    import polars as pl  # slow import  # noqa: PLC0415

    rows = [[str(number), text] for number, text in enumerate(NASTY) if text != "\ufeff"]
    dataset_with(rows)

    frame = pl.read_csv(io.BytesIO(content(export().files.get())), infer_schema=False)

    assert [list(row) for row in frame.rows()] == rows


def test_a_dataset_without_a_key_is_exported_as_it_was_filled(t1: TenantRef) -> None:
    from datasets.services import create_dataset  # noqa: PLC0415 -- the helper always sets a key
    from exporter.tests.helpers import insert  # noqa: PLC0415

    loose = create_dataset(title="Loose", columns=[column("a"), column("b")])
    insert(loose, [["2", "x"], ["1", "y"], ["2", "x"]])

    assert content(export().files.get()) == b"a,b\n2,x\n1,y\n2,x\n"


def test_a_file_and_its_row_agree(t1: TenantRef) -> None:
    dataset: Dataset = dataset_with([["1", "a"]])

    run = export()

    file: ExportFile = run.files.get()
    assert file.key.startswith("t1/exports/orders/20")
    assert file.key.endswith(f"/orders_{run.created_at:%Y%m%dT%H%M%S}Z.csv")
    assert file.bytes == len(content(file))
    assert (file.dataset, file.dataset_slug, file.dataset_title) == (dataset, "orders", "Orders")
    assert file.definition_version == dataset.definition_version
    assert run.snapshot.count(":") == 2
