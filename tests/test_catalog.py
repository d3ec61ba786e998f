"""A schema made anew from the catalog is the schema; and whatever differs between two is found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from pytest_django.plugin import DjangoDbBlocker

from accounts.models import User
from core.tenancy import in_tenant, leave_tenant
from datasets.columntypes import TYPES
from datasets.indexing import make_search_fast, request_sort_index
from datasets.models import Dataset
from datasets.rules import NewCheck, NewColumn
from datasets.services import create_dataset
from datasets.spec import ColumnOptions
from datasets.tests.references import make_customers, refers_to
from jobs.services import run_pending
from tenants.catalog import NotCopied, UnknownSchema, differences, quoted, schema_script
from tenants.models import Domain, Tenant
from tenants.services import provision_tenant, request_tenant
from tenants.template import create_schema

COPY = "t_copyofaschema"
OPTIONS: dict[str, dict[str, Any]] = {
    "text": {"max_length": 20, "min_length": 2, "pattern": "[A-Z]%[^']*", "default": "A%"},
    "integer": {"minimum": "-5", "maximum": "1000", "default": "7"},
    "decimal": {"precision": 12, "scale": 3, "minimum": "0.5"},
    "boolean": {"default": "true"},
    "date": {"minimum": "1900-01-01", "default": "2026-08-26"},
    "timestamp": {"default": "2026-08-26T14:00:00Z"},
    "choice": {"choices": ("new", "it's done", 't_x."a"'), "default": "new"},
    "multi_choice": {"choices": ("new", "it's done")},
    "phone": {"region": "DE"},
}


ODDITIES = (
    "CREATE UNLOGGED TABLE staged (rn bigint) WITH (autovacuum_enabled = off)",
    "CREATE VIEW seen AS SELECT title FROM datasets_dataset",
    "CREATE SEQUENCE numbers AS integer START 5 INCREMENT 5 MAXVALUE 500 CYCLE",
    "COMMENT ON COLUMN staged.rn IS 'it''s the row'",
    "ALTER TABLE staged ADD n int DEFAULT nextval('numbers'), ADD CHECK (n > 1) NOT VALID",
    "ALTER SEQUENCE numbers OWNED BY staged.n",
    "ALTER TABLE staged ADD double bigint GENERATED ALWAYS AS (rn * 2) STORED",
    'ALTER TABLE staged ADD "a ""b" varchar(9) COLLATE "C", ALTER rn SET STATISTICS 7',
    'CREATE INDEX odd ON staged (lower("a ""b") text_pattern_ops DESC) WHERE rn > 1',
    "CREATE TABLE before (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n int NOT NULL UNIQUE)",
    "ALTER TABLE before RENAME TO after",
    "ALTER TABLE after RENAME n TO m",
    "ALTER TABLE datasets_dataset RENAME CONSTRAINT datasets_dataset_pkey TO its_key",
)


def make_everything() -> Dataset:
    """Create datasets in the current tenant: of every type with its rules, with references, checks and indexes."""
    make_customers()
    columns = [
        refers_to("customer", "customers"),
        refers_to("above", ""),
        *(
            NewColumn(kind, kind, options=ColumnOptions(**OPTIONS.get(kind, {})), is_required=kind == "email")
            for kind in TYPES
            if kind != "reference"
        ),
        NewColumn("code", "text", is_unique=True),
        NewColumn("id", "integer"),
    ]
    checks = [NewCheck("In order", '"integer" <= "decimal" or "text" is not empty')]
    return create_dataset(title="Everything", slug="everything", columns=columns, key=("id",), checks=checks)


@pytest.fixture(scope="module")
def source(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """The schema of a tenant with every type of column and of index; committed, as an index is built aside."""
    with django_db_blocker.unblock():
        tenant = request_tenant(slug="whole", name="", owner_email="owner@whole.example", provision_now=True)
        provision_tenant(tenant=tenant)
        with in_tenant(tenant.ref):
            dataset, owner = make_everything(), User.objects.get()
            make_search_fast(dataset=dataset, by=owner)
        run_pending()
        with in_tenant(tenant.ref):
            column = next(one for one in dataset.spec().columns if one.label == "date")
            request_sort_index(dataset=dataset, column=column, by=owner)
        run_pending()
        with in_tenant(tenant.ref), connection.cursor() as cursor:
            for statement in ODDITIES:
                cursor.execute(statement)
        yield tenant.schema_name
        leave_tenant()
        with connection.cursor() as cursor:
            cursor.execute(f"DROP SCHEMA {tenant.schema_name} CASCADE")
            for table in ("jobs_job", "jobs_tenantshare"):
                cursor.execute(f"DELETE FROM {table} WHERE schema = %s", [tenant.schema_name])
        Domain.objects.filter(tenant=tenant).delete()
        Tenant.objects.filter(pk=tenant.pk).delete()


@pytest.fixture
def whole(source: str, db: None) -> str:
    """The same, with a copy beside it that goes with the test."""
    with connection.cursor() as cursor:
        make_copy(cursor, source)
    return source


def make_copy(cursor: Any, schema: str, name: str = COPY) -> None:
    create_schema(cursor, name, ";\n".join(schema_script(cursor, schema)))


def run_in(cursor: Any, schema: str, statements: str) -> None:
    """Run statements in a schema as the platform, which may make functions too."""
    cursor.execute(f"SET LOCAL search_path = {schema};\n{statements}")


def test_a_copy_does_not_differ(whole: str) -> None:
    with connection.cursor() as cursor:
        assert differences(cursor, whole, COPY) == []
        assert whole not in ";".join(schema_script(cursor, whole))


PLANTED = {
    "a column's type": (
        "ALTER TABLE datasets_dataset ALTER slug TYPE text",
        "column datasets_dataset.slug",
    ),
    "a default": ("ALTER TABLE staged ALTER n SET DEFAULT 3", "column staged.n"),
    "a default that is gone": ("ALTER TABLE staged ALTER n DROP DEFAULT", "column staged.n"),
    "a column more": ("ALTER TABLE staged ADD m int", "column staged.m"),
    "a column that may be empty": (
        "ALTER TABLE datasets_dataset ALTER title DROP NOT NULL",
        "column datasets_dataset.title",
    ),
    "an identity": ("ALTER TABLE datasets_dataset ALTER id DROP IDENTITY", "column datasets_dataset.id"),
    "where an identity begins": (
        "ALTER TABLE datasets_dataset ALTER id SET START 9",
        "column datasets_dataset.id",
    ),
    "a collation": ('ALTER TABLE staged ALTER "a ""b" TYPE varchar(9)', 'column staged.a "b'),
    "an index less": ("DROP INDEX odd", "index odd"),
    "an index's name": ("ALTER INDEX odd RENAME TO even", "index even"),
    "an index's order": (
        'DROP INDEX odd; CREATE INDEX odd ON staged (lower("a ""b") text_pattern_ops) WHERE rn > 1',
        "index odd",
    ),
    "a constraint's name": (
        "ALTER TABLE staged RENAME CONSTRAINT staged_n_check TO other",
        "constraint staged.other",
    ),
    "a constraint less": (
        "ALTER TABLE staged DROP CONSTRAINT staged_n_check",
        "constraint staged.staged_n_check",
    ),
    "a check of another meaning": (
        "ALTER TABLE staged DROP CONSTRAINT staged_n_check, ADD CHECK (n > 2) NOT VALID",
        "constraint staged.staged_n_check",
    ),
    "a constraint that was checked": (
        "ALTER TABLE staged VALIDATE CONSTRAINT staged_n_check",
        "constraint staged.staged_n_check",
    ),
    "a sequence": ("ALTER SEQUENCE numbers NO CYCLE", "sequence numbers"),
    "whose a sequence is": ("ALTER SEQUENCE numbers OWNED BY NONE", "owner of sequence numbers"),
    "a table less": ("DROP TABLE importer_importjob CASCADE", "table importer_importjob"),
    "a table that is logged": ("ALTER TABLE staged SET LOGGED", "table staged"),
    "a storage parameter": ("ALTER TABLE staged SET (fillfactor = 70)", "table staged"),
    "statistics": ("ALTER TABLE staged ALTER rn SET STATISTICS 8", "statistics of rn of table staged"),
    "a view": ("CREATE OR REPLACE VIEW seen AS SELECT title FROM datasets_dataset WHERE id > 1", "view seen"),
    "a comment": ("COMMENT ON COLUMN staged.rn IS 'another'", "comment on staged.rn"),
    "a trigger less": ("DROP TRIGGER {table}_ins ON {table}", "trigger {table}.{table}_ins"),
    "a trigger that is off": ("ALTER TABLE {table} DISABLE TRIGGER {table}_ins", "state of {table}_ins"),
    "a function": ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "other function f()"),
}


@pytest.mark.parametrize(("statement", "name"), PLANTED.values(), ids=PLANTED.keys())
def test_what_differs_is_found(whole: str, statement: str, name: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT relname FROM pg_class WHERE relnamespace = '{COPY}'::regnamespace AND relkind = 'r'"
            " AND relname ~ '^ds_[0-9]+$' ORDER BY 1 LIMIT 1"
        )
        [table] = cursor.fetchone()
        run_in(cursor, COPY, statement.format(table=table))
        found = differences(cursor, whole, COPY)
    assert any(one.startswith(name.format(table=table)) for one in found), found


def test_rights_are_compared_if_asked_for(whole: str) -> None:
    with connection.cursor() as cursor:
        assert differences(cursor, whole, COPY, rights=True) == []
        cursor.execute(f"GRANT SELECT ON {COPY}.staged TO PUBLIC")
        assert differences(cursor, whole, COPY) == []
        [found] = differences(cursor, whole, COPY, rights=True)
    assert found.startswith("rights on staged")


def test_the_path_is_what_it_was(whole: str, db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SHOW search_path")
        before = cursor.fetchall()
        schema_script(cursor, whole)
        cursor.execute("SHOW search_path")
        assert cursor.fetchall() == before


def test_what_no_statement_is_written_for_is_not_left_out_quietly(whole: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TYPE {COPY}.mood AS ENUM ('good')")
        cursor.execute(f"CREATE MATERIALIZED VIEW {COPY}.summed AS SELECT 1 AS one")
        with pytest.raises(NotCopied, match=r"type mood.*materialized view summed|materialized.*mood"):
            schema_script(cursor, COPY)


def test_a_schema_that_is_not_there_is_said_to_be_so(db: None) -> None:
    with connection.cursor() as cursor, pytest.raises(UnknownSchema):
        schema_script(cursor, "t_nowhereatall")


def test_names_are_quoted() -> None:
    assert quoted('a "b"') == '"a ""b"""'
