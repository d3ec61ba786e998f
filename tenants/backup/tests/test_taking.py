"""A backup holds all of one tenant, from one moment, and makes exactly that again."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from django.db import connection, transaction

from core.tenancy import TenantRef, in_tenant
from tenants.backup import loading, taking
from tenants.backup.format import BackupReader
from tenants.catalog import differences
from tenants.models import Tenant
from tenants.names import new_schema_name
from tenants.template import drop_schema


@pytest.fixture
def spare(committed_tenants: list[TenantRef]) -> Iterator[TenantRef]:
    ref = TenantRef(new_schema_name(), "spare")
    yield ref
    with connection.cursor() as cursor:
        drop_schema(cursor, ref.schema)


def take(tenant: TenantRef, secret: str | None = None) -> bytes:
    out = io.BytesIO()
    taking.take(Tenant.objects.get(slug=tenant.slug), out.write, secret=secret)
    return out.getvalue()


def opener(data: bytes) -> Callable[[], AbstractContextManager[io.BytesIO]]:
    return lambda: io.BytesIO(data)


def parts(data: bytes) -> dict[str, bytes]:
    reader = BackupReader(io.BytesIO(data))
    return {str(part.about.get("name", part.kind)): part.content() for part in reader.parts()}


@pytest.mark.case("I19")
def test_a_loaded_backup_is_row_for_row_and_sequence_for_sequence_what_it_was_taken_of(first, spare):
    data = take(first)
    with transaction.atomic():
        loaded = loading.load(opener(data), spare, loading.check(opener(data)))
    with connection.cursor() as cursor:
        assert differences(cursor, first.schema, spare.schema) == []
    assert loading.mismatches(spare.schema, loaded) == []
    # And the tenant itself still is what its backup says: taking it changed nothing.
    assert loading.mismatches(first.schema, loaded) == []


def test_what_differs_in_one_cell_one_row_or_one_sequence_is_told(first, spare):
    data = take(first)
    with transaction.atomic():
        loaded = loading.load(opener(data), spare, loading.check(opener(data)))
    with in_tenant(spare), connection.cursor() as cursor:
        cursor.execute("UPDATE datasets_dataset SET title = 'Other' WHERE title = 'Empty'")
        cursor.execute("INSERT INTO django_content_type (app_label, model) VALUES ('x', 'y')")
        cursor.execute("SELECT nextval('audit_event_id_seq')")
    found = loading.mismatches(spare.schema, loaded)
    assert [" ".join(one.split()[:3]) for one in found] == [
        "Rows of datasets_dataset",
        f"django_content_type has {found[1].split()[2]}",
        "The sequence audit_event_id_seq",
        "The sequence django_content_type_id_seq",
    ]


def test_a_backup_lists_the_tenants_files_with_the_sums_its_rows_know(first, committed_tenants):
    files = [json.loads(line) for line in parts(take(first))["files"].splitlines()]
    assert {one["key"].split("/")[0] for one in files} == {first.slug}
    export = next(one for one in files if one["key"].endswith(".csv") and "/exports/orders" in one["key"])
    assert (export["bytes"] > 0, len(export["sha256"])) == (True, 64)


def test_nobody_who_was_signed_in_is_in_a_backup_nor_is_a_row_on_its_way(first):
    found = parts(take(first))
    assert found["django_session"] == b""
    staging = [name for name in found if name.startswith("importer_") is False and name.startswith("st")]
    assert all(found[name] == b"" for name in staging)


def test_a_backup_says_what_work_was_going_on(first):
    from jobs import services as jobs  # noqa: PLC0415 -- beside its use

    with in_tenant(first):
        job = jobs.submit("exporter.run", target="now", payload={"slot": "2026-08-26T14:00:00+00:00"})
    about = json.loads(parts(take(first))["about"])
    assert [one["id"] for one in about["jobs"]] == [job.pk]
    assert about["tenant"]["slug"] == first.slug
    assert ["tenants", "0001_initial"] in about["migrations"]


def test_a_tenant_without_a_schema_has_nothing_to_back_up(committed_tenants):
    tenant = Tenant(schema_name="t_00000000", slug="none")
    with pytest.raises(taking.NothingToBackUp):
        taking.take(tenant, io.BytesIO().write, secret=None)


def test_another_tenants_rows_are_not_in_a_backup(first, committed_tenants):
    other = committed_tenants[1]
    data = b"".join(parts(take(first)).values())
    assert (first.slug.encode() in data, other.slug.encode() in data) == (True, False)
