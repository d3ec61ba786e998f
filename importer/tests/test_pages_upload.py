"""The page a file is uploaded on, the rules of a dataset, and the list of imports."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from core.tenancy import TenantRef, in_tenant
from datasets.models import Dataset
from datasets.services import NewColumn, create_dataset
from datasets.spec import ColumnOptions
from importer import rules
from importer.forms import new_request_key
from importer.models import ImportJob, State
from importer.tests.tools import GOOD, make_orders, person
from importer.tests.visits import BASE, FAULTY, ClientOf, at, imported, preview, restricted

UPLOAD = f"{BASE}upload/"


def form(dataset: Dataset, **changes: Any) -> dict[str, Any]:
    file = SimpleUploadedFile("orders.csv", GOOD.encode())
    return {
        "dataset": dataset.pk,
        "file": file,
        "mode": "upsert",
        "request_key": new_request_key(),
        **changes,
    }


def chosen(page: str, name: str) -> str:
    radios = re.findall(rf'<input type="radio" name="{name}" value="([^"]+)"([^>]*)>', page)
    return next((value for value, rest in radios if re.search(r"\schecked(?!:)", rest)), "")


def test_the_page_begins_with_what_the_dataset_wants(
    acme: TenantRef, acme_orders: Dataset, client_of: ClientOf
) -> None:
    client = client_of(acme)
    assert chosen(client.get(f"{UPLOAD}?dataset={acme_orders.pk}").text, "policy") == "good_rows"
    with in_tenant(acme):
        rules.set_rules(
            dataset=acme_orders,
            by=person(),
            policy="all_or_nothing",
            max_rejected_percent=None,
            blank="clear",
        )
    page = client.get(f"{UPLOAD}?dataset={acme_orders.pk}").text
    assert chosen(page, "policy") == "all_or_nothing"
    assert chosen(client.get(UPLOAD).text, "policy") == "good_rows"
    # Nothing chosen is the dataset's wish, too.
    client.post(UPLOAD, form(acme_orders))
    with in_tenant(acme):
        assert ImportJob.objects.get().policy == "all_or_nothing"


def test_previews_that_wait_are_listed_and_replaced_on_demand(
    acme: TenantRef, acme_orders: Dataset, client_of: ClientOf
) -> None:
    job, client = preview(acme, acme_orders, name="monday.csv"), client_of(acme)
    imported(acme, acme_orders, name="sunday.csv")
    with in_tenant(acme):
        other = make_orders("Other")
    page = client.get(f"{UPLOAD}?dataset={acme_orders.pk}").text
    assert f'href="{at(job)}">import {job.pk} of monday.csv</a>, waiting for confirmation' in page
    assert "sunday.csv" not in page
    assert 'name="replace"' in page
    elsewhere = client.get(f"{UPLOAD}?dataset={other.pk}").text
    assert "monday.csv" not in elsewhere
    assert 'name="replace"' not in elsewhere
    client.post(UPLOAD, form(acme_orders, replace="on"))
    with in_tenant(acme):
        states = ImportJob.objects.order_by("pk").values_list("state", flat=True)
        assert list(states) == [State.CANCELLED, State.IMPORT_SUCCEEDED, State.CREATED]


def test_sync_is_offered_with_a_plain_warning(
    acme: TenantRef, acme_orders: Dataset, client_of: ClientOf
) -> None:
    client = client_of(acme)
    page = client.get(UPLOAD).text
    assert "make the dataset equal to the file: records it does not have are deleted" in page
    assert "you type how many records that are" in page
    client.post(UPLOAD, form(acme_orders, mode="sync"))
    with in_tenant(acme):
        assert ImportJob.objects.get().mode == "sync"


def test_a_dataset_without_a_key_cannot_be_made_equal_to_a_file(
    acme: TenantRef, globex: TenantRef, client_of: ClientOf
) -> None:
    with in_tenant(acme):
        column = NewColumn("note", "text", False, False, ColumnOptions())
        notes = create_dataset(title="Notes", columns=(column,), key=(), by=None)
    answer = client_of(acme).post(UPLOAD, form(notes, mode="sync"))
    assert answer.status_code == 422
    assert "this dataset has none" in answer.text
    with in_tenant(acme):
        assert not ImportJob.objects.exists()


@pytest.mark.case("F35")
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(300), "Upload a CSV or .xlsx file."),
        (b"PK\x03\x04" + bytes(300), "Unpack it and upload the CSV or .xlsx file inside."),
        (b"%PDF-1.7 and so on", "Upload a CSV or .xlsx file."),
    ],
)
def test_a_file_of_another_kind_is_refused_with_what_to_do(
    acme: TenantRef, acme_orders: Dataset, client_of: ClientOf, content: bytes, said: str
) -> None:
    answer = client_of(acme).post(UPLOAD, form(acme_orders, file=SimpleUploadedFile("orders.csv", content)))
    assert answer.status_code == 422
    assert said in answer.text


def test_a_file_over_the_limit_is_refused_with_what_to_do(
    acme: TenantRef, acme_orders: Dataset, client_of: ClientOf, settings: Any
) -> None:
    settings.ROWHOUSE_UPLOAD_MAX_BYTES = 1024**2
    rows = "id,status\n" + "1,new\n" * 200_000
    big = SimpleUploadedFile("orders.csv", rows.encode())
    answer = client_of(acme).post(UPLOAD, form(acme_orders, file=big))
    assert answer.status_code == 422
    assert "The file is larger than 1 MiB. Split it, then upload its parts." in answer.text


# ---- rules


def test_rules_are_set_on_their_page(acme: TenantRef, acme_orders: Dataset, client_of: ClientOf) -> None:
    client, url = client_of(acme), f"{BASE}rules/{acme_orders.pk}/"
    assert url in client.get(f"{UPLOAD}?dataset={acme_orders.pk}").text
    assert chosen(client.get(url).text, "blank") == "clear"
    sent = {"policy": "all_or_nothing", "max_rejected_percent": "2.5", "blank": "keep"}
    assert client.post(url, sent).headers["Location"] == f"{UPLOAD}?dataset={acme_orders.pk}"
    with in_tenant(acme):
        kept = rules.rules_of(acme_orders)
        assert (kept.policy, kept.max_rejected_percent, kept.blank) == (
            "all_or_nothing",
            Decimal("2.50"),
            "keep",
        )
    assert 'value="2.50"' in client.get(url).text
    assert client.post(url, {**sent, "max_rejected_percent": ""}).status_code == 302
    with in_tenant(acme):
        assert rules.rules_of(acme_orders).max_rejected_percent is None


@pytest.mark.parametrize("percent", ["101", "-1", "x", "1.234"])
def test_a_share_that_is_none_is_refused(
    acme: TenantRef, acme_orders: Dataset, client_of: ClientOf, percent: str
) -> None:
    sent = {"policy": "good_rows", "max_rejected_percent": percent, "blank": "clear"}
    answer = client_of(acme).post(f"{BASE}rules/{acme_orders.pk}/", sent)
    assert answer.status_code == 422
    with in_tenant(acme):
        assert rules.rules_of(acme_orders).max_rejected_percent is None


@pytest.mark.case("A16", "T07")
def test_rules_are_for_those_who_may_change_the_definition(
    acme: TenantRef, globex: TenantRef, acme_orders: Dataset, client_of: ClientOf
) -> None:
    url, sent = f"{BASE}rules/{acme_orders.pk}/", {"policy": "all_or_nothing", "blank": "keep"}
    restricted(acme, {acme_orders: ("view", "import")})
    for client, status in (
        (client_of(acme, "clerk@acme.example"), 403),
        (client_of(acme, "viewer"), 404),
        (client_of(globex), 404),
    ):
        assert client.get(url).status_code == status
        assert client.post(url, sent).status_code == status
    assert url not in client_of(acme, "clerk@acme.example").get(f"{UPLOAD}?dataset={acme_orders.pk}").text
    with in_tenant(acme):
        assert rules.rules_of(acme_orders).policy == "good_rows"


# ---- the list, and who sees what


def test_the_list_is_filtered_and_searched(
    acme: TenantRef, acme_orders: Dataset, client_of: ClientOf
) -> None:
    with in_tenant(acme):
        other = make_orders("Invoices")
        editor = person("editor")
    waiting = preview(acme, acme_orders, FAULTY, name="waiting.csv")
    done = imported(acme, other, name="done.csv", by=editor)
    client = client_of(acme)

    def names(query: str) -> set[str]:
        return set(re.findall(r">(\w+\.csv)</a>", client.get(BASE + query).text))

    assert names("") == {"waiting.csv", "done.csv"}
    assert names("?state__exact=IMPORT_SUCCEEDED") == {"done.csv"}
    assert names(f"?dataset={acme_orders.pk}") == {"waiting.csv"}
    assert names(f"?who={editor.pk}") == {"done.csv"}
    assert names(f"?created_at_from={waiting.created_at:%Y-%m-%d}") == {"waiting.csv", "done.csv"}
    assert names("?created_at_to=2001-01-01") == set()
    for words in ("waiting", "orders", "editor@acme", done.sha256):
        assert names(f"?q={words}") <= {"waiting.csv", "done.csv"}
    assert names("?q=invoices") == {"done.csv"}
    assert names("?q=editor@acme") == {"done.csv"}
    assert names("?who=x&dataset=99999999999999999999") == {"waiting.csv", "done.csv"}


PAGES = ("change/", "change/?tab=changes", "change/?tab=issues", "change/?tab=rejects", "change/?tab=log",
         "change/?tab=files", "mapping/", "progress/", "rejected-rows/", "file/")  # fmt: skip
ACTIONS = ("confirm/", "cancel/", "undo/", "again/", "fix/", "corrections/")


@pytest.mark.case("T06", "T07", "T08", "A10")
def test_no_page_shows_an_import_to_strangers(
    acme: TenantRef, globex: TenantRef, acme_orders: Dataset, client_of: ClientOf
) -> None:
    with in_tenant(acme):
        other = make_orders("Invoices")
    restricted(acme, {other: ("view", "import", "add", "change")})
    job = preview(acme, acme_orders, FAULTY, name="secret.csv")
    for stranger in (client_of(globex), client_of(acme, "clerk@acme.example")):
        for page in PAGES:
            assert stranger.get(at(job, page)).status_code == 404, page
        for action in ACTIONS:
            assert stranger.post(at(job, action), {"seen": 1}).status_code == 404, action
        for listing in (BASE, UPLOAD, f"{UPLOAD}?dataset={acme_orders.pk}"):
            page = stranger.get(listing).text
            assert "secret.csv" not in page
            assert ">Orders" not in page
            assert "owner@acme.example" not in page
        sent = form(acme_orders)
        assert stranger.post(UPLOAD, sent).status_code in (403, 422)
    with in_tenant(acme):
        assert ImportJob.objects.count() == 1


@pytest.mark.case("A16")
def test_who_may_import_and_not_view_sees_no_records(
    acme: TenantRef, acme_orders: Dataset, client_of: ClientOf
) -> None:
    imported(acme, acme_orders)
    restricted(acme, {acme_orders: ("import", "change")})
    job = preview(acme, acme_orders, GOOD.replace("20.50", "99.00"), by=None)
    page = client_of(acme, "clerk@acme.example").get(at(job)).text
    assert "You may not view the records of Orders" in page
    assert "20.50" not in page
    assert f"ds{acme_orders.pk}" not in page
