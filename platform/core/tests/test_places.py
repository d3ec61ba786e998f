"""Every way in which psycopg2 sends SQL says where it runs, or is refused."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import psycopg2
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, ProgrammingError, connection, transaction
from django.test.utils import CaptureQueriesContext
from psycopg2 import extensions, extras, sql

from core.backend.cursors import Cursor, Statements
from core.backend.places import Role, place_of
from core.backend.roles import drop_roles, grant_rights, make_roles
from core.backend.stacked import is_stacked
from core.tenancy import NoTenant, TenantRef, as_owner, bind_tenant, in_public, in_tenant, leave_tenant

ASKED = "SELECT current_schema(), current_user"


def answer(cursor: Any) -> tuple[str, str]:
    schema, role = cursor.fetchone()
    return schema, role


def executed(cursor: Any) -> tuple[str, str]:
    cursor.execute(ASKED)
    return answer(cursor)


def composed(cursor: Any) -> tuple[str, str]:
    cursor.execute(sql.SQL(ASKED))
    return answer(cursor)


def as_bytes(cursor: Any) -> tuple[str, str]:
    cursor.execute(ASKED.encode())
    return answer(cursor)


def by_many(cursor: Any) -> tuple[str, str]:
    cursor.executemany(f"{ASKED} WHERE %s", [[True], [True]])
    return answer(cursor)


def by_values(cursor: Any) -> tuple[str, str]:
    extras.execute_values(cursor.cursor, f"{ASKED} FROM (VALUES %s) v", [[1]])
    return answer(cursor)


def called(cursor: Any) -> tuple[str, str]:
    cursor.callproc("current_schemas", [False])
    (schemas,) = cursor.fetchone()
    cursor.callproc("pg_catalog.current_setting", ["role"])
    return schemas[0], cursor.fetchone()[0]


def copied(cursor: Any) -> tuple[str, str]:
    out = io.StringIO()
    cursor.copy_expert(f"COPY ({ASKED}) TO STDOUT (FORMAT csv)", out)
    schema, role = out.getvalue().strip().split(",")
    return schema, role


def by_psycopg2_itself(cursor: Any) -> tuple[str, str]:
    with connection.connection.cursor() as own:
        own.execute(ASKED)
        return answer(own)


def on_the_server(cursor: Any) -> tuple[str, str]:
    with transaction.atomic(), connection.chunked_cursor() as named:
        named.execute(ASKED)
        return answer(named)


WAYS = (
    executed, composed, as_bytes, by_many, by_values, called, copied, by_psycopg2_itself, on_the_server,
)  # fmt: skip


@pytest.mark.case("T24")
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("role", Role, ids=lambda role: role.name)
def test_each_way_runs_in_its_place(acme: TenantRef, way: Callable[[Any], tuple[str, str]], role: Role):
    with in_tenant(acme, role=role), connection.cursor() as cursor:
        assert way(cursor) == (acme.schema, acme.schema + role.value)
    with connection.cursor() as cursor:
        assert executed(cursor) == ("public", "rowhouse")


@pytest.mark.parametrize("way", ["copy_from", "copy_to"])
def test_what_would_not_say_it_is_refused(as_acme: TenantRef, way: str):
    with connection.cursor() as cursor, pytest.raises(psycopg2.NotSupportedError, match="copy_expert"):
        getattr(cursor, way)(io.StringIO(), "accounts_user")


def test_no_way_of_psycopg2s_cursor_is_forgotten():
    """What sends SQL: a new release's further methods are to be looked at."""
    ours = {"execute", "executemany", "callproc", "copy_expert", "copy_from", "copy_to"}
    harmless = {
        "arraysize", "binary_types", "cast", "close", "closed", "connection", "description", "fetchall",
        "fetchmany", "fetchone", "itersize", "lastrowid", "mogrify", "name", "nextset", "pgresult_ptr", "query",
        "row_factory", "rowcount", "rownumber", "scroll", "scrollable", "setinputsizes", "setoutputsize",
        "statusmessage", "string_types", "typecaster", "tzinfo_factory", "withhold",
    }  # fmt: skip
    there = {name for name in dir(extensions.cursor) if not name.startswith("_")}
    assert there - harmless == ours
    assert all(name in vars(Cursor) for name in ours)


def test_a_cursor_on_the_server_needs_a_transaction(committed_tenants, django_db_blocker):
    with django_db_blocker.unblock(), in_tenant(committed_tenants[0]):
        with connection.chunked_cursor() as cursor, pytest.raises(ProgrammingError, match="atomic"):
            cursor.execute("SELECT 1")
        connection.close()


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1; SELECT 2",
        "SELECT ''; RESET ROLE",
        "SELECT E'\\''; RESET ROLE --'",
        "SELECT '\\'; RESET ROLE --'",
        "SELECT $$'$$; RESET ROLE --'",
        "SELECT 1 /* ' */; RESET ROLE --'",
        "SELECT 1 /* /* */ ' */; RESET ROLE --'",
        'SELECT "a""b"; RESET ROLE',
        "SELECT 1 --'\n; RESET ROLE --'",
        "SELECT n'; RESET ROLE --",
        "SELECT U&'\\0027'; RESET ROLE",
    ],
)
def test_two_statements_are_seen(text: str):
    assert is_stacked(text)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1;",
        "SELECT 1 ; \n",
        "SELECT ';'",
        "SELECT 'it''s; no'",
        r"SELECT '\d;+'",
        r"SELECT E'\';'",
        'SELECT "a;b"',
        "SELECT 1 -- ; no",
        "SELECT $$ DO $$",
    ],
)
def test_one_statement_is_let_pass(text: str):
    assert not is_stacked(text)


def test_a_tenant_sends_one_statement_at_a_time(acme: TenantRef):
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1; SELECT 2")  # the platform's own
        with in_tenant(acme):
            with pytest.raises(ProgrammingError, match="one by one"):
                cursor.execute("SELECT 1; SELECT 2")
            cursor.execute(Statements("SELECT 1; SELECT 2"))
            assert cursor.fetchone() == (2,)


def test_with_quotes_read_otherwise_no_semicolon_is_trusted(acme: TenantRef):
    with in_tenant(acme), connection.cursor() as cursor:
        cursor.execute("SET LOCAL standard_conforming_strings = off")
        with pytest.raises(ProgrammingError, match="one by one"):
            cursor.execute("SELECT '\\''; RESET ROLE; SELECT 'x'")
        cursor.execute("SET LOCAL standard_conforming_strings = on")


def test_requests_have_the_members_rights_and_the_owners_for_a_step(acme: TenantRef):
    bind_tenant(acme)
    with connection.cursor() as cursor:
        assert executed(cursor) == (acme.schema, acme.schema)
        with as_owner():
            assert executed(cursor)[1] == f"{acme.schema}_owner"
            with in_public():
                assert executed(cursor) == ("public", "rowhouse")
            assert executed(cursor)[1] == f"{acme.schema}_owner"
        with in_tenant(acme):  # entering where one is gives no further rights
            assert executed(cursor)[1] == acme.schema
    leave_tenant()
    with pytest.raises(NoTenant), as_owner():
        pass


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE more (id int)",
        "DROP TABLE accounts_user",
        "ALTER TABLE accounts_user ADD COLUMN more text",
        "TRUNCATE accounts_user CASCADE",
        "CREATE TEMP TABLE more (id int)",
        "UPDATE audit_event SET name = 'nothing.at.all'",
        "DELETE FROM audit_event",
        "DELETE FROM datasets_historicaldataset",
        "CREATE FUNCTION more() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "DO $$ BEGIN END $$",
        "SELECT set_config('role', 'none', true)",
    ],
)
def test_a_member_may_not(acme: TenantRef, statement: str):
    refused = pytest.raises(ProgrammingError, match="denied|must be owner")
    with in_tenant(acme, role=Role.MEMBER), connection.cursor() as cursor, refused, transaction.atomic():
        cursor.execute(statement)


def test_rights_may_be_given_twice_and_roles_go(db: None):
    schema = "t_rolesoftest"
    with connection.cursor() as cursor:
        for _ in range(2):
            make_roles(cursor, schema)
            cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {schema} AUTHORIZATION {schema}_owner")
            cursor.execute(
                f"CREATE TABLE IF NOT EXISTS {schema}.things (id bigint GENERATED ALWAYS AS IDENTITY)"
            )
            grant_rights(cursor, schema)
        cursor.execute("SELECT tableowner FROM pg_tables WHERE schemaname = %s", [schema])
        assert cursor.fetchone() == (f"{schema}_owner",)
        cursor.execute(f"DROP SCHEMA {schema} CASCADE")
        for _ in range(2):
            drop_roles(cursor, schema)
        cursor.execute("SELECT count(*) FROM pg_roles WHERE starts_with(rolname, %s)", [schema])
        assert cursor.fetchone() == (0,)


def test_a_superuser_is_refused_in_production(db: None, settings: Any, monkeypatch: pytest.MonkeyPatch):
    settings.IS_PRODUCTION = True
    own = connection.copy()
    monkeypatch.setitem(own.settings_dict, "USER", "postgres")
    with pytest.raises(ImproperlyConfigured, match="superuser"):
        own.connect()
    assert own.connection is None


def test_a_name_that_would_have_to_be_quoted_is_no_place():
    with pytest.raises(ValueError, match="schema"):
        place_of('x"; DROP SCHEMA public; --')


def test_the_last_statement_is_shown_alone(as_acme: TenantRef, django_assert_num_queries: Any):
    with django_assert_num_queries(1) as asked, connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    assert [each["sql"] for each in asked.captured_queries] == ["SELECT 1"]


def test_looking_at_the_catalog_leaves_the_session_as_it_was(as_acme: TenantRef):
    with CaptureQueriesContext(connection) as asked:
        names = connection.introspection.table_names()
        with connection.cursor() as cursor:
            connection.introspection.get_constraints(cursor, "accounts_user")
    assert "accounts_user" in names
    assert "tenants_tenant" not in names
    assert [each["sql"] for each in asked.captured_queries if "search_path" in each["sql"]] == []


def test_an_error_leaves_the_transaction_to_be_rolled_back(as_acme: TenantRef):
    with transaction.atomic(), connection.cursor() as cursor:
        with pytest.raises(DatabaseError), transaction.atomic():
            cursor.execute("SELECT 1 / 0")
        assert executed(cursor)[0] == as_acme.schema


def test_an_older_pods_connection_reads_on(acme: TenantRef):
    """The platform's role has the owners' rights by itself: a release that knows no roles still works."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {acme.schema}.accounts_user")
        assert cursor.fetchone() == (3,)
