from __future__ import annotations

import re

from django.db import connection

from core.tenancy import TenantRef, in_public
from tenants.services import migrate_schema
from tenants.template import create_schema, drop_schema
from tests.schema_copies import dump


def test_a_copied_schema_is_what_the_migrations_make(committed_tenants: list[TenantRef]) -> None:
    copied, migrated = committed_tenants
    with in_public(), connection.cursor() as cursor:
        drop_schema(cursor, migrated.schema)
        create_schema(cursor, migrated.schema)
        migrate_schema(migrated)
    first, second = (plain(dump(ref.schema, "--schema-only"), ref) for ref in (copied, migrated))
    assert first.count("CREATE TABLE") > 20
    assert first == second


def plain(statements: str, ref: TenantRef) -> str:
    """Leave out its name, and the casts and brackets that PostgreSQL places anew when it reads its own text."""
    return re.sub(rf"\b{ref.schema}(_owner)?\b|::character varying|::text|[()\[\]]", "", statements)
