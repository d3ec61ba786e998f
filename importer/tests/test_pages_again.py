"""What is left of an import on its page: its files, its log, and the same file once more."""

from __future__ import annotations

import re
from typing import Any

import pytest

from audit.models import Event
from core import storage
from core.tenancy import TenantRef, in_tenant
from datasets.models import Dataset
from importer import fixing
from importer.models import ImportJob, State
from importer.tests.tools import GOOD, counts, merge, person, upload, work
from importer.tests.visits import FAULTY, ClientOf, at, imported, preview, restricted, worked


def log(page: str) -> list[tuple[str, str]]:
    """Return (who, what) of a log."""
    return re.findall(r"</time></td><td>([^<]*)</td><td>([^<]*)</td>", page)


def test_the_upload_comes_back_byte_for_byte_and_is_recorded(
    acme: TenantRef, acme_orders: Dataset, client_of: ClientOf
) -> None:
    job, client = preview(acme, acme_orders, FAULTY, name="<b>Ords “ä”.csv"), client_of(acme)
    page = client.get(at(job) + "?tab=files").text
    assert f'href="{at(job, "file/")}"' in page
    assert job.sha256 in page
    answer = client.get(at(job, "file/"))
    assert b"".join(answer.streaming_content) == FAULTY.encode()  # type: ignore[attr-defined]
    headers = answer.headers
    assert headers["Content-Disposition"].startswith("attachment;")
    assert (headers["Content-Type"], headers["X-Content-Type-Options"]) == (
        "application/octet-stream",
        "nosniff",
    )
    assert headers["Content-Length"] == str(len(FAULTY))
    assert "no-store" in headers["Cache-Control"]
    with in_tenant(acme):
        assert Event.objects.get(name="importer.upload.downloaded").actor_label == "owner@acme.example"


@pytest.mark.case("A10", "T07")
def test_files_are_for_those_who_may_import_into_the_dataset(
    acme: TenantRef, globex: TenantRef, acme_orders: Dataset, client_of: ClientOf
) -> None:
    job, viewer = preview(acme, acme_orders, FAULTY), client_of(acme, "viewer")
    page = viewer.get(at(job) + "?tab=files").text
    assert "The files are for those who may import into Orders." in page
    assert "/file/" not in page
    for client in (viewer, client_of(globex)):
        assert client.get(at(job, "file/")).status_code == 404


def test_an_upload_that_is_not_kept_any_more_is_said_to_be_gone(
    acme: TenantRef, acme_orders: Dataset, client_of: ClientOf
) -> None:
    job, client = imported(acme, acme_orders), client_of(acme)
    with in_tenant(acme):
        ImportJob.objects.filter(pk=job.pk).update(key="")
    page = client.get(at(job) + "?tab=files").text
    assert "removed after the time uploads are kept" in page
    assert "Import the file again" not in page
    assert client.get(at(job, "file/")).status_code == 404
    assert client.post(at(job, "again/")).status_code == 409


def test_the_log_tells_what_happened_and_who_did_it(
    acme: TenantRef, acme_orders: Dataset, client_of: ClientOf
) -> None:
    job, client = preview(acme, acme_orders, FAULTY), client_of(acme)
    client.post(at(job, "fix/"), {"c-2-1": "new", "c-2-2": "1.00"})
    worked(acme, job)
    client.post(at(job, "confirm/"), {"seen": 2, "policy": "good_rows"})
    worked(acme, job)
    owner, nobody = "owner@acme.example", "in the background"
    told = log(client.get(at(job) + "?tab=log").text)
    assert told[0] == (owner, "Uploaded")
    assert (nobody, "Preview ended: 1 new, 2 rejected") in told
    assert (owner, "Rejected rows corrected: 1 row, of them still rejected: 0") in told
    assert (owner, "Confirmed: 2 new, 1 rejected") in told
    assert told[-1] == (owner, "Ended: the records are written: 2 new, 1 rejected")


def test_the_timeline_says_when_and_who(acme: TenantRef, acme_orders: Dataset, client_of: ClientOf) -> None:
    job = imported(acme, acme_orders)
    page = client_of(acme, "viewer").get(at(job)).text
    timeline = page.partition("im-timeline")[2].partition("</ol>")[0]
    words = re.findall(r'<li><span class="rh-note">([^<]+)</span>', timeline)
    assert words == ["asked for", "preview began", "preview ended", "confirmed", "ended"]
    assert timeline.count("owner@acme.example") == 2
    assert f"{job.confirmed_at:%Y-%m-%d %H:%M:%S}" in timeline


def test_the_same_file_again_is_a_new_import_with_the_same_settings(
    acme: TenantRef, acme_orders: Dataset, client_of: ClientOf
) -> None:
    text = FAULTY.replace("id,", "Nummer;").replace(",", ";")
    options: dict[str, Any] = {"mode": "sync", "policy": "all_or_nothing", "overrides": {"delimiter": ";"}}
    columns = {"Nummer": "id", "status": "status", "amount": None, "note": "note"}
    job, client = preview(acme, acme_orders, text, columns=columns, **options), client_of(acme)
    with in_tenant(acme):
        fixing.fix_rows(job=job, by=person(), cells={3: ["2", "paid", "1.00", "mended"]})
        job = merge(work(job), deletes=0)
    answer = client.post(at(job, "again/"))
    with in_tenant(acme):
        made = work(ImportJob.objects.latest("pk"))
    assert answer.headers["Location"] == at(made)
    assert (made.pk, made.sha256, made.mode, made.policy) == (
        job.pk + 1,
        job.sha256,
        "sync",
        "all_or_nothing",
    )
    assert made.mapping == job.mapping
    # The row mended by hand is right this time too, and nothing is new.
    assert (made.state, counts(made)) == (State.PREVIEW_SUCCEEDED, (0, 0, 3, 0))
    assert f'imported before, by <a class="rh-link" href="{at(job)}">' in client.get(at(made)).text
    assert b"".join(client.get(at(made, "file/")).streaming_content) == text.encode()  # type: ignore[attr-defined]


def test_what_was_mapped_to_a_column_that_changed_is_matched_anew(
    acme: TenantRef, acme_orders: Dataset, client_of: ClientOf
) -> None:
    job = imported(acme, acme_orders)
    with in_tenant(acme):
        Dataset.objects.filter(pk=acme_orders.pk).update(
            definition_version=acme_orders.definition_version + 1
        )
    client_of(acme).post(at(job, "again/"))
    with in_tenant(acme):
        made = ImportJob.objects.latest("pk")
        assert (made.mapping, work(made).state) == ([], State.PREVIEW_SUCCEEDED)


def test_an_import_that_is_not_over_is_not_repeated(
    acme: TenantRef, acme_orders: Dataset, client_of: ClientOf
) -> None:
    job, client = preview(acme, acme_orders), client_of(acme)
    assert "Import the file again" not in client.get(at(job)).text
    answer = client.post(at(job, "again/"))
    assert answer.status_code == 409
    assert "Confirm or cancel it first." in answer.text


def test_a_stored_file_that_is_another_one_is_not_imported_again(
    acme: TenantRef, acme_orders: Dataset, client_of: ClientOf
) -> None:
    job, client = imported(acme, acme_orders), client_of(acme)
    with in_tenant(acme):
        path = job.key.partition("/")[2]
        with storage.write(path) as file:
            file.write(GOOD.replace("paid", "sent").encode())
    answer = client.post(at(job, "again/"))
    assert answer.status_code == 409
    with in_tenant(acme):
        assert ImportJob.objects.count() == 1


@pytest.mark.case("A16", "T07")
def test_a_file_is_imported_again_by_those_who_may_import(
    acme: TenantRef, globex: TenantRef, acme_orders: Dataset, client_of: ClientOf
) -> None:
    job = imported(acme, acme_orders)
    restricted(acme, {acme_orders: ("view", "add", "change")})
    for client, status in (
        (client_of(acme, "clerk@acme.example"), 403),
        (client_of(acme, "viewer"), 403),
        (client_of(globex), 404),
    ):
        assert "Import the file again" not in client.get(at(job)).text
        assert client.post(at(job, "again/")).status_code == status
    with in_tenant(acme):
        assert ImportJob.objects.count() == 1
        assert upload(acme_orders).pk == job.pk + 1
