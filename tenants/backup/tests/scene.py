"""A tenant that has lived: datasets that refer to each other, history, an import that waits, export files, people."""

from __future__ import annotations

import io
from typing import Any

from django.db import connection

from audit.actor import actor
from core import space
from core.tenancy import TenantRef, in_tenant
from datasets.models import Dataset
from datasets.rules import NewColumn
from datasets.services import create_dataset
from datasets.tests.references import make_customers, refers_to
from exporter.tests.helpers import export
from importer.services import create_import
from jobs import services as jobs
from tenants.models import Tenant

NASTY = ["tab\there", "line\nbreak", "back\\slash \\N", "", "ünï – 数", 'quote "and" comma,', "\\."]
COLUMNS = [
    NewColumn("id", "integer", is_required=True),
    NewColumn("note", "text"),
    NewColumn("amount", "decimal"),
    NewColumn("due", "date"),
]


def fill(tenant: TenantRef) -> Dataset:
    """Give a tenant something of everything, and return one of its datasets."""
    with in_tenant(tenant):
        dataset = create_dataset(title="Orders", columns=COLUMNS, key=["id"], by=None)
        spec = dataset.spec()
        names = ", ".join(column.name for column in spec.columns)
        rows: list[tuple[Any, ...]] = [
            (number, text, "10.50", "2026-08-26") for number, text in enumerate(NASTY)
        ]
        rows.append((len(NASTY), None, None, None))
        with actor(None, "a test"), connection.cursor() as cursor:
            cursor.executemany(f"INSERT INTO {spec.table} ({names}) VALUES (%s, %s, %s, %s)", rows)
            cursor.execute(f"UPDATE {spec.table} SET {spec.columns[2].name} = 11 WHERE id = 1")
            cursor.execute(f"DELETE FROM {spec.table} WHERE id = 2")
        make_customers()
        visits = [NewColumn("No", "integer"), refers_to("Customer", "customers"), refers_to("After", "")]
        create_dataset(title="Visits", columns=visits, key=["No"], by=None)
        create_dataset(title="Empty", columns=COLUMNS, key=["id"], by=None)
        export()
        file = io.BytesIO(b"id,note,amount,due\n100,new,1.5,2026-01-01\n")
        create_import(dataset=dataset, file=file, name="orders.csv", by=None)
        jobs.run_pending()
        return dataset


def rows_of(tenant: TenantRef, table: str, columns: str = "*") -> list[tuple[Any, ...]]:
    """Return a table's rows in their own order."""
    with in_tenant(tenant), connection.cursor() as cursor:
        cursor.execute(f"SELECT {columns} FROM {table} ORDER BY 1")
        return list(cursor.fetchall())


def keys_of(tenant: TenantRef) -> set[str]:
    """Return the keys that a tenant's rows speak of."""
    with in_tenant(tenant):
        return set(space.stored_keys())


def tenant_of(ref: TenantRef) -> Tenant:
    return Tenant.objects.get(slug=ref.slug)


def schemas() -> set[str]:
    """Return the names of all tenants' schemas, and of what looks like one."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 't\\_%%'")
        return {name for (name,) in cursor.fetchall()}
