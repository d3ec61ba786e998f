"""An import from upload to records."""

from __future__ import annotations

from decimal import Decimal

from datasets.models import Dataset
from importer.models import State
from importer.tests.tools import counts, import_text, records, upload, versions


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
