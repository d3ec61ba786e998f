"""Datasets to test with: orders at acme and, with the same number but other columns, at globex."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from django.db import connection

from accounts.models import User
from core.tenancy import TenantRef, in_tenant
from datasets import services
from datasets.models import Dataset
from datasets.rows import get_row_model
from datasets.rules import NewColumn
from datasets.spec import ColumnOptions
from datasets.tests.pages import Visitor, by_name

ORDERS = (
    NewColumn("Order no", "text"),
    NewColumn("Customer", "text"),
    NewColumn("Amount", "decimal", options=ColumnOptions(precision=10, scale=2)),
    NewColumn("Pieces", "integer"),
    NewColumn("Paid", "boolean"),
    NewColumn("Ordered on", "date"),
    NewColumn("Shipped at", "timestamp"),
    NewColumn("State", "choice", options=ColumnOptions(choices=("new", "open", "done"))),
    NewColumn("Note", "long_text"),
)
MACHINES = (NewColumn("Serial", "integer"), NewColumn("Hall", "text", is_required=True))
MakeDataset = Callable[..., Dataset]


def make_dataset(
    title: str = "Orders",
    columns: Sequence[NewColumn] = ORDERS,
    key: Sequence[str] = ("Order no",),
    **more: Any,
) -> Dataset:
    """Create a dataset in the current tenant."""
    return services.create_dataset(title=title, columns=columns, key=key, **more)


def add_record(dataset: Dataset, **values: Any) -> Any:
    """Add a record by labels with blanks as underscores: add_record(orders, Order_no="A1")."""
    return get_row_model(dataset).objects.create(**by_name(dataset, values))


def name_of(dataset: Dataset, label: str) -> str:
    """Return a column's physical name."""
    return f"c{dataset.columns.get(label=label).pk}"


def person(tenant: TenantRef, role: str) -> User:
    """Return a tenant's owner, editor or viewer."""
    with in_tenant(tenant):
        return User.objects.get(email=f"{role}@{tenant.slug}.example")


def newcomer(email: str) -> User:
    """Return a new user of the current tenant without any right."""
    return User.objects.create_user(email, "correct horse battery")


@pytest.fixture
def orders(as_acme: TenantRef) -> Dataset:
    """Orders of acme, inside acme."""
    return make_dataset()


@pytest.fixture
def at_acme(client_of: Any, acme: TenantRef) -> Visitor:
    """The owner of acme, signed in."""
    return Visitor(client_of(acme))


@pytest.fixture
def at_globex(client_of: Any, globex: TenantRef) -> Visitor:
    """The owner of globex, signed in."""
    return Visitor(client_of(globex))


@pytest.fixture
def twins(acme: TenantRef, globex: TenantRef) -> dict[str, Dataset]:
    """A dataset with the same number at both tenants: orders at acme, machines at globex, outside of both."""
    made = {}
    for tenant, title, columns, key in (
        (acme, "Orders", ORDERS, ["Order no"]),
        (globex, "Machines", MACHINES, ["Serial"]),
    ):
        with in_tenant(tenant):
            with connection.cursor() as cursor:
                for table in ("datasets_dataset", "datasets_column"):
                    cursor.execute(f"ALTER TABLE {table} ALTER id RESTART WITH 900001")
            made[tenant.slug] = make_dataset(title, columns, key)
    assert made["acme"].pk == made["globex"].pk
    return made
