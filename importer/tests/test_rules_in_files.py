"""Rules met by files: one verdict and one sentence for CSV, workbook, form, command and database."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from openpyxl import Workbook

from core.tenancy import TenantRef, in_tenant
from datasets.checking import set_checks
from datasets.columntypes.patterns import example
from datasets.definition import InvalidDefinition, from_table_schema, to_table_schema
from datasets.forms import RecordForm
from datasets.models import Dataset
from datasets.rows import get_row_model
from datasets.rules import NewCheck, NewColumn
from datasets.services import create_dataset
from datasets.spec import ColumnOptions
from datasets.tests.changes import change_column
from datasets.tests.conftest import name_of
from datasets.tests.pages import Visitor, posted, rows_url
from importer import fixing
from importer.changes import page_of_changes
from importer.matching import matches_of
from importer.models import ImportIssue, ImportJob, RejectedRow, State
from importer.recipes import Recipe
from importer.services import submit_preview
from importer.tests.tools import counts, import_text, merge, person, records, upload, work
from importer.tests.undo_tools import previewed

MONEY = ColumnOptions(precision=12, scale=2)
COLUMNS = (
    NewColumn("Id", "integer"),
    NewColumn("Code", "text", options=ColumnOptions(pattern="[A-Z]{2}-[0-9]+", min_length=4, max_length=8)),
    NewColumn("Begin", "date"),
    NewColumn("End", "date"),
    NewColumn("Net", "decimal", options=MONEY),
    NewColumn("Tax", "decimal", options=MONEY),
    NewColumn("Gross", "decimal", options=MONEY),
)
CHECKS = (
    NewCheck("In order", '"Begin" <= "End"', "The end comes before the beginning."),
    NewCheck("Sums up", '"Net" + "Tax" = "Gross"'),
)
IN_ORDER = "In order: The end comes before the beginning."
SUMS_UP = 'Sums up: "Net" + "Tax" = "Gross" must hold.'
LABELS = [column.label for column in COLUMNS]
ROWS = (
    ("1", "AB-1", "2026-01-01", "2026-01-02", "0.10", "0.20", "0.30"),
    ("2", "AB-1", "2026-01-03", "2026-01-02", "1.00", "0.20", "1.20"),
    ("3", "AB-1", "2026-01-03", "2026-01-02", "1.00", "0.20", "1.21"),
    ("4", "", "2026-01-03", "", "", "0.20", "1.21"),
    ("5", "ab-1", "", "", "", "", ""),
    ("6", "A-1", "", "", "", "", ""),
    ("7", "ABC-12345", "", "", "", "", ""),
)
PATTERN = f"Write it in the form [A-Z]{{2}}-[0-9]+, for example {example('[A-Z]{2}-[0-9]+')}."
TOLD = {
    ("2", "row-constraint", IN_ORDER),
    ("3", "row-constraint", IN_ORDER),
    ("3", "row-constraint", SUMS_UP),
    ("5", "constraint-error", PATTERN),
    ("6", "constraint-error", "Use at least 4 characters; these are 3."),
    ("7", "constraint-error", "Use at most 8 characters; these are 9."),
}


def csv_of(rows: Any) -> str:
    return "\n".join(",".join(row) for row in (LABELS, *rows)) + "\n"


def workbook_of(rows: Any) -> bytes:
    book, file = Workbook(), io.BytesIO()
    for row in (LABELS, *rows):
        book.active.append(row)
    book.save(file)
    return file.getvalue()


def told(job: ImportJob) -> set[tuple[str, str, str]]:
    """What is said of each row, by its Id."""
    ids = {one.row: one.cells[0] for one in RejectedRow.objects.filter(job=job)}
    return {(ids[issue.row], issue.code, issue.rule) for issue in ImportIssue.objects.filter(job=job)}


def told_by_forms(dataset: Dataset, site: Visitor) -> set[tuple[str, str, str]]:
    """Enter each row as a new record; what the pages say of it."""
    found = set()
    for row in ROWS:
        answer = site.post(rows_url(dataset, "add"), posted(dataset, **dict(zip(LABELS, row, strict=True))))
        if answer.status_code != 302:
            errors = answer.context["adminform"].form.errors.as_data().values()
            found |= {(row[0], str(one.code), one.messages[0]) for each in errors for one in each}
    return found


@pytest.fixture
def jobs(as_acme: TenantRef) -> Dataset:
    return create_dataset(title="Jobs", columns=COLUMNS, key=("Id",), checks=CHECKS)


@pytest.fixture
def at_acme(client_of: Any, acme: TenantRef) -> Visitor:
    return Visitor(client_of(acme))


def test_one_verdict_and_one_sentence_whatever_a_record_comes_in_by(
    jobs: Dataset, at_acme: Visitor, tmp_path: Path
) -> None:
    by_csv = upload(jobs, csv_of(ROWS))
    assert (told(by_csv), counts(by_csv)) == (TOLD, (2, 0, 0, 5))
    by_xlsx = upload(jobs, workbook_of(ROWS), name="jobs.xlsx")
    assert (told(by_xlsx), counts(by_xlsx)) == (TOLD, (2, 0, 0, 5))
    assert told_by_forms(jobs, at_acme) == TOLD
    assert [row[0] for row in records(jobs)] == [1, 4]
    issue = ImportIssue.objects.get(job=by_csv, rule=SUMS_UP)
    assert (issue.column, issue.value) == ("Net, Tax, Gross", "Net: 1.00; Tax: 0.20; Gross: 1.21")


def test_the_command_says_the_same(acme: TenantRef, tmp_path: Path) -> None:
    with in_tenant(acme):
        create_dataset(title="Jobs", columns=COLUMNS, key=("Id",), checks=CHECKS)
    path, out = tmp_path / "jobs.csv", io.StringIO()
    path.write_text(csv_of(ROWS))
    with pytest.raises(SystemExit):
        call_command(
            "import_file", str(path), "--tenant", acme.slug, "--dataset", "jobs", "--json", stdout=out
        )
    assert json.loads(out.getvalue())["issues"] == {"row-constraint": 3, "constraint-error": 3}
    with in_tenant(acme):
        assert told(ImportJob.objects.get()) == TOLD


def test_a_row_is_judged_with_the_values_its_record_keeps(jobs: Dataset) -> None:
    import_text(jobs, csv_of(ROWS[:1]))
    job = upload(jobs, "Id,End\n1,2025-12-31\n2,2025-12-31\n")
    assert told(job) == {("1", "row-constraint", IN_ORDER)}
    assert counts(job) == (1, 0, 0, 1)
    assert counts(merge(upload(jobs, "Id,End\n1,2026-12-31\n"))) == (0, 1, 0, 0)


def test_a_row_that_breaks_a_check_takes_no_key_from_a_later_one_and_can_be_corrected(jobs: Dataset) -> None:
    good = ("2", "", "2026-01-01", "2026-01-02", "", "", "")
    job = upload(jobs, csv_of([ROWS[1], good]))
    assert (told(job), counts(job)) == ({("2", "row-constraint", IN_ORDER)}, (1, 0, 0, 1))
    fixing.fix_rows(job=job, by=person(), cells={2: ["3", *good[1:]]})
    job = work(job)
    assert (told(job), counts(job)) == (set(), (2, 0, 0, 0))
    again = upload(jobs, csv_of([ROWS[1], good]))
    fixing.fix_rows(job=again, by=person(), cells={2: list(good)})
    again = work(again)
    assert {code for _, code, _ in told(again)} == {"primary-key"}
    assert counts(again) == (1, 0, 0, 1)


def test_the_database_holds_every_rule_and_a_race_is_told_in_the_same_sentence(
    jobs: Dataset, at_acme: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_text(jobs, csv_of(ROWS[:1]))
    table = jobs.spec().table
    for label, value in (("Code", "ab-1"), ("Code", "A-1"), ("End", "2025-01-01"), ("Gross", "9")):
        with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f'UPDATE {table} SET "{name_of(jobs, label)}" = %s', [value])
    # Somebody else moves the end after this form was judged.
    right = RecordForm._add_broken_checks

    def then_another_writes(form: RecordForm, cleaned: dict[str, Any]) -> None:
        right(form, cleaned)
        with connection.cursor() as cursor:
            cursor.execute(f'UPDATE {table} SET "{name_of(jobs, "End")}" = %s', ["2026-01-01"])

    monkeypatch.setattr(RecordForm, "_add_broken_checks", then_another_writes)
    record = get_row_model(jobs).objects.get()
    values = dict(zip(LABELS, ROWS[0], strict=True)) | {"Begin": "2026-01-02"}
    answer = at_acme.post(rows_url(jobs, record.pk, "change"), posted(jobs, **values))
    assert answer.status_code == 409
    assert (
        "The end comes before the beginning. The record was changed a moment ago." in answer.content.decode()
    )


def test_the_neighbours_dataset_of_the_same_number_has_rules_of_its_own(
    acme: TenantRef, globex: TenantRef
) -> None:
    made = {}
    for tenant, checks in ((acme, CHECKS), (globex, ())):
        with in_tenant(tenant):
            with connection.cursor() as cursor:
                for table in ("datasets_dataset", "datasets_column"):
                    cursor.execute(f"ALTER TABLE {table} ALTER id RESTART WITH 900001")
            made[tenant.slug] = create_dataset(title="Jobs", columns=COLUMNS, key=("Id",), checks=checks)
    for tenant, rejected in ((globex, 0), (acme, 2), (globex, 0)):
        with in_tenant(tenant):
            job = upload(made[tenant.slug], csv_of(ROWS[1:3]))
            assert (job.dataset_id, job.rejected_rows) == (900_001, rejected)


DEFAULTS = (
    NewColumn("Id", "integer"),
    NewColumn("Status", "choice", True, options=ColumnOptions(choices=("new", "done"), default="new")),
    NewColumn("Price", "decimal", options=ColumnOptions(precision=6, scale=2, default="1.5")),
    NewColumn("Due", "date", options=ColumnOptions(default="2026-12-31")),
    NewColumn("Name", "text"),
)
NEW = ("new", Decimal("1.50"), date(2026, 12, 31))


@pytest.fixture
def tasks(as_acme: TenantRef) -> Dataset:
    check = NewCheck("Priced", 'if "Status" = \'new\' then "Price" < 5')
    return create_dataset(title="Tasks", columns=DEFAULTS, key=("Id",), checks=[check])


def test_a_new_record_without_a_value_gets_the_default_and_the_same_file_again_changes_nothing(
    tasks: Dataset,
) -> None:
    text = "Id,Status,Price,Name\n1,,,a\n2,done,2,b\n"
    job = upload(tasks, text)
    assert (counts(job), told(job)) == ((2, 0, 0, 0), set())
    shown = page_of_changes(job)[0].cells
    assert [(cell.label, cell.new) for cell in shown] == [
        ("Id", "1"), ("Status", "new"), ("Price", "1.50"), ("Due", "2026-12-31"), ("Name", "a"),
    ]  # fmt: skip
    merge(job)
    assert records(tasks) == [(1, *NEW, "a"), (2, "done", Decimal(2), NEW[2], "b")]
    assert counts(merge(upload(tasks, text + "3,,,\n"))) == (1, 0, 2, 0)


def test_a_file_need_not_have_a_required_column_with_a_default(tasks: Dataset) -> None:
    import_text(tasks, "Id,Name\n1,a\n")
    assert records(tasks) == [(1, *NEW, "a")]
    import_text(tasks, "Id,Status,Name\n1,done,a\n")
    assert counts(merge(upload(tasks, "Id,Status,Name\n1,,b\n"))) == (0, 1, 0, 0)
    assert records(tasks) == [(1, "done", *NEW[1:], "b")]


def test_a_check_sees_the_default_of_a_new_record_and_the_value_of_one_that_is_there(tasks: Dataset) -> None:
    import_text(tasks, "Id,Status\n1,done\n")
    job = upload(tasks, "Id,Price\n1,9\n2,9\n")
    rule = 'Priced: if "Status" = \'new\' then "Price" < 5 must hold.'
    assert told(job) == {("2", "row-constraint", rule)}
    assert ImportIssue.objects.get(job=job).value == "Status: new; Price: 9.00"


def test_an_empty_cell_clears_an_optional_column_where_the_mapping_says_so(tasks: Dataset) -> None:
    import_text(tasks, "Id,Due\n1,2026-01-01\n")
    job = upload(tasks, "Id,Due\n1,\n2,\n")
    assert counts(job) == (1, 0, 1, 0)
    job.mapping = [replace(one, recipe=Recipe(blank="clear")).to_dict() for one in matches_of(job)]
    job.move(old=State.PREVIEW_SUCCEEDED, new=State.CREATED)
    job.save(update_fields=["mapping"])
    submit_preview(job)
    merge(work(job))
    assert [record[3] for record in records(tasks)] == [None, NEW[2]]


def test_a_form_shows_the_default_and_an_edit_never_brings_it_back(tasks: Dataset, at_acme: Visitor) -> None:
    html = at_acme.get(rows_url(tasks, "add")).content.decode()
    assert 'value="1.50"' in html and 'value="2026-12-31"' in html
    assert at_acme.post(rows_url(tasks, "add"), posted(tasks, Id="1", Name="a")).status_code == 302
    assert records(tasks) == [(1, *NEW, "a")]
    record = get_row_model(tasks).objects.get()
    values = {"Id": "1", "Status": "new", "Price": "", "Due": "", "Name": "a"}
    assert at_acme.post(rows_url(tasks, record.pk, "change"), posted(tasks, **values)).status_code == 302
    assert records(tasks) == [(1, "new", None, None, "a")]
    answer = at_acme.post(rows_url(tasks, record.pk, "change"), posted(tasks, **values | {"Status": ""}))
    assert "This column needs a value." in answer.content.decode()
    with connection.cursor() as cursor:
        cursor.execute(f'INSERT INTO {tasks.spec().table} ("{name_of(tasks, "Id")}") VALUES (2)')
    assert records(tasks)[1] == (2, *NEW, None)


def test_a_default_that_its_column_cannot_hold_is_refused(as_acme: TenantRef) -> None:
    for options, says in (
        (ColumnOptions(default="x"), "“Price” has the default “x”: Write a number in digits"),
        (ColumnOptions(default="7", maximum="5"), "The largest value allowed is 5"),
    ):
        with pytest.raises(InvalidDefinition, match=says):
            create_dataset(title="T", columns=[NewColumn("Price", "integer", options=options)])
    unique = NewColumn("No", "text", is_unique=True, options=ColumnOptions(default="x"))
    with pytest.raises(InvalidDefinition, match="“No” tells records apart"):
        create_dataset(title="T", columns=[unique])


def test_a_default_goes_with_its_column_when_the_type_changes_and_out_and_in(tasks: Dataset) -> None:
    schema = to_table_schema(tasks.spec())
    assert [field.get("rowhouse:default") for field in schema["fields"]] == [
        None,
        "new",
        "1.50",
        "2026-12-31",
        None,
    ]
    assert from_table_schema(schema).columns[2].options == ColumnOptions(6, 2, default="1.50")
    change_column(tasks, "Due", "text", options=ColumnOptions(default="soon"))
    change_column(tasks, "Price", "integer")
    tasks.refresh_from_db()
    import_text(tasks, "Id\n1\n")
    assert records(tasks) == [(1, "new", None, "soon", None)]


def test_an_undo_leaves_a_record_whose_former_values_break_a_check_that_came_later(
    as_acme: TenantRef,
) -> None:
    dataset = create_dataset(title="Jobs", columns=COLUMNS, key=("Id",))
    import_text(dataset, csv_of(ROWS[1:2]))
    job = import_text(dataset, csv_of([(*ROWS[1][:3], "2026-02-01", *ROWS[1][4:])]))
    set_checks(dataset=dataset, checks=[CHECKS[0], NewCheck("Percent", "\"Code\" <> '%s %'")])
    undone = previewed(job)
    assert (undone.kept_rows, undone.warning_counts) == (1, {"no-longer-fits": 1})
