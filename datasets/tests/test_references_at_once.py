"""References under two transactions at once: real connections, real commits."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from django.db import IntegrityError, connection, transaction

from core.tenancy import TenantRef, in_tenant
from datasets.tests.conftest import add_record, name_of
from datasets.tests.references import make_customers, make_orders

PATIENCE_SECONDS = 20


def is_waiting() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
        return bool(cursor.fetchone()[0])


def one_after_the_other(tenant: TenantRef, first: str, second: str) -> str:
    """Begin `first`, let somebody else do `second`, which must wait; commit, and return what came of the second."""

    def other() -> str:
        try:
            with in_tenant(tenant), transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(second)
            return "done"
        except IntegrityError as error:
            return str(error.__cause__.diag.message_detail)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with in_tenant(tenant), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(first)
            answer = pool.submit(other)
            wait_for(is_waiting, answer)
        return answer.result(PATIENCE_SECONDS)


def wait_for(condition: Callable[[], bool], answer: Future[str]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert not answer.done(), answer.result()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_reference_and_the_deletion_of_its_record_never_both_happen(
    committed_tenants: list[TenantRef],
) -> None:
    tenant = committed_tenants[0]
    with in_tenant(tenant):
        customers, orders = make_customers(), make_orders()
        for key in ("C1", "C2", "C3"):
            add_record(customers, Customer_no=key)
        add_record(orders, Order_no=9, Customer="C3")
        key, number, customer = (
            name_of(customers, "Customer no"),
            name_of(orders, "Order no"),
            name_of(orders, "Customer"),
        )
    insert = f"INSERT INTO ds_{orders.pk} ({number}, {customer}) VALUES ({{}}, '{{}}')"
    delete = f"DELETE FROM ds_{customers.pk} WHERE {key} = '{{}}'"
    rename = f"UPDATE ds_{customers.pk} SET {key} = 'C7' WHERE {key} = '{{}}'"
    repoint = f"UPDATE ds_{orders.pk} SET {customer} = '{{}}' WHERE {number} = 9"
    held = f'Key ({key})=({{}}) is still referenced from table "ds_{orders.pk}".'
    lost = f'Key ({customer})=({{}}) is not present in table "ds_{customers.pk}".'
    assert one_after_the_other(tenant, insert.format(1, "C1"), delete.format("C1")) == held.format("C1")
    assert one_after_the_other(tenant, insert.format(2, "C1"), rename.format("C1")) == held.format("C1")
    assert one_after_the_other(tenant, delete.format("C2"), insert.format(3, "C2")) == lost.format("C2")
    assert one_after_the_other(tenant, repoint.format("C1"), delete.format("C1")) == held.format("C1")
    # Nobody refers to C3 any more.
    assert one_after_the_other(tenant, delete.format("C3"), repoint.format("C3")) == lost.format("C3")


def test_references_are_not_written_where_others_commits_are_not_seen(
    committed_tenants: list[TenantRef],
) -> None:
    with in_tenant(committed_tenants[0]):
        make_customers()
        orders = make_orders()
        with (
            pytest.raises(Exception, match="READ COMMITTED transactions only"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            cursor.execute(f"INSERT INTO ds_{orders.pk} ({name_of(orders, 'Order no')}) VALUES (1)")
