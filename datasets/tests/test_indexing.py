"""Indexes on request: who may ask, what is built beside everybody's work, what a search then reads."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection, transaction
from pytest_django.plugin import DjangoDbBlocker

from core.tenancy import TenantRef, in_tenant, leave_tenant
from datasets import indexing, services
from datasets.models import Dataset, RecordIndex
from datasets.rules import NewColumn
from datasets.spec import ColumnOptions
from datasets.tests.changes import change_column
from datasets.tests.conftest import add_record, make_dataset, name_of, person
from datasets.tests.pages import Visitor, page, rows_url
from jobs import services as jobs


def existing(dataset: Dataset) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = to_regclass(%s) AND indisvalid"
            " AND indexrelid::regclass::text LIKE '%%_index_%%' ORDER BY indexrelid",
            [f"ds_{dataset.pk}"],
        )
        return [definition.partition(" USING ")[2] for (definition,) in cursor.fetchall()]


def plan(sql: str) -> str:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN {sql}")
        return "\n".join(line for (line,) in cursor.fetchall())


@pytest.fixture
def first(committed_tenants: list[TenantRef], django_db_blocker: DjangoDbBlocker) -> Any:
    """A tenant whose data other connections see."""
    with django_db_blocker.unblock():
        yield committed_tenants[0]
        leave_tenant()


def test_indexes_are_built_beside_everybodys_work_and_removed(first: TenantRef) -> None:
    columns = [
        NewColumn("Name", "text"), NewColumn("Pieces", "integer"), NewColumn("Day", "date"),
        NewColumn("State", "choice", options=ColumnOptions(choices=("new", "done"))),
    ]  # fmt: skip
    owner = person(first, "owner")
    with in_tenant(first):
        dataset = make_dataset("Things", columns, ())
        add_record(dataset, Name="Ada Lovelace", Pieces=3, State="new")
        name, pieces, state = (name_of(dataset, label) for label in ("Name", "Pieces", "State"))
        made = indexing.make_search_fast(dataset=dataset, by=owner)
        with pytest.raises(indexing.NotIndexable):
            indexing.make_search_fast(dataset=dataset, by=owner)
        day = next(one for one in dataset.spec().columns if one.label == "Day")
        with pytest.raises(indexing.IndexBusy):
            indexing.request_sort_index(dataset=dataset, column=day, by=owner)
        with pytest.raises(indexing.IndexBusy):
            indexing.remove_index(index=made[0], by=owner)
        assert made[0].index_name == f"ds_{dataset.pk}_index_{made[0].pk}"
        job = RecordIndex.objects.get(pk=made[0].pk).job_id
        assert job is not None
        assert jobs.run_until_done(job).state == "DONE"
        assert set(RecordIndex.objects.values_list("state", flat=True)) == {"READY"}
        assert existing(dataset) == [
            f"gin (upper({name}) ext.gin_trgm_ops)", f"gin (upper({state}) ext.gin_trgm_ops)",
            f"btree ({pieces}, id)",
        ]  # fmt: skip
        searched = f'SELECT id FROM "ds_{dataset.pk}" WHERE UPPER("{name}"::text) LIKE UPPER(\'%lovel%\')'
        assert "Bitmap Index Scan" in plan(searched)
        # A type that no such index fits takes it along; the others stay.
        change_column(dataset, "Pieces", "long_text")
        assert len(existing(dataset)) == 2 and RecordIndex.objects.count() == 2
        indexing.remove_index(index=RecordIndex.objects.get(column__label="Name"), by=owner)
        assert existing(dataset) == [f"gin (upper({state}) ext.gin_trgm_ops)"]
        services.delete_dataset(dataset=dataset)
        assert not RecordIndex.objects.exists()
        # One that is not built leaves nothing behind, and can be asked for again.
        dataset = make_dataset(
            "Things", [NewColumn("Name", "text", options=ColumnOptions(max_length=600))], ()
        )
        column = dataset.spec().columns[0]
        index = indexing.request_sort_index(dataset=dataset, column=column, by=owner)
        job = RecordIndex.objects.get(pk=index.pk).job_id
        assert job is not None
        jobs.cancel(job)
        jobs.run_until_done(job)
        assert RecordIndex.objects.values_list("state", "error").get() == ("FAILED", "It was cancelled.")
        assert existing(dataset) == []
        again = indexing.request_sort_index(dataset=dataset, column=column, by=owner)
        job = RecordIndex.objects.get(pk=again.pk).job_id
        assert job is not None
        # A worker that died left half an index of this name behind.
        with connection.cursor() as cursor:
            cursor.execute(f'CREATE INDEX "{again.index_name}" ON "ds_{dataset.pk}" (id)')
        jobs.run_until_done(job)
        assert existing(dataset) == [f"btree ({column.name}, id)"]


def test_texts_that_may_grow_too_long_are_not_indexed_for_sorting(orders: Dataset, acme: TenantRef) -> None:
    owner = person(acme, "owner")
    labels = {one.label: indexing.why_not_sorted(one) for one in orders.spec().columns}
    assert [label for label, reason in labels.items() if reason] == ["Order no", "Customer", "Note"]
    for label in ("Customer", "Order no"):
        column = next(one for one in orders.spec().columns if one.label == label)
        with pytest.raises(indexing.NotIndexable):
            indexing.request_sort_index(dataset=orders, column=column, by=owner)


def test_the_page_of_indexes_is_for_who_may_change_the_dataset(
    orders: Dataset, at_acme: Visitor, client_of: Any, acme: TenantRef
) -> None:
    editor = Visitor(client_of(acme, "editor"))
    url, amount = rows_url(orders, "indexes"), name_of(orders, "Amount")
    assert "Make search fast" in page(at_acme, url) and "None yet besides" in page(at_acme, url)
    assert editor.get(url).status_code == 403
    assert editor.post(url, {"do": "sort", "column": amount}).status_code == 403
    assert at_acme.post(url, {"do": "sort", "column": amount}).status_code == 302
    html = page(at_acme, url)
    assert "waiting or being built" in html and 'hx-trigger="every 2s"' in html
    at_acme.post(url, {"do": "sort", "column": amount})
    assert RecordIndex.objects.count() == 1
    for form in (
        {},
        {"do": "remove", "index": "²"},
        {"do": "remove", "index": "9"},
        {"do": "sort", "column": "c0"},
    ):
        assert at_acme.post(url, form).status_code == 404


def test_a_slow_sort_and_search_are_offered_help_where_it_pays(
    orders: Dataset, at_acme: Visitor, client_of: Any, acme: TenantRef, monkeypatch: Any
) -> None:
    amount, note = name_of(orders, "Amount"), name_of(orders, "Note")
    add_record(orders, Order_no="A1")
    assert "Index Amount" not in page(at_acme, rows_url(orders) + f"?sort={amount}")
    monkeypatch.setattr(indexing, "OFFER_FROM", 1)
    assert "Index Amount" in page(at_acme, rows_url(orders) + f"?sort={amount}")
    assert "Index Note" not in page(at_acme, rows_url(orders) + f"?sort={note}")
    assert "How to make search fast" in page(at_acme, rows_url(orders) + "?q=ada")
    editor = Visitor(client_of(acme, "editor"))
    assert "Index Amount" not in page(editor, rows_url(orders) + f"?sort={amount}&q=ada")
