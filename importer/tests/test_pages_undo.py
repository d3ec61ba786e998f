"""Undo on the pages: asked for, previewed, confirmed, listed, and undone again."""

from __future__ import annotations

import pytest

from core.tenancy import TenantRef, in_tenant
from datasets.models import Dataset
from datasets.rows import get_row_model
from importer.log import entries_of
from importer.models import ImportJob, State
from importer.tests.tools import import_text, merge, person, records, upload, work
from importer.tests.visits import BASE, ClientOf, at, changed, figures, imported, preview, restricted, worked
from importer.undo import undo_import

NEXT = "id,status,amount,note\n1,sent,10.00,call\n2,paid,21.00,\n4,new,4.00,fourth\n"


@pytest.fixture
def job(acme: TenantRef, acme_orders: Dataset) -> ImportJob:
    """An import that created 4, changed 1 and 2 and deleted 3."""
    imported(acme, acme_orders)
    with in_tenant(acme):
        return merge(upload(acme_orders, NEXT, mode="sync"), deletes=1)


def undo(client_of: ClientOf, acme: TenantRef, job: ImportJob) -> ImportJob:
    answer = client_of(acme).post(at(job, "undo/"))
    with in_tenant(acme):
        made = ImportJob.objects.get(undoes=job)
    assert answer.headers["Location"] == at(made)
    return worked(acme, made)


def test_the_undo_is_previewed_like_an_import(acme: TenantRef, job: ImportJob, client_of: ClientOf) -> None:
    made, client = undo(client_of, acme, job), client_of(acme)
    page = client.get(at(made)).text
    assert figures(page) == {"removed": "1", "restored": "2", "brought back": "1", "kept": "0"}
    assert "1 record would be removed, 2 would" not in page
    assert (
        "1 record would be removed, 2 restored, 1 brought back. Nothing is written before you confirm."
        in page
    )
    assert "Undo: remove 1, restore 2, bring back 1" in page
    assert f'href="{at(job)}">import {job.pk}</a>' in page
    assert changed(client.get(at(made) + "?tab=changes&kind=changed").text) == [
        ("status", "sent", "new"),
        ("amount", "21.00", "20.50"),
    ]
    assert 'name="deletes"' not in page
    waiting = client.get(at(job)).text
    assert f'href="{at(made)}">import {made.pk}</a>, waiting for confirmation' in waiting
    assert "Undo this import" not in waiting


def test_confirmed_it_takes_back_and_both_pages_say_so(
    acme: TenantRef, acme_orders: Dataset, job: ImportJob, client_of: ClientOf
) -> None:
    made, client = undo(client_of, acme, job), client_of(acme)
    client.post(at(made, "confirm/"), {"seen": made.previews})
    made = worked(acme, made)
    with in_tenant(acme):
        assert [row[:2] for row in records(acme_orders)] == [(1, "new"), (2, "paid"), (3, "sent")]
    theirs = client.get(at(job)).text
    assert "This import was undone: its changes were taken back." in theirs
    assert (
        f'Undone by <a class="rh-link" href="{at(made)}">import {made.pk}</a>, confirmed by owner@acme'
        in theirs
    )
    ours = client.get(at(made)).text
    assert "1 record removed, 2 restored, 1 brought back." in ours
    assert len(changed(client.get(at(made) + "?tab=changes&kind=new").text)) == 3
    assert "Undo this undo" in ours
    assert "Import the file again" not in ours
    assert "Import the file again" in theirs
    listed = client.get(BASE).text
    assert f"Undo of import {job.pk} (orders.csv)" in listed
    assert "undone" in listed
    assert f"Undo of import {job.pk} (orders.csv) in Orders" in client.get("/admin/jobs/job/").text
    assert f"Undo of import {job.pk} (orders.csv)" in client.get("/admin/").text


def test_an_undo_can_be_undone(
    acme: TenantRef, acme_orders: Dataset, job: ImportJob, client_of: ClientOf
) -> None:
    first, client = undo(client_of, acme, job), client_of(acme)
    client.post(at(first, "confirm/"), {"seen": 1})
    second = undo(client_of, acme, worked(acme, first))
    client.post(at(second, "confirm/"), {"seen": 1})
    worked(acme, second)
    with in_tenant(acme):
        assert [row[:2] for row in records(acme_orders)] == [(1, "sent"), (2, "paid"), (4, "new")]
    assert f"This undo was undone: what import {job.pk} did stands again." in client.get(at(first)).text
    assert "Undo this import" not in client.get(at(first)).text


def test_records_edited_since_are_listed_as_kept(
    acme: TenantRef, acme_orders: Dataset, job: ImportJob, client_of: ClientOf
) -> None:
    with in_tenant(acme):
        spec = acme_orders.spec()
        rows = get_row_model(acme_orders)._default_manager.filter(**{spec.key[0]: 4})
        rows.update(**{spec.columns[3].name: "edited by hand"})
    made, client = undo(client_of, acme, job), client_of(acme)
    page = client.get(at(made)).text
    assert figures(page)["kept"] == "1"
    assert "1 record would stay as it is" in page
    kept = client.get(at(made) + "?tab=issues&severity=warning").text
    assert '<td class="im-value">4</td><td>edited-since</td>' in kept


@pytest.mark.case("A16", "T07")
def test_undo_is_for_those_who_may_do_what_it_does(
    acme: TenantRef, globex: TenantRef, acme_orders: Dataset, job: ImportJob, client_of: ClientOf
) -> None:
    restricted(acme, {acme_orders: ("view", "import", "add", "change")})
    clerk = client_of(acme, "clerk@acme.example")
    assert "Undo this import" not in clerk.get(at(job)).text
    assert clerk.post(at(job, "undo/")).status_code == 403
    assert client_of(acme, "viewer").post(at(job, "undo/")).status_code == 403
    assert client_of(globex).post(at(job, "undo/")).status_code == 404
    assert client_of(acme).get(at(job, "undo/")).status_code == 405
    with in_tenant(acme):
        assert not ImportJob.objects.filter(undoes=job).exists()


def test_what_was_not_merged_cannot_be_undone(
    acme: TenantRef, acme_orders: Dataset, client_of: ClientOf
) -> None:
    waiting, client = preview(acme, acme_orders), client_of(acme)
    assert "Undo this import" not in client.get(at(waiting)).text
    assert client.post(at(waiting, "undo/")).status_code == 409
    assert worked(acme, waiting).state == State.PREVIEW_SUCCEEDED


def test_the_log_of_an_undo_speaks_of_what_it_takes_back(orders: Dataset) -> None:
    undo = work(undo_import(job=import_text(orders), by=person()))
    ended = next(entry for entry in entries_of(undo) if entry.text.startswith("Preview ended"))
    assert "3 removed" in ended.text
