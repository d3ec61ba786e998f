"""What an import refuses, and how it says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.conf import settings
from django.core.exceptions import PermissionDenied

import jobs.services
from core.tenancy import TenantRef, in_tenant
from datasets.models import Dataset
from datasets.services import delete_dataset
from importer import services
from importer.issues import Unreadable
from importer.models import ImportJob, SavedMapping, State
from importer.rejects import rejected_file
from importer.rights import jobs_for
from importer.services import NotCancellable, NotConfirmable, NotRemappable
from importer.signals import ImportRunning
from importer.tests.tools import (
    GOOD,
    counts,
    import_text,
    make_orders,
    merge,
    person,
    records,
    upload,
    work,
)  # fmt: skip

PLANTED = (
    "id,status,amount,note\n1,new,ten,call\n2,lost,1.00,\n,new,2.00,x\n4,sent,3.00,fine\n5,paid,1.005,y\n"
)


def test_every_planted_fault_is_found_with_row_line_column_and_value(orders: Dataset) -> None:
    job = upload(orders, PLANTED)
    found = [(i.row, i.line, i.column, i.value, i.code) for i in job.issues.order_by("row")]
    assert found == [
        (2, 2, "amount", "ten", "type-error"),
        (3, 3, "status", "lost", "constraint-error"),
        (4, 4, "id", "", "primary-key"),
        (6, 6, "amount", "1.005", "constraint-error"),
    ]
    assert counts(job) == (1, 0, 0, 4)


@pytest.mark.case("F42")
def test_a_file_of_bad_rows_alone_ends_with_its_counts_and_a_file_of_them(orders: Dataset) -> None:
    job = upload(orders, "id,status\n" + "".join(f"{n},lost\n" for n in range(10_000)))
    assert (job.state, counts(job)) == (State.PREVIEW_SUCCEEDED, (0, 0, 0, 10_000))
    assert job.issue_counts == {"constraint-error": 10_000}
    assert len(b"".join(rejected_file(job)).splitlines()) == 10_001


def test_the_corrected_rejects_import_and_nothing_else_changes(orders: Dataset) -> None:
    job = import_text(orders, PLANTED)
    text = b"".join(rejected_file(job)).decode("utf-8-sig")
    corrected = (
        text.replace("ten", "10").replace("lost", "paid").replace(",,", ",3,").replace("1.005", "1.00")
    )
    again = import_text(orders, corrected)
    assert counts(again)[0] + counts(again)[3] == 4
    assert counts(again)[1:3] == (0, 0)


@pytest.mark.case("F41")
def test_a_missing_required_column_is_told_before_any_row_is_read(orders: Dataset) -> None:
    job = upload(orders, "id,zzz\n1,new\n")
    assert (job.state, job.error_code, job.read_rows) == (State.PREVIEW_FAILED, "missing-label", 0)
    assert [(issue.code, issue.column) for issue in job.issues.all()] == [("missing-label", "status")]


@pytest.mark.case("F02")
def test_a_file_with_labels_alone_changes_nothing(orders: Dataset) -> None:
    job = import_text(orders, "id,status\n")
    assert (job.state, counts(job)) == (State.IMPORT_SUCCEEDED, (0, 0, 0, 0))


@pytest.mark.case("F43")
def test_the_same_file_again_is_recognised(orders: Dataset) -> None:
    first = import_text(orders)
    again = upload(orders)
    assert services.earlier_import(again) == first


@pytest.mark.case("F45")
def test_a_file_changed_in_storage_cannot_be_confirmed(orders: Dataset) -> None:
    job = upload(orders)
    stored = Path(settings.STORAGES["default"]["OPTIONS"]["location"]) / job.key
    stored.write_text(GOOD.replace("call", "gone"))
    with pytest.raises(NotConfirmable, match="not the one that was uploaded"):
        merge(job)


@pytest.mark.case("F27")
def test_an_unterminated_quote_refuses_its_row_and_no_other(orders: Dataset) -> None:
    job = upload(orders, 'id,status,note\n1,new,"open\n2,new,x\n3,new,y\n')
    assert (job.state, job.issue_counts) == (State.PREVIEW_SUCCEEDED, {"unterminated-quote": 1})
    assert (job.staged_rows, job.rejected_rows) == (2, 1)


@pytest.mark.case("F35")
def test_a_file_of_another_kind_is_refused_at_the_door(orders: Dataset) -> None:
    with pytest.raises(Unreadable):
        upload(orders, b"\x89PNG\r\n\x1a\n" + bytes(100), name="orders.csv")
    assert ImportJob.objects.count() == 0


@pytest.mark.case("A16")
def test_only_who_may_import_uploads(orders: Dataset) -> None:
    with pytest.raises(PermissionDenied):
        upload(orders, by=person("viewer"))


@pytest.mark.case("A10")
def test_imports_of_a_dataset_one_may_not_see_are_not_listed(orders: Dataset) -> None:
    upload(orders)
    editor = person("editor")
    editor.groups.clear()
    assert list(jobs_for(type(editor).objects.get(pk=editor.pk))) == []


@pytest.mark.case("T11")
def test_saved_mappings_stay_in_their_tenant(acme: TenantRef, globex: TenantRef) -> None:
    with in_tenant(acme):
        import_text(make_orders())
    with in_tenant(globex):
        assert SavedMapping.objects.count() == 0
        assert ImportJob.objects.count() == 0


def test_an_import_that_is_over_is_neither_mapped_nor_cancelled(orders: Dataset) -> None:
    job = import_text(orders)
    with pytest.raises(NotRemappable):
        services.set_mapping(job=job, by=person(), chosen={})
    with pytest.raises(NotCancellable):
        services.cancel_import(job=job, by=person())


def test_cancelling_before_the_preview_ends_the_import(orders: Dataset) -> None:
    job = upload(orders)
    services.set_mapping(job=job, by=person(), overrides={"delimiter": ";"})
    job.refresh_from_db()
    assert job.state == State.CREATED
    services.cancel_import(job=job, by=person())
    assert work(job).state == State.CANCELLED


def test_cancelling_a_confirmed_import_that_has_not_begun_writes_nothing(orders: Dataset) -> None:
    job = upload(orders)
    services.confirm_import(job=job, by=person())
    job.refresh_from_db()
    services.cancel_import(job=job, by=person())
    assert work(job).state == State.CANCELLED
    assert records(orders) == []


def test_a_new_upload_replaces_the_waiting_preview_when_asked(orders: Dataset) -> None:
    waiting = upload(orders)
    upload(orders, replace=True)
    waiting.refresh_from_db()
    assert waiting.state == State.CANCELLED


@pytest.mark.case("C08")
def test_a_dataset_is_not_deleted_while_an_import_runs(orders: Dataset) -> None:
    job = upload(orders)
    services.confirm_import(job=job, by=person())
    with pytest.raises(ImportRunning):
        delete_dataset(dataset=orders, by=person())
    work(job)
    delete_dataset(dataset=orders, by=person())
    assert ImportJob.objects.count() == 0


def test_a_suspended_tenants_import_waits(orders: Dataset, as_acme: TenantRef) -> None:
    job = upload(orders)
    services.confirm_import(job=job, by=person())
    jobs.services.pause_tenant(as_acme.schema)
    assert work(job).state == State.IMPORT_IN_PROGRESS
    assert records(orders) == []
    jobs.services.resume_tenant(as_acme.schema)
    assert work(job).state == State.IMPORT_SUCCEEDED


def test_a_preview_made_anew_cannot_be_confirmed_from_the_old_page(orders: Dataset) -> None:
    job = upload(orders)
    services.set_mapping(job=job, by=person(), overrides={"header_row": 1})
    job = work(job)
    with pytest.raises(NotConfirmable, match="made again"):
        merge(job, seen=1)


def test_a_unique_value_held_by_another_record_is_refused(as_acme: TenantRef) -> None:
    dataset = make_orders(unique_note=True)
    import_text(dataset)
    job = import_text(dataset, "id,status,note\n7,new,call\n8,new,fresh\n9,new,fresh\n")
    assert counts(job) == (1, 0, 0, 2)
    assert job.issue_counts == {"constraint-error": 2}
