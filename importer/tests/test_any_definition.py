"""The life of a dataset of any definition: made, filled by a file, edited, changed, and gone without a trace."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.tenancy import TenantRef
from datasets import ddl, versions
from datasets.cells import CellEdit, edit_cells
from datasets.columntypes import TYPES, type_of
from datasets.fields import model_field
from datasets.forms import CellField
from datasets.models import Dataset
from datasets.rows import get_row_model
from datasets.rules import NEVER_UNIQUE, NewColumn
from datasets.services import create_dataset, delete_dataset
from datasets.spec import ColumnOptions, ColumnSpec
from datasets.tests.changes import change_column
from importer.generation import Order, all_rows
from importer.tests.tools import import_text, person

ROWS = 25
TEXTS = ("text", "long_text")
# Labels that a name of a column, a keyword or a format could be mistaken for.
LABELS = st.sampled_from(
    [
        "id",
        "select",
        "a b",
        "é",
        "日本",
        "%s",
        "{0}",
        'quo"te',
        "semi;colon",
        "x" * 60,
        "c1",
        "delete",
        "0",
        "A,B",
    ]
)


@st.composite
def new_columns(draw: Any, label: str) -> NewColumn:
    kind = draw(st.sampled_from([name for name in TYPES if name != "reference"]))
    options = ColumnOptions()
    if kind in ("choice", "multi_choice"):
        options = ColumnOptions(choices=("new", "sent out", "é", "100%"))
    elif kind == "decimal":
        scale = draw(st.integers(0, 6))
        options = ColumnOptions(precision=scale + draw(st.integers(6, 12)), scale=scale)
    elif kind == "phone":
        options = ColumnOptions(region=draw(st.sampled_from([None, "DE"])))
    elif kind == "integer" and draw(st.booleans()):
        options = ColumnOptions(minimum="-1000000", maximum="1000000000")
    elif kind == "text" and draw(st.booleans()):
        options = ColumnOptions(min_length=draw(st.integers(0, 3)), max_length=draw(st.integers(20, 90)))
    may_be_unique = kind in ("text", "integer", "decimal", "uuid", "date", "timestamp", "email")
    return NewColumn(label, kind, draw(st.booleans()), may_be_unique and draw(st.booleans()), options)


@st.composite
def definitions(draw: Any) -> tuple[list[NewColumn], list[str]]:
    labels = draw(st.lists(LABELS, min_size=2, max_size=7, unique_by=str.casefold))
    columns = [draw(new_columns(label)) for label in labels]
    # What names a record must have values enough.
    able = [one.label for one in columns if one.type in ("integer", "uuid", "email", "timestamp")]
    size = draw(st.integers(0, 2))
    return columns, able[:size]


def catalog(dataset: Dataset) -> dict[str, list[Any]]:
    """Return columns, constraints, indexes and triggers of the dataset's tables."""
    found: dict[str, list[Any]] = {}
    table = f"ds_{dataset.pk}"
    both = [table, f"{table}_history"]
    with connection.cursor() as cursor:
        for what, sql in (
            ("columns", "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull"
             " FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE c.relname = ANY(%s)"
             " AND c.relnamespace = current_schema()::regnamespace AND a.attnum > 0 AND NOT a.attisdropped"),
            ("constraints", "SELECT conname FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid"
             " WHERE c.relname = ANY(%s) AND c.relnamespace = current_schema()::regnamespace AND contype <> 'n'"),
            ("indexes", "SELECT indexname FROM pg_indexes WHERE tablename = ANY(%s) AND schemaname = current_schema()"),
            ("triggers", "SELECT tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
             " WHERE c.relname = ANY(%s) AND c.relnamespace = current_schema()::regnamespace AND NOT tgisinternal"),
        ):  # fmt: skip
            cursor.execute(sql, [both])
            found[what] = sorted(cursor.fetchall())
    return found


def expected(dataset: Dataset) -> dict[str, list[Any]]:
    """Return what the catalog must hold, from the definition alone."""
    spec = dataset.spec()
    table, history = spec.table, spec.history_table
    own = {one.name: type_of(one).sql_type(one) for one in spec.columns}
    columns = [(table, "id", "bigint", True), (history, "id", "bigint", True)]
    columns += [(table, one.name, own[one.name], one.is_required) for one in spec.columns]
    columns += [(history, name, kind, False) for name, kind in own.items()]
    columns += [
        (history, "history_id", "bigint", True), (history, "history_date", "timestamp with time zone", True),
        (history, "history_type", "character varying(1)", True), (history, "history_user_id", "bigint", False),
        (history, "history_change_reason", "text", False), (history, "history_xid", "xid8", True),
    ]  # fmt: skip
    uniques = [ddl.unique_constraint(spec, one) for one in spec.columns if ddl.has_own_unique(spec, one)]
    uniques += [ddl.key_constraint(spec)] if spec.key else []
    checks = [name for one in spec.columns for name in ddl.checks_of(spec, one)]
    keys = [f"{table}_pkey", f"{history}_pkey"]
    return {
        "columns": sorted(columns),
        "constraints": sorted((name,) for name in [*keys, *uniques, *checks]),
        "indexes": sorted(
            (name,) for name in [*keys, *uniques, f"{history}_of_record", f"{history}_by_date"]
        ),
        "triggers": sorted((f"{table}_{event}",) for event in ("ins", "upd", "del")),
    }


def other_value(column: ColumnSpec, cells: list[str | None], now: str | None) -> str | None:
    """Return another of the column's made-up values, as a form takes it; None where there is none."""
    return next((cell for cell in cells if cell and cell != now), None)


@pytest.mark.django_db
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(definition=definitions(), seed=st.integers(0, 10**6))
def test_any_definition_lives_from_its_table_to_its_end(
    as_acme: TenantRef, definition: tuple[list[NewColumn], list[str]], seed: int
) -> None:
    columns, key = definition
    dataset = create_dataset(title="Any", columns=columns, key=key)
    stood = catalog(dataset)
    assert stood == expected(dataset)
    spec = dataset.spec()
    for column in spec.columns:  # the form and the model know every column
        CellField(column)
        model_field(column)

    header, *rows = [list(row.cells) for row in all_rows(spec, Order(ROWS, 0, seed))]
    file = io.StringIO(newline="")
    csv.writer(file).writerows([header, *rows])
    job = import_text(dataset, file.getvalue())
    assert (job.created_rows, job.rejected_rows, job.issue_counts) == (ROWS, 0, {})
    model = get_row_model(dataset)
    assert model._default_manager.count() == ROWS

    # Each column of the first record gets the value of another one, cell by cell, and its history tells of it.
    owner, record = person(), model._default_manager.order_by("pk").first()
    assert record is not None
    for column in spec.columns:
        value = getattr(record, column.name)
        now = None if value is None else record.text_of(column.name)
        new = (
            None
            if column.is_unique or column.name in spec.key
            else other_value(
                column,
                [one.text_of(column.name) for one in model._default_manager.exclude(**{column.name: None})],
                now,
            )
        )
        if new is None:
            continue
        done = edit_cells(dataset=dataset, edits=[CellEdit(record.pk, column.name, now, new)], by=owner)
        assert [(one.status, one.now) for one in done.cells] == [("saved", new)], done.cells
        [newest, *_] = versions.versions_of(spec, record.pk, size=2)
        assert [(one.column, one.old, one.new) for one in newest.cells] == [(column.name, now, new)]

    # Whatever it was can become a text and say the same.
    free = [one for one in spec.columns if one.type not in TEXTS and one.name not in spec.key]
    if free:
        was = [one.text_of(free[0].name) or None for one in model._default_manager.order_by("pk")]
        change_column(dataset, free[0].label, "long_text", options=ColumnOptions(), is_unique=False)
        after = get_row_model(dataset)
        texts = [getattr(one, free[0].name) for one in after._default_manager.order_by("pk")]
        assert texts == was
    delete_dataset(dataset=Dataset.objects.get(pk=dataset.pk))
    assert all(not rows for rows in catalog(dataset).values())


def test_no_migration_is_missed_while_generated_models_live(as_acme: TenantRef) -> None:
    dataset = create_dataset(title="Live", columns=[NewColumn("v"), NewColumn("n", "json")], key=())
    model = get_row_model(dataset)
    said = io.StringIO()
    try:
        call_command("makemigrations", "--check", "--dry-run", verbosity=1, stdout=said)
    except SystemExit:
        pytest.fail(said.getvalue())
    assert model._meta.db_table == f"ds_{dataset.pk}"
    assert set(TYPES) - {"reference"} >= set(NEVER_UNIQUE)
