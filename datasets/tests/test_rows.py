"""Generated classes: bounded in number, gone when evicted, picklable, and unknown to Django's registry."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from dataclasses import replace
from io import StringIO
from threading import Thread

from django.apps import apps
from django.core.management import call_command
from simple_history.models import registered_models

from accounts.sites import tenant_site
from core.tenancy import TenantRef, in_tenant
from datasets.admin.records import RowsAdmin
from datasets.models import Dataset
from datasets.rows import MODELS, ModelCache, build_model, get_row_model
from datasets.spec import ColumnSpec, DatasetSpec
from datasets.tests.conftest import add_record, name_of


def spec_of(pk: int) -> DatasetSpec:
    return DatasetSpec(pk, f"d{pk}", "D", (ColumnSpec(pk, "A", "text", is_required=True),), (f"c{pk}",))


def test_the_cache_is_bounded_and_evicted_classes_die() -> None:
    cache = ModelCache(3)
    watched = []
    for pk in range(1, 40):
        model = cache.get(spec_of(pk))
        watched += [weakref.ref(model), weakref.ref(model.history_model)]
    del model
    gc.collect()
    assert len(cache) == 3
    assert sum(ref() is not None for ref in watched) == 6


def test_threads_get_the_class_they_asked_for() -> None:
    cache = ModelCache(5)
    wrong: list[int] = []

    def ask(first: int) -> None:
        for pk in range(first, first + 40):
            model = cache.get(spec_of(pk))
            if model.spec.pk != pk or f"c{pk}" not in {field.name for field in model._meta.fields}:
                wrong.append(pk)

    threads = [Thread(target=ask, args=(1 + number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_equal_specs_share_a_class_and_a_changed_one_does_not() -> None:
    cache = ModelCache(5)
    assert cache.get(spec_of(1)) is cache.get(spec_of(1))
    assert cache.get(spec_of(1)) is not cache.get(replace(spec_of(1), title="Other"))


def test_records_can_be_pickled_and_copied(orders: Dataset) -> None:
    record = add_record(orders, Order_no="A", Pieces=3)
    MODELS.clear()
    again = pickle.loads(pickle.dumps(record))
    pieces = name_of(orders, "Pieces")
    assert (again.pk, getattr(again, pieces), str(again)) == (record.pk, 3, "A")
    assert again._meta.db_table == record._meta.db_table
    assert copy.copy(record) == record


def test_nothing_global_knows_a_generated_class(orders: Dataset) -> None:
    model = get_row_model(orders)
    assert model not in apps.get_models() and model not in tenant_site._registry
    assert orders.spec().table not in registered_models


def test_makemigrations_sees_no_change_with_live_classes(orders: Dataset) -> None:
    get_row_model(orders)
    said = StringIO()
    call_command("makemigrations", "datasets", "--check", "--dry-run", stdout=said)
    assert "No changes detected" in said.getvalue()


def test_the_admins_own_checks_find_nothing(orders: Dataset) -> None:
    assert RowsAdmin(orders, tenant_site).check() == []


def test_the_same_number_at_two_tenants_is_two_classes(
    twins: dict[str, Dataset], acme: TenantRef, globex: TenantRef
) -> None:
    with in_tenant(acme):
        ours = get_row_model(twins["acme"])
    with in_tenant(globex):
        theirs = get_row_model(twins["globex"])
    assert ours._meta.db_table == theirs._meta.db_table
    assert [field.verbose_name for field in theirs._meta.fields][1:] == ["Serial", "Hall"]
    assert len(ours._meta.fields) == 10


def test_a_built_class_reads_and_writes_no_global_state() -> None:
    before = len(apps._pending_operations)
    build_model(spec_of(5))
    assert len(apps._pending_operations) == before
