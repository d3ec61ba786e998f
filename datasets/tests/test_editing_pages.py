"""Editing records on the pages: cells, bulk changes, changes and their undo, a record's versions; rights, tenants."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from core.tenancy import TenantRef, bind_tenant, in_tenant, tenant_or_none
from datasets import changesets, services
from datasets.changeset import ChangeSet, State
from datasets.models import Dataset
from datasets.rows import get_row_model
from datasets.tests.conftest import add_record, name_of, newcomer, person
from datasets.tests.pages import Visitor, page, posted, rows_url
from datasets.tests.test_cells import bulk, column, confirmed

CHANGES = "/admin/datasets/changeset/"


def send(visitor: Visitor, dataset: Dataset, *cells: tuple[Any, ...], **options: Any) -> Any:
    """Post cells as the list does: (id, column, seen, value); return the answer."""
    names = ("id", "column", "seen", "value")
    body = json.dumps({"cells": [dict(zip(names, cell, strict=True)) for cell in cells], **options})
    before = tenant_or_none()
    answer = visitor.client.post(rows_url(dataset, "cells"), body, content_type="application/json")
    if before is not None:  # a request ends outside of every tenant
        bind_tenant(before)
    return answer


def grid(html: str) -> Any:
    """Return what the list tells the page about its cells."""
    found = re.search(r'id="grid-data" data-grid="([^"]*)"', html)
    return json.loads(unescape(found[1])) if found else None


def change(changes: ChangeSet | int, *parts: str) -> str:
    pk = changes if isinstance(changes, int) else changes.pk
    return f"{CHANGES}{pk}/" + "".join(f"{part}/" for part in parts or ("change",))


def pick(
    dataset: Dataset, action: str, *records: Any, everything: bool = False, **more: Any
) -> dict[str, Any]:
    return {
        "action": action,
        "_selected_action": [str(one.pk) for one in records],
        "select_across": "1" if everything else "0",
        **more,
    }


# ---- cells


def test_the_list_tells_its_cells_and_saves_them(orders: Dataset, acme: TenantRef, at_acme: Visitor) -> None:
    record = add_record(orders, Order_no="A1", Paid=True, Note="</script><b>", Customer="x" * 3000)
    paid, note, customer = (name_of(orders, label) for label in ("Paid", "Note", "Customer"))
    html = page(at_acme, rows_url(orders))
    told = grid(html)
    assert "</script><b>" not in html
    assert (told["records"][str(record.pk)][paid], told["records"][str(record.pk)][note]) == (
        "true",
        "</script><b>",
    )
    assert customer not in told["records"][str(record.pk)]  # too long for a cell of the list
    assert told["columns"][paid] == {
        "label": "Paid", "choices": ["true", "false"], "is_choice": True, "is_required": False, "has_lines": False,
    }  # fmt: skip
    answer = send(at_acme, orders, (record.pk, note, "</script><b>", "<i>new</i>"))
    saved = answer.json()
    assert (saved["cells"][0]["status"], saved["cells"][0]["shown"]) == ("saved", "<i>new</i>")
    assert (column(orders, "Note"), saved["change"]["title"]) == (["<i>new</i>"], "Changed “Note” of A1")
    undone = at_acme.client.post(
        saved["change"]["undo"], {"now": "1"}, headers={"Accept": "application/json"}
    )
    bind_tenant(acme)
    assert (undone.json()["is_done"], column(orders, "Note")) == (True, ["</script><b>"])


@pytest.mark.parametrize(
    "body",
    ["", "[]", "{}", '{"cells": 1}', '{"cells": [{}]}',
     '{"cells": [{"id": "1", "column": "c", "seen": null, "value": ""}]}',
     '{"cells": [{"id": 1, "column": "c", "seen": 1, "value": ""}]}',
     '{"cells": [{"id": 99999999999999999999, "column": "c", "seen": null, "value": ""}]}'],
)  # fmt: skip
def test_what_cannot_be_read_is_said_and_is_no_fault(
    orders: Dataset, at_acme: Visitor, acme: TenantRef, body: str
) -> None:
    answer = at_acme.client.post(rows_url(orders, "cells"), body, content_type="application/json")
    bind_tenant(acme)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad-request")
    assert at_acme.get(rows_url(orders, "cells")).status_code == 405


def test_cells_need_the_right_and_the_token(orders: Dataset, acme: TenantRef, client_of: Any) -> None:
    record = add_record(orders, Order_no="A1")
    cell = (record.pk, name_of(orders, "Pieces"), None, "1")
    viewer = Visitor(client_of(acme, "viewer"))
    assert grid(page(viewer, rows_url(orders))) is None
    refused = send(viewer, orders, cell)
    assert (refused.status_code, refused.json()["code"]) == (403, "not-permitted")
    strict = Client(HTTP_HOST="acme.localhost", enforce_csrf_checks=True)
    strict.cookies = client_of(acme).cookies
    assert send(Visitor(strict), orders, cell).status_code == 403
    bind_tenant(acme)
    assert column(orders, "Pieces") == [None]


def test_equal_numbers_at_another_tenant_or_dataset_change_nothing_there(
    twins: dict[str, Dataset], at_acme: Visitor, at_globex: Visitor, acme: TenantRef, globex: TenantRef
) -> None:
    with in_tenant(acme):
        ours = add_record(twins["acme"], Order_no="A1")
        owner = person(acme, "owner")
        made = bulk(twins["acme"], owner, "Pieces", "set", "1")
        pieces = name_of(twins["acme"], "Pieces")
    with in_tenant(globex):
        theirs = add_record(twins["globex"], Serial=1, Hall="north")
        assert theirs.pk == ours.pk
    stolen = send(at_globex, twins["globex"], (ours.pk, pieces, None, "7"))
    assert [one["status"] for one in stolen.json()["cells"]] in (["refused"], ["conflict"])
    for name in ("change", "progress"):
        assert at_globex.get(change(made, name)).status_code == 404
    for name in ("confirm", "cancel", "undo"):
        assert at_globex.post(change(made, name), {"seen": "1"}).status_code == 404
    assert "Pieces" not in page(at_globex, CHANGES)
    with in_tenant(acme):
        assert (column(twins["acme"], "Pieces"), ChangeSet.objects.get().state) == ([None], State.PLANNED)
        stranger = newcomer("stranger@acme.example")
        other = services.create_dataset(title="Other", columns=[services.NewColumn("Word", "text")], by=owner)
        services.grant_right(right="view", to=stranger, dataset=other)
        services.grant_right(right="change", to=stranger, dataset=other)
    client = Client(HTTP_HOST="acme.localhost")
    with in_tenant(acme):
        client.force_login(User.objects.get(pk=stranger.pk), backend="accounts.backends.TenantBackend")
    visitor = Visitor(client)
    assert visitor.get(change(made)).status_code == 404
    assert visitor.post(change(made, "confirm"), {"seen": "1"}).status_code == 404
    assert send(visitor, twins["acme"], (ours.pk, pieces, None, "7")).status_code == 404
    gone = send(visitor, other, (ours.pk, pieces, None, "7"))
    assert [one["status"] for one in gone.json()["cells"]] == ["refused"]


# ---- many


def test_all_records_of_the_filter_are_edited_after_they_were_shown(
    orders: Dataset, at_acme: Visitor, acme: TenantRef
) -> None:
    model, number, state = get_row_model(orders), name_of(orders, "Order no"), name_of(orders, "State")
    model.objects.bulk_create(
        model(**{number: f"A{one}", state: "new" if one % 2 else "open"}) for one in range(120)
    )
    url = f"{rows_url(orders)}?q=new"
    assert page(at_acme, url).count('class="action-select"') <= 60
    asked = pick(orders, "edit_selected", model.objects.filter(**{state: "new"}).first(), everything=True)
    form = at_acme.post(url, asked).content.decode()
    assert "60 records of “Orders”: all that the list’s filter finds." in form
    wrong = at_acme.post(url, {**asked, "column": state, "how": "set", "value": "lost"})
    assert (wrong.status_code, "Not an allowed choice" in wrong.content.decode()) == (422, True)
    chosen = {**asked, "column": state, "how": "set", "value": "done", "note": "end of year"}
    answer = at_acme.post(url, chosen)
    made = ChangeSet.objects.get()
    assert (answer.status_code, answer.url, made.note) == (302, change(made), "end of year")
    shown = page(at_acme, change(made))
    for text in (
        "60 records of Orders would change. Nothing is written yet.",
        "Change 60 records",
        "end of year",
    ):
        assert text in shown
    assert model.objects.filter(**{state: "done"}).count() == 0
    add_record(orders, Order_no="late", State="new")
    at_acme.post(change(made, "confirm"), {"seen": "1"})
    assert "found 60 records when this was worked out, and now 61 records" in page(at_acme, change(made))
    at_acme.post(change(made, "confirm"), {"seen": "2"})
    assert model.objects.filter(**{state: "done"}).count() == 61
    assert "It happens whole" not in page(at_acme, change(made))
    at_acme.post(change(made, "undo"))
    undo = ChangeSet.objects.get(undoes=made)
    assert "Undo: 61 records" in page(at_acme, change(undo))
    at_acme.post(change(undo, "confirm"), {"seen": "1"})
    assert model.objects.filter(**{state: "new"}).count() == 61


def test_selected_records_are_deleted_as_counted_and_many_want_their_number(
    orders: Dataset, at_acme: Visitor, monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: Any
) -> None:
    records = [add_record(orders, Order_no=f"A{number}") for number in range(7)]
    at_acme.post(rows_url(orders), pick(orders, "delete_selected", *records[:6]))
    made = ChangeSet.objects.get()
    html = page(at_acme, change(made))
    assert "Delete 6 records" in html and 'name="typed"' not in html and "A5" in html and "A6" not in html
    monkeypatch.setattr(changesets, "TYPED_RECORDS", 5)
    assert "Type 6 to delete them" in page(at_acme, change(made))
    refused = at_acme.post(change(made, "confirm"), {"seen": "1", "typed": "5"})
    assert refused.status_code == 422
    assert "5 was typed, but 6 records would be deleted" in refused.content.decode()
    with django_assert_max_num_queries(100) as asked:
        at_acme.post(change(made, "confirm"), {"seen": "1", "typed": "6"})
    deletions = [one["sql"] for one in asked.captured_queries if one["sql"].startswith("DELETE")]
    assert len(deletions) == 1
    assert column(orders, "Order no") == ["A6"]
    assert at_acme.post(change(made, "confirm"), {"seen": "1", "typed": "6"}).status_code == 422


def test_who_may_only_view_sees_changes_and_decides_nothing(
    orders: Dataset, acme: TenantRef, client_of: Any
) -> None:
    add_record(orders, Order_no="A1")
    made = bulk(orders, person(acme, "owner"), "Pieces", "set", "1")
    viewer = Visitor(client_of(acme, "viewer"))
    assert "You may not change records" in page(viewer, change(made))
    assert viewer.post(change(made, "confirm"), {"seen": "1"}).status_code == 403
    assert viewer.post(change(made, "cancel")).status_code == 403
    listed = viewer.post(rows_url(orders), pick(orders, "edit_selected", everything=True, how="set"))
    assert ChangeSet.objects.count() == 1 and listed.status_code in (200, 302)
    done = confirmed(made, person(acme, "owner"))
    assert viewer.post(change(done, "undo")).status_code == 403


def test_the_list_of_changes_has_filters_a_search_and_an_empty_state(
    orders: Dataset, acme: TenantRef, at_acme: Visitor
) -> None:
    url = f"{CHANGES}?dataset={orders.pk}"
    assert "No changes yet." in page(at_acme, url)
    record = add_record(orders, Order_no="A1")
    confirmed(bulk(orders, person(acme, "owner"), "Pieces", "set", "1"), person(acme, "owner"))
    bulk(orders, person(acme, "owner"), "Customer", "set", "Ada")
    html = page(at_acme, url)
    assert "Changes of Orders" in html and "Set “Pieces” to “1”" in html and "Set “Customer” to “Ada”" in html
    assert "Set “Customer”" not in page(at_acme, f"{url}&state__exact=DONE")
    assert "Set “Pieces”" not in page(at_acme, f"{url}&q=ada")
    assert "Changes" in page(at_acme, rows_url(orders))
    done = ChangeSet.objects.get(state=State.DONE)
    assert rows_url(orders, record.pk, "history") in page(at_acme, change(done))


# ---- one record


def test_the_page_of_a_record_shows_its_versions_and_takes_it_back(
    orders: Dataset, acme: TenantRef, at_acme: Visitor, client_of: Any
) -> None:
    before, record, after = (add_record(orders, Order_no=number, Pieces=1) for number in ("A0", "A1", "A2"))
    pieces = name_of(orders, "Pieces")
    send(at_acme, orders, (record.pk, pieces, "1", "2"))
    at_acme.post(
        rows_url(orders, record.pk, "change"), posted(orders, Order_no="A1", Pieces="3", Customer="<b>")
    )
    url = rows_url(orders, record.pk, "history")
    html = page(at_acme, url)
    made = ChangeSet.objects.get()
    for text in (
        f'href="{change(made)}">change {made.pk}</a>', "edited in the admin", "owner@acme.example", "&lt;b&gt;",
        rows_url(orders, before.pk, "history"), rows_url(orders, after.pk, "history"), "Revert to this version",
    ):  # fmt: skip
        assert text in html, text
    first, middle, newest = record.history.order_by("history_id").values_list("history_id", flat=True)
    compared = page(at_acme, f"{url}?from={newest}&to={first}")
    assert f"From version {first} to version {newest}" in compared
    other = after.history.get().pk
    assert at_acme.get(f"{url}?from={other}&to={first}").status_code == 404
    to = rows_url(orders, record.pk, "revert")
    viewer = Visitor(client_of(acme, "viewer"))
    assert "Revert to this version" not in page(viewer, url)
    assert viewer.post(to, {"version": first, "seen": newest}).status_code == 403
    at_acme.post(to, {"version": first, "seen": middle})
    assert "since you opened its page; nothing was overwritten" in page(at_acme, url)
    assert at_acme.post(to, {"version": other, "seen": newest}).status_code == 404
    at_acme.post(to, {"version": middle, "seen": newest, "column": pieces})
    assert (column(orders, "Pieces"), column(orders, "Customer")) == ([1, 2, 1], [None, "<b>", None])
    at_acme.post(rows_url(orders, record.pk, "delete"), {"post": "yes"})
    gone = page(at_acme, url)
    assert "This record was deleted." in gone and "Bring back" in gone
    deletion = get_row_model(orders).history.filter(id=record.pk).latest().pk
    bring = {"version": first, "seen": deletion, "bring_back": "1"}
    assert viewer.post(to, bring).status_code == 403
    at_acme.post(to, bring)
    assert column(orders, "Customer") == [None, None, None]
    assert at_acme.get(rows_url(orders, 10**9, "history")).status_code == 404
    assert at_acme.post(rows_url(orders, 10**9, "revert"), bring).status_code == 404


def test_a_form_overwrites_nothing_that_somebody_changed_since_it_was_opened(
    orders: Dataset, acme: TenantRef, at_acme: Visitor
) -> None:
    record = add_record(orders, Order_no="A1", Pieces=1, Customer="Ada")
    url = rows_url(orders, record.pk, "change")
    seen = re.findall(r'name="seen_version" value="([0-9]+)"', page(at_acme, url))
    assert seen == [str(record.history.latest().pk)]
    send(at_acme, orders, (record.pk, name_of(orders, "Pieces"), "1", "5"))
    form = {"seen_version": seen[0]}
    at_acme.post(url, form | posted(orders, Order_no="A1", Pieces="1", Customer="Grace"))
    assert (column(orders, "Pieces"), column(orders, "Customer")) == ([5], ["Grace"])  # theirs stays
    late = at_acme.post(url, form | posted(orders, Order_no="A1", Pieces="9", Customer="Ada"))
    assert late.status_code == 409
    said = "changed “Pieces” meanwhile: the form showed “1”, and it is “5” now. Nothing was saved."
    assert said in late.content.decode()
    assert (column(orders, "Pieces"), column(orders, "Customer")) == ([5], ["Grace"])
