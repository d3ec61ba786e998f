"""Made rows: good ones are accepted, faulty ones rejected with the code they were planted for, and no others."""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest
from django.core.management import call_command

from core.tenancy import TenantRef, in_tenant
from datasets.models import Dataset
from datasets.rules import NewCheck, NewColumn
from datasets.services import create_dataset
from datasets.spec import ColumnOptions, ColumnSpec, DatasetSpec
from importer.dialect import sniff_path
from importer.generation import Order, TooFewValues, all_rows, make_rows
from importer.generation_files import write_csv, write_xlsx
from importer.generation_values import NoValue
from importer.mapping import suggest
from importer.models import ImportJob
from importer.readers.csv import read_chunks
from importer.tests.tools import make_orders, person, upload
from importer.validation import Validator

LABELS = {
    "text": ("E-mail", "First name", "Company", "City", "Reference", "Remark"),
    "long_text": ("Notes", "History"),
    "integer": ("Pieces", "Year built"),
    "decimal": ("Price", "Weight kg"),
    "boolean": ("Is open", "Checked"),
    "date": ("Birthday", "Due"),
    "timestamp": ("Seen at", "Changed at"),
    "choice": ("Status", "Size"),
    "time": ("Opens", "Closes"),
    "multi_choice": ("Tags",),
    "email": ("Mail of owner",),
    "url": ("Home page",),
    "phone": ("Call",),
    "uuid": ("Token",),
    "json": ("Data",),
}
NEVER_UNIQUE = ("boolean", "choice", "multi_choice", "json")


def options_of(kind: str, rng: Random) -> ColumnOptions:
    """Rules of many kinds for a column of this type."""
    if rng.random() < 0.5 and kind not in ("choice", "multi_choice", "decimal"):
        return ColumnOptions()
    match kind:
        case "text" | "long_text":
            if rng.random() < 0.5:
                return ColumnOptions(
                    max_length=rng.choice([3, 8, 25, 60, 400]), min_length=rng.choice([None, 2])
                )
            pattern = rng.choice([None, None, "[A-Z]{2,4}-[0-9]{5,}", "(low|high)( \\w+)?\\.[^~?]{7}"])
            least = rng.choice([None, None, 2, 20])
            return ColumnOptions(
                max_length=rng.choice([25, 60, 400, None]), min_length=least, pattern=pattern
            )
        case "integer":
            return rng.choice([
                ColumnOptions(minimum="-5", maximum="900000"),
                ColumnOptions(minimum=str(10**18)),
                ColumnOptions(maximum="-7"),
            ])  # fmt: skip
        case "decimal":
            return rng.choice([
                ColumnOptions(),
                ColumnOptions(precision=10, scale=2, minimum="0.01", maximum="9999.99"),
                ColumnOptions(precision=40, scale=12),
                ColumnOptions(precision=9, scale=0, minimum="-100"),
                ColumnOptions(precision=6, scale=6, maximum="0.500000"),
                ColumnOptions(precision=7, scale=3),
            ])  # fmt: skip
        case "date":
            return ColumnOptions(minimum="0003-02-01", maximum="2030-12-31")
        case "timestamp":
            return ColumnOptions(minimum="2024-01-01T00:00:00.25Z", maximum="2025-01-01T00:00:00Z")
        case "time":
            return ColumnOptions(minimum="08:00:00.5", maximum="23:59:59.999999")
        case "phone":
            return ColumnOptions(region="DE")
        case "multi_choice":
            return ColumnOptions(choices=rng.choice([("new",), ("S", "M", "L", "=X", "#1", "a,b")]))
        case "choice":
            return ColumnOptions(choices=rng.choice([("new", "paid"), ("S", "M", "L", "=X", "#1", "a,b")]))
    return ColumnOptions()


def some_columns(rng: Random) -> tuple[list[NewColumn], list[str]]:
    """A definition with the columns of its key."""
    chosen = [(kind, label) for kind, labels in LABELS.items() for label in labels]
    columns = []
    for kind, label in rng.sample(chosen, rng.randint(2, 9)):
        is_wide = kind not in NEVER_UNIQUE
        options = options_of(kind, rng)
        columns.append(NewColumn(label, kind, rng.random() < 0.5, is_wide and rng.random() < 0.2, options))
    columns.append(NewColumn("Item", rng.choice(["integer", "text"]), True, rng.random() < 0.3))
    rng.shuffle(columns)
    others = [
        column.label for column in columns
        if column.label != "Item" and column.type not in ("multi_choice", "json")
    ]  # fmt: skip
    return columns, rng.choice([["Item"], ["Item", *rng.sample(others, min(1, len(others)))], []])


def spec_of(columns: list[NewColumn], key: list[str]) -> DatasetSpec:
    specs = tuple(
        ColumnSpec(
            at,
            column.label,
            column.type,
            column.is_required or column.label in key,
            column.is_unique,
            column.options,
        )
        for at, column in enumerate(columns, start=1)
    )
    names = {column.label: column.name for column in specs}
    return DatasetSpec(1, "made", "Made", specs, tuple(names[label] for label in key))


def test_made_rows_meet_the_checks_of_their_dataset(as_acme: TenantRef) -> None:
    columns = [
        NewColumn("Id", "integer", True), NewColumn("Begin", "date", True), NewColumn("End", "date", True),
        NewColumn("Status", "choice", True, options=ColumnOptions(choices=("open", "closed"))),
        NewColumn("Closed at", "timestamp"),
        *(NewColumn(label, "decimal", options=ColumnOptions(9, 2)) for label in ("Net", "Tax", "Gross")),
    ]  # fmt: skip
    checks = [
        NewCheck("In order", '"Begin" <= "End"'), NewCheck("Sums up", '"Net" + "Tax" = "Gross"'),
        NewCheck("Closing", "if \"Status\" = 'closed' then \"Closed at\" is not empty"),
    ]  # fmt: skip
    dataset = create_dataset(title="Made", columns=columns, key=["Id"], checks=checks)
    rows = [row.cells for row in all_rows(dataset.spec(), Order(300, 30, 5)) if not row.fault]
    job = upload(dataset, "\n".join(",".join(cell or "" for cell in row) for row in rows) + "\n")
    assert (job.staged_rows, job.issue_counts) == (270, {})
    assert {row[3] for row in rows[1:]} == {"open", "closed"} and any(row[4] for row in rows[1:])
    impossible = create_dataset(
        title="Impossible",
        columns=columns,
        key=["Id"],
        checks=[NewCheck("Never", "\"Begin\" < '0001-01-01'")],
    )
    with pytest.raises(NoValue, match="No row was found that meets the check “Never”"):
        list(all_rows(impossible.spec(), Order(1, 0, 5)))


@pytest.mark.parametrize("seed", range(120))
def test_the_validator_rejects_the_faulty_rows_of_a_file_and_no_other(tmp_path: Path, seed: int) -> None:
    rng = Random(seed)
    spec = spec_of(*some_columns(rng))
    rows = rng.choice([1, 7, 300, 2_500])
    made = list(all_rows(spec, Order(rows, round(rows * rng.choice([0, 0.1, 0.6, 1])), seed)))
    path = tmp_path / "made.csv"
    write_csv(path, iter(made))
    sniffed = sniff_path(path)
    assert sniffed.labels == made[0].cells
    matches = suggest(sniffed.labels, sniffed.samples, spec.columns)
    validator = Validator(spec, matches, sniffed.dialect)
    found: dict[int, str] = {}
    blank = 0
    for chunk in read_chunks(path, sniffed.dialect):
        checked = validator.check(chunk)
        found |= {issue.row: issue.code for issue in checked.issues}
        blank += checked.blank
        assert len(checked.issues) == len(checked.rejected)
    is_left_to_sql = {number for number, row in enumerate(made, start=1) if row.fault and row.at < 0}
    planted = {number: row.fault for number, row in enumerate(made, start=1) if row.fault}
    assert found == {number: code for number, code in planted.items() if number not in is_left_to_sql}
    assert (blank, len(made)) == (0, rows + 1)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("ending", ["csv", "xlsx"])
def test_an_import_rejects_exactly_what_was_planted(
    as_acme: TenantRef, tmp_path: Path, seed: int, ending: str
) -> None:
    rng = Random(1_000 + seed)
    columns, key = some_columns(rng)
    dataset = create_dataset(title="Made", columns=columns, key=key, by=None)
    rows = rng.choice([40, 400])
    order = Order(rows, round(rows * 0.3), seed, ending == "xlsx")
    path = tmp_path / f"made.{ending}"
    made = all_rows(dataset.spec(), order)
    planted = write_xlsx(path, dataset.spec(), made) if ending == "xlsx" else write_csv(path, made)
    job = upload(dataset, path.read_bytes(), name=path.name)
    assert job.state == "PREVIEW_SUCCEEDED", job.error
    assert job.issue_counts == planted
    assert (job.rejected_rows, job.created_rows, job.blank_rows) == (order.faulty, rows - order.faulty, 0)


def test_every_kind_of_fault_is_planted_somewhere() -> None:
    columns = [NewColumn("Item", "integer", is_required=True), NewColumn("Size", "text", is_required=True)]
    spec = spec_of([*columns, NewColumn("Mail", "text", is_unique=True)], ["Item"])
    found = Counter(row.fault for row in make_rows(spec, Order(3_000, 1_500, 1)))
    assert found.total() - found[""] == 1_500
    assert set(found) >= {
        "", "type-error", "missing-cell", "extra-cell", "encoding-error", "constraint-error", "primary-key",
    }  # fmt: skip


def test_the_same_seed_makes_the_same_rows_and_another_one_others() -> None:
    spec = spec_of(*some_columns(Random(2)))
    one, same, other = (list(make_rows(spec, Order(1_500, 100, seed))) for seed in (5, 5, 6))
    assert one == same
    assert one != other


def test_a_key_that_holds_too_few_values_is_told_before_a_row_is_made() -> None:
    columns = [
        NewColumn("Open", "boolean"),
        NewColumn("Size", "choice", options=ColumnOptions(choices=("S", "L"))),
    ]
    assert len(list(make_rows(spec_of(columns, ["Open", "Size"]), Order(4, 0, 1)))) == 4
    with pytest.raises(TooFewValues, match="4 different values only"):
        make_rows(spec_of(columns, ["Open", "Size"]), Order(5, 0, 1))


@pytest.fixture
def shop(acme: TenantRef, globex: TenantRef) -> Dataset:
    """Acme's orders; globex has a dataset of the same name and nothing in it."""
    with in_tenant(globex):
        make_orders()
    with in_tenant(acme):
        return make_orders()


def generate(*words: str) -> tuple[int, dict[str, Any], str]:
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command("generate_rows", *words, "--json", stdout=out, stderr=err)
        code = 0
    except SystemExit as ended:
        code = int(ended.code or 0)
    return code, json.loads(out.getvalue()) if out.getvalue() else {}, err.getvalue()


@pytest.mark.parametrize("name", ["made.csv", "made.xlsx"])
def test_the_command_makes_a_file_that_imports(
    shop: Dataset, acme: TenantRef, tmp_path: Path, name: str
) -> None:
    to = tmp_path / name
    words = ("--tenant", "acme", "--dataset", "orders", "--rows", "200", "--errors", "0.05", "--to", str(to))
    code, told, _ = generate(*words)
    assert (code, list(told)) == (0, ["file", "rows", "faulty", "seed", "planted"])
    assert (told["rows"], told["faulty"], sum(told["planted"].values())) == (200, 10, 10)
    first = to.read_bytes()
    assert generate(*words, "--seed", str(told["seed"]))[1] == told
    assert name.endswith(".xlsx") or to.read_bytes() == first
    with in_tenant(acme):
        job = upload(shop, to.read_bytes(), name=name, by=person())
        assert (job.created_rows, job.issue_counts) == (190, told["planted"])
        assert ImportJob.objects.count() == 1


def test_the_command_refuses_what_it_cannot_make(shop: Dataset, tmp_path: Path) -> None:
    words = ("--tenant", "acme", "--dataset", "orders", "--rows", "2000000")
    code, _, said = generate(*words, "--to", str(tmp_path / "rows.parquet"))
    assert (code, said) == (
        2,
        "error[usage]: 'rows.parquet' ends neither in .csv nor in .xlsx. Name the file so.\n",
    )
    code, _, said = generate(*words, "--to", str(tmp_path / "rows.xlsx"))
    assert (code, "1,048,575" in said) == (2, True)
    code, _, said = generate(*words, "--to", str(tmp_path / "missing" / "rows.csv"))
    assert (code, "cannot be written" in said, list(tmp_path.iterdir())) == (2, True, [])
