"""The pages of imports, through the real admin."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from core.tenancy import TenantRef, in_tenant
from datasets.models import Dataset
from importer.forms import new_request_key
from importer.models import ImportJob, State
from importer.tests.tools import GOOD, make_orders, merge, records, upload, work

ClientOf = Callable[..., Client]
FAULTY = "id,status,amount,note\n1,new,ten,call\n2,lost,1.00,\n3,sent,3.00,fine\n"


@pytest.fixture
def dataset(acme: TenantRef, globex: TenantRef) -> Dataset:
    with in_tenant(acme):
        return make_orders()


def preview(tenant: TenantRef, dataset: Dataset, text: str = GOOD, **options: Any) -> ImportJob:
    with in_tenant(tenant):
        return upload(dataset, text, **options)


def form(dataset: Dataset, **changes: Any) -> dict[str, Any]:
    return {
        "dataset": dataset.pk,
        "file": SimpleUploadedFile("orders.csv", GOOD.encode()),
        "mode": "upsert",
        "policy": "good_rows",
        "request_key": new_request_key(),
        **changes,
    }


def test_upload_leads_to_the_import_and_its_preview(
    acme: TenantRef, dataset: Dataset, client_of: ClientOf
) -> None:
    client = client_of(acme)
    assert "Upload and preview" in client.get(f"/admin/importer/importjob/upload/?dataset={dataset.pk}").text
    answer = client.post("/admin/importer/importjob/upload/", form(dataset))
    with in_tenant(acme):
        job = work(ImportJob.objects.get())
    assert answer.headers["Location"] == f"/admin/importer/importjob/{job.pk}/change/"
    page = client.get(answer.headers["Location"])
    assert "3 records would be created" in page.text
    assert "Import: create 3, change 0" in page.text


def test_confirming_on_the_page_imports(acme: TenantRef, dataset: Dataset, client_of: ClientOf) -> None:
    job, client = preview(acme, dataset, FAULTY), client_of(acme)
    answer = client.post(f"/admin/importer/importjob/{job.pk}/confirm/", {"seen": 1, "policy": "good_rows"})
    assert answer.status_code == 302
    with in_tenant(acme):
        assert work(job).state == State.IMPORT_SUCCEEDED
        assert [row[0] for row in records(dataset)] == [3]
    page = client.get(f"/admin/importer/importjob/{job.pk}/change/").text
    assert (
        "1 record created, 2 rows rejected. Download the rejected rows, correct them and upload that file."
        in page
    )


@pytest.mark.case("C01", "C02", "C03")
def test_confirming_twice_imports_once_and_says_so(
    acme: TenantRef, dataset: Dataset, client_of: ClientOf
) -> None:
    job, client = preview(acme, dataset), client_of(acme)
    url = f"/admin/importer/importjob/{job.pk}/confirm/"
    first = client.post(url, {"seen": 1, "policy": "good_rows"})
    second = client.post(url, {"seen": 1, "policy": "all_or_nothing"})
    assert (first.status_code, second.status_code) == (302, 409)
    assert "confirmed already" in second.text
    with in_tenant(acme):
        assert work(job).merges == 1


@pytest.mark.case("C02")
def test_sending_the_upload_twice_makes_one_import(
    acme: TenantRef, dataset: Dataset, client_of: ClientOf
) -> None:
    client, key = client_of(acme), new_request_key()
    answers = [
        client.post("/admin/importer/importjob/upload/", form(dataset, request_key=key)) for _ in range(2)
    ]
    assert answers[0].headers["Location"] == answers[1].headers["Location"]
    with in_tenant(acme):
        assert ImportJob.objects.count() == 1


@pytest.mark.case("F34")
def test_two_files_in_one_field_are_refused(acme: TenantRef, dataset: Dataset, client_of: ClientOf) -> None:
    files = [SimpleUploadedFile(f"{n}.csv", GOOD.encode()) for n in "ab"]
    answer = client_of(acme).post("/admin/importer/importjob/upload/", form(dataset, file=files))
    assert answer.status_code == 422
    assert "Choose one file" in answer.text


@pytest.mark.case("F01")
def test_an_empty_file_is_refused(acme: TenantRef, dataset: Dataset, client_of: ClientOf) -> None:
    empty = SimpleUploadedFile("orders.csv", b"")
    answer = client_of(acme).post("/admin/importer/importjob/upload/", form(dataset, file=empty))
    assert answer.status_code == 422
    assert "The file is empty" in answer.text


PAGES = ("change/", "mapping/", "progress/", "rejected-rows/")


@pytest.mark.case("T06", "T07", "T08")
def test_another_tenants_import_is_not_found(
    acme: TenantRef, globex: TenantRef, dataset: Dataset, client_of: ClientOf
) -> None:
    job, stranger = preview(acme, dataset, FAULTY), client_of(globex)
    for page in PAGES:
        assert stranger.get(f"/admin/importer/importjob/{job.pk}/{page}").status_code == 404, page
    for action in ("confirm/", "cancel/"):
        assert stranger.post(f"/admin/importer/importjob/{job.pk}/{action}", {"seen": 1}).status_code == 404
    assert "orders.csv" not in stranger.get("/admin/importer/importjob/").text


@pytest.mark.case("A16")
def test_a_viewer_reads_an_import_and_starts_none(
    acme: TenantRef, dataset: Dataset, client_of: ClientOf
) -> None:
    job, viewer = preview(acme, dataset, FAULTY), client_of(acme, "viewer")
    page = viewer.get(f"/admin/importer/importjob/{job.pk}/change/")
    assert page.status_code == 200
    assert "/confirm/" not in page.text
    assert "/cancel/" not in page.text
    assert viewer.get("/admin/importer/importjob/upload/").status_code == 403
    assert viewer.get(f"/admin/importer/importjob/{job.pk}/mapping/").status_code == 403
    for action in ("confirm/", "cancel/"):
        answer = viewer.post(f"/admin/importer/importjob/{job.pk}/{action}", {"seen": 1})
        assert answer.status_code == 403, action


def test_state_changes_only_by_post(acme: TenantRef, dataset: Dataset, client_of: ClientOf) -> None:
    job, client = preview(acme, dataset), client_of(acme)
    for action in ("confirm/", "cancel/"):
        assert client.get(f"/admin/importer/importjob/{job.pk}/{action}").status_code == 405


def test_issues_are_listed_and_filtered_by_code(
    acme: TenantRef, dataset: Dataset, client_of: ClientOf
) -> None:
    job, client = preview(acme, dataset, FAULTY), client_of(acme)
    page = client.get(f"/admin/importer/importjob/{job.pk}/change/?tab=issues").text
    assert "ten" in page
    assert "lost" in page
    only = client.get(f"/admin/importer/importjob/{job.pk}/change/?tab=issues&code=type-error").text
    assert ">ten<" in only


def test_changes_show_old_and_new(acme: TenantRef, dataset: Dataset, client_of: ClientOf) -> None:
    with in_tenant(acme):
        merge(upload(dataset))
        job = upload(dataset, GOOD.replace("20.50", "21.75"))
    page = client_of(acme).get(f"/admin/importer/importjob/{job.pk}/change/").text
    assert '<td class="im-value im-old">20.50</td><td class="im-value im-new">21.75</td>' in page
    with in_tenant(acme):
        merge(job)
    page = client_of(acme).get(f"/admin/importer/importjob/{job.pk}/change/").text
    assert '<td class="im-value im-old">20.50</td><td class="im-value im-new">21.75</td>' in page


@pytest.mark.case("O07")
def test_labels_and_cells_are_inert_in_every_page(
    acme: TenantRef, dataset: Dataset, client_of: ClientOf
) -> None:
    evil = "<img src=x x-data x-init=alert(1)>"
    text = (
        f'id,status,amount,note,"{evil}"\n1,new,"{evil}",x,"{evil}"\n2,new,1,"{evil}","{{{{ 7|add:7 }}}}"\n'
    )
    job, client = preview(acme, dataset, text, name=f"{evil}.csv"), client_of(acme)
    for page in ("change/?tab=changes", "change/?tab=issues", "mapping/"):
        answer = client.get(f"/admin/importer/importjob/{job.pk}/{page}").text
        assert "<img src=x" not in answer, page
        assert "&lt;img src=x" in answer, page
    assert "<img src=x" not in client.get("/admin/importer/importjob/").text


def test_the_mapping_page_shows_samples_and_previews_again(
    acme: TenantRef, dataset: Dataset, client_of: ClientOf
) -> None:
    job, client = preview(acme, dataset, GOOD.replace("id,status", "zzz,status")), client_of(acme)
    assert job.state == State.PREVIEW_FAILED
    page = client.get(f"/admin/importer/importjob/{job.pk}/mapping/").text
    assert "Required and not matched yet: <strong>id</strong>" in page
    with in_tenant(acme):
        names = [column.name for column in dataset.spec().columns]
    chosen = {f"column_{position}": name for position, name in enumerate(names)}
    answer = client.post(f"/admin/importer/importjob/{job.pk}/mapping/", chosen)
    assert answer.status_code == 302
    with in_tenant(acme):
        assert work(job).state == State.PREVIEW_SUCCEEDED


def test_progress_tells_the_page_when_to_reload(
    acme: TenantRef, dataset: Dataset, client_of: ClientOf
) -> None:
    job = preview(acme, dataset)
    answer = client_of(acme).get(f"/admin/importer/importjob/{job.pk}/progress/")
    assert answer.headers["HX-Refresh"] == "true"


def test_the_list_says_what_to_do_first(acme: TenantRef, client_of: ClientOf) -> None:
    assert "No imports yet." in client_of(acme).get("/admin/importer/importjob/").text


def test_rejected_rows_come_as_a_file(acme: TenantRef, dataset: Dataset, client_of: ClientOf) -> None:
    job = preview(acme, dataset, FAULTY)
    answer = client_of(acme).get(f"/admin/importer/importjob/{job.pk}/rejected-rows/")
    text = b"".join(answer.streaming_content).decode("utf-8-sig")  # type: ignore[attr-defined]
    lines = text.splitlines()
    assert lines[0] == '"row","problem","id","status","amount","note"'
    assert lines[1].startswith("2,")
    assert lines[1].endswith('"1","new","ten","call"')


@pytest.mark.case("A10")
def test_what_was_rejected_is_for_those_who_may_import(
    acme: TenantRef, dataset: Dataset, client_of: ClientOf
) -> None:
    job = preview(acme, dataset, FAULTY)
    viewer = client_of(acme, "viewer")
    page = viewer.get(f"/admin/importer/importjob/{job.pk}/change/?tab=issues").text
    assert "type-error" in page
    assert "ten" not in [cell.strip() for cell in re.findall(r'im-value">([^<]*)<', page)]
    assert "rejected-rows" not in page
    assert viewer.get(f"/admin/importer/importjob/{job.pk}/rejected-rows/").status_code == 404
