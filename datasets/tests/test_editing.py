"""The definition of a dataset that exists: columns added, arranged, retired, brought back, purged."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, ProgrammingError, connection, transaction

import jobs.services
from audit.models import Event
from core import clock
from core.errors import RowhouseError
from core.tenancy import TenantRef, in_public, in_tenant
from datasets import ddl, editing, signals
from datasets.definition import InvalidDefinition
from datasets.models import Column, Dataset
from datasets.rows import get_row_model
from datasets.rules import NewColumn
from datasets.services import DefinitionOutdated, rename_dataset
from datasets.spec import ColumnOptions
from datasets.tests.conftest import add_record, make_dataset, name_of, person
from datasets.tests.test_tables import catalog, constraints
from jobs.models import Job

WEIGHT = NewColumn("Weight", "decimal", options=ColumnOptions(precision=8, scale=3, minimum="0"))


def labels(dataset: Dataset) -> list[str]:
    return [column.label for column in dataset.spec().columns]


def column_of(dataset: Dataset, label: str) -> Column:
    return dataset.columns.get(label=label)


def version(dataset: Dataset) -> int:
    return Dataset.objects.get(pk=dataset.pk).definition_version


def physical(table: str) -> list[str]:
    query = "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped"
    return [name for (name,) in catalog(query, table)]


def run_purges() -> None:
    """Run the jobs whose time comes later, now."""
    with in_public():
        Job.objects.filter(kind="datasets.purge").update(not_before=clock.now() - timedelta(seconds=1))
    jobs.services.run_pending()


def test_a_column_is_added_to_records_and_to_their_history(orders: Dataset, acme: TenantRef) -> None:
    add_record(orders, Order_no="A")
    owner = person(acme, "owner")
    made = editing.add_columns(
        dataset=orders, columns=[WEIGHT, NewColumn("Bar code", is_unique=True)], seen=1, by=owner
    )
    assert labels(orders)[-2:] == ["Weight", "Bar code"] and version(orders) == 2
    weight, code = (f"c{column.pk}" for column in made)
    record = get_row_model(orders).objects.get()
    assert getattr(record, weight) is None
    setattr(record, weight, 5)
    setattr(record, code, "X")
    record.save()
    assert list(record.history.order_by("history_id").values_list(weight, code)) == [(None, None), (5, "X")]
    table = f"ds_{orders.pk}"
    assert {(f"{table}_{weight}_is_allowed_2", "c"), (f"{table}_{code}_unique", "u")} <= set(
        constraints(table)
    )
    for value in ({weight: -1}, {code: "X"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            get_row_model(orders).objects.create(**{name_of(orders, "Order no"): "B", **value})
    event = Event.objects.get(name="datasets.columns.added")
    assert (event.actor_id, event.data) == (owner.pk, {"labels": ["Weight", "Bar code"]})
    assert made[0].history.get().history_user_id == owner.pk


def test_a_required_column_can_only_be_added_while_there_are_no_records(orders: Dataset) -> None:
    [place] = editing.add_columns(dataset=orders, columns=[NewColumn("Place", is_required=True)])
    with pytest.raises(IntegrityError), transaction.atomic():
        get_row_model(orders).objects.create(**{name_of(orders, "Order no"): "A"})
    add_record(orders, Order_no="A", Place="Rome")
    with pytest.raises(InvalidDefinition, match="would have no value in “Hall”"):
        editing.add_columns(dataset=orders, columns=[NewColumn("Hall", is_required=True)])
    assert (labels(orders)[-1], version(orders)) == (place.label, 2)


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ([], "at least one column"),
        ([NewColumn("Note")], "“Note” stands more than once"),
        ([NewColumn("NOTE")], "differ only in case"),
        ([NewColumn("Kind", "choice")], "list what may be chosen"),
        ([NewColumn(f"n{n}") for n in range(492)], "501 columns; 500 are allowed"),
    ],
)
@pytest.mark.case("N16")
def test_columns_that_cannot_be_are_refused_whole(
    orders: Dataset, columns: list[NewColumn], problem: str
) -> None:
    before = physical(f"ds_{orders.pk}")
    with pytest.raises(InvalidDefinition, match=problem):
        editing.add_columns(dataset=orders, columns=columns)
    assert (physical(f"ds_{orders.pk}"), version(orders)) == (before, 1)


def test_columns_are_put_in_order_and_renamed_at_once_without_touching_the_table(orders: Dataset) -> None:
    before = physical(f"ds_{orders.pk}")
    order = [column.pk for column in orders.columns.in_use()]
    first, second = order[:2]
    assert not editing.arrange_columns(dataset=orders, order=order, seen=1)
    assert editing.arrange_columns(
        dataset=orders, order=[second, first], labels={first: "Customer", second: "Order no"}, seen=1
    )
    assert labels(orders)[:3] == ["Order no", "Customer", "Amount"] and version(orders) == 2
    assert [column.label for column in orders.spec().key_columns] == ["Customer"]
    assert physical(f"ds_{orders.pk}") == before
    assert Event.objects.get(name="datasets.columns.arranged").data["renamed"] == 2
    for wrong in ([first, first], [first, 10**9]):
        with pytest.raises(InvalidDefinition, match="Open the page again"):
            editing.arrange_columns(dataset=orders, order=wrong)


def test_of_two_editors_the_second_is_told_and_nothing_of_his_is_saved(orders: Dataset) -> None:
    note = column_of(orders, "Note")
    editing.retire_column(dataset=orders, column=column_of(orders, "Paid"), seen=1)
    late: list[Callable[[], Any]] = [
        lambda: editing.add_columns(dataset=orders, columns=[WEIGHT], seen=1),
        lambda: editing.arrange_columns(dataset=orders, order=[note.pk], seen=1),
        lambda: editing.retire_column(dataset=orders, column=note, seen=1),
        lambda: editing.bring_back_column(dataset=orders, column=column_of(orders, "Paid"), seen=1),
    ]
    for change in late:
        with pytest.raises(DefinitionOutdated, match="has version 2, and you saw version 1. Nothing"):
            change()
    assert (labels(orders)[-1], version(orders)) == ("Note", 2)


def test_a_retired_column_is_nowhere_and_its_values_come_back_with_it(orders: Dataset) -> None:
    code = editing.add_columns(dataset=orders, columns=[NewColumn("Code", is_required=True, is_unique=True)])[
        0
    ]
    add_record(orders, Order_no="A", Code="one")
    old_class = get_row_model(orders)
    editing.retire_column(dataset=orders, column=code)
    assert "Code" not in labels(orders)
    assert f"c{code.pk}" not in {field.name for field in get_row_model(orders)._meta.fields}
    add_record(orders, Order_no="B")
    # A request that began before still holds the old class.
    old_class.objects.create(**{name_of(orders, "Order no"): "C", f"c{code.pk}": "three"})
    editing.add_columns(dataset=orders, columns=[NewColumn("Code")])  # its label is free
    with pytest.raises(InvalidDefinition, match="“Code” stands more than once"):
        editing.bring_back_column(dataset=orders, column=code)
    editing.bring_back_column(dataset=orders, column=code, label="Old code")
    [column] = [one for one in orders.spec().columns if one.label == "Old code"]
    assert (column.is_required, column.is_unique) == (False, True)
    model = get_row_model(orders)
    values = model.objects.order_by("id").values_list(column.name, flat=True)
    assert list(values) == ["one", None, "three"]
    with pytest.raises(IntegrityError), transaction.atomic():
        model.objects.create(**{name_of(orders, "Order no"): "D", column.name: "one"})
    assert [one.history_type for one in code.history.order_by("history_id")] == ["+", "~", "~"]
    names = Event.objects.filter(data__column=code.pk).order_by("pk").values_list("name", flat=True)
    assert list(names) == ["datasets.column.retired", "datasets.column.brought_back"]


def test_key_columns_and_the_last_column_stay(orders: Dataset) -> None:
    with pytest.raises(editing.ColumnKept, match="part of the key"):
        editing.retire_column(dataset=orders, column=column_of(orders, "Order no"))
    lone = make_dataset("Lone", [NewColumn("only")], key=())
    with pytest.raises(editing.ColumnKept, match="only column left"):
        editing.retire_column(dataset=lone, column=column_of(lone, "only"))
    note = column_of(orders, "Note")
    editing.retire_column(dataset=orders, column=note)
    with pytest.raises(editing.ColumnKept, match="retired already"):
        editing.retire_column(dataset=orders, column=note)


def test_a_purge_is_confirmed_by_the_label_waits_and_takes_the_values_out_of_history(
    orders: Dataset, acme: TenantRef
) -> None:
    owner, note = person(acme, "owner"), column_of(orders, "Note")
    add_record(orders, Order_no="A", Note="secret")
    with pytest.raises(editing.NotRetired):
        editing.order_purge(dataset=orders, column=note, typed="Note")
    editing.retire_column(dataset=orders, column=note)
    with pytest.raises(editing.PurgeNotConfirmed):
        editing.order_purge(dataset=orders, column=note, typed="note")
    at = editing.order_purge(dataset=orders, column=note, typed=" Note ", by=owner)
    assert at - clock.now() > timedelta(days=6)
    jobs.services.run_pending()
    tables = (f"ds_{orders.pk}", f"ds_{orders.pk}_history")
    assert all(f"c{note.pk}" in physical(table) for table in tables)  # it waits
    run_purges()
    assert not any(f"c{note.pk}" in physical(table) for table in tables)
    assert not Column.objects.filter(pk=note.pk).exists()
    add_record(orders, Order_no="B")  # history goes on
    assert get_row_model(orders).history.count() == 2
    last = Column.history.filter(id=note.pk).latest()
    assert (last.history_type, last.history_user_id, last.label) == ("-", owner.pk, "Note")
    event = Event.objects.get(name="datasets.column.purged")
    assert (event.actor_id, event.data) == (owner.pk, {"column": note.pk, "label": "Note"})


def test_a_purge_is_called_off_by_bringing_the_column_back_or_by_word(orders: Dataset) -> None:
    note, paid = column_of(orders, "Note"), column_of(orders, "Paid")
    for column in (note, paid):
        editing.retire_column(dataset=orders, column=column)
        editing.order_purge(dataset=orders, column=column, typed=column.label, at_once=True)
    editing.bring_back_column(dataset=orders, column=note)
    editing.call_off_purge(dataset=orders, column=paid)
    run_purges()
    paid.refresh_from_db()
    assert (paid.is_retired, paid.purge_at) == (True, None)
    assert {f"c{note.pk}", f"c{paid.pk}"} <= set(physical(f"ds_{orders.pk}"))
    editing.order_purge(dataset=orders, column=paid, typed="Paid")  # a new order counts
    run_purges()
    assert f"c{paid.pk}" not in physical(f"ds_{orders.pk}")


def test_what_an_app_above_works_on_does_not_change_and_a_purge_waits_for_it(orders: Dataset) -> None:
    class ImportRunning(RowhouseError):
        """Stands for what an app above raises."""

    def refuse(dataset: Dataset, **_: Any) -> None:
        raise ImportRunning("An import is running. Wait for it or cancel it.")

    note = column_of(orders, "Note")
    editing.retire_column(dataset=orders, column=note)
    editing.order_purge(dataset=orders, column=note, typed="Note", at_once=True)
    signals.changing.connect(refuse)
    try:
        with pytest.raises(ImportRunning):
            editing.add_columns(dataset=orders, columns=[WEIGHT])
        with pytest.raises(ImportRunning):
            editing.retire_column(dataset=orders, column=column_of(orders, "Paid"))
        run_purges()
    finally:
        signals.changing.disconnect(refuse)
    note.refresh_from_db()
    assert note.purge_at is not None and note.purge_at > clock.now() + timedelta(minutes=9)
    assert version(orders) == 2
    run_purges()
    assert f"c{note.pk}" not in physical(f"ds_{orders.pk}")


def test_another_tenants_column_of_the_same_number_is_not_touched(
    twins: dict[str, Dataset], acme: TenantRef, globex: TenantRef
) -> None:
    with in_tenant(acme):
        hall = Column.objects.get(label="Customer")
        editing.retire_column(dataset=twins["acme"], column=hall)
        editing.order_purge(dataset=twins["acme"], column=hall, typed="Customer", at_once=True)
    run_purges()
    with in_tenant(globex):
        assert [column.label for column in twins["globex"].spec().columns] == ["Serial", "Hall"]
        assert f"c{hall.pk}" in physical(f"ds_{twins['globex'].pk}")
        add_record(twins["globex"], Serial=1, Hall="north")
    with in_tenant(acme):
        assert f"c{hall.pk}" not in physical(f"ds_{twins['acme'].pk}")
        other = make_dataset("Other")
        with pytest.raises(Column.DoesNotExist):
            editing.retire_column(dataset=other, column=column_of(twins["acme"], "Note"))


def test_a_definition_changed_by_another_way_counts_too(orders: Dataset) -> None:
    rename_dataset(dataset=orders, title="Sales")
    with pytest.raises(DefinitionOutdated, match="“Sales”"):
        editing.add_columns(dataset=orders, columns=[WEIGHT], seen=1)


@pytest.mark.case("C07")
def test_a_change_waits_for_readers_in_short_turns_then_says_that_the_dataset_is_busy(
    committed_tenants: list[TenantRef],
) -> None:
    tenant = committed_tenants[0]
    with in_tenant(tenant):
        dataset = make_dataset()
        add_record(dataset, Order_no="A")
    held, go, read = threading.Event(), threading.Event(), threading.Event()

    def hold() -> None:
        with in_tenant(tenant), transaction.atomic():
            list(get_row_model(dataset).objects.all())
            held.set()
            go.wait(30)
        connection.close()

    def look() -> None:  # a reader that comes while the change waits: it gets its turn
        with in_tenant(tenant):
            list(get_row_model(dataset).objects.all())
        read.set()
        connection.close()

    threads = [threading.Thread(target=hold), threading.Thread(target=look)]
    threads[0].start()
    assert held.wait(10)
    try:
        with in_tenant(tenant):
            threads[1].start()
            with pytest.raises(ddl.DatasetBusy, match="Other work is using this dataset"):
                editing.add_columns(dataset=dataset, columns=[WEIGHT])
            assert read.wait(10)
            assert labels(dataset)[-1] == "Note" and version(dataset) == 1
            # The reader ends while the change tries again.
            threading.Timer(0.5, go.set).start()
            editing.add_columns(dataset=dataset, columns=[WEIGHT], seen=1)
            assert labels(dataset)[-1] == "Weight" and version(dataset) == 2
    finally:
        go.set()
        for thread in threads:
            thread.join(10)


def test_records_are_written_all_the_while_columns_come_and_go(
    committed_tenants: list[TenantRef],
) -> None:
    tenant = committed_tenants[0]
    with in_tenant(tenant):
        dataset = make_dataset()
    over, faults, written = threading.Event(), [], []

    def write(name: str) -> None:
        try:
            number = 0
            while not over.is_set():
                with in_tenant(tenant):  # a request: it reads the definition, then writes by it
                    add_record(Dataset.objects.get(pk=dataset.pk), Order_no=f"{name}{number}", Customer="x")
                    written.append(name)
                number += 1
        except ProgrammingError as error:
            faults.append(error)
        finally:
            connection.close()

    writers = [threading.Thread(target=write, args=(name,)) for name in "AB"]
    for writer in writers:
        writer.start()
    try:
        with in_tenant(tenant):
            for turn in range(3):
                [made] = editing.add_columns(dataset=dataset, columns=[NewColumn(f"extra {turn}")])
                editing.arrange_columns(dataset=dataset, order=[made.pk])
                editing.retire_column(dataset=dataset, column=made)
    finally:
        over.set()
        for writer in writers:
            writer.join(20)
    assert faults == []
    with in_tenant(tenant):
        model = get_row_model(Dataset.objects.get(pk=dataset.pk))
        assert model.objects.count() == model.history.count() == len(written) > 0
        assert version(dataset) == 10
