"""Saved views: what they keep, who sees and changes them, and which comes first."""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied

from audit.models import Event
from core.tenancy import TenantRef, in_tenant
from datasets import access, views_saved
from datasets.liststate import read_state
from datasets.models import Dataset, SavedView
from datasets.tests.conftest import add_record, name_of, newcomer
from datasets.tests.pages import Visitor, page, rows_url


@pytest.fixture
def viewer(client_of: Any, acme: TenantRef) -> Visitor:
    return Visitor(client_of(acme, "viewer"))


def send(visitor: Visitor, dataset: Dataset, **form: Any) -> Any:
    return visitor.post(rows_url(dataset, "views"), form)


def add_view(visitor: Visitor, dataset: Dataset, name: str, query: str, **more: Any) -> SavedView:
    answer = send(visitor, dataset, do="add", name=name, query=query, **more)
    assert answer.status_code == 302
    return SavedView.objects.get(dataset=dataset, name=name)


def tabs(html: str) -> list[str]:
    bar = html.partition('<ul class="ls-views">')[2].partition("</ul>")[0]
    return [
        re.sub(r"<[^>]+>", " ", text).split("  ")[0].strip()
        for text in re.findall(r"<li>(.*?)</li>", bar, re.S)
    ]


def test_a_view_keeps_the_whole_list_and_opens_as_a_whole_address(orders: Dataset, at_acme: Visitor) -> None:
    amount, state = name_of(orders, "Amount"), name_of(orders, "State")
    query = (
        f"{amount}__from=5&{state}__is=new&{state}__is=open&q=ada&sort=-{amount}&cols={amount}.{state}&n=25"
    )
    view = add_view(at_acme, orders, "Open and big", query)
    opened = at_acme.get(rows_url(orders), {"v": str(view.pk)})
    assert opened["Location"] == f"?{query}&v={view.pk}"
    html = page(at_acme, rows_url(orders) + opened["Location"])
    assert tabs(html) == ["All records", "Open and big"] and ">changed<" not in html
    assert ">changed<" in page(at_acme, f"{rows_url(orders)}?{query.replace('from=5', 'from=6')}&v={view.pk}")
    saved = Event.objects.get(name="datasets.view.saved")
    assert (saved.target_label, saved.data) == ("Open and big", {"dataset": orders.pk, "is_shared": False})


def test_a_view_is_private_until_it_is_shared(orders: Dataset, at_acme: Visitor, viewer: Visitor) -> None:
    view = add_view(at_acme, orders, "Mine", "q=ada")
    assert tabs(page(viewer, rows_url(orders))) == ["All records"]
    assert viewer.get(rows_url(orders), {"v": str(view.pk)}).status_code == 200  # all records, no redirect
    assert send(viewer, orders, do="default", view=view.pk, version=1).status_code == 404
    send(at_acme, orders, do="rename", view=view.pk, version=view.version, name="Ours", shared="1")
    assert tabs(page(viewer, rows_url(orders))) == ["All records", "Ours shared"]
    refused = send(viewer, orders, do="rename", view=view.pk, version=2, name="Theirs")
    assert refused.status_code == 403
    assert SavedView.objects.get().name == "Ours"


def test_who_may_change_the_dataset_may_change_what_is_shared(
    orders: Dataset, at_acme: Visitor, viewer: Visitor
) -> None:
    view = add_view(viewer, orders, "From below", "q=ada", shared="1")
    send(at_acme, orders, do="save", view=view.pk, version=1, query="q=grace")
    assert SavedView.objects.get().pairs == [["q", "grace"]]
    send(at_acme, orders, do="delete", view=view.pk, version=2)
    assert not SavedView.objects.exists()


def test_a_view_that_changed_meanwhile_is_not_overwritten(orders: Dataset, at_acme: Visitor) -> None:
    view = add_view(at_acme, orders, "Mine", "q=ada")
    for version, name in ((1, "First"), (1, "Second"), ("x", "Third")):
        send(at_acme, orders, do="rename", view=view.pk, version=version, name=name)
    send(at_acme, orders, do="delete", view=view.pk, version=1)
    assert SavedView.objects.get().name == "First"


def test_each_person_sees_his_own_view_first(orders: Dataset, at_acme: Visitor, viewer: Visitor) -> None:
    view = add_view(at_acme, orders, "Ours", "q=ada", shared="1", default="1")
    first = at_acme.get(rows_url(orders))
    assert first["Location"] == f"?q=ada&v={view.pk}"
    assert viewer.get(rows_url(orders)).status_code == 200
    assert at_acme.get(rows_url(orders), {"v": "0"}).status_code == 200
    send(viewer, orders, do="default", view=view.pk)
    assert viewer.get(rows_url(orders)).status_code == 302
    send(at_acme, orders, do="rename", view=view.pk, version=1, name="Mine again")
    assert viewer.get(rows_url(orders)).status_code == 200  # taken back from the others
    send(at_acme, orders, do="no-default", view=view.pk)
    assert at_acme.get(rows_url(orders)).status_code == 200


@pytest.mark.parametrize("name", ["", "   ", "x" * 81, "a\u202eb"])
def test_a_view_needs_a_name_people_can_read(orders: Dataset, at_acme: Visitor, name: str) -> None:
    answer = send(at_acme, orders, do="add", name=name, query="q=a")
    assert answer.status_code == 302 and not SavedView.objects.exists()


def test_two_views_of_a_person_have_two_names(orders: Dataset, at_acme: Visitor, viewer: Visitor) -> None:
    add_view(at_acme, orders, "Mine", "q=a")
    send(at_acme, orders, do="add", name="Mine", query="q=b")
    send(viewer, orders, do="add", name="Mine", query="q=c")
    assert sorted(view.pairs[0][1] for view in SavedView.objects.all()) == ["a", "c"]


def test_a_view_leaves_out_what_its_reader_does_not_have(
    orders: Dataset, at_acme: Visitor, monkeypatch: Any
) -> None:
    amount, note = name_of(orders, "Amount"), name_of(orders, "Note")
    add_record(orders, Order_no="A1", Note="secret", Amount=Decimal(7))
    view = add_view(
        at_acme,
        orders,
        "All",
        f"{note}__contains=secret&{amount}__from=1&sort=-{note}&cols={note}.{amount}",
        shared="1",
    )
    whole = orders.spec()
    kept = replace(whole, columns=tuple(column for column in whole.columns if column.name != note))
    seen = access.Seen(whole, kept, frozenset())
    monkeypatch.setattr("datasets.access.seen_by", lambda user, dataset: seen)
    opened = at_acme.get(rows_url(orders), {"v": str(view.pk)})
    assert opened["Location"] == f"?{amount}__from=1&cols={amount}&v={view.pk}&_left=1"
    html = page(at_acme, rows_url(orders) + opened["Location"])
    assert "secret" not in html and note not in html and "it is left out" in html
    unseen = page(at_acme, rows_url(orders), data={f"{note}__contains": "secret"})
    assert "A column that is not here" in unseen and "A1" not in unseen
    assert "A1" not in page(at_acme, rows_url(orders), data={"q": "secret", "cols": amount})


def test_a_view_belongs_to_its_tenant_and_dataset(
    twins: dict[str, Dataset], at_acme: Visitor, at_globex: Visitor, acme: TenantRef, globex: TenantRef
) -> None:
    with in_tenant(acme):
        view = add_view(at_acme, twins["acme"], "Ours", "q=ada", shared="1")
    with in_tenant(globex):
        html = page(at_globex, rows_url(twins["globex"]))
        assert tabs(html) == ["All records"] and "Ours" not in html
        assert send(at_globex, twins["globex"], do="delete", view=view.pk, version=1).status_code == 404
    with in_tenant(acme):
        assert SavedView.objects.get().dataset_id == twins["acme"].pk


def test_without_the_right_to_see_records_nobody_saves_a_view(orders: Dataset) -> None:
    stranger = newcomer("stranger@acme.example")
    state = read_state([("q", ["ada"])], orders.spec().columns)
    with pytest.raises(PermissionDenied):
        views_saved.save_view(dataset=orders, name="x", state=state, is_shared=False, by=stranger)


def test_what_a_view_holds_is_shown_as_text(orders: Dataset, at_acme: Visitor) -> None:
    html = page(at_acme, rows_url(orders) + "?q=" + "%3Cscript%3Ealert(1)%3C/script%3E")
    assert "<script>alert(1)" not in html
    add_view(at_acme, orders, "<b>bold</b>", "q=a")
    assert "&lt;b&gt;bold" in page(at_acme, rows_url(orders))
