"""Nothing of an import stays for ever but what it did."""

from __future__ import annotations

from datetime import timedelta

import pytest

import jobs.services
from core import storage
from core.clock import now
from datasets.models import Dataset
from importer import expiry, staging
from importer.models import ImportJob, State
from importer.tests.tools import GOOD, import_text, upload


def older(job: ImportJob, days: int) -> None:
    then = now() - timedelta(days=days)
    ImportJob.objects.filter(pk=job.pk).update(previewed_at=then, created_at=then)
    ImportJob.objects.filter(pk=job.pk, ended_at__isnull=False).update(ended_at=then)


def tidied(job: ImportJob) -> ImportJob:
    jobs.services.submit("importer.tidy", target="imports", payload={})
    jobs.services.run_pending()
    return ImportJob.objects.get(pk=job.pk)


@pytest.mark.parametrize(("days", "state"), [(13, State.PREVIEW_SUCCEEDED), (15, State.CANCELLED)])
def test_a_preview_waits_two_weeks(orders: Dataset, days: int, state: str) -> None:
    job = upload(orders)
    older(job, days)
    job = tidied(job)
    assert job.state == state
    assert staging.is_whole(job) == (state == State.PREVIEW_SUCCEEDED)
    assert job.notice.startswith("Nobody confirmed") == (state == State.CANCELLED)


@pytest.mark.parametrize(("days", "is_kept"), [(89, True), (91, False)])
def test_an_upload_is_kept_three_months(orders: Dataset, days: int, is_kept: bool) -> None:
    job = import_text(orders)
    older(job, days)
    assert storage.exists(job.key)
    after = tidied(job)
    assert (storage.exists(job.key), bool(after.key)) == (is_kept, is_kept)
    assert (after.created_rows, after.file_name) == (3, "orders.csv")


def test_the_upload_of_an_import_that_waits_stays(orders: Dataset, settings: object) -> None:
    job = upload(orders)
    ImportJob.objects.filter(pk=job.pk).update(created_at=now() - timedelta(days=400))
    assert storage.exists(tidied(job).key)


def test_the_same_file_can_be_imported_after_its_upload_is_gone(orders: Dataset) -> None:
    job = import_text(orders)
    older(job, 400)
    tidied(job)
    assert upload(orders, GOOD).unchanged_rows == 3


def test_without_time_it_goes_on_later(orders: Dataset) -> None:
    for _ in range(2):
        older(upload(orders), 30)
    assert not expiry.expire_previews(lambda: 0.0)
    assert ImportJob.objects.filter(state=State.CANCELLED).count() == 1
    assert expiry.expire_previews(lambda: 5.0)
    assert ImportJob.objects.filter(state=State.CANCELLED).count() == 2
