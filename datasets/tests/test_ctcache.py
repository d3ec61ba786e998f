"""Content types are cached per schema."""

from __future__ import annotations

from threading import Barrier, Thread

import pytest
from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction

from core.tenancy import TenantRef, in_tenant
from datasets.ctcache import MAX_SCHEMAS, SchemaKeyedCache
from datasets.models import Dataset


@pytest.mark.case("T20")
def test_two_threads_in_two_tenants_get_their_own_content_type(committed_tenants: list[TenantRef]) -> None:
    first, second = committed_tenants
    _renumber(second)  # so that the ids differ for certain
    expected = {ref.schema: _id_by_query(ref) for ref in committed_tenants}
    found: dict[str, set[int]] = {ref.schema: set() for ref in committed_tenants}
    ready = Barrier(2)

    def ask(ref: TenantRef) -> None:
        try:
            for _ in range(50):
                with in_tenant(ref):
                    ready.wait(10)
                    found[ref.schema].add(ContentType.objects.get_for_model(Dataset).pk)
        finally:
            connection.close()

    threads = [Thread(target=ask, args=(ref,)) for ref in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {schema: {pk} for schema, pk in expected.items()}
    assert expected[first.schema] != expected[second.schema]


def _renumber(ref: TenantRef) -> None:
    ours = "(SELECT id FROM django_content_type WHERE app_label = 'datasets' AND model = 'dataset')"
    with in_tenant(ref), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE auth_permission SET content_type_id = content_type_id + 1000 WHERE content_type_id = {ours}"
        )
        cursor.execute(f"UPDATE django_content_type SET id = id + 1000 WHERE id = {ours}")


def _id_by_query(ref: TenantRef) -> int:
    with in_tenant(ref), connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM django_content_type WHERE app_label = 'datasets' AND model = 'dataset'"
        )
        return int(cursor.fetchone()[0])


def test_the_cache_is_installed_and_bounded(db: None) -> None:
    cache = ContentType.objects._cache  # type: ignore[attr-defined]
    assert isinstance(cache, SchemaKeyedCache)
    for number in range(MAX_SCHEMAS + 5):
        dict.setdefault(cache, f"t_{number}", {})
    ContentType.objects.clear_cache()
    ContentType.objects.get_for_model(ContentType)
    assert len(cache) <= MAX_SCHEMAS


def test_the_cache_outlives_changes_of_the_registry(db: None) -> None:
    """A class made at run time lets Django copy every manager anew."""
    before = ContentType.objects._cache  # type: ignore[attr-defined]
    apps.clear_cache()
    assert ContentType.objects._cache is before  # type: ignore[attr-defined]
    assert isinstance(before, SchemaKeyedCache)
