"""Migrating what is in use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest
from django.db import ProgrammingError, connection

from core.tenancy import TenantRef, in_tenant
from tenants import migrating


@pytest.fixture
def reader(committed_tenants: list[TenantRef]) -> Iterator[Any]:
    """A session that reads a table of the first tenant and keeps its transaction open."""
    aside = psycopg2.connect(**connection.get_connection_params())
    with aside.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {committed_tenants[0].schema}.datasets_dataset")
    yield aside
    aside.close()


def add_a_column() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE datasets_dataset ADD COLUMN nickname text")


def test_a_table_in_use_is_given_way_to_and_asked_for_again(
    reader: Any, committed_tenants: list[TenantRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrating, "sleep", lambda _seconds: reader.commit())
    with in_tenant(committed_tenants[0]):
        migrating.patiently(add_a_column)
        with connection.cursor() as cursor:
            cursor.execute("SELECT nickname FROM datasets_dataset")
            cursor.execute("SHOW lock_timeout")
            assert cursor.fetchone() == ("0",)


def test_a_table_that_is_never_free_is_left_as_it_is(
    reader: Any, committed_tenants: list[TenantRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrating, "TRIES", 2)
    monkeypatch.setattr(migrating, "PAUSE_SECONDS", 0)
    monkeypatch.setattr(migrating, "LOCK_SECONDS", 0.2)
    with in_tenant(committed_tenants[0]):
        with pytest.raises(migrating.SchemaBusy, match="run it again"):
            migrating.patiently(add_a_column)
        with pytest.raises(ProgrammingError), connection.cursor() as cursor:
            cursor.execute("SELECT nickname FROM datasets_dataset")
