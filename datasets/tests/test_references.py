"""References: defined, kept by the database, and in the way of what would break them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from core.errors import RowhouseError
from core.tenancy import TenantRef, in_tenant
from datasets import bulk, ddl, references
from datasets.changing import propose_change, propose_key
from datasets.columntypes import BadValue, Reading, check_cell, type_of
from datasets.definition import InvalidDefinition, from_table_schema, to_table_schema
from datasets.models import Dataset
from datasets.rows import get_row_model
from datasets.rules import NewColumn
from datasets.services import create_dataset, delete_dataset, rename_dataset
from datasets.spec import ColumnOptions, ColumnSpec, Target
from datasets.tests.changes import change_column
from datasets.tests.conftest import add_record, name_of
from datasets.tests.references import make_customers, make_orders, make_staff, refers_to


def column_of(dataset: Dataset, label: str) -> ColumnSpec:
    return next(one for one in dataset.spec().columns if one.label == label)


def refusal(*columns: NewColumn, key: tuple[str, ...] = ("No",)) -> str:
    with pytest.raises(InvalidDefinition) as caught:
        create_dataset(title="Any", columns=(NewColumn("No", "integer"), *columns), key=key)
    return caught.value.message


def foreign_keys(table: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'f'",
            [table],
        )
        return [sql for (sql,) in cursor.fetchall()]


@pytest.mark.parametrize(
    ("key", "raw", "canonical", "sql_type"),
    [
        (NewColumn("K", "text"), " a b ", " a b ", "text"),
        (NewColumn("K", "integer"), " +007 ", "7", "bigint"),
        (NewColumn("K", "decimal", options=ColumnOptions(8, 3)), "1.5", "1.500", "numeric(8,3)"),
        (NewColumn("K", "date"), " 2026-12-31", "2026-12-31", "date"),
        (NewColumn("K", "choice", options=ColumnOptions(choices=("de", "fr"))), "fr ", "fr", "text"),
    ],
    ids=lambda value: value.type if isinstance(value, NewColumn) else "",
)
def test_a_reference_reads_what_its_key_reads(
    as_acme: TenantRef, key: NewColumn, raw: str, canonical: str, sql_type: str
) -> None:
    target = create_dataset(title="Target", columns=(key,), key=("K",))
    made = create_dataset(title="Any", columns=(NewColumn("No"), refers_to("To", "target")), key=())
    own, [keys] = column_of(made, "To"), target.spec().columns
    assert (own.type, type_of(own), type_of(own).sql_type(own)) == ("reference", type_of(keys), sql_type)
    assert check_cell(raw, own, Reading()) == check_cell(raw, keys, Reading()) == canonical
    assert check_cell("", own, Reading()) is None
    if key.type != "text":
        with pytest.raises(BadValue) as refused:
            check_cell("x?", own, Reading())
        with pytest.raises(BadValue) as as_key:
            check_cell("x?", keys, Reading())
        assert refused.value.rule == as_key.value.rule


def test_the_database_itself_keeps_references(as_acme: TenantRef) -> None:
    customers, orders = make_customers(), make_orders()
    ada = add_record(customers, Customer_no="C1", Name="Ada")
    order = add_record(orders, Order_no=1, Customer="C1")
    add_record(orders, Order_no=2)
    customer = name_of(orders, "Customer")
    for broken in (
        f"UPDATE ds_{orders.pk} SET {customer} = 'C2' WHERE id = {order.pk}",
        f"DELETE FROM ds_{customers.pk} WHERE id = {ada.pk}",
        f"UPDATE ds_{customers.pk} SET {name_of(customers, 'Customer no')} = 'C9'",
        f"INSERT INTO ds_{orders.pk} ({name_of(orders, 'Order no')}, {customer}) VALUES (3, 'C1'), (4, 'C2')",
        f"TRUNCATE ds_{customers.pk}",
    ):
        with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(broken)
    order.delete()
    ada.delete()
    assert (type(ada).objects.count(), type(order).history.count()) == (0, 3)


def test_a_broken_reference_is_told_in_a_sentence(as_acme: TenantRef) -> None:
    customers, orders = make_customers(), make_orders()
    ada = add_record(customers, Customer_no="C1", Name="Ada")
    add_record(orders, Order_no=1, Customer="C1")
    with pytest.raises(references.NothingReferenced) as nothing, references.refusals():
        add_record(orders, Order_no=2, Customer="C2")
    assert nothing.value.message == (
        "“Customer”: No record of “Customers” has this key. Correct the value, or add that record first."
    )
    with pytest.raises(references.StillReferenced) as still, references.refusals():
        ada.delete()
    assert still.value.message == (
        "Records of “Orders” refer to it in “Customer”. Change or delete those first."
    )
    assert [(one.words, one.referrer.column.label) for one in references.held(customers)] == [
        ("1 record of “Orders”", "Customer")
    ]
    assert references.held(customers, "t.id = %s", [ada.pk + 1]) == []


def test_records_of_one_dataset_refer_to_one_another(as_acme: TenantRef) -> None:
    staff = make_staff()
    spec = staff.spec()
    own, number = spec.own_references[0].name, spec.key[0]
    key = f"FOREIGN KEY ({own}) REFERENCES {spec.table}({number}) DEFERRABLE"
    assert (foreign_keys(spec.table), foreign_keys(spec.history_table)) == ([key], [])
    assert [one.label for one in spec.own_references] == ["Superior"]
    assert spec.own_references[0].options.target == Target(
        "staff", "Number", "integer", "Staff", staff.pk, staff.key[0]
    )
    head = add_record(staff, Number=1, Name="Ada", Superior=1)
    second = add_record(staff, Number=2, Name="Bo", Superior=1)
    assert [one.words for one in references.held(staff, "t.id = %s", [head.pk])] == ["1 record of “Staff”"]
    assert references.held(staff, "t.id IN (%s, %s)", [head.pk, second.pk]) == []
    assert [column.history.count() for column in staff.columns.all()] == [1, 1, 1]


def test_a_key_may_be_a_reference_itself(as_acme: TenantRef) -> None:
    make_customers()
    details = create_dataset(
        title="Details", columns=(refers_to("Customer", "customers"), NewColumn("Note")), key=("Customer",)
    )
    notes = create_dataset(title="Notes", columns=(NewColumn("No"), refers_to("Of", "details")))
    [column] = [one for one in notes.spec().columns if one.label == "Of"]
    assert (column.type, column.value_type) == ("reference", "text")
    assert column.options.target == Target(
        "details", "Customer", "text", "Details", details.pk, details.key[0]
    )


def test_what_cannot_be_referred_to_is_refused(as_acme: TenantRef) -> None:
    create_dataset(title="Keyless", columns=(NewColumn("A"),))
    create_dataset(title="Pairs", columns=(NewColumn("A"), NewColumn("B")), key=("A", "B"))
    make_customers()
    assert refusal(NewColumn("To", "reference")) == "“To” is a reference: say which dataset it refers to."
    assert refusal(refers_to("To", "nowhere")) == "“To” refers to “nowhere”; there is no such dataset."
    assert refusal(refers_to("To", "keyless")) == (
        "“To” refers to “Keyless”, which has no key; a reference needs a key of one column."
    )
    assert refusal(refers_to("To", "pairs")) == (
        "“To” refers to “Pairs”, which has a key of 2 columns; a reference needs a key of one column."
    )
    assert refusal(refers_to("To", ""), key=()) == (
        "“To” refers to its own dataset, which has no key; a reference needs a key of one column."
    )
    assert refusal(refers_to("To", ""), key=("To",)) == "“To” is the key; it cannot refer to itself."
    wrong_type = NewColumn(
        "To", "reference", options=ColumnOptions(target=Target("customers", type="integer"))
    )
    assert refusal(wrong_type) == (
        "“To” is stated as integer, but the key of “Customers” is text; state that, or nothing."
    )
    wrong_key = NewColumn("To", "reference", options=ColumnOptions(target=Target("customers", "Name")))
    assert refusal(wrong_key) == (
        "“To” refers to “Name” of “Customers”, whose key is “Customer no”; refer to that."
    )


def test_another_tenants_dataset_is_no_target(acme: TenantRef, globex: TenantRef) -> None:
    with in_tenant(acme):
        make_customers()
    with in_tenant(globex):
        assert (
            refusal(refers_to("To", "customers")) == "“To” refers to “customers”; there is no such dataset."
        )


def test_what_is_referred_to_neither_goes_nor_changes_its_key(as_acme: TenantRef) -> None:
    customers, orders = make_customers(), make_orders()
    key = customers.columns.get(label="Customer no")
    for act in (
        lambda: delete_dataset(dataset=customers),
        lambda: propose_change(dataset=customers, column=key, type="integer"),
        lambda: propose_key(dataset=customers, key=["Name"]),
    ):
        with pytest.raises(references.StillReferenced, match="“Customer” of “Orders” refers to it"):
            act()
    with pytest.raises(InvalidDefinition, match="cannot change from reference to date"):
        propose_change(dataset=orders, column=orders.columns.get(label="Customer"), type="date")
    change_column(customers, "Name", "long_text")
    change_column(orders, "Order no", "text")
    rename_dataset(dataset=customers, title="Clients", labels={key.pk: "Client"})
    target = column_of(orders, "Customer").options.target
    assert target is not None and (target.title, target.label) == ("Clients", "Client")
    delete_dataset(dataset=orders)
    delete_dataset(dataset=customers)
    staff = make_staff()
    delete_dataset(dataset=staff)
    assert list(Dataset.objects.all()) == []


def test_references_go_out_and_come_in_as_foreign_keys(as_acme: TenantRef) -> None:
    make_customers()
    made = make_orders(
        refers_to("Replaces", "", is_unique=True), refers_to("Payer", "customers", is_required=True)
    )
    schema: dict[str, Any] = json.loads(json.dumps(to_table_schema(made.spec())))
    assert schema["fields"][1] == {"name": "Customer", "type": "string"}
    assert schema["fields"][2] == {"name": "Replaces", "type": "integer", "constraints": {"unique": True}}
    assert schema["foreignKeys"] == [
        {"fields": ["Customer"], "reference": {"resource": "customers", "fields": ["Customer no"]}},
        {"fields": ["Replaces"], "reference": {"resource": "", "fields": ["Order no"]}},
        {"fields": ["Payer"], "reference": {"resource": "customers", "fields": ["Customer no"]}},
    ]
    stated = from_table_schema(schema)
    again = create_dataset(title="Again", slug="again", columns=stated.columns, key=stated.key)
    assert {**to_table_schema(again.spec()), "name": "orders", "title": "Orders"} == schema


@pytest.mark.parametrize(
    ("stated", "says"),
    [
        ({}, "must be a list"),
        ([{"fields": ["A", "B"], "reference": {"resource": "x", "fields": ["A", "B"]}}], "several fields"),
        ([{"fields": "Z", "reference": {"resource": "x", "fields": "K"}}], "“Z”, which is no column"),
        ([{"fields": "A"}], "must be a JSON object"),
        ([{"fields": "A", "reference": {"resource": 7}}], "must be a text"),
        ([{"fields": "A", "reference": {"resource": "x"}}] * 2, "more than once"),
    ],
)
def test_foreign_keys_that_cannot_be_kept_are_refused(stated: Any, says: str) -> None:
    schema = {"fields": [{"name": "A"}, {"name": "B"}], "foreignKeys": stated or {"A": "B"}}
    with pytest.raises(InvalidDefinition, match=says):
        from_table_schema(schema)


def test_rules_of_the_key_cannot_be_stated_of_a_reference() -> None:
    schema = {
        "fields": [{"name": "A", "type": "integer", "constraints": {"minimum": 1}}],
        "foreignKeys": [{"fields": "A", "reference": {"resource": "x"}}],
    }
    with pytest.raises(RowhouseError, match="“A” is reference, which has no minimum"):
        from_table_schema(schema)


def indexes_and_references(table: str) -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = %(table)s::regclass"
            " UNION SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = %(table)s::regclass",
            {"table": table},
        )
        return {sql for (sql,) in cursor.fetchall()}


def test_a_first_load_leaves_what_other_references_lean_on(as_acme: TenantRef) -> None:
    customers, staff = make_customers(), make_staff()
    make_orders(refers_to("By", "staff"))
    for dataset in (customers, staff):
        spec = dataset.spec()
        before = indexes_and_references(spec.table)
        with ddl.references_at_the_end(spec), bulk.first_load(spec, bulk.WORTH_IT_ROWS) as is_first:
            during = indexes_and_references(spec.table)
            assert is_first and during < before
        assert indexes_and_references(spec.table) == before
    alone = create_dataset(
        title="Alone", columns=(NewColumn("No", "integer"), refers_to("Next", "")), key=("No",)
    )
    spec = alone.spec()
    before = indexes_and_references(spec.table)
    add_record(alone, No=1, Next=1)
    get_row_model(alone).objects.all().delete()
    with ddl.references_at_the_end(spec), bulk.first_load(spec, bulk.WORTH_IT_ROWS):
        assert not any("FOREIGN KEY" in sql or "UNIQUE" in sql for sql in indexes_and_references(spec.table))
        add_record(alone, No=1, Next=2)
        add_record(alone, No=2, Next=1)
    assert indexes_and_references(spec.table) == before
    with (
        pytest.raises(IntegrityError),
        transaction.atomic(),
        bulk.first_load(make_staff(slug="more").spec(), bulk.WORTH_IT_ROWS),
    ):
        add_record(Dataset.objects.get(slug="more"), Number=1, Superior=2)
