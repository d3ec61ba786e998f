"""Datasets that are visited and evicted leave nothing behind in the process."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection

from benchmarks.visits_datasets import make_datasets
from benchmarks.visits_memory import caches, watch_classes
from core.tenancy import TenantRef, in_tenant
from datasets.admin.records import RowsAdmin
from datasets.models import Dataset
from datasets.rows import MODELS

DATASETS, KEPT = 4, 2
# These have a bound of their own.
MAY_GROW = {"bounded functools caches", "row models"}


def visit_all(client: Any, addresses: list[dict[str, str]]) -> None:
    """Open every page of each dataset."""
    for pages in addresses:
        for url in pages.values():
            assert client.get(url).status_code == 200, url


@pytest.fixture
def visited(acme: TenantRef, globex: TenantRef, client_of: Any, monkeypatch: Any) -> Any:
    """Return a function that visits all datasets of two tenants, equal in number, and says what lives and grew."""
    monkeypatch.setattr(MODELS, "size", KEPT)
    addresses = {}
    for tenant in (acme, globex):
        with in_tenant(tenant), connection.cursor() as cursor:
            for table in ("datasets_dataset", "datasets_column"):
                cursor.execute(f"ALTER TABLE {table} ALTER id RESTART WITH 900001")
        addresses[tenant] = make_datasets(tenant, DATASETS)
    assert addresses[acme][0]["list"] == addresses[globex][0]["list"]

    def visit() -> tuple[int, int, dict[str, int]]:
        MODELS.clear()
        for tenant in (acme, globex):  # each tenant's content types are kept once it is visited
            with in_tenant(tenant):
                ContentType.objects.get_for_model(Dataset)
        with watch_classes() as built:
            visit_all(client_of(acme), addresses[acme])
            before = caches()  # by now every template is compiled
            visit_all(client_of(globex), addresses[globex])
            gc.collect()
            grown = caches() - before
            return built.number, len(built.of_records), {k: v for k, v in grown.items() if k not in MAY_GROW}

    return visit


def test_no_class_of_an_evicted_dataset_is_alive_after_its_pages_were_visited(visited: Any) -> None:
    built, alive, grown = visited()
    assert built >= 2 * 2 * DATASETS  # of each the records' and the history's, and again where it was evicted
    assert (alive, grown) == (KEPT, {})


def test_a_class_that_something_holds_is_seen(visited: Any, monkeypatch: Any) -> None:
    held: list[Any] = []
    stock = RowsAdmin.get_fields

    def holding(admin: RowsAdmin, request: Any, obj: Any = None) -> Any:
        held.append(admin.model._meta.pk)  # a field knows its class
        return stock(admin, request, obj)

    monkeypatch.setattr(RowsAdmin, "get_fields", holding)
    _, alive, _ = visited()
    assert alive >= 2 * DATASETS
