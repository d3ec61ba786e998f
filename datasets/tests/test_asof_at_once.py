"""As of a moment while transactions overlap: real connections, real commits."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from core.tenancy import TenantRef, in_tenant
from datasets.asof import is_being_written, records_as_of
from datasets.models import Dataset
from datasets.tests.conftest import add_record, make_dataset, name_of
from datasets.tests.moments import database_time
from datasets.tests.test_references_at_once import PATIENCE_SECONDS, is_waiting, wait_for


def elsewhere[T](tenant: TenantRef, do: Callable[[], T]) -> Callable[[], T]:
    """Return what does something on another connection, in the tenant, and commits."""

    def run() -> T:
        try:
            with in_tenant(tenant), transaction.atomic():
                return do()
        finally:
            connection.close()

    return run


def customers(dataset: Dataset, at: datetime) -> list[Any]:
    spec, customer = Dataset.objects.get(pk=dataset.pk).spec(), name_of(dataset, "Customer")
    both = [
        list(records_as_of(spec, at, all_of_them=way).order_by("pk").values_list(customer, flat=True))
        for way in (False, True)
    ]
    assert both[0] == both[1]
    return both[0]


def test_what_is_not_committed_is_not_there_and_then_counts_from_its_statement(
    committed_tenants: list[TenantRef],
) -> None:
    tenant = committed_tenants[0]
    with in_tenant(tenant):
        orders = make_dataset()
        record = add_record(orders, Order_no="A1", Customer="before")
        customer, before = name_of(orders, "Customer"), database_time()
        assert not is_being_written(orders.spec())
    update = f"UPDATE ds_{orders.pk} SET {customer} = %s WHERE id = %s"

    def look() -> tuple[datetime, bool, list[Any]]:
        at = database_time()
        return at, is_being_written(orders.spec()), customers(orders, at)

    with ThreadPoolExecutor(1) as pool:
        with in_tenant(tenant), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(update, ["after", record.pk])
            at, is_written, seen = pool.submit(elsewhere(tenant, look)).result(PATIENCE_SECONDS)
            assert (is_written, seen) == (True, ["before"])
            cursor.execute(f"DELETE FROM ds_{orders.pk} WHERE id = %s", [record.pk])
        later, is_written, gone = pool.submit(elsewhere(tenant, look)).result(PATIENCE_SECONDS)
    assert (is_written, gone) == (False, [])
    with in_tenant(tenant):
        # The moment was looked at while the transaction was open, and lies between its statements.
        assert customers(orders, at) == ["after"]
        assert customers(orders, before) == ["before"]
        assert customers(orders, later) == []


def test_who_waited_for_a_record_wrote_after_whom_he_waited_for(committed_tenants: list[TenantRef]) -> None:
    tenant = committed_tenants[0]
    with in_tenant(tenant):
        orders = make_dataset()
        record = add_record(orders, Order_no="A1", Customer="before")
        customer = name_of(orders, "Customer")
    update = f"UPDATE ds_{orders.pk} SET {customer} = %s WHERE id = %s"

    def wait() -> str:
        with connection.cursor() as cursor:
            cursor.execute(update, ["waited", record.pk])
        return "done"

    with ThreadPoolExecutor(1) as pool:
        with in_tenant(tenant), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(update, ["first", record.pk])
            waiting = pool.submit(elsewhere(tenant, wait))
            wait_for(is_waiting, waiting)
            between = database_time()
            cursor.execute(update, ["first, again", record.pk])  # later than the statement that waits for it
            after = database_time()
        waiting.result(PATIENCE_SECONDS)
    with in_tenant(tenant):
        for at in (between, after, database_time()):
            assert customers(orders, at) == ["waited"]
