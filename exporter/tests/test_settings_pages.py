"""The editor of export settings and the list of schedules and formats, as people use them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from accounts.models import User
from conftest import ClientOf
from core.tenancy import TenantRef, in_tenant
from datasets.models import Dataset
from datasets.services import grant_right
from exporter.models import ExportSettings
from exporter.settings_rules import DEFAULTS
from exporter.settings_service import change_export_settings, values_of
from exporter.tests.helpers import dataset_with, stored_file

LIST = "/admin/exporter/exportsettings/"
TENANTS = f"{LIST}every/"


@pytest.fixture
def orders(acme: TenantRef) -> Dataset:
    with in_tenant(acme):
        return dataset_with(slug="orders")


def of(dataset: Dataset) -> str:
    return f"{LIST}dataset/{dataset.pk}/"


def rows(page: str) -> list[str]:
    """Return the text of each row of the list."""
    body = page.split("<tbody>")[1].split("</tbody>")[0] if "<tbody>" in page else ""
    return [" ".join(re.sub(r"<[^>]+>", " ", row).split()) for row in body.split("</tr>")[:-1]]


def test_the_list_shows_every_dataset_with_the_settings_that_hold(
    acme: TenantRef, orders: Dataset, client_of: ClientOf
) -> None:
    with in_tenant(acme):
        dataset_with(slug="parts")
        stored_file(orders)
        change_export_settings(dataset=orders, values={"every": "NEVER", "format": "xlsx"}, seen="0", by=None)
    client = client_of(acme)

    first, second = rows(client.get(LIST).text)
    assert first.startswith(
        "Orders never by schedule, only by hand none Excel workbook every record of its own"
    )
    assert first.endswith("ago")
    assert second.startswith("Parts every hour ")
    assert second.endswith("CSV every record the tenant's none yet")
    assert "Every hour, as CSV, every record." in client.get(LIST).text

    def found(**asked: str) -> list[str]:
        return [row.split()[0] for row in rows(client.get(LIST, asked).text)]

    assert found(q="PAR") == ["Parts"]
    assert found(every="NEVER") == found(format="xlsx") == found(whose="own") == ["Orders"]
    assert found(whose="tenant", format="csv") == ["Parts"]
    assert "No dataset is like that." in client.get(LIST, {"q": "zzz"}).text


def test_without_datasets_the_list_says_what_to_do(acme: TenantRef, client_of: ClientOf) -> None:
    assert "There is no dataset you may export." in client_of(acme).get(LIST).text


def test_settings_are_stored_as_the_page_shows_them_and_taken_away_again(
    acme: TenantRef, orders: Dataset, client_of: ClientOf
) -> None:
    client = client_of(acme)
    with in_tenant(acme):
        ids, notes = (one.pk for one in orders.spec().columns)
    assert "is exported by the tenant's settings, which stand here" in " ".join(
        client.get(of(orders)).text.split()
    ).replace("&#x27;", "'")
    sent = {
        "seen": "0", "every": "CRON", "cron": "0 2 * * *", "time_zone": "Europe/Berlin", "format": "csv",
        "mode": "SPREADSHEET", "delimiter": "\t", "null_word": "NULL", "encoding": "cp1252",
        "content": "INCREMENTAL", "full_after": "5", "pattern": "{dataset}/{dataset}_{time}.{ext}",
        "keep_days": "90", "keep_megabytes": "500", "keep_daily": "7", "columns_are": "own",
        "column": [str(ids), str(notes)], f"position_{ids}": "2", f"position_{notes}": "1",
        f"label_{notes}": " Remark ",
    }  # fmt: skip
    answer = client.post(of(orders), sent, follow=True)
    assert (
        "Stored. From the next slot on, “Orders” is exported at 02:00 every day, Europe/Berlin."
        in answer.text
    )
    with in_tenant(acme):
        own = ExportSettings.objects.get(dataset=orders)
        assert values_of(own) == {
            **DEFAULTS, "every": "CRON", "cron": "0 2 * * *", "time_zone": "Europe/Berlin", "mode": "SPREADSHEET",
            "delimiter": "\t", "null_word": "NULL", "encoding": "cp1252", "content": "INCREMENTAL",
            "full_after": 5, "pattern": "{dataset}/{dataset}_{time}.{ext}", "keep_days": 90,
            "keep_bytes": 500_000_000, "keep_daily": 7,
            "columns": [{"column": notes, "label": "Remark"}, {"column": ids, "label": ""}],
        }  # fmt: skip
    page = client.get(of(orders)).text
    assert 'value="Remark"' in page and page.index('value="Remark"') < page.index('placeholder="id"')
    assert f'value="{own.pk}.1"' in page

    client.post(of(orders), {"do": "remove", "seen": f"{own.pk}.1"})
    with in_tenant(acme):
        assert not ExportSettings.objects.exists()


def test_a_size_that_a_command_set_to_the_byte_stays_unless_it_is_changed(
    acme: TenantRef, orders: Dataset, client_of: ClientOf
) -> None:
    with in_tenant(acme):
        change_export_settings(dataset=orders, values={"keep_bytes": 1_500_001}, seen="0", by=None)
        own = ExportSettings.objects.get(dataset=orders)
    client, seen = client_of(acme), f"{own.pk}.1"
    assert 'name="keep_megabytes" value="2"' in client.get(of(orders)).text
    assert client.post(of(orders), {"seen": seen, "keep_megabytes": "2"}).status_code == 302
    with in_tenant(acme):
        assert ExportSettings.objects.values_list("keep_bytes", "version").get() == (1_500_001, 1)
    assert client.post(of(orders), {"seen": seen, "keep_megabytes": "3"}).status_code == 302
    with in_tenant(acme):
        assert ExportSettings.objects.values_list("keep_bytes", "version").get() == (3_000_000, 2)


@pytest.mark.case("C19")
def test_who_comes_second_is_told_and_keeps_what_he_typed(
    acme: TenantRef, orders: Dataset, client_of: ClientOf
) -> None:
    client = client_of(acme)
    assert client.post(of(orders), {"seen": "0", "every": "DAY"}).status_code == 302
    late = client.post(of(orders), {"seen": "0", "every": "DAY", "null_word": "nothing"})
    assert late.status_code == 409
    assert "Somebody changed the export settings of “Orders”" in late.text
    assert 'value="nothing"' in late.text


def test_what_cannot_be_is_said_beside_its_field_and_nothing_is_stored(
    acme: TenantRef, orders: Dataset, client_of: ClientOf
) -> None:
    answer = client_of(acme).post(
        of(orders), {"seen": "0", "every": "CRON", "cron": "soon", "pattern": "{x}", "keep_days": "many"}
    )
    assert answer.status_code == 422
    assert "Enter a whole number." in answer.text
    answer = client_of(acme).post(
        of(orders), {"seen": "0", "every": "CRON", "cron": "soon", "pattern": "{x}"}
    )
    assert answer.status_code == 422
    assert "Cron times have five parts" in answer.text
    assert "{x} means nothing here." in answer.text
    with in_tenant(acme):
        assert not ExportSettings.objects.exists()


def test_the_example_shows_what_the_settings_would_give_without_storing_them(
    acme: TenantRef, orders: Dataset, client_of: ClientOf
) -> None:
    client = client_of(acme)
    asked = {"every": "CRON", "cron": "30 2 * * 1", "time_zone": "Europe/Berlin", "format": "csv.gz",
             "pattern": "{yyyy}/{dataset}_{time}.{ext}", "dataset": "orders"}  # fmt: skip
    made = client.get(f"{LIST}example/", asked).json()
    assert made.pop("next").endswith(" UTC")
    assert made == {
        "name": "acme/exports/2026/orders_20260826T140000Z.csv.gz",
        "name_fault": "",
        "words": "at 02:30 on Monday, Europe/Berlin",
        "words_fault": "",
    }
    wrong = client.get(f"{LIST}example/", {**asked, "cron": "x", "pattern": "a", "dataset": "<b>"}).json()
    assert (wrong["name"], wrong["words"]) == ("", "")
    assert wrong["name_fault"].startswith("File names must end with")
    looked = client.post(of(orders), {**asked, "do": "look", "seen": "0"}).text
    assert "acme/exports/2026/orders_20260826T140000Z.csv.gz" in looked
    with in_tenant(acme):
        assert not ExportSettings.objects.exists()


@pytest.mark.case("A16", "O07")
def test_who_may_only_export_sees_the_list_and_no_editor(
    acme: TenantRef, orders: Dataset, client_of: ClientOf
) -> None:
    with in_tenant(acme):
        hidden = dataset_with(slug="hidden")
        Dataset.objects.filter(pk=orders.pk).update(title="<b>Orders</b>")
        grant_right(right="export", to=User.objects.get(email="viewer@acme.example"), dataset=orders)
    client = client_of(acme, "viewer")
    page = client.get(LIST).text
    assert "&lt;b&gt;Orders&lt;/b&gt;" in page and "<b>Orders" not in page
    assert of(orders) not in page and TENANTS not in page
    assert [row.split()[0] for row in rows(page)] == ["&lt;b&gt;Orders&lt;/b&gt;"]
    assert [client.get(one).status_code for one in (of(orders), of(hidden), TENANTS, f"{LIST}example/")] == [
        403, 404, 403, 403,
    ]  # fmt: skip
    owner = client_of(acme).get(of(orders))
    assert "&lt;b&gt;Orders&lt;/b&gt;" in owner.text and "<b>Orders" not in owner.text


def test_another_tenants_dataset_of_the_same_number_stays_as_it_is(
    acme: TenantRef, globex: TenantRef, orders: Dataset, client_of: Any
) -> None:
    with in_tenant(globex):
        theirs = dataset_with(slug="theirs")
        Dataset.objects.filter(pk=theirs.pk).update(title="Theirs")
    client_of(acme).post(of(orders), {"seen": "0", "every": "DAY"})
    assert "Theirs" not in client_of(acme).get(LIST).text
    with in_tenant(globex):
        assert not ExportSettings.objects.exists()
