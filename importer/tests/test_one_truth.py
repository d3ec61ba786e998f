"""One verdict and one message for a cell, whatever way it comes in; and a database that stores nothing else."""

from __future__ import annotations

import csv
import io
import json
import random
import re
from pathlib import Path

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import connection
from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

from benchmarks.screen_cells import FORMS, make_column
from core.tenancy import TenantRef, in_tenant
from datasets.columntypes import TYPES, BadValue, Reading, check_cell, type_of
from datasets.forms import CellField
from datasets.models import Dataset
from datasets.services import NewColumn, create_dataset
from datasets.spec import ColumnOptions, ColumnSpec
from importer.models import ImportIssue, ImportJob
from importer.tests.tools import records, upload

OPTIONS = {
    "choice": ColumnOptions(choices=("new", "sent out", "é")),
    "multi_choice": ColumnOptions(choices=("new", "sent out", "é")),
    "decimal": ColumnOptions(precision=12, scale=2, maximum="1000.00"),
    "integer": ColumnOptions(minimum="-5"),
    "date": ColumnOptions(minimum="1900-01-01"),
    "time": ColumnOptions(minimum="06:00:00", maximum="22:00:00"),
    "timestamp": ColumnOptions(maximum="2030-01-01T00:00:00Z"),
    "text": ColumnOptions(max_length=6),
    "phone": ColumnOptions(region="DE"),
}
OWN_TYPES = [kind for kind in TYPES if kind != "reference"]  # that one is read as the key it points to
# Forms of every type and near-misses, which the random ones of `benchmarks.screen_cells` add to.
CELLS = (
    "1", "-7", "+5", " 7 ", "--1", "007", "1e3", "1.0", "1.5", "1.005", "0x1F", "1_000", "１２３",
    "99999999999999999999", "NaN", "Infinity", "true", "Yes", "of", "ja", "2026-12-31", "2023-02-29",
    "0000-01-01", "10000-01-01", "20240101", "today", "2026-08-26T14:00:00Z", "2026-08-26 14:00",
    "2026-08-26T24:00:00Z", "2031-01-01 00:00", "14:00", "9:30", "23:59:60", "05:59:59.5", "22:00:00.000001",
    "24:00", "2:30 pm", "new", "New", "sentout", "new; é", "é;new", "new;;x", "ada@Example.org", "ada@",
    "Ada <ada@example.org>", "http://Example.org/A", "javascript:alert(1)", "http://a b/", "+49 30 123456",
    "030 123456", "1-800-FLOWERS", "+1 555 0143", "123E4567-e89b-12d3-a456-426614174000",
    "{123e4567-e89b-12d3-a456-426614174000}", "123e4567", '{"b": 1, "a": [1.10]}', "{'a': 1}", '{"a":1,"a":2}',
    "null", "[1,2", "\u00a01", "a\u200b", "a\ufffd", "<b>", "=1+1", "'", "a" * 300,
)  # fmt: skip


def column_of(kind: str, pk: int = 1) -> ColumnSpec:
    return ColumnSpec(pk, "v", kind, options=OPTIONS.get(kind, ColumnOptions()))


def cells_of(kind: str, seed: int) -> list[str]:
    """Return cells of a type that every way in can carry: no line ends, no control characters, not blank."""
    chance, column = random.Random(seed), column_of(kind)
    found = [*CELLS, *(FORMS[kind](chance, column, Reading()) for _ in range(80))]
    return [cell for cell in dict.fromkeys(found) if is_carried(cell) and is_read_alike(cell, column)]


def is_carried(cell: str) -> bool:
    return bool(
        cell.strip() and len(cell) < 30_000 and not re.search("[\r\n\x85\u2028\u2029\ud800-\udfff]", cell)
        and not ILLEGAL_CHARACTERS_RE.search(cell)
    )  # fmt: skip


def is_read_alike(cell: str, column: ColumnSpec) -> bool:
    """Return whether no workbook and no guess of a reading gives a cell another meaning.

    A workbook's day and its midnight are one value, and days such as 31/12/2026 say which comes first.
    """
    is_day_first = re.fullmatch(r"\d{1,2}[./-]\d{1,2}[./-]\d{4}(?:[T ].*)?", cell.strip())
    return not is_day_first and verdict(cell, column) == verdict(cell, column, Reading(whole_days=True))


def verdict(cell: str, column: ColumnSpec, reading: Reading | None = None) -> str | tuple[str, str] | None:
    """Return the canonical text, or code and message."""
    try:
        return check_cell(cell, column, reading or Reading())
    except BadValue as wrong:
        return wrong.code, wrong.rule


def of_import(job: ImportJob, cells: list[str]) -> list[str | tuple[str, str] | None]:
    """Return what became of each row of a previewed file, in order."""
    column = job.dataset.spec().columns[1]
    text = type_of(column).text_sql(f'"{column.name}"')
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT rn, {text} FROM "stg_{job.pk}"')
        found: dict[int, str | tuple[str, str] | None] = dict(cursor.fetchall())
    for issue in ImportIssue.objects.filter(job=job, severity="error"):
        found[issue.row] = (issue.code, issue.rule)
    return [found.get(row) for row in range(2, len(cells) + 2)]


def as_csv(cells: list[str]) -> bytes:
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(
        [["id", "v"], *([str(at), cell] for at, cell in enumerate(cells))]
    )
    return out.getvalue().encode()


def as_xlsx(cells: list[str]) -> bytes:
    book, out = Workbook(write_only=True), io.BytesIO()
    sheet = book.create_sheet("Data")
    sheet.append(["id", "v"])
    for at, cell in enumerate(cells):
        shown = WriteOnlyCell(sheet, cell.replace("_x", "_x005F_x"))
        shown.data_type = "s"
        sheet.append([at, shown])
    book.save(out)
    return out.getvalue()


def make(kind: str) -> Dataset:
    options = OPTIONS.get(kind, ColumnOptions())
    columns = (NewColumn("id", "integer", True), NewColumn("v", kind, options=options))
    return create_dataset(title=kind, slug=kind.replace("_", "-"), columns=columns, key=("id",))


@pytest.mark.case("V02")
@pytest.mark.parametrize("kind", OWN_TYPES)
def test_a_cell_has_one_verdict_and_one_message_on_every_way_in(
    acme: TenantRef, kind: str, tmp_path: Path
) -> None:
    seed = random.randrange(1 << 32)
    cells = cells_of(kind, seed)
    expected = [verdict(cell, column_of(kind)) for cell in cells]
    assert len({type(each) for each in expected}) > 1 or kind in ("text", "long_text")
    with in_tenant(acme):
        dataset = make(kind)
        for name, data in (("cells.csv", as_csv(cells)), ("cells.xlsx", as_xlsx(cells))):
            job = upload(dataset, data, name=name)
            found = of_import(job, cells)
            assert dict(zip(cells, found, strict=True)) == dict(zip(cells, expected, strict=True)), (
                seed,
                name,
            )
        field = CellField(dataset.spec().columns[1])
        typed = [said_by_form(field, cell) for cell in cells]
        assert dict(zip(cells, typed, strict=True)) == dict(zip(cells, expected, strict=True)), seed
    (tmp_path / "cells.csv").write_bytes(as_csv(cells))
    assert said_by_command(acme, dataset, tmp_path) == {
        str(at): f"v: {said[1]}" for at, said in enumerate(expected) if isinstance(said, tuple)
    }
    with in_tenant(acme):
        stored = {row[0]: row[1] for row in records(dataset)}
        kind_of = TYPES[kind]
        assert {at: kind_of.to_text(value) for at, value in stored.items() if value is not None} == {
            at: said for at, said in enumerate(expected) if isinstance(said, str)
        }


def said_by_form(field: CellField, cell: str) -> str | tuple[str, str] | None:
    try:
        value = field.clean(cell)
    except ValidationError as error:
        (only,) = error.error_list
        return str(only.code), str(only.message)
    return None if value is None else type_of(field.column).to_text(value)


def said_by_command(tenant: TenantRef, dataset: Dataset, folder: Path) -> dict[str, str]:
    """Import the file by the command; return the problem of each rejected row by its id."""
    out, rejects = io.StringIO(), folder / "rejects.csv"
    words = [str(folder / "cells.csv"), "--tenant", tenant.slug, "--dataset", dataset.slug, "--json"]
    try:
        call_command("import_file", *words, "--rejects", str(rejects), stdout=out, stderr=io.StringIO())
    except SystemExit:
        assert rejects.exists(), out.getvalue()
    assert json.loads(out.getvalue())["state"] == "IMPORT_SUCCEEDED"
    if not rejects.exists():
        return {}
    with rejects.open(encoding="utf-8-sig", newline="") as file:
        _, *rows = csv.reader(file)
    return {row[2]: row[1] for row in rows}


# What no CHECK says: how many digits the numbers of a country have.
BEYOND_CHECKS = {"phone"}


def is_plain(text: str) -> bool:
    """Return whether a CHECK knows all about a text: not which letters of other scripts are small, nor IPv6."""
    return text.isascii() and text.strip() != "" and "://[" not in text


@pytest.mark.parametrize("kind", OWN_TYPES)
def test_the_database_stores_nothing_that_the_grammar_would_refuse_or_change(
    acme: TenantRef, kind: str
) -> None:
    seed = random.randrange(1 << 32)
    chance, stored = random.Random(seed), 0
    with in_tenant(acme), connection.cursor() as cursor:
        for _ in range(6):
            made = make_column(chance, 1, kind, 1)
            column = made.spec
            raws = [cell for _ in range(400) if (cell := made.cell(chance)) and "\0" not in cell]
            raws = [cell for cell in raws if not any(0xD800 <= ord(sign) < 0xE000 for sign in cell)]
            raws += [said for cell in raws if isinstance(said := verdict(cell, column), str) and said]
            own, sql_type = type_of(column), type_of(column).sql_type(column)
            checks = " AND ".join(f"coalesce({one.replace('{c}', 'c1')}, true)" for one in own.checks(column))
            cursor.execute(
                f"SELECT raw, {own.text_sql('c1')}, {checks or 'true'} FROM unnest(%s::text[]) raw,"
                f" LATERAL (SELECT CASE WHEN pg_input_is_valid(raw, %s) THEN raw::{sql_type} END AS c1) t"
                " WHERE c1 IS NOT NULL",
                [raws, sql_type],
            )
            found = cursor.fetchall()
            for raw, text, is_allowed in found:
                said = verdict(raw, column)
                if isinstance(said, str) and said == raw:
                    assert (text, is_allowed) == (raw, True), (seed, column, raw)
                    stored += 1
                elif is_allowed and kind not in BEYOND_CHECKS and is_plain(text):
                    assert verdict(text, column) == text, (seed, column, raw)
    assert stored > 20, seed
