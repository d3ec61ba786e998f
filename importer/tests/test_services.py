"""An import from upload to records."""

from __future__ import annotations

from decimal import Decimal

from core import storage
from datasets.models import Dataset
from importer.models import State
from importer.tests.tools import GOOD, counts, import_text, make_orders, records, upload, versions


def test_a_good_file_becomes_records(orders: Dataset) -> None:
    job = import_text(orders)
    assert job.state == State.IMPORT_SUCCEEDED
    assert counts(job) == (3, 0, 0, 0)
    assert records(orders) == [
        (1, "new", Decimal("10.00"), "call"),
        (2, "paid", Decimal("20.50"), None),
        (3, "sent", None, "later"),
    ]


def test_a_preview_writes_nothing(orders: Dataset) -> None:
    job = upload(orders)
    assert (job.state, counts(job)) == (State.PREVIEW_SUCCEEDED, (3, 0, 0, 0))
    assert records(orders) == []
    assert versions(orders) == 0


def test_the_same_file_again_changes_nothing(orders: Dataset) -> None:
    import_text(orders)
    job = import_text(orders)
    assert counts(job) == (0, 0, 3, 0)
    assert versions(orders) == 3


def test_a_kept_page_that_sends_another_file_makes_another_import(orders: Dataset) -> None:
    first = upload(orders, GOOD, request_key="k" * 32)
    same = upload(orders, GOOD, request_key="k" * 32)
    other = upload(orders, GOOD + "9,new,,\n", request_key="k" * 32)
    elsewhere = upload(make_orders("More orders"), GOOD, request_key="k" * 32)
    assert (first.pk == same.pk, len({first.pk, other.pk, elsewhere.pk})) == (True, 3)
    assert [storage.exists(job.key) for job in (first, other, elsewhere)] == [True] * 3
