"""What nobody's snapshot saw is told by history, and by when the oldest transaction began."""

from __future__ import annotations

from contextlib import closing

import pytest
from django.db import connection

from core.backend.places import Role
from core.tenancy import TenantRef, in_tenant
from datasets.unseen import oldest_transaction


@pytest.mark.parametrize("role", list(Role))
def test_the_oldest_transaction_is_told_inside_a_tenant(acme: TenantRef, globex: TenantRef, role: Role) -> None:
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
