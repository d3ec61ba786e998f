"""What nobody's snapshot saw is told by history, and by when the oldest transaction began."""

from __future__ import annotations

from contextlib import closing

import pytest
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper

from core.backend.places import Role
from core.tenancy import TenantRef, bind_connection, in_tenant
from datasets.models import Dataset
from datasets.rules import NewColumn
from datasets.services import create_dataset
from datasets.spec import DatasetSpec
from datasets.unseen import current_number, last_number, oldest_transaction


@pytest.mark.parametrize("role", list(Role))
def test_the_oldest_transaction_is_told_inside_a_tenant(
    acme: TenantRef, globex: TenantRef, role: Role
) -> None:
    """Also where another session of ours is at work in another tenant, with that tenant's rights."""
    other = connection.copy()
    with closing(other):
        other.set_autocommit(autocommit=False)
        with other.cursor() as cursor:
            cursor.execute("SELECT set_config('role', %s, true)", [f"{globex.schema}_owner"])
        with in_tenant(acme, role=role):
            oldest = oldest_transaction()
            with connection.cursor() as cursor:
                cursor.execute("SELECT now()")  # the beginning of the transaction
                (own,) = cursor.fetchone()
    assert oldest is not None
    assert oldest <= own


def test_a_transaction_that_began_before_ours_counts(as_acme: TenantRef) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT now()")
        (own,) = cursor.fetchone()
    other = connection.copy()
    with closing(other):
        other.set_autocommit(autocommit=False)
        with other.cursor() as cursor:
            cursor.execute("SELECT now()")
            (theirs,) = cursor.fetchone()
        assert oldest_transaction() == min(own, theirs)


def insert(spec: DatasetSpec, on: BaseDatabaseWrapper = connection) -> None:
    with on.cursor() as cursor:
        cursor.execute(f"INSERT INTO {spec.table} ({spec.columns[0].name}) VALUES ('a')")


def make_dataset() -> DatasetSpec:
    dataset: Dataset = create_dataset(title="Seen", columns=[NewColumn("word")], by=None)
    return dataset.spec()


def test_the_last_number_is_that_of_the_newest_entry(as_acme: TenantRef) -> None:
    spec = make_dataset()
    assert (last_number(spec), current_number(spec)) == (0, 0)
    insert(spec)
    insert(spec)
    assert (last_number(spec), current_number(spec)) == (2, 2)


def test_while_another_writes_there_is_no_last_number(committed_tenants: list[TenantRef]) -> None:
    """His entry has its number already and no snapshot sees it: later nothing would tell that it is new."""
    with in_tenant(committed_tenants[0]):
        spec = make_dataset()
        insert(spec)
        other = connection.copy()
        with closing(other):
            bind_connection(other)
            other.set_autocommit(autocommit=False)
            insert(spec, other)
            assert (last_number(spec), current_number(spec)) == (None, 2)
            other.commit()
            assert last_number(spec) == 2
            with other.cursor() as cursor:
                cursor.execute(f"SELECT count(*) FROM {spec.table}")
            assert last_number(spec) == 2  # who reads is no matter
