"""A page that runs the request's own SQL inside a tenant reads nothing of another tenant or of the platform.

The worst hole there can be: whole statements of the attacker's. What holds it back is the database: the tenant's
role, its path, and that both come with every statement. Another tenant with the same names stands beside it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from accounts.models import User
from core.backend.cursors import Cursor
from core.backend.places import PUBLIC
from core.tenancy import TenantRef, in_tenant
from datasets.services import NewColumn, create_dataset
from tests.committed import drop, provision

# {other}: the other tenant's schema; {mine}: the attacker's; {table}: a table of records, of the same name in both.
READING = {
    "qualified name": 'SELECT * FROM {other}."{table}"',
    "qualified users": "SELECT email, password FROM {other}.accounts_user",
    "qualified history": 'SELECT * FROM {other}."{table}_history"',
    "qualified events": "SELECT * FROM {other}.audit_event",
    "qualified sessions": "SELECT session_key, session_data FROM {other}.django_session",
    "join with one's own": 'SELECT o.* FROM {mine}."{table}" m RIGHT JOIN {other}."{table}" o ON true',
    "union": 'SELECT id::text FROM {mine}."{table}" UNION ALL SELECT o::text FROM {other}."{table}" o',
    "subquery in a row": 'SELECT (SELECT string_agg(o::text, chr(10)) FROM {other}."{table}" o)',
    "common table": 'WITH x AS (SELECT * FROM {other}."{table}") SELECT * FROM x',
    "lateral": 'SELECT x.* FROM generate_series(1, 2), LATERAL (SELECT * FROM {other}."{table}") x',
    "for update": 'SELECT * FROM {other}."{table}" FOR UPDATE',
    "table": 'TABLE {other}."{table}"',
    "the platform's tenants": "SELECT slug, owner_email FROM public.tenants_tenant",
    "the platform's operators": "SELECT * FROM public.operators_operator",
    "the platform's jobs": "SELECT payload FROM public.jobs_job",
    "the platform's queue": "SELECT * FROM public.django_q_ormq",
    "the platform's sessions": "SELECT * FROM public.django_session",
    "the platform's domains": "SELECT domain FROM public.tenants_domain",
    "ts_stat": "SELECT * FROM ts_stat('SELECT to_tsvector(o::text) FROM {other}.\"{table}\" o')",
    "ts_stat behind set_config": (
        "SELECT set_config('role', '{other}_owner', true), (SELECT string_agg(word, ' ') FROM"
        " ts_stat('SELECT to_tsvector(o::text) FROM {other}.\"{table}\" o'))"
    ),
    "path by set_config": (
        "SELECT set_config('search_path', '{other}', false), (SELECT string_agg(word, ' ') FROM"
        " ts_stat('SELECT to_tsvector(o::text) FROM \"{table}\" o'))"
    ),
    "query_to_xml": "SELECT query_to_xml('SELECT * FROM {other}.\"{table}\"', true, true, '')",
    "table_to_xml": "SELECT table_to_xml('{other}.\"{table}\"'::regclass, true, true, '')",
    "schema_to_xml": "SELECT schema_to_xml('{other}', true, true, '')",
    "database_to_xml": "SELECT database_to_xml(true, true, '')",
    "cursor_to_xml": "SELECT cursor_to_xml('anything', 10, true, true, '')",
    "stacked role": 'SELECT 1; SET ROLE {other}_owner; SELECT * FROM {other}."{table}"',
    "stacked reset": 'SELECT 1; RESET ROLE; SELECT * FROM {other}."{table}"',
    "stacked local": 'SELECT 1; SET LOCAL ROLE NONE; SELECT * FROM {other}."{table}"',
    "stacked authorization": 'SELECT 1; SET SESSION AUTHORIZATION DEFAULT; SELECT * FROM {other}."{table}"',
    "stacked in quotes": "SELECT ''; RESET ROLE; SELECT o::text || '' FROM {other}.\"{table}\" o",
    "stacked by a backslash": "SELECT E'\\''; RESET ROLE; SELECT o::text FROM {other}.\"{table}\" o -- '",
    "stacked by dollars": "SELECT $a$'$a$; RESET ROLE; SELECT o::text FROM {other}.\"{table}\" o -- '",
    "stacked by a comment": "SELECT 1 /* ' */; RESET ROLE; SELECT o::text FROM {other}.\"{table}\" o -- '",
    "stacked by nested comments": "SELECT 1 /* /* */ ' */; RESET ROLE; TABLE {other}.\"{table}\" -- '",
    "transaction ended": 'COMMIT; TABLE {other}."{table}"',
    "DO": "DO $$ BEGIN RAISE NOTICE '%', (SELECT string_agg(o::text, ' ') FROM {other}.\"{table}\" o); END $$",
    "DO with a role": (
        "DO $$ BEGIN EXECUTE 'SET ROLE {other}_owner';"
        " RAISE NOTICE '%', (SELECT string_agg(o::text, ' ') FROM {other}.\"{table}\" o); END $$"
    ),
    "COPY to the client": 'COPY {other}."{table}" TO STDOUT',
    "COPY to a program": "COPY (SELECT 1) TO PROGRAM 'cat'",
    "COPY from a file": "COPY {mine}.auth_group (name) FROM '/etc/passwd'",
    "files": "SELECT pg_read_file('/etc/passwd')",
    "folders": "SELECT pg_ls_dir('.')",
    "large object of a file": "SELECT lo_import('/etc/passwd')",
    "statements of others": "SELECT query FROM pg_stat_activity WHERE pid <> pg_backend_pid()",
    "statistics": "SELECT most_common_vals::text FROM pg_stats WHERE schemaname = '{other}'",
    "statistics themselves": "SELECT stavalues1::text FROM pg_statistic",
    "passwords of roles": "SELECT rolpassword FROM pg_authid WHERE rolname = 'canary'",
    "servers behind": "SELECT * FROM dblink('dbname=rowhouse', 'TABLE {other}.\"{table}\"') AS t (x text)",
    "extension": "CREATE EXTENSION dblink",
    "foreign server": "CREATE SERVER elsewhere FOREIGN DATA WRAPPER postgres_fdw",
    "view": 'CREATE VIEW {mine}.peek AS SELECT * FROM {other}."{table}"',
    "prepared": 'PREPARE peek AS SELECT * FROM {other}."{table}"',
    "declared": 'DECLARE peek CURSOR WITH HOLD FOR SELECT * FROM {other}."{table}"',
    "explained": 'EXPLAIN (ANALYZE, VERBOSE) SELECT * FROM {other}."{table}"',
    "sequence": 'SELECT last_value FROM {other}."{table}_id_seq"',
    "rows as one's own": 'INSERT INTO {mine}.auth_group (name) SELECT o::text FROM {other}."{table}" o RETURNING name',
    "created from": 'CREATE TABLE {mine}.peek AS SELECT * FROM {other}."{table}"',
    "inherited": 'CREATE TABLE {mine}.peek () INHERITS ({other}."{table}")',
    "materialized": 'CREATE MATERIALIZED VIEW {mine}.peek AS SELECT * FROM {other}."{table}"',
}
# What would open the door for the statement behind it: sent first, then the other tenant's rows are asked for.
OPENING = {
    "role": "SET ROLE {other}_owner",
    "role of the platform": "RESET ROLE",
    "no role": "SET ROLE NONE",
    "local role": "SET LOCAL ROLE {other}",
    "authorization": "SET SESSION AUTHORIZATION DEFAULT",
    "path": "SET search_path TO {other}, public",
    "all": "RESET ALL",
    "discarded": "DISCARD ALL",
    "owner": "ALTER SCHEMA {mine} OWNER TO CURRENT_USER",
    "granted": "GRANT {other}_owner TO {mine}",
    "granted to the platform": "GRANT ALL ON ALL TABLES IN SCHEMA {mine} TO PUBLIC",
    "function": (
        "CREATE FUNCTION pg_temp.peek() RETURNS text LANGUAGE sql SET role = '{other}_owner'"
        " AS 'SELECT string_agg(o::text, chr(10)) FROM {other}.\"{table}\" o'"
    ),
    "function of one's own": (
        "CREATE FUNCTION {mine}.peek() RETURNS text LANGUAGE plpgsql AS"
        " 'BEGIN RETURN (SELECT string_agg(o::text, chr(10)) FROM {other}.\"{table}\" o); END'"
    ),
    "table of the session": "CREATE TEMP TABLE accounts_user (id bigint, email text, password text)",
    "trigger": "CREATE TRIGGER peek AFTER INSERT ON {mine}.auth_group EXECUTE FUNCTION public.rowhouse_track()",
    "rule": 'CREATE RULE peek AS ON INSERT TO {mine}.auth_group DO INSTEAD SELECT * FROM {other}."{table}"',
    "history looks away": "SET rowhouse.track = 'off'",
}
ASKED_BEHIND = (
    'SELECT o::text FROM {other}."{table}" o',
    'SELECT o::text FROM "{table}" o',
    "SELECT slug FROM public.tenants_tenant",
    "SELECT pg_temp.peek()",
    "SELECT {mine}.peek()",
    "SELECT email, password FROM accounts_user",
)


class Scene:
    """Two committed tenants with equal names; only the second holds the canary."""

    def __init__(self, mine: TenantRef, other: TenantRef) -> None:
        self.mine, self.other = mine, other
        self.canary = f"canary{secrets.token_hex(6)}"
        for tenant, word in ((mine, "harmless"), (other, self.canary)):
            with in_tenant(tenant):
                dataset = create_dataset(
                    title="Orders",
                    columns=[NewColumn(label="No", type="text"), NewColumn(label="Note", type="text")],
                    key=["No"],
                )
                spec = dataset.spec()
                no, note = (column.name for column in spec.columns)
                with connection.cursor() as cursor:
                    cursor.execute(
                        f'INSERT INTO "{spec.table}" ("{no}", "{note}") VALUES (%s, %s)', ["1", word]
                    )
                    cursor.execute(f'ANALYZE "{spec.table}"')
                User.objects.filter(is_superuser=False).update(last_name=word)
        self.table = spec.table

    def fill(self, text: str) -> str:
        for name, value in (("other", self.other.schema), ("mine", self.mine.schema), ("table", self.table)):
            text = text.replace(f"{{{name}}}", value)
        return text

    def secrets(self) -> tuple[str, ...]:
        """What only the other tenant or the platform knows, and what a file of the server begins with."""
        return self.canary, f"owner@{self.other.slug}", "root:x:0:0", "md5$", "PG_VERSION"

    def told(self, *texts: str, atomic: str) -> list[str]:
        """Return what the page answers to these texts."""
        data = {"sql": [self.fill(text) for text in texts], "atomic": atomic}
        response = Client(HTTP_HOST=f"{self.mine.slug}.localhost").post("/run/", data)
        assert response.status_code == 200
        return [line for answer in response.json()["answers"] for line in answer]

    def leaks(self, lines: list[str], *texts: str) -> list[str]:
        """Return the lines that say what the page must not know; what the request itself said is no leak."""
        asked = " ".join(map(self.fill, texts))
        found = [word for word in self.secrets() if word not in asked]
        return [line for line in lines if any(word in line for word in found)]

    def others_rows(self) -> list[Any]:
        with in_tenant(self.other), connection.cursor() as cursor:
            cursor.execute(f'SELECT * FROM "{self.table}"')
            return list(cursor.fetchall())


@pytest.fixture(scope="module")
def scene(django_db_setup: None, django_db_blocker: Any) -> Iterator[Scene]:
    with django_db_blocker.unblock():
        mark = secrets.token_hex(3)
        refs = [provision(f"{which}-{mark}", "correct horse battery") for which in ("mine", "other")]
        try:
            yield Scene(*refs)
        finally:
            drop(refs)


@pytest.fixture
def attacked(scene: Scene, settings: Any, django_db_blocker: Any) -> Iterator[Scene]:
    settings.ROOT_URLCONF = "tests.sql_view"
    with django_db_blocker.unblock():
        before = scene.others_rows()
        yield scene
        assert scene.others_rows() == before
        connection.close()


BOTH = pytest.mark.parametrize("atomic", ["", "yes"], ids=["each alone", "one transaction"])


@pytest.mark.case("T24")
@BOTH
@pytest.mark.parametrize("text", READING.values(), ids=READING.keys())
def test_nothing_of_others_is_read(attacked: Scene, text: str, atomic: str):
    assert attacked.leaks(attacked.told(text, atomic=atomic), text) == []


@pytest.mark.case("T24")
@BOTH
@pytest.mark.parametrize("text", OPENING.values(), ids=OPENING.keys())
def test_no_statement_opens_a_door_for_the_next(attacked: Scene, text: str, atomic: str):
    texts = (text, *ASKED_BEHIND)
    own = attacked.told("SELECT email, password FROM accounts_user", atomic="")
    lines = [line for line in attacked.told(*texts, atomic=atomic) if line not in own]
    assert attacked.leaks(lines, *texts) == []
    # And whoever has the connection next is where he should be: another request, and the platform.
    assert attacked.leaks(attacked.told(*ASKED_BEHIND[:3], atomic=""), *ASKED_BEHIND) == []
    assert (
        Client(HTTP_HOST=f"{attacked.other.slug}.localhost").post("/run/", {"sql": "SELECT 1"}).status_code
        == 200
    )


def test_there_are_forty_payloads_and_more():
    assert len(READING) + len(OPENING) >= 40


@BOTH
def test_the_page_does_run_what_it_is_sent(attacked: Scene, atomic: str):
    assert "harmless" in attacked.told('SELECT o::text FROM "{table}" o', atomic=atomic)[0]


def test_with_a_path_and_nothing_else_the_same_texts_do_leak(
    attacked: Scene, monkeypatch: pytest.MonkeyPatch
):
    """The detector detects: in the way django-tenants has by itself, many of the texts are answered."""

    def placed(cursor: Cursor, query: Any) -> str:
        place = cursor.connection.place
        path = place.schema if place.schema == PUBLIC else f"{place.schema}, {PUBLIC}"
        return f"SET search_path TO {path};{query}"

    monkeypatch.setattr(Cursor, "_placed", placed)
    leaking = []
    for name, text in READING.items():
        connection.close()  # some leave the session as somebody else, who could not even find the next host
        if attacked.leaks(attacked.told(text, atomic=""), text):
            leaking.append(name)
    connection.close()
    assert {"qualified name", "the platform's tenants", "ts_stat", "stacked reset", "DO"} <= set(leaking)
    assert len(leaking) >= 20
