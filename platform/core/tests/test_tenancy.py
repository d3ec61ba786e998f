from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import cast

import pytest
from django.db import DataError, ProgrammingError, connection, transaction

from core.backend.base import DatabaseWrapper
from core.backend.places import Role
from core.tenancy import (
    NoTenant,
    TenantCrossing,
    TenantRef,
    as_owner,
    current_tenant,
    in_public,
    in_tenant,
    leave_tenant,
    tenant_or_none,
)


def search_path() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_schema()")
        return str(cursor.fetchone()[0])


@pytest.mark.case("T21")
def test_without_a_tenant_there_is_none_to_fall_back_to(db):
    with pytest.raises(NoTenant):
        current_tenant()


def test_the_door_binds_and_unbinds(acme):
    with in_tenant(acme):
        assert (current_tenant(), search_path()) == (acme, acme.schema)
    assert (tenant_or_none(), search_path()) == (None, "public")


def test_the_door_is_left_on_an_exception(acme):
    with pytest.raises(ZeroDivisionError), in_tenant(acme):
        1 / 0  # noqa: B018
    assert (tenant_or_none(), search_path()) == (None, "public")


def test_one_tenant_is_not_entered_from_another(acme, globex):
    with in_tenant(acme):
        with pytest.raises(TenantCrossing), in_tenant(globex):
            pass
        assert search_path() == acme.schema


def test_the_platform_is_reached_from_inside_and_left_again(acme):
    with in_tenant(acme):
        with in_public():
            assert (tenant_or_none(), search_path()) == (None, "public")
        assert (current_tenant(), search_path()) == (acme, acme.schema)


@pytest.mark.case("T25")
def test_a_table_missing_in_the_tenant_is_not_read_from_public(acme):
    with in_tenant(acme), pytest.raises(ProgrammingError), connection.cursor() as cursor:
        cursor.execute("SELECT * FROM tenants_tenant")


@pytest.mark.case("T25")
def test_tenant_tables_do_not_exist_outside_a_tenant(db):
    from accounts.models import User  # noqa: PLC0415 -- beside its use

    with pytest.raises(ProgrammingError):
        User.objects.count()


def test_threads_do_not_share_a_tenant(acme, globex):
    def other() -> TenantRef | None:
        return tenant_or_none()

    with in_tenant(acme), ThreadPoolExecutor(1) as pool:
        assert pool.submit(other).result() is None


def test_leaving_forgets_whatever_was_bound(acme):
    with in_tenant(acme):
        leave_tenant()
        assert (tenant_or_none(), search_path()) == (None, "public")


@pytest.mark.case("N12")
@pytest.mark.parametrize(
    "schema", ["public", "t_ACME1234", "..", "%s", "information_schema", "t_" + "é" * 20, "t_abc"]
)
def test_a_schema_name_is_generated_or_refused(schema):
    with pytest.raises(ValueError, match="schema"):
        TenantRef(schema, "acme")


@pytest.mark.case("T21")
def test_a_place_that_is_not_there_is_an_error_and_not_the_one_before(acme):
    with in_tenant(acme):
        assert search_path() == acme.schema
    nowhere = TenantRef("t_nobodymadeit", "nowhere")
    with pytest.raises(DataError, match="does not exist"), transaction.atomic(), in_tenant(nowhere):
        search_path()
    with in_tenant(acme):
        assert search_path() == acme.schema


def test_a_connection_that_has_served_many_schemas_is_replaced_between_requests(db, monkeypatch):
    monkeypatch.setattr("core.backend.base.SCHEMAS_PER_CONNECTION", 3)
    monkeypatch.setattr(DatabaseWrapper, "place", property(lambda self: None))  # these schemas are none

    def serve(own, *schemas):
        """Ask in each schema, then do what Django does at the end of a request; say which process answered."""
        for schema in schemas:
            own.set_schema(schema)
            with own.cursor() as cursor:
                cursor.execute("SELECT pg_backend_pid()")
                process = cursor.fetchone()[0]
        own.close_if_unusable_or_obsolete()
        return process

    own = connection.copy()
    try:
        first = serve(own, "t_aaaaaaaa", "t_bbbbbbbb", "t_aaaaaaaa", "t_bbbbbbbb", "t_cccccccc")
        assert serve(own, "t_cccccccc") == first
        own.in_atomic_block = True
        assert serve(own, "t_dddddddd") == first  # the fourth schema; but a transaction keeps its connection
        own.in_atomic_block = False
        assert own.connection is not None
        assert serve(own, "t_dddddddd") == first
        assert own.connection is None
        assert serve(own, "t_eeeeeeee") != first
    finally:
        own.close()


def held(door):
    """Keep a block open while others run, which the house rules forbid."""
    with door:
        yield


@pytest.mark.case("T21")
def test_a_block_that_ends_inside_another_tenants_leaves_both(acme, globex):
    with in_tenant(acme):
        begun = held(in_tenant(acme))
        next(begun)
    assert (tenant_or_none(), search_path()) == (None, "public")
    with in_tenant(globex):
        begun.close()
        assert (tenant_or_none(), search_path()) == (None, "public")


@pytest.mark.case("T21")
def test_a_block_in_public_does_not_lead_back_into_a_tenant_that_was_left(acme, globex):
    with in_tenant(acme):
        begun = held(in_public())
        next(begun)
    with in_tenant(globex):
        begun.close()
        assert (tenant_or_none(), search_path()) == (None, "public")


def test_rights_of_an_owner_do_not_follow_into_another_tenant(acme, globex):
    with in_tenant(acme):
        begun = held(as_owner())
        next(begun)
    with in_tenant(globex, role=Role.MEMBER):
        begun.close()
        assert cast("DatabaseWrapper", connection).role is Role.MEMBER
