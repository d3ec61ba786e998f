"""The history of exports as people see it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import User
from core.clock import now
from core.tenancy import TenantRef, in_tenant
from datasets.models import Dataset
from datasets.services import grant_right
from exporter.models import ExportFile, ExportRun, State, Trigger
from exporter.tests.helpers import AT, dataset_with, stored_file
from exporter.unchanged import skipped_entry

HISTORY = "/admin/exporter/exportfile/"
RUNS = "/admin/exporter/exportrun/"


def page(client: Client, address: str, **query: str) -> str:
    response = client.get(address, query)
    assert response.status_code == 200, response.status_code
    return response.content.decode()


def test_without_exports_the_history_says_what_to_do(acme: TenantRef, client_of: Any) -> None:
    shown = page(client_of(acme), HISTORY)

    assert "No exports yet. They run by their schedule; or choose Export now." in shown


def test_the_history_shows_every_file_with_its_figures(as_acme: TenantRef, client_of: Any) -> None:
    file = stored_file(dataset_with(slug="orders"), data=b"id,note\n" + b"1,a\n" * 1500)

    shown = page(client_of(as_acme), HISTORY)

    assert "Orders" in shown
    assert "1,500" in shown
    assert "5.9\xa0KB" in shown
    assert f'title="{file.sha256}"' in shown
    assert f"{HISTORY}{file.pk}/download/" in shown


def test_the_history_can_be_searched_and_filtered(as_acme: TenantRef, client_of: Any) -> None:
    orders, parts = dataset_with(slug="orders"), dataset_with(slug="parts")
    first, second = stored_file(orders), stored_file(parts)
    ExportFile.objects.filter(pk=second.pk).update(deleted_at=now())
    client = client_of(as_acme)

    def listed(**query: str) -> list[int]:
        shown = page(client, HISTORY, **query)
        return [file.pk for file in (first, second) if f"{HISTORY}{file.pk}/change/" in shown]

    assert listed() == [first.pk, second.pk]
    assert listed(dataset="parts") == [second.pk]
    assert listed(q=first.sha256, dataset="orders") == [first.pk]
    assert listed(q="parts_2026") == [second.pk]
    assert listed(state="pruned") == [second.pk]
    assert listed(state="stored") == [first.pk]
    assert listed(trigger="SCHEDULED") == []
    assert listed(created_at_from="2026-08-27") == []
    assert listed(created_at_from="2026-08-26", created_at_to="2026-08-27") == [first.pk, second.pk]


@pytest.mark.case("T08", "O11")
def test_the_history_lists_only_the_tenants_own_files(
    acme: TenantRef, globex: TenantRef, client_of: Any
) -> None:
    with in_tenant(globex):
        theirs = stored_file(dataset_with(slug="theirs"))
    with in_tenant(acme):
        stored_file(dataset_with(slug="ours"))

    shown = page(client_of(acme), HISTORY)

    assert "Ours" in shown
    assert "Theirs" not in shown
    assert theirs.key not in shown


def test_the_history_lists_only_datasets_the_person_may_export(as_acme: TenantRef, client_of: Any) -> None:
    orders, parts = dataset_with(slug="orders"), dataset_with(slug="parts")
    stored_file(orders)
    stored_file(parts)
    grant_right(right="export", to=User.objects.get(email="viewer@acme.example"), dataset=parts)

    shown = page(client_of(as_acme, "viewer"), HISTORY)

    assert f"{parts.title}</a>" in shown
    assert "orders_2026" not in shown
    assert ">Orders<" not in shown.split('id="changelist"')[1]


def test_a_person_who_may_export_nothing_has_no_pages_of_exports(as_acme: TenantRef, client_of: Any) -> None:
    dataset_with()
    viewer = client_of(as_acme, "viewer")

    for address in (HISTORY, RUNS, f"{RUNS}now/"):
        assert viewer.get(address).status_code == 403


def test_export_now_starts_a_run_of_the_chosen_datasets(as_acme: TenantRef, client_of: Any) -> None:
    orders = dataset_with(slug="orders")
    dataset_with(slug="parts")
    client = client_of(as_acme)
    assert 'name="datasets"' in page(client, f"{RUNS}now/")

    response = client.post(f"{RUNS}now/", {"datasets": [orders.pk]})

    with in_tenant(as_acme):
        run = ExportRun.objects.select_related("requested_by").get()
    assert (response.status_code, response["Location"]) == (302, f"{RUNS}{run.pk}/change/")
    assert (run.trigger, run.chosen, run.requested_by.email) == (
        Trigger.MANUAL,
        [orders.pk],
        "owner@acme.example",
    )
    assert "Waiting for its turn" in page(client, f"{RUNS}{run.pk}/change/")


def test_a_second_click_shows_why_nothing_starts(as_acme: TenantRef, client_of: Any) -> None:
    dataset_with()
    client = client_of(as_acme)
    client.post(f"{RUNS}now/", {"all": "yes"})

    response = client.post(f"{RUNS}now/", {"all": "yes"}, follow=True)

    assert "Your last export has not ended yet." in response.content.decode()


def test_export_now_changes_nothing_by_following_a_link(as_acme: TenantRef, client_of: Any) -> None:
    dataset_with()

    client_of(as_acme).get(f"{RUNS}now/", {"all": "yes"})

    with in_tenant(as_acme):
        assert not ExportRun.objects.exists()


def test_a_dataset_of_nobody_or_not_ones_own_cannot_be_chosen(as_acme: TenantRef, client_of: Any) -> None:
    orders, parts = dataset_with(slug="orders"), dataset_with(slug="parts")
    grant_right(right="export", to=User.objects.get(email="viewer@acme.example"), dataset=parts)
    client = client_of(as_acme, "viewer")

    for chosen in ([orders.pk], [987654], ["x"], []):
        assert client.post(f"{RUNS}now/", {"datasets": chosen}).status_code == 422

    with in_tenant(as_acme):
        assert not ExportRun.objects.exists()


def failed_run() -> ExportRun:
    slot = now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    return ExportRun.objects.create(
        trigger=Trigger.SCHEDULED,
        slot=slot,
        state=State.FAILED,
        error_code="unexpected",
        error="The disk <is> full.",
    )


def test_a_failed_run_stands_out_on_every_page(as_acme: TenantRef, client_of: Any) -> None:
    run = failed_run()
    client = client_of(as_acme)

    for address in (HISTORY, RUNS, f"{RUNS}{run.pk}/change/"):
        assert "The disk &lt;is&gt; full." in page(client, address)
    assert 'role="alert"' in page(client, HISTORY)
    assert "This export failed" in page(client, f"{RUNS}{run.pk}/change/")


@pytest.mark.case("T06")
def test_another_tenants_run_is_not_there(acme: TenantRef, globex: TenantRef, client_of: Any) -> None:
    with in_tenant(globex):
        run = failed_run()

    assert client_of(acme).get(f"{RUNS}{run.pk}/change/").status_code == 404


def test_a_run_shows_its_files(as_acme: TenantRef, client_of: Any) -> None:
    file = stored_file(dataset_with())

    shown = page(client_of(as_acme), f"{RUNS}{file.run_id}/change/")

    assert file.file_name in shown
    assert (
        reverse("admin:exporter_exportfile_download", args=[file.pk], urlconf="rowhouse.urls_tenant") in shown
    )


@pytest.mark.case("O07")
def test_titles_are_inert_on_every_page(as_acme: TenantRef, client_of: Any) -> None:
    dataset = dataset_with()
    Dataset.objects.filter(pk=dataset.pk).update(title="<img src=x onerror=alert(1)>")
    dataset.refresh_from_db()
    file = stored_file(dataset)
    client = client_of(as_acme)

    for address in (
        HISTORY,
        RUNS,
        f"{RUNS}now/",
        f"{RUNS}{file.run_id}/change/",
        f"{HISTORY}{file.pk}/change/",
    ):
        assert "<img src=x" not in page(client, address)


def test_missed_hours_stand_out_in_the_lists_and_on_the_first_page(
    as_acme: TenantRef, client_of: Any
) -> None:
    dataset_with()
    run = ExportRun.objects.create(
        trigger=Trigger.SCHEDULED, state=State.MISSED, slot=AT, missed=5, error_code="suspended",
        error="5 exports were not made: the tenant was suspended <b>.", finished_at=now(),
    )  # fmt: skip
    client = client_of(as_acme)
    for address in (HISTORY, RUNS, f"{RUNS}{run.pk}/change/"):
        shown = page(client, address)
        assert "5 exports were not made: the tenant was suspended &lt;b&gt;." in shown, address
    assert "5 exports missed" in page(client, HISTORY)
    assert "5 missed in the last day" in page(client, "/admin/")
    assert "missed in the last day" not in page(client_of(as_acme, "viewer"), "/admin/")
    with in_tenant(as_acme):
        ExportRun.objects.update(finished_at=now() - timedelta(days=2))
    assert "5 exports missed" not in page(client, HISTORY)


def test_a_run_shows_the_files_that_still_hold_to_those_who_may_have_them(
    as_acme: TenantRef, client_of: Any
) -> None:
    orders, parts = dataset_with(slug="orders"), dataset_with(slug="parts")
    held = [stored_file(one) for one in (orders, parts)]
    skipped = [skipped_entry(one, file) for one, file in zip((orders, parts), held, strict=True)]
    run = ExportRun.objects.create(
        trigger=Trigger.SCHEDULED, state=State.SUCCEEDED, slot=AT, skipped=skipped, finished_at=now()
    )
    grant_right(right="export", to=User.objects.get(email="viewer@acme.example"), dataset=parts)

    for role, files in (("owner", held), ("viewer", held[1:])):
        shown = page(client_of(as_acme, role), f"{RUNS}{run.pk}/change/")
        assert "Nothing has changed, so no file was written" in shown
        assert [f"{HISTORY}{file.pk}/download/" in shown for file in held] == [file in files for file in held]
