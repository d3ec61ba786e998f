"""What stands in the database once a dataset is created, and what is gone once it is deleted."""

from __future__ import annotations

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import IntegrityError, ProgrammingError, connection, transaction
from psycopg2.errors import CheckViolation

from core.tenancy import TenantRef, in_tenant
from datasets import services
from datasets.columntypes import type_of
from datasets.models import Column, Dataset
from datasets.rows import get_row_model
from datasets.rules import NewColumn
from datasets.spec import ColumnOptions
from datasets.tests.conftest import add_record, make_dataset, name_of


def catalog(query: str, table: str) -> list[tuple[str, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, [table])
        return sorted(tuple(row) for row in cursor.fetchall())


def indexes(table: str) -> list[str]:
    return [name for (name,) in catalog("SELECT indexname FROM pg_indexes WHERE tablename = %s", table)]


def constraints(table: str) -> list[tuple[str, ...]]:
    return catalog(
        "SELECT conname, contype::text FROM pg_constraint"
        " WHERE conrelid = to_regclass(%s) AND contype <> 'n'",
        table,
    )


def triggers(table: str) -> list[str]:
    query = "SELECT tgname FROM pg_trigger WHERE tgrelid = to_regclass(%s) AND NOT tgisinternal"
    return [name for (name,) in catalog(query, table)]


def test_a_dataset_has_exactly_the_expected_indexes_constraints_and_triggers(as_acme: TenantRef) -> None:
    columns = [
        NewColumn("No"),
        NewColumn("Line", "integer"),
        NewColumn("E-mail", is_required=True, is_unique=True),
        NewColumn("State", "choice", options=ColumnOptions(choices=("new",))),
    ]
    dataset = make_dataset(columns=columns, key=["No", "Line"])
    table, no, mail = f"ds_{dataset.pk}", name_of(dataset, "No"), name_of(dataset, "E-mail")
    assert indexes(table) == sorted([f"{table}_pkey", f"{table}_key", f"{table}_{mail}_unique"])
    state = name_of(dataset, "State")
    line = name_of(dataset, "Line")
    checks = [(f"{table}_{line}_is_allowed_{n}", "c") for n in range(1, 1 + _checks(dataset, "Line"))]
    assert constraints(table) == sorted(
        [
            (f"{table}_pkey", "p"),
            (f"{table}_key", "u"),
            (f"{table}_{mail}_unique", "u"),
            (f"{table}_{no}_is_filled", "c"),
            (f"{table}_{mail}_is_filled", "c"),
            (f"{table}_{state}_is_allowed_1", "c"),
            *checks,
        ]
    )
    assert triggers(table) == [f"{table}_del", f"{table}_ins", f"{table}_upd"]
    history = f"{table}_history"
    assert indexes(history) == sorted([f"{history}_pkey", f"{history}_of_record", f"{history}_by_date"])
    assert constraints(history) == [(f"{history}_pkey", "p")]
    assert triggers(history) == []


def _checks(dataset: Dataset, label: str) -> int:
    spec = dataset.columns.get(label=label).spec()
    return len(type_of(spec).checks(spec))


def test_the_models_types_are_the_tables(orders: Dataset) -> None:
    model = get_row_model(orders)
    for column in orders.spec().columns:
        wanted = type_of(column).sql_type(column)
        found = model._meta.get_field(column.name).db_type(connection)
        assert found.replace(", ", ",") in (wanted, wanted.replace("timestamptz", "timestamp with time zone"))


def test_the_database_itself_refuses_what_a_form_would(orders: Dataset) -> None:
    state = name_of(orders, "State")
    for values in ({"Order_no": None}, {"Order_no": ""}, {"Order_no": "B", "State": "lost"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            add_record(orders, **values)
    add_record(orders, Order_no="A")
    with pytest.raises(IntegrityError, match=f"ds_{orders.pk}_key"), transaction.atomic():
        add_record(orders, Order_no="A")
    with pytest.raises(IntegrityError) as refused, transaction.atomic():
        get_row_model(orders).objects.update(**{state: "lost"})
    assert isinstance(refused.value.__cause__, CheckViolation)


def test_an_empty_text_and_no_value_are_two_things(orders: Dataset) -> None:
    add_record(orders, Order_no="A", Customer="")
    add_record(orders, Order_no="B", Customer=None)
    customer = name_of(orders, "Customer")
    stored = get_row_model(orders).objects.order_by("id").values_list(customer, flat=True)
    assert list(stored) == ["", None]


def test_deleting_leaves_nothing_behind(orders: Dataset, globex: TenantRef) -> None:
    pk = orders.pk
    assert ContentType.objects.filter(app_label="datasets", model=f"ds{pk}").exists()
    services.delete_dataset(dataset=orders)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace"
            " AND (relname LIKE %s OR relname = %s)",
            [f"ds\\_{pk}\\_%", f"ds_{pk}"],
        )
        assert cursor.fetchall() == []
    assert not ContentType.objects.filter(app_label="datasets", model=f"ds{pk}").exists()
    assert not Dataset.objects.filter(pk=pk).exists()
    assert not Column.objects.filter(dataset_id=pk).exists()


def test_deleting_one_tenants_dataset_keeps_the_others(
    twins: dict[str, Dataset], acme: TenantRef, globex: TenantRef
) -> None:
    with in_tenant(globex):
        add_record(twins["globex"], Serial=1, Hall="north")
    with in_tenant(acme):
        services.delete_dataset(dataset=twins["acme"])
    with in_tenant(globex):
        assert get_row_model(twins["globex"]).objects.count() == 1


@pytest.mark.case("T25")
def test_a_table_missing_in_the_tenant_is_an_error_and_not_anothers(
    twins: dict[str, Dataset], acme: TenantRef, globex: TenantRef
) -> None:
    with in_tenant(acme):
        model = get_row_model(twins["acme"])
        services.delete_dataset(dataset=twins["acme"])
        with pytest.raises(ProgrammingError), transaction.atomic():
            model.objects.count()


def test_a_definition_that_fails_leaves_no_table_and_no_dataset(as_acme: TenantRef) -> None:
    with pytest.raises(services.InvalidDefinition):
        make_dataset(columns=[NewColumn("A"), NewColumn("A")], key=[])
    assert not Dataset.objects.exists()
