"""Checks as part of a definition: made with it, changed on its page, out and in as Table Schema, kept by renames."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from django.db import connection

from audit.models import Event
from core.tenancy import TenantRef
from datasets.changing import NotChangeable, confirm_change, propose_change
from datasets.check_lines import BadLine, checks_of, text_of
from datasets.checking import ChecksBroken, set_checks
from datasets.definition import InvalidDefinition, from_table_schema, to_table_schema
from datasets.models import Dataset
from datasets.rules import NewCheck, NewColumn, problems
from datasets.services import create_dataset, rename_dataset
from datasets.spec import ColumnOptions
from datasets.tests.changes import change_column, worked
from datasets.tests.conftest import add_record, make_dataset, name_of
from datasets.tests.pages import Visitor, page, posted, rows_url
from datasets.tests.test_definition_pages import columns_form

URL = "/admin/datasets/dataset/"
COLUMNS = (
    NewColumn("No", "text"),
    NewColumn("Begin", "date"),
    NewColumn("End", "date"),
    NewColumn("Pieces", "integer"),
    NewColumn("Note", "text"),
)
ORDER = NewCheck("In order", '"Begin" <= "End"', "The end comes first.")
FEW = NewCheck("Few", '"Pieces" < 10')


@pytest.fixture
def jobs(as_acme: TenantRef) -> Dataset:
    return make_dataset("Jobs", COLUMNS, ("No",), checks=(ORDER, FEW))


def constraints(dataset: Dataset) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass AND conname LIKE %s ORDER BY 1",
            [dataset.spec().table, "%check%"],
        )
        return [name for (name,) in cursor.fetchall()]


def test_a_check_keeps_to_its_columns_when_labels_change_or_swap(jobs: Dataset) -> None:
    labels = {column.label: column.pk for column in jobs.columns.all()}
    rename_dataset(dataset=jobs, title="Jobs", labels={labels["Begin"]: "End", labels["End"]: 'To "be"'})
    jobs.refresh_from_db()
    assert (
        text_of(jobs.spec()) == 'In order: "End" <= "To ""be"""  # The end comes first.\nFew: "Pieces" < 10'
    )
    checks = to_table_schema(jobs.spec())["rowhouse:checks"]
    assert checks[0] == {
        "name": "In order",
        "expression": '"End" <= "To ""be"""',
        "message": "The end comes first.",
    }
    definition = from_table_schema(to_table_schema(jobs.spec()))
    assert definition.checks == (NewCheck("In order", '"End" <= "To ""be"""', "The end comes first."), FEW)


def test_checks_are_changed_only_to_what_every_record_meets(jobs: Dataset) -> None:
    add_record(jobs, No="A", Pieces=9)
    second = add_record(jobs, No="B", Pieces=3, Note="x")
    with pytest.raises(
        ChecksBroken, match=rf"Few: Fewer\. 1 record does not meet this; the first is record {second.pk - 1}"
    ):
        set_checks(dataset=jobs, checks=[NewCheck("Few", '"Pieces" < 5', "Fewer.")])
    table = jobs.spec().table
    assert constraints(jobs) == [f"{table}_check_1", f"{table}_check_2"]
    set_checks(dataset=jobs, checks=[NewCheck("Noted", '"Note" is not empty or "Pieces" > 5'), FEW])
    jobs.refresh_from_db()
    assert [(check.number, check.name) for check in jobs.spec().checks] == [(3, "Noted"), (2, "Few")]
    assert constraints(jobs) == [f"{table}_check_2", f"{table}_check_3"]
    assert jobs.definition_version == 2
    assert jobs.history.latest().checks == jobs.checks
    assert Event.objects.filter(name="datasets.dataset.checks_changed").count() == 1
    with pytest.raises(
        InvalidDefinition, match='The check “X”, at character 1: there is no column "Nothing"'
    ):
        set_checks(dataset=jobs, checks=[NewCheck("X", '"Nothing" > 1')])
    set_checks(dataset=jobs, checks=[])
    assert constraints(jobs) == []


def test_a_type_changes_only_as_long_as_its_checks_can_be_read_and_met(jobs: Dataset) -> None:
    add_record(jobs, No="A", Pieces=9)
    pieces = jobs.columns.get(label="Pieces")
    with pytest.raises(
        InvalidDefinition, match="The check “Few” could not read the column any more: “<” compares"
    ):
        propose_change(dataset=jobs, column=pieces, type="text")
    change_column(jobs, "Pieces", "decimal", options=ColumnOptions(precision=9, scale=2))
    assert constraints(jobs) == [f"{jobs.spec().table}_check_{number}" for number in (1, 2)]
    set_checks(dataset=jobs, checks=[NewCheck("Ordered", '"Note" is empty or "Note" < \'b\'')])
    jobs.refresh_from_db()
    add_record(jobs, No="C", Note="10", Pieces=Decimal("1.50"))
    note = jobs.columns.get(label="Note")
    with pytest.raises(InvalidDefinition, match="Change the check, then the column"):
        propose_change(dataset=jobs, column=note, type="integer")
    set_checks(dataset=jobs, checks=[NewCheck("Short", 'length("Note") < 3')])
    jobs.refresh_from_db()
    add_record(jobs, No="D", Note="x")
    change = worked(propose_change(dataset=jobs, column=note, options=ColumnOptions(min_length=2)))
    assert [(one.value, one.code) for one in change.failing_records.all()] == [("x", "constraint-error")]
    with pytest.raises(NotChangeable):
        confirm_change(change=change)


def test_a_change_lists_the_records_that_would_break_a_check(as_acme: TenantRef) -> None:
    columns = [NewColumn("No", is_required=True), NewColumn("Note"), NewColumn("Pieces", "integer")]
    jobs = create_dataset(title="Jobs", columns=columns, key=["No"])
    set_checks(dataset=jobs, checks=[NewCheck("As long", 'length("Note") = "Pieces"')])
    jobs.refresh_from_db()
    for number, text, length in (("A", "010", 3), ("B", "12", 2), ("C", None, 7)):
        add_record(jobs, No=number, Note=text, Pieces=length)
    set_checks(dataset=jobs, checks=[NewCheck("Same", '"Note" is empty or "Note" > \'0\'')])
    jobs.refresh_from_db()
    note = jobs.columns.get(label="Note")
    short = worked(
        propose_change(dataset=jobs, column=note, type="text", options=ColumnOptions(max_length=3))
    )
    assert short.failing == 0
    set_checks(dataset=jobs, checks=[NewCheck("Filled", '"Note" is not empty or "Pieces" > 5')])
    jobs.refresh_from_db()
    long = worked(propose_change(dataset=jobs, column=note, type="date"))
    assert {(one.name, one.code) for one in long.failing_records.all()} == {
        ("A", "type-error"),
        ("B", "type-error"),
    }
    set_checks(dataset=jobs, checks=[NewCheck("Much", '"Pieces" > 1')])
    jobs.refresh_from_db()
    pieces = jobs.columns.get(label="Pieces")
    decimal = ColumnOptions(precision=9, scale=2)
    change = worked(propose_change(dataset=jobs, column=pieces, type="decimal", options=decimal))
    confirm_change(change=change)
    assert worked(change).state == "CHANGE_SUCCEEDED"
    assert constraints(jobs) == [f"{jobs.spec().table}_check_4"]


def test_a_definition_says_which_check_is_wrong_and_where() -> None:
    def found(*checks: NewCheck) -> list[str]:
        return problems(COLUMNS, ["No"], checks)

    assert found(ORDER, FEW) == []
    assert found(NewCheck("Few", '"Begin" < 5')) == [
        "The check “Few”, at character 9: “<” compares a date with a number."
    ]
    assert found(NewCheck("c", "c2 = c3"))[0].startswith(
        "The check “c”, at character 1: “c2” is no word of checks"
    )
    assert found(FEW, FEW) == ["Two checks are called “Few”; give each a name of its own."]
    assert found(NewCheck("a:b", '"Pieces" < 5')) == [
        "The check “a:b” has a colon in its name; leave it out."
    ]
    assert found(*(NewCheck(f"n{number}", '"Pieces" < 5') for number in range(21))) == [
        "There are 21 checks; 20 are allowed."
    ]
    assert found(NewCheck("", '"Pieces" < 5')) == ["A check has no good name: A label is missing."]


def test_lines_of_a_page_are_checks() -> None:
    text = '\n In  order : "a:b" = \'#\' or "#" = 1 # Say: this # that \n\nFew: 1 = 1\n'
    assert checks_of(text) == [
        NewCheck("In order", '"a:b" = \'#\' or "#" = 1', "Say: this # that"),
        NewCheck("Few", "1 = 1"),
    ]
    for bad in ('"a" = 1', ": x", '"a:b" = 1'):
        with pytest.raises(BadLine, match="Line 2 has no name"):
            checks_of(f"\n{bad}")


def test_checks_are_written_on_the_definitions_page(as_acme: TenantRef, at_acme: Visitor) -> None:
    rows = (
        {"label": "No", "is_key": "on"},
        {"label": "Begin", "type": "date"},
        {"label": "End", "type": "date"},
    )
    wrong = columns_form(*rows) | {"check_lines": 'In order: "Begin" <= "Ende"'}
    html = at_acme.post(URL + "add/", wrong).content.decode()
    assert "The check “In order”, at character 12: there is no column &quot;Ende&quot;." in html
    unnamed = columns_form(*rows) | {"check_lines": '"Begin" <= "End"'}
    assert "Line 1 has no name." in at_acme.post(URL + "add/", unnamed).content.decode()
    assert not Dataset.objects.exists()
    at_acme.post(
        URL + "add/",
        columns_form(*rows) | {"check_lines": 'In order: "Begin" <= "End" # The end comes first.'},
    )
    dataset = Dataset.objects.get()
    values = {"No": "A", "Begin": "2026-01-02", "End": "2026-01-01"}
    html = at_acme.post(rows_url(dataset, "add"), posted(dataset, **values)).content.decode()
    assert "In order: The end comes first." in html
    url = f"{URL}{dataset.pk}/change/"
    assert "In order: &quot;Begin&quot; &lt;= &quot;End&quot;  # The end comes first." in page(at_acme, url)
    form = columns_form(
        *(
            {"id": str(column.pk), "dataset": str(dataset.pk), "label": column.label}
            for column in dataset.columns.all()
        ),
        existing=3,
    )
    html = at_acme.post(url, form | {"check_lines": 'In order: "Begin" <= 3'}).content.decode()
    assert "The check “In order”, at character 9: “&lt;=” compares a date with a number." in html
    assert at_acme.post(url, form | {"check_lines": "Later: \"Begin\" > '2025-01-01'"}).status_code == 302
    assert [check.name for check in Dataset.objects.get().spec().checks] == ["Later"]


def test_a_form_names_a_cell_that_is_wrong_before_what_it_breaks(jobs: Dataset, at_acme: Visitor) -> None:
    record = add_record(jobs, No="A", Begin=date(2026, 1, 1), End=date(2026, 1, 2))
    values = {"No": "A", "Begin": "2026-01-02", "End": "tomorrow"}
    answer = at_acme.post(rows_url(jobs, record.pk, "change"), posted(jobs, **values))
    assert set(answer.context["adminform"].form.errors) == {name_of(jobs, "End")}
