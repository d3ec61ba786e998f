"""The pages of imports into a plain model, through the real admin: the example of the stock records."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.test import Client

from accounts.models import User
from core.tenancy import TenantRef, in_tenant
from importer import addresses, saved_mappings, services
from importer.again import start_preview_again
from importer.changes import page_of_changes
from importer.examples.stock.models import StockImport, StockRecord
from importer.forms import new_request_key
from importer.models import ImportJob, SavedMapping, State
from importer.targets import shape
from importer.targets.services import create_model_import
from importer.tests.tools import counts, make_orders, merge, person, work
from importer.tests.tools import upload as upload_orders
from importer.tests.visits import changed, figures
from jobs.kinds import Again
from jobs.models import Job
from rowhouse.work import subjects

ClientOf = Callable[..., Client]
BASE = "/admin/stock/stockimport/"
GENERAL = "/admin/importer/importjob/"
FAULTY = "Article,Place,Quantity,Price\na-1,north,5,1.50\na-2,north,many,2.00\na-3,closed,1,\n"
PAGES = ("change/", "mapping/", "progress/", "rejected-rows/", "file/")
TABS = ("changes", "issues", "rejects", "log", "files")
DEEDS = ("confirm/", "cancel/", "again/", "fix/", "corrections/")


def at(job: ImportJob, page: str = "change/", base: str = BASE) -> str:
    return f"{base}{job.pk}/{page}"


def stock() -> list[tuple[Any, ...]]:
    return list(StockRecord._default_manager.order_by("sku").values_list("sku", "place", "quantity"))


def preview(tenant: TenantRef, text: str = FAULTY, **options: Any) -> ImportJob:
    with in_tenant(tenant):
        file = io.BytesIO(text.encode())
        return work(
            create_model_import(proxy=StockImport, file=file, name="stock.csv", by=person(), **options)
        )


def merged(tenant: TenantRef, job: ImportJob) -> ImportJob:
    with in_tenant(tenant):
        return merge(job)


def worked(tenant: TenantRef, job: ImportJob) -> ImportJob:
    with in_tenant(tenant):
        return work(job)


def statuses(client: Client, job: ImportJob, base: str = BASE) -> dict[str, int]:
    """Return how each page of an import answers."""
    found = {}
    for page in PAGES:
        answer = client.get(at(job, page, base))
        found[page] = answer.status_code
        if answer.streaming:  # its file is closed when it was read
            answer.getvalue()
    return found


def clerk(tenant: TenantRef, *rights: str) -> User:
    """A person of the tenant who has these rights on stock records, and no other at all."""
    with in_tenant(tenant):
        user = User.objects.create_user(f"clerk@{tenant.slug}.example", "correct horse battery")
        codenames = [f"{right}_stockrecord" for right in rights]
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        return user


@pytest.fixture
def job(acme: TenantRef, globex: TenantRef) -> ImportJob:
    return preview(acme)


# ---- from the upload to the records


def test_a_file_is_uploaded_corrected_on_the_page_and_confirmed(
    acme: TenantRef, globex: TenantRef, client_of: ClientOf
) -> None:
    client = client_of(acme)
    page = client.get(f"{BASE}upload/").text
    assert "Import stock records" in page
    assert 'name="dataset"' not in page
    assert 'value="sync"' not in page
    file = SimpleUploadedFile("stock.csv", FAULTY.encode())
    sent = {"file": file, "mode": "upsert", "policy": "good_rows", "request_key": new_request_key()}
    answer = client.post(f"{BASE}upload/", sent)
    with in_tenant(acme):
        job = work(ImportJob.objects.get())
    assert answer.headers["Location"] == at(job)
    page = client.get(at(job)).text
    assert (figures(page)["new"], figures(page)["rejected"]) == ("1", "2")
    page = client.get(at(job) + "?tab=rejects").text
    assert 'aria-label="Quantity, row 3" aria-invalid="true"' in page
    assert "The warehouse “closed” takes no stock." in page
    answer = client.post(at(job, "fix/"), {"c-3-2": "12", "after": "0"})
    assert answer.headers["Location"] == at(job) + "?tab=rejects&after=0"
    job = worked(acme, job)
    assert counts(job) == (2, 0, 0, 1)
    answer = client.post(at(job, "confirm/"), {"seen": job.previews, "policy": "good_rows"})
    assert answer.headers["Location"] == at(job)
    job = worked(acme, job)
    with in_tenant(acme):
        assert stock() == [("A-1", "north", 5), ("A-2", "north", 12)]
    with in_tenant(globex):
        assert stock() == []
    page = client.get(at(job)).text
    assert "2 records created, 1 row rejected." in page
    assert "it is not kept." in page
    assert 'href="/admin/stock/stockrecord/"' in page
    assert "Undo this import" not in page


def test_an_upload_may_be_larger_than_any_other_form(
    acme: TenantRef, client_of: ClientOf, settings: Any
) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000
    file = SimpleUploadedFile("stock.csv", FAULTY.encode() + b"b,north,1,\n" * 500)
    sent = {"file": file, "mode": "upsert", "policy": "good_rows", "request_key": new_request_key()}
    client = client_of(acme)
    assert client.post(f"{BASE}upload/", sent).status_code == 302
    file.seek(0)
    assert client.post(BASE, sent).status_code == 413


def test_a_form_that_lacks_its_file_is_shown_again(acme: TenantRef, client_of: ClientOf) -> None:
    answer = client_of(acme).post(f"{BASE}upload/", {"mode": "sync", "request_key": new_request_key()})
    assert answer.status_code == 422
    assert "This field is required" in answer.text
    assert "sync is not one of the available choices" in answer.text


def test_a_new_upload_offers_to_replace_the_previews_that_wait(
    acme: TenantRef, job: ImportJob, client_of: ClientOf
) -> None:
    client = client_of(acme)
    assert f'href="{at(job)}"' in client.get(f"{BASE}upload/").text
    file = SimpleUploadedFile("stock.csv", FAULTY.encode())
    sent = {"file": file, "mode": "upsert", "replace": "on", "request_key": new_request_key()}
    client.post(f"{BASE}upload/", sent)
    assert worked(acme, job).state == State.CANCELLED


def test_the_rejects_file_comes_back_corrected(acme: TenantRef, job: ImportJob, client_of: ClientOf) -> None:
    client = client_of(acme)
    rejects = client.get(at(job, "rejected-rows/")).getvalue().decode()
    assert rejects.splitlines()[0].endswith('"row","problem","Article","Place","Quantity","Price"')
    file = SimpleUploadedFile("corrected.csv", rejects.replace("many", "4").encode())
    answer = client.post(at(job, "corrections/"), {"file": file})
    assert answer.headers["Location"] == at(job) + "?tab=rejects"
    assert counts(worked(acme, job)) == (2, 0, 0, 1)
    # As a file of its own it is known by the labels behind the two in front.
    again = preview(acme, rejects.replace("many", "4"))
    assert counts(again) == (1, 0, 0, 1)


def test_a_file_is_imported_once_more_with_its_mapping_and_corrections(
    acme: TenantRef, job: ImportJob, client_of: ClientOf
) -> None:
    client = client_of(acme)
    client.post(at(job, "fix/"), {"c-3-2": "12"})
    worked(acme, job)
    client.post(at(job, "cancel/"))
    answer = client.post(at(job, "again/"))
    with in_tenant(acme):
        made = work(ImportJob.objects.exclude(pk=job.pk).get())
    assert answer.headers["Location"] == at(made)
    assert (counts(made), made.mapping, made.target) == ((2, 0, 0, 1), job.mapping, job.target)


# ---- what changes


def test_old_and_new_values_are_those_the_serializer_writes(
    acme: TenantRef, globex: TenantRef, client_of: ClientOf
) -> None:
    merged(acme, preview(acme, "article,place,quantity,price,counted on\na-1,north,5,1.50,2026-01-31\n"))
    job = preview(acme, "article,place,quantity,price,counted on\na-1,north,5,1.5,2026-02-01\nb,north,07,,\n")
    page = client_of(acme).get(at(job)).text
    assert changed(page) == [
        ("Counted on", "2026-01-31", "2026-02-01"),
        ("article", "", "B"),
        ("Place", "", "north"),
        ("Quantity", "", "7"),
    ]
    with in_tenant(acme):
        record = StockRecord._default_manager.get()
        (only,) = page_of_changes(job, op="~")
        assert only.record_id == str(record.pk)
        assert [one.key for one in page_of_changes(job, column="c3")] == ["B, north"]
        assert page_of_changes(job, after=3) == []
    assert f'href="/admin/stock/stockrecord/{record.pk}/change/"' in page
    assert figures(page)["changed"] == "1"


def test_an_empty_cell_keeps_the_value_where_the_mapping_says_so(
    acme: TenantRef, client_of: ClientOf
) -> None:
    merged(acme, preview(acme, "article,place,quantity,price\na-1,north,5,1.50\n"))
    job = preview(acme, "article,place,quantity,price\na-1,north,5,\n")
    assert counts(job) == (0, 1, 0, 0)
    fields = {f"column_{at}": match["column"] for at, match in enumerate(job.mapping)}
    client_of(acme).post(
        at(job, "mapping/"), {**fields, "more_3": "1", "blank_3": "keep", "seen": job.previews}
    )
    assert counts(worked(acme, job)) == (0, 0, 1, 0)


# ---- the mapping page


def test_labels_are_matched_by_hand_and_nothing_is_saved_under_a_name(
    acme: TenantRef, globex: TenantRef, client_of: ClientOf
) -> None:
    job, client = preview(acme, "thing,place,quantity\na-1,north,5\n"), client_of(acme)
    assert (job.state, job.error_code) == (State.PREVIEW_FAILED, "missing-label")
    page = client.get(at(job, "mapping/")).text
    assert "article (key)" in page
    assert "save_as" not in page
    sent = {"column_0": "c1", "column_1": "c2", "column_2": "c3", "seen": job.previews, "save_as": "mine"}
    answer = client.post(at(job, "mapping/"), sent)
    assert answer.headers["Location"] == at(job)
    assert counts(worked(acme, job)) == (1, 0, 0, 0)
    with in_tenant(acme):
        assert SavedMapping.objects.count() == 0
        with pytest.raises(saved_mappings.BadName, match="datasets"):
            saved_mappings.save_as(job=job, name="mine", by=None)


def test_what_was_chosen_stays_when_the_file_is_read_in_another_way(
    acme: TenantRef, client_of: ClientOf
) -> None:
    job, client = preview(acme, "thing,place,quantity\na-1,north,5\nTotal,,5\n"), client_of(acme)
    sent = {"column_0": "c1", "column_1": "c2", "column_2": "c3", "seen": job.previews}
    client.post(at(job, "mapping/"), sent)
    job = worked(acme, job)
    assert counts(job) == (1, 0, 0, 1)
    client.post(at(job, "mapping/"), {**sent, "seen": job.previews, "skip_footer": "1"})
    assert counts(worked(acme, job)) == (1, 0, 0, 0)


def test_a_mapping_is_downloaded_and_a_bad_one_is_refused(
    acme: TenantRef, job: ImportJob, client_of: ClientOf
) -> None:
    client = client_of(acme)
    written = client.get(at(job, "mapping/") + "?format=json").json()
    assert [written[label] for label in ("Article", "Quantity")] == ["article", "Quantity"]
    clash = {"column_0": "c1", "column_1": "c1", "column_2": "c3", "column_3": "", "seen": job.previews}
    assert client.post(at(job, "mapping/"), clash).status_code == 422
    assert client.post(at(job, "mapping/"), {"do": "use", "name": "mine"}).status_code == 422


def test_columns_are_matched_anew_when_the_apps_fields_changed(
    acme: TenantRef, job: ImportJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shape, "version_of_shape", lambda proxy: 7)
    job = merged(acme, job)
    assert (job.state, job.definition_version) == (State.PREVIEW_SUCCEEDED, 7)
    assert "What the records take changed" in job.notice


# ---- who


def test_every_page_is_shown_to_an_owner(acme: TenantRef, job: ImportJob, client_of: ClientOf) -> None:
    client = client_of(acme)
    assert statuses(client, job) == dict.fromkeys(PAGES, 200)
    for tab in TABS:
        answer = client.get(at(job) + f"?tab={tab}")
        assert (answer.status_code, f"{GENERAL}{job.pk}" in answer.text) == (200, False)
    page = client.get(BASE).text
    assert f'href="{at(job)}"' in page
    assert "Stock imports" in page


def test_who_may_only_add_sees_no_values_of_records_and_cannot_confirm_changes(
    acme: TenantRef, client_of: ClientOf
) -> None:
    merged(acme, preview(acme, "article,place,quantity\na-1,north,5\n"))
    job = preview(acme, "article,place,quantity\na-1,north,123\nb,north,x\n")
    client = client_of(acme, clerk(acme, "add").email)
    page = client.get(at(job) + "?tab=changes").text
    assert "You may not view the records of stock records" in page
    assert changed(page) == []
    assert "You do not have the right to change records of stock records" in page
    assert "/admin/stock/stockrecord/" not in page
    assert client.post(at(job, "confirm/"), {"seen": job.previews}).status_code == 403
    assert client.get(at(job) + "?tab=rejects").text.count("c-3-2") > 0
    assert client.get(f"{BASE}upload/").status_code == 200
    assert client.post(at(job, "fix/"), {"c-3-2": "1"}).status_code == 302


def test_who_may_only_view_looks_but_does_nothing(
    acme: TenantRef, job: ImportJob, client_of: ClientOf
) -> None:
    client = client_of(acme, clerk(acme, "view").email)
    page = client.get(at(job)).text
    assert ("A-1" in page, "Cancel the import" in page, 'value="Confirm"' in page) == (True, False, False)
    assert client.get(BASE).status_code == 200
    assert [client.get(at(job, page)).status_code for page in ("rejected-rows/", "file/")] == [404, 404]
    assert client.get(at(job, "mapping/")).status_code == 403
    assert client.get(f"{BASE}upload/").status_code == 403
    assert {client.post(at(job, deed), {"seen": job.previews}).status_code for deed in DEEDS} == {403}


@pytest.mark.parametrize("who", ["viewer", "clerk"])
def test_a_stranger_finds_nothing(acme: TenantRef, job: ImportJob, client_of: ClientOf, who: str) -> None:
    client = client_of(acme, clerk(acme).email if who == "clerk" else who)
    assert client.get(BASE).status_code == 403
    assert client.get(f"{BASE}upload/").status_code == 403
    for base in (BASE, GENERAL):
        assert statuses(client, job, base) == dict.fromkeys(PAGES, 404)
        assert {client.post(at(job, deed, base)).status_code for deed in DEEDS} == {404}
    assert "stock.csv" not in client.get(GENERAL).text
    assert "stockimport" not in client.get("/admin/").text


def test_another_tenant_has_none_of_it(
    globex: TenantRef, job: ImportJob, client_of: ClientOf, acme: TenantRef
) -> None:
    client = client_of(globex)
    assert "stock.csv" not in client.get(BASE).text
    assert statuses(client, job) == dict.fromkeys(PAGES, 404)
    assert {client.post(at(job, deed)).status_code for deed in DEEDS} == {404}
    assert worked(acme, job).state == State.PREVIEW_SUCCEEDED


def test_a_datasets_import_has_no_page_here(acme: TenantRef, job: ImportJob, client_of: ClientOf) -> None:
    with in_tenant(acme):
        other = upload_orders(make_orders())
    client = client_of(acme)
    assert statuses(client, other) == dict.fromkeys(PAGES, 404)
    assert {client.post(at(other, deed)).status_code for deed in DEEDS} == {404}
    assert "orders.csv" not in client.get(BASE).text


# ---- beside the other imports


def test_the_list_of_all_imports_leads_to_the_targets_pages(
    acme: TenantRef, job: ImportJob, client_of: ClientOf
) -> None:
    client = client_of(acme)
    page = client.get(GENERAL).text
    assert f'href="{at(job)}"' in page
    assert "stock records" in page
    assert f'href="{at(job)}"' in client.get(f"{GENERAL}?dataset=stock.stockrecord").text
    answer = client.get(at(job, base=GENERAL) + "?tab=log")
    assert answer.headers["Location"] == at(job) + "?tab=log"
    assert client.post(at(job, "undo/"), follow=True).status_code == 404
    assert client.post(at(job, "undo/", GENERAL)).status_code == 409


def test_dashboard_sidebar_and_background_work_know_it(
    acme: TenantRef, job: ImportJob, client_of: ClientOf
) -> None:
    client = client_of(acme)
    page = client.get("/admin/").text
    assert page.count(f'href="{at(job)}"') == 1
    assert f'href="{BASE}"' in page
    assert "stock.csv into stock records" in client.get("/admin/jobs/job/").text
    assert "stock.csv" in client.get("/admin/jobs/job/?q=stock+rec").text


def test_a_target_without_pages_of_its_own_is_shown_among_all_imports(
    acme: TenantRef, job: ImportJob, client_of: ClientOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addresses, "has_pages", lambda target: False)
    client = client_of(acme)
    assert statuses(client, job, GENERAL) == dict.fromkeys(PAGES, 200)
    assert f'href="{at(job, base=GENERAL)}"' in client.get(GENERAL).text


def test_who_may_view_every_dataset_does_not_see_the_work_of_a_target(
    acme: TenantRef, job: ImportJob, client_of: ClientOf
) -> None:
    assert "stock" not in client_of(acme, "viewer").get("/admin/jobs/job/").text
    with in_tenant(acme):
        seen = {role: subjects.visible(person(role)) for role in ("viewer", "owner")}
    ours = Job.objects.filter(schema=acme.schema, payload__import=job.pk)
    assert [ours.filter(seen[role]).exists() for role in ("viewer", "owner")] == [False, True]


def test_imports_are_listed_at_the_command_line(
    acme: TenantRef, job: ImportJob, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("list_imports", tenant="acme")
    assert f"{job.pk}  " in (said := capsys.readouterr().out)
    assert "stock.stockrecord  stock.csv: 1 record would be created" in said


def test_a_preview_that_ended_badly_starts_again(acme: TenantRef, job: ImportJob) -> None:
    with in_tenant(acme):
        services.cancel_import(job=job, by=None)
        job = ImportJob.objects.get(pk=job.pk)
        start_preview_again(job, Again(int(job.preview_job_id), acme, {}, {}, ""))
        assert ImportJob.objects.get(pk=job.pk).state == State.CREATED


def test_the_same_file_is_recognised_for_its_own_target_only(
    acme: TenantRef, globex: TenantRef, client_of: ClientOf
) -> None:
    text = "article,place,quantity,id,status\na-1,north,5,1,new\n"
    with in_tenant(acme):
        merge(upload_orders(make_orders(), text))
    job = preview(acme, text)
    assert "imported before" not in client_of(acme).get(at(job)).text
    merged(acme, job)
    assert "imported before" in client_of(acme).get(at(preview(acme, text))).text
