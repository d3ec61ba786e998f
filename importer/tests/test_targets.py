"""Imports into a plain Django model: the example of the stock records."""

from __future__ import annotations

import io
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.test.utils import isolate_apps

from accounts.models import User
from core.tenancy import TenantRef, in_tenant
from importer import services
from importer.examples.stock.models import StockImport, StockRecord
from importer.fixing import fix_rows
from importer.models import ImportJob, State
from importer.rights import jobs_for
from importer.targets.services import create_model_import
from importer.tests.tools import counts, make_orders, person, work
from importer.tests.tools import upload as upload_orders

inside = pytest.mark.usefixtures("as_acme")

GOOD = (
    "Article,Place,Quantity,Price,Counted on\n"
    "a-1,north,5,1.50,2026-01-31\n"
    "a-2,north,0,,\n"
    "a-1,south,7,2.00,2026-02-01\n"
)


def upload(text: str = GOOD, *, by: User | None = None, **options: Any) -> ImportJob:
    job = create_model_import(
        proxy=StockImport, file=io.BytesIO(text.encode()), name="stock.csv", by=by, **options
    )
    return work(job)


def confirmed(job: ImportJob, *, by: User | None = None, **options: Any) -> ImportJob:
    services.confirm_import(job=job, by=by, **options)
    return work(job)


def stock() -> list[tuple[Any, ...]]:
    return list(
        StockRecord.objects.order_by("sku", "place").values_list(
            "sku", "place", "quantity", "price", "counted_on"
        )
    )


@inside
def test_a_file_is_previewed_and_then_saved_through_the_serializer() -> None:
    job = upload()
    assert (job.state, counts(job), job.error) == (State.PREVIEW_SUCCEEDED, (3, 0, 0, 0), "")
    assert stock() == []
    job = confirmed(job)
    assert (job.state, counts(job)) == (State.IMPORT_SUCCEEDED, (3, 0, 0, 0))
    assert stock() == [
        ("A-1", "north", 5, Decimal("1.50"), date(2026, 1, 31)),
        ("A-1", "south", 7, Decimal("2.00"), date(2026, 2, 1)),
        ("A-2", "north", 0, None, None),
    ]


@inside
def test_the_same_file_again_changes_nothing() -> None:
    confirmed(upload())
    job = upload(GOOD.replace("a-2,north,0", "a-2,north,9"))
    assert counts(job) == (0, 1, 2, 0)
    confirmed(job)
    assert [row[2] for row in stock()] == [5, 7, 9]


@inside
def test_every_wrong_row_is_named_with_the_serializers_sentence() -> None:
    job = upload(
        "article,place,quantity,price\n"
        "a,north,-1,x\n"
        "b,closed,1,1\n"
        "c,north,2,1.00\n"
        ",north,2,1.00\n"
        "c,north,3,\n"
        "d,north\n"
    )
    assert counts(job) == (1, 0, 0, 5)
    found = {(one.row, one.code, one.column) for one in job.issues.all()}
    assert found == {
        (2, "constraint-error", "Quantity"),
        (2, "type-error", "Price"),
        (3, "constraint-error", "place"),
        (5, "primary-key", "article"),
        (6, "primary-key", "article, Place"),
        (7, "missing-cell", "quantity"),
    }
    assert job.rejects.get(row=2).cells == ["a", "north", "-1", "x"]


@inside
def test_a_rejected_row_can_be_corrected() -> None:
    job = upload("article,place,quantity\na,north,many\nb,north,1\n")
    fix_rows(job=job, by=None, cells={2: ["a", "north", "12"]})
    job = work(job)
    assert (job.state, counts(job)) == (State.PREVIEW_SUCCEEDED, (2, 0, 0, 0))
    confirmed(job)
    assert [row[:3] for row in stock()] == [("A", "north", 12), ("B", "north", 1)]


@inside
@pytest.mark.parametrize(("mode", "expected"), [("insert", (1, 0, 0, 1)), ("update", (0, 1, 0, 1))])
def test_modes_are_as_for_datasets(mode: str, expected: tuple[int, ...]) -> None:
    confirmed(upload("article,place,quantity\na,north,1\n"))
    assert counts(upload("article,place,quantity\na,north,2\nb,north,1\n", mode=mode)) == expected


@inside
def test_nothing_is_saved_when_a_record_changed_since_the_preview() -> None:
    confirmed(upload())
    job = upload(GOOD.replace("a-2,north,0", "a-2,north,9"))
    StockRecord.objects.filter(sku="A-2").update(quantity=9)
    job = confirmed(job)
    assert (job.state, counts(job)) == (State.PREVIEW_SUCCEEDED, (0, 0, 3, 0))
    assert "look at it and confirm" in job.notice


@inside
@pytest.mark.parametrize("quantity", [9, 100])
def test_a_record_somebody_changed_since_is_shown_before_it_is_overwritten(quantity: int) -> None:
    confirmed(upload())
    job = upload(GOOD.replace("a-1,north,5", "a-1,north,6"))
    StockRecord.objects.filter(sku="A-2" if quantity == 100 else "A-1", place="north").update(
        quantity=quantity
    )
    job = confirmed(job)
    assert job.state == State.PREVIEW_SUCCEEDED
    assert job.notice.startswith("1 record changed since the preview (A-")


@inside
def test_an_exception_in_a_hook_takes_everything_back(monkeypatch: pytest.MonkeyPatch) -> None:
    job = upload()

    def fail(self: StockImport, instances: Any) -> None:
        raise RuntimeError("the shop does not answer")

    monkeypatch.setattr(StockImport, "after_batch", fail)
    job = confirmed(job)
    assert job.state != State.IMPORT_SUCCEEDED
    assert stock() == []


@inside
def test_what_a_hook_writes_at_the_preview_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def write(self: StockImport, row: Any) -> None:
        StockRecord.objects.create(sku=f"X-{row.number}", place="hook", quantity=1)

    monkeypatch.setattr(StockImport, "before_row", write)
    assert upload().state == State.PREVIEW_SUCCEEDED
    assert stock() == []


@inside
def test_a_label_that_is_missing_is_told() -> None:
    job = upload("article,quantity\na,1\n")
    assert (job.state, job.error_code) == (State.PREVIEW_FAILED, "missing-label")
    assert "Place" in job.error


@inside
def test_only_who_may_add_or_change_may_import() -> None:
    clerk = person("viewer")
    with pytest.raises(PermissionDenied):
        upload(by=clerk)
    clerk.user_permissions.add(Permission.objects.get(codename="add_stockrecord"))
    clerk = User.objects.get(pk=clerk.pk)
    confirmed(upload(by=clerk), by=clerk)
    job = upload(GOOD.replace("a-2,north,0", "a-2,north,9"), by=clerk)
    with pytest.raises(PermissionDenied, match="change"):
        services.confirm_import(job=job, by=clerk)


@inside
def test_imports_are_listed_for_those_who_may_see_their_target() -> None:
    ours, others = upload(), upload_orders(make_orders())
    clerk = person("viewer")
    assert set(jobs_for(clerk)) == {others}
    clerk.user_permissions.add(Permission.objects.get(codename="view_stockrecord"))
    assert set(jobs_for(User.objects.get(pk=clerk.pk))) == {ours, others}


def test_the_other_tenants_records_are_never_met(acme: TenantRef, globex: TenantRef) -> None:
    with in_tenant(globex):
        confirmed(upload("article,place,quantity\nA-1,north,99\n"))
    with in_tenant(acme):
        assert counts(confirmed(upload())) == (3, 0, 0, 0)
    with in_tenant(globex):
        assert stock() == [("A-1", "north", 99, None, None)]
        assert ImportJob.objects.count() == 1


@inside
def test_a_proxy_that_lacks_a_word_is_refused() -> None:
    # In a registry of its own: Django enters a class before we refuse it.
    with (
        isolate_apps("importer.examples.stock"),
        pytest.raises(ImproperlyConfigured, match="serializer_class"),
    ):

        class Bad(ImportJob):
            class Meta:
                proxy = True
                app_label = "stock"
                target_model = StockRecord
