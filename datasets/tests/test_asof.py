"""A dataset as of a moment, what differs between two, and the filters of a record's versions."""

from __future__ import annotations

import csv
import io
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import Group
from django.db import connection

from audit.actor import actor
from audit.models import Event
from core import clock
from core.tenancy import TenantRef, as_owner, in_tenant
from datasets import asof, changesets, granting, pruning
from datasets.asof import MomentUnknown, read_moment, records_as_of, require_known
from datasets.differing import Between, Difference
from datasets.editing import add_columns, retire_column
from datasets.models import ColumnAccess, Dataset
from datasets.operations import SET, Operation
from datasets.rows import get_row_model
from datasets.rules import NewColumn
from datasets.tests.changes import change_column
from datasets.tests.conftest import add_record, name_of, newcomer, person
from datasets.tests.moments import as_of_url, database_time, differences_url, listed
from datasets.tests.pages import Visitor, page, rows_url
from datasets.tests.statements import walks_of_history, watched
from datasets.tests.test_columns_kept import limit
from datasets.tests.test_query_counts import BEFORE
from datasets.versions import Wanted, versions_of


def names_as_of(dataset: Dataset, at: datetime, *, all_of_them: bool = False) -> dict[str, Any]:
    """Return customers by order number as of a moment."""
    spec = Dataset.objects.get(pk=dataset.pk).spec()
    found = records_as_of(spec, at, all_of_them=all_of_them)
    return dict(found.values_list(name_of(dataset, "Order no"), name_of(dataset, "Customer")))


@pytest.fixture
def told(orders: Dataset) -> dict[str, datetime]:
    """A short story of orders, and the moments between its parts."""
    moments = {"empty": database_time()}
    first, second = (
        add_record(orders, Order_no="A1", Customer="Lovelace"),
        add_record(orders, Order_no="A2", Customer="Boole"),
    )
    moments["two"] = database_time()
    customer = name_of(orders, "Customer")
    model = get_row_model(orders)
    model.objects.filter(pk=first.pk).update(**{customer: "Hopper"})
    moments["changed"] = database_time()
    model.objects.filter(pk=second.pk).delete()
    add_record(orders, Order_no="A3", Customer="Zuse")
    moments["end"] = database_time()
    return moments


# ---- as of a moment


@pytest.mark.parametrize("all_of_them", [False, True])
def test_every_moment_shows_what_was_there_then(
    orders: Dataset, told: dict[str, datetime], all_of_them: bool
) -> None:
    assert {name: names_as_of(orders, at, all_of_them=all_of_them) for name, at in told.items()} == {
        "empty": {},
        "two": {"A1": "Lovelace", "A2": "Boole"},
        "changed": {"A1": "Hopper", "A2": "Boole"},
        "end": {"A1": "Hopper", "A3": "Zuse"},
    }


@pytest.mark.parametrize("all_of_them", [False, True])
def test_of_two_entries_whose_dates_cross_the_later_in_order_counts(
    orders: Dataset, all_of_them: bool
) -> None:
    """A statement that waits for a record is older than the one it waited for, and writes after it."""
    record = add_record(orders, Order_no="A1", Customer="Lovelace")
    before = database_time()
    customer = name_of(orders, "Customer")
    with connection.cursor() as cursor:
        for name in ("first", "waited"):
            cursor.execute(f'UPDATE ds_{orders.pk} SET "{customer}" = %s WHERE id = %s', [name, record.pk])
        cursor.execute(
            f"UPDATE ds_{orders.pk}_history SET history_date = %s WHERE \"{customer}\" = 'waited'",
            [before + timedelta(microseconds=1)],
        )
    assert names_as_of(orders, before, all_of_them=all_of_them) == {"A1": "Lovelace"}
    for at in (before + timedelta(microseconds=1), database_time()):
        assert names_as_of(orders, at, all_of_them=all_of_them) == {"A1": "waited"}
    assert Between(orders.spec(), before + timedelta(microseconds=1), database_time()).page() == []


def test_the_page_lists_searches_filters_and_sorts_what_was(
    orders: Dataset, told: dict[str, datetime], at_acme: Visitor
) -> None:
    order, customer = name_of(orders, "Order no"), name_of(orders, "Customer")
    everything = ("Lovelace", "Boole", "Hopper", "Zuse")
    for name, query, expected in (
        ("empty", {}, []),
        ("two", {}, ["Boole", "Lovelace"]),
        ("two", {"sort": order}, ["Lovelace", "Boole"]),
        ("two", {"q": "LOVE"}, ["Lovelace"]),
        ("changed", {"q": "LOVE"}, []),
        ("changed", {f"{customer}__is": "Hopper"}, ["Hopper"]),
        ("end", {f"{customer}__starts": "Z"}, ["Zuse"]),
    ):
        url = as_of_url(orders, told[name], cols=f"{order}.{customer}", **query)
        assert listed(at_acme, url, *everything) == expected, (name, query)


def test_a_page_leads_on_without_losing_or_repeating_a_record(orders: Dataset, at_acme: Visitor) -> None:
    for number in range(60):
        add_record(orders, Order_no=f"N{number:02}")
    at = database_time()
    get_row_model(orders).objects.all()._raw_delete("default")
    url, seen = as_of_url(orders, at, n=25), []
    for _ in range(3):
        answer = at_acme.get(url)
        shown = answer.context["cl"]
        seen.append([record.text_of(name_of(orders, "Order no")) for record in shown.result_list])
        assert "Count them" in answer.content.decode()
        url = rows_url(orders, "as-of") + shown.next_url
    assert seen == [
        [f"N{number:02}" for number in range(high, low, -1)] for high, low in ((59, 34), (34, 9), (9, -1))
    ]
    assert url == rows_url(orders, "as-of")
    back = rows_url(orders, "as-of") + shown.previous_url
    assert len(at_acme.get(back).context["cl"].result_list) == 25
    counted = at_acme.get(as_of_url(orders, at, count="1", q="N1"))
    assert counted.context["cl"].counted == 10


def test_a_record_of_then_leads_to_its_versions_until_then(
    orders: Dataset, told: dict[str, datetime], at_acme: Visitor
) -> None:
    shown = at_acme.get(as_of_url(orders, told["two"])).context["cl"]
    url = shown.url_for_result(shown.result_list[0])
    assert "Boole" in page(at_acme, url)


def test_nothing_can_be_changed_on_the_page(
    orders: Dataset, told: dict[str, datetime], at_acme: Visitor
) -> None:
    html = page(at_acme, as_of_url(orders, told["two"]))
    for text in ("Delete selected", "Edit selected", "grid-data", "/rows/add/", "Save as a view"):
        assert text not in html
    before = list(get_row_model(orders).objects.values_list())
    assert at_acme.post(as_of_url(orders, told["two"]), {"action": "delete_selected"}).status_code == 405
    assert list(get_row_model(orders).objects.values_list()) == before


def test_columns_are_those_of_today_without_what_came_later(
    orders: Dataset, told: dict[str, datetime], at_acme: Visitor
) -> None:
    add_columns(dataset=orders, columns=[NewColumn("Later")])
    retire_column(dataset=orders, column=orders.columns.get(label="Note"))
    html = page(at_acme, as_of_url(orders, told["two"]))
    assert "Added since, and so not shown: Later." in html
    shown = at_acme.get(as_of_url(orders, told["two"])).context["cl"].model_admin.columns
    labels = [column.label for column in shown]
    assert "Later" not in labels and "Note" not in labels and "Customer" in labels
    assert "Later" in page(at_acme, as_of_url(orders, database_time()))


def test_versions_from_before_a_change_of_type_are_shown_in_the_type_of_today(orders: Dataset) -> None:
    record = add_record(orders, Order_no="A1", Customer=" 007")
    at = database_time()
    get_row_model(orders).objects.filter(pk=record.pk).update(**{name_of(orders, "Customer"): "8"})
    change_column(orders, "Customer", "integer")
    assert names_as_of(orders, at) == {"A1": 7}
    assert names_as_of(orders, database_time()) == {"A1": 8}


@pytest.mark.parametrize(
    ("text", "words"),
    [("2999-01-01", "lies ahead"), ("1999-01-01 10:00", "exists since"), ("tomorrow", "Write a moment like")],
)
def test_a_moment_that_nobody_can_tell_of_is_refused_with_a_sentence(
    orders: Dataset, at_acme: Visitor, text: str, words: str
) -> None:
    for url in (as_of_url(orders, text), rows_url(orders, "differences") + f"?from={text}&to={text}"):
        assert words in page(at_acme, url, 422)


def test_before_what_is_kept_nothing_is_told(
    orders: Dataset, told: dict[str, datetime], at_acme: Visitor
) -> None:
    now = clock.now()
    Dataset.objects.filter(pk=orders.pk).update(created_at=now - timedelta(days=900))
    orders.refresh_from_db()
    pruning.set_history_days(dataset=orders, days=400)
    since = require_known(orders, now - timedelta(days=399))
    assert since > now - timedelta(days=401)
    with pytest.raises(MomentUnknown, match="has a history since"):
        require_known(orders, now - timedelta(days=401))
    assert "has a history since" in page(at_acme, as_of_url(orders, now - timedelta(days=401)), 422)
    pruning.set_history_days(dataset=orders, days=None)
    require_known(orders, now - timedelta(days=401))  # nothing was removed yet
    with as_owner():
        assert pruning.prune_now(dataset=orders, before=told["two"]) == 0
        require_known(orders, now - timedelta(days=401))
        assert pruning.prune_now(dataset=orders, before=database_time()) > 0
    with pytest.raises(MomentUnknown, match="removed after its time"):
        require_known(orders, told["two"])


def test_a_moment_without_a_zone_is_utc() -> None:
    assert read_moment("2026-08-26T14:00") == read_moment("2026-08-26 16:00:00+02:00")


def test_a_page_asks_a_bounded_number_of_statements_and_walks_no_history(
    orders: Dataset, told: dict[str, datetime], at_acme: Visitor
) -> None:
    url = as_of_url(orders, told["end"])
    page(at_acme, url)
    with watched() as sent:
        page(at_acme, url)
    assert walks_of_history(sent.statements) == []
    assert sent.purposes == [*BEFORE, "clean-ups", "columns' beginnings", "writers", "limit of time", "versions",
                             "sidebar", "limit of time"]  # fmt: skip


# ---- rights


@pytest.fixture
def clerk(orders: Dataset, acme: TenantRef, client_of: Any) -> Visitor:
    """Somebody who may view and export the orders, but for the customers."""
    user = newcomer("clerk@acme.example")
    clerks = Group.objects.create(name="clerks")
    user.groups.add(clerks)
    granting.grant_preset(preset="editor", to=clerks, dataset=orders)
    limit(orders, "Customer", clerks, ColumnAccess.HIDDEN)
    return Visitor(client_of(acme, user.email))


def test_a_hidden_column_is_hidden_in_the_past_too(
    orders: Dataset, told: dict[str, datetime], clerk: Visitor
) -> None:
    customer = name_of(orders, "Customer")
    for url in (
        as_of_url(orders, told["two"]),
        as_of_url(orders, told["two"], cols=customer),
        as_of_url(orders, told["two"], sort=customer),
        differences_url(orders, told["empty"], told["end"]),
        differences_url(orders, told["two"], told["changed"]),
    ):
        assert listed(clerk, url, "Lovelace", "Boole", "Hopper", "Zuse") == [], url
    # No record fits what a hidden column is asked for, whatever it says.
    answer = clerk.get(as_of_url(orders, told["two"], **{f"{customer}__is": "Lovelace"}))
    assert list(answer.context["cl"].result_list) == []
    # A record that only a hidden column tells apart is no difference.
    assert "Nothing differs" in page(clerk, differences_url(orders, told["two"], told["changed"]))
    for query in (f"at={told['two'].isoformat().replace('+', '%2B')}",):
        made = clerk.post(f"/admin/exporter/exportfile/view/{orders.pk}/?{query}", {"form": "csv"})
        text = b"".join(made.streaming_content).decode()
        assert "A1" in text and "Lovelace" not in text and "Customer" not in text


def test_without_the_right_to_view_there_is_no_past(
    orders: Dataset, told: dict[str, datetime], acme: TenantRef, client_of: Any
) -> None:
    stranger = Visitor(client_of(acme, newcomer("stranger@acme.example").email))
    for url in (as_of_url(orders, told["two"]), differences_url(orders, told["empty"], told["end"])):
        assert stranger.get(url).status_code == 404
    viewer = Visitor(client_of(acme, person(acme, "viewer").email))
    page(viewer, as_of_url(orders, told["two"]))


def test_the_past_of_the_same_number_at_another_tenant_is_its_own(
    twins: dict[str, Dataset], acme: TenantRef, globex: TenantRef, at_acme: Visitor, at_globex: Visitor
) -> None:
    with in_tenant(acme):
        add_record(twins["acme"], Order_no="SECRET-1", Customer="CANARY")
        at = database_time()
        orders_url = as_of_url(twins["acme"], at)
        differ = differences_url(twins["acme"], twins["acme"].created_at, at)
    with in_tenant(globex):
        add_record(twins["globex"], Serial=7, Hall="North")
        at = database_time()
        machines_url = as_of_url(twins["globex"], at)
        theirs = differences_url(twins["globex"], twins["globex"].created_at + timedelta(milliseconds=1), at)
    for _ in range(2):  # in turns: classes are kept
        assert listed(at_acme, orders_url, "CANARY", "North") == ["CANARY"]
        assert listed(at_globex, machines_url, "CANARY", "North") == ["North"]
        assert listed(at_acme, differ, "CANARY", "North") == ["CANARY"]
        assert listed(at_globex, theirs, "CANARY", "North") == ["North"]


# ---- between two moments


def cells(found: list[Difference]) -> list[tuple[str, str, list[tuple[str, str | None, str | None]]]]:
    return [(one.kind, one.name, [(c.label, c.old, c.new) for c in one.cells]) for one in found]


def test_what_differs_is_told_cell_by_cell(orders: Dataset, told: dict[str, datetime]) -> None:
    between = Between(orders.spec(), told["two"], told["end"])
    assert cells(between.page()) == [
        ("changed", "A1", [("Customer", "Lovelace", "Hopper")]),
        ("deleted", "A2", [("Order no", "A2", None), ("Customer", "Boole", None)]),
        ("created", "A3", [("Order no", None, "A3"), ("Customer", None, "Zuse")]),
    ]
    totals = between.totals()
    assert (dict(totals.kinds), totals.records) == ({"created": 1, "changed": 1, "deleted": 1}, 3)
    assert totals.columns[name_of(orders, "Customer")] == 3
    assert totals.columns[name_of(orders, "Note")] == 0
    first = between.page(size=1)
    assert cells(between.page(after=first[0].record_id, size=1))[0][:2] == ("deleted", "A2")


def test_what_came_and_went_or_was_changed_back_differs_in_nothing(
    orders: Dataset, told: dict[str, datetime]
) -> None:
    add_record(orders, Order_no="brief").delete()
    model, customer = get_row_model(orders), name_of(orders, "Customer")
    for name in ("other", "Hopper"):
        model.objects.filter(**{name_of(orders, "Order no"): "A1"}).update(**{customer: name})
    between = Between(orders.spec(), told["end"], database_time())
    assert (between.page(), between.totals().records) == ([], 0)


def test_the_page_of_differences_is_narrowed_by_kind_and_column(
    orders: Dataset, told: dict[str, datetime], at_acme: Visitor
) -> None:
    everything = ("Lovelace", "Boole", "Zuse")
    for query, expected in (
        ({}, ["Lovelace", "Boole", "Zuse"]),
        ({"kind": "deleted"}, ["Boole"]),
        ({"kind": ["created", "changed"]}, ["Lovelace", "Zuse"]),
        ({"column": name_of(orders, "Order no")}, ["Boole", "Zuse"]),
        ({"column": name_of(orders, "Note")}, []),
    ):
        assert (
            listed(at_acme, differences_url(orders, told["two"], told["end"], **query), *everything)
            == expected
        )
    html = page(at_acme, differences_url(orders, told["two"], told["end"]))
    for text in ("3 records differ as of", "1 created", "1 changed", "1 deleted", "Customer (3)"):
        assert text in html
    assert "has to lie before" in page(at_acme, differences_url(orders, told["end"], told["two"]), 422)
    assert "Choose two moments" in page(at_acme, rows_url(orders, "differences"))


def test_a_long_list_of_differences_is_paged(orders: Dataset, at_acme: Visitor) -> None:
    since = database_time()
    for number in range(70):
        add_record(orders, Order_no=f"N{number:02}")
    until = database_time()
    first = at_acme.get(differences_url(orders, since, until))
    rest = at_acme.get(rows_url(orders, "differences") + first.context["next_url"])
    names = [one.name for answer in (first, rest) for one, _ in answer.context["records"]]
    assert names == [f"N{number:02}" for number in range(70)]
    assert rest.context["next_url"] == ""


# ---- files


def test_the_list_as_of_a_moment_is_downloaded_as_it_was(
    orders: Dataset, told: dict[str, datetime], at_acme: Visitor
) -> None:
    order, customer = name_of(orders, "Order no"), name_of(orders, "Customer")
    shown = at_acme.get(as_of_url(orders, told["two"], cols=f"{order}.{customer}", sort=order)).context["cl"]
    assert "as of" in page(at_acme, shown.export_url)
    made = at_acme.post(shown.export_url, {"form": "csv"})
    assert b"".join(made.streaming_content).decode() == "Order no,Customer\nA1,Lovelace\nA2,Boole\n"
    event = Event.objects.get(name="exporter.view.exported")
    assert datetime.fromisoformat(event.data["at"]) == told["two"]
    book = at_acme.post(shown.export_url, {"form": "xlsx"})
    assert b"".join(book.streaming_content)[:2] == b"PK"


def test_differences_are_downloaded_a_line_for_each_cell(
    orders: Dataset, told: dict[str, datetime], at_acme: Visitor
) -> None:
    get_row_model(orders).objects.filter(**{name_of(orders, "Order no"): "A3"}).update(
        **{name_of(orders, "Customer"): "=1+1, 5%"}
    )
    url = at_acme.get(differences_url(orders, told["two"], database_time())).context["export_url"]
    assert "a line for each cell" in page(at_acme, url)
    made = at_acme.post(url, {"form": "csv", "spreadsheets": "1"})
    text = b"".join(made.streaming_content).decode("utf-8-sig")
    assert [row[1:] for row in csv.reader(io.StringIO(text, newline=""))] == [
        ["Name", "Difference", "Column", "Before", "After"],
        ["A1", "changed", "Customer", "Lovelace", "Hopper"],
        ["A2", "deleted", "Order no", "A2", ""],
        ["A2", "deleted", "Customer", "Boole", ""],
        ["A3", "created", "Order no", "", "A3"],
        ["A3", "created", "Customer", "", "'=1+1, 5%"],
    ]
    assert Event.objects.get(name="exporter.differences.exported").data["rows"] == 5
    narrowed = at_acme.get(
        differences_url(orders, told["two"], told["end"], kind="changed", column=name_of(orders, "Customer"))
    ).context["export_url"]
    assert parse_qs(urlsplit(narrowed).query)["kind"] == ["changed"]
    made = at_acme.post(narrowed, {"form": "csv"})
    [line] = b"".join(made.streaming_content).decode().splitlines()[1:]
    assert line.partition(",")[2] == "A1,changed,Customer,Lovelace,Hopper"


def test_without_the_right_to_export_nothing_is_downloaded(
    orders: Dataset, told: dict[str, datetime], acme: TenantRef, client_of: Any
) -> None:
    viewer = Visitor(client_of(acme, person(acme, "viewer").email))
    moments = f"from={told['two']:%Y-%m-%dT%H:%M:%S.%f}&to={told['end']:%Y-%m-%dT%H:%M:%S.%f}"
    assert viewer.get(differences_url(orders, told["two"], told["end"])).context["export_url"] == ""
    for method in (viewer.get, viewer.post):
        assert method(f"/admin/exporter/exportfile/differences/{orders.pk}/?{moments}").status_code == 404


# ---- the versions of one record


def test_versions_are_filtered_by_who_what_why_column_and_time(
    orders: Dataset, acme: TenantRef, at_acme: Visitor
) -> None:
    spec, owner, editor = orders.spec(), person(acme, "owner"), person(acme, "editor")
    customer, pieces = name_of(orders, "Customer"), name_of(orders, "Pieces")
    record = add_record(orders, Order_no="A1", Customer="Lovelace")
    own = get_row_model(orders).objects.filter(pk=record.pk)
    with actor(owner.pk, "import 7"):
        own.update(**{customer: "Hopper"})
    between = database_time()
    with actor(editor.pk, "change 3"):
        own.update(**{pieces: 5})
    with actor(editor.pk, "edited in the admin"):
        own.update(**{customer: "Zuse", pieces: 6})
    with actor(owner.pk, "deleted in the admin"):
        own.delete()
    first, by_import, by_change, by_hand, deleted = (
        version.pk for version in reversed(versions_of(spec, record.pk))
    )
    for wanted, expected in (
        (Wanted(), [deleted, by_hand, by_change, by_import, first]),
        (Wanted(who=owner.pk), [deleted, by_import]),
        (Wanted(who=0), [first]),
        (Wanted(kinds=("+", "-")), [deleted, first]),
        (Wanted(causes=("import",)), [by_import]),
        (Wanted(causes=("import", "change")), [by_change, by_import]),
        (Wanted(causes=("other",)), [deleted, by_hand, first]),
        (Wanted(causes=("other", "change"), kinds=("~",)), [by_hand, by_change]),
        (Wanted(column=customer), [deleted, by_hand, by_import, first]),
        (Wanted(column=pieces, who=editor.pk), [by_hand, by_change]),
        (Wanted(column="c0"), []),
        (Wanted(since=between), [deleted, by_hand, by_change]),
        (Wanted(until=between), [by_import, first]),
    ):
        found = versions_of(spec, record.pk, wanted=wanted)
        assert [one.pk for one in found] == expected, wanted
        # Each still says what it changed from the version before it, shown or not.
        assert found == [one for one in versions_of(spec, record.pk) if one.pk in expected]
    history = rows_url(orders, record.pk, "history")
    html = page(at_acme, f"{history}?kind=-&who={owner.pk}")
    assert "deleted in the admin" in html and "edited in the admin" not in html
    assert "No version fits" in page(at_acme, f"{history}?kind=%2B&cause=import")
    assert "Write a moment like" in page(at_acme, f"{history}?since=yesterday")


def test_the_history_of_a_record_says_which_change_it_was_and_why(
    orders: Dataset, acme: TenantRef, at_acme: Visitor
) -> None:
    record, customer = add_record(orders, Order_no="A1", Customer="5"), name_of(orders, "Customer")
    change_column(orders, "Customer", "integer")
    made = changesets.plan_edit(
        dataset=orders, records=get_row_model(orders).objects.all(), operation=Operation(customer, SET, "7"),
        by=person(acme, "owner"), note="agreed with Lovelace",
    )  # fmt: skip
    changesets.confirm_changes(changes=made, by=person(acme, "owner"), seen=made.plans)
    html = page(at_acme, rows_url(orders, record.pk, "history"))
    for text in (
        f"change {made.pk}",
        "bulk edit",
        "Why: agreed with Lovelace",
        "became “Whole number”; it was “Text” before",
    ):
        assert text in html
    oldest = get_row_model(orders).history.filter(id=record.pk).order_by("history_id").first()
    definition, edit, creation = (
        html.index(text)
        for text in ("it was “Text” before", "agreed with Lovelace", f'id="v{oldest.history_id}"')
    )
    assert edit < definition < creation


def test_a_limited_reader_is_not_told_what_a_change_was(
    orders: Dataset, acme: TenantRef, clerk: Visitor
) -> None:
    record, customer = add_record(orders, Order_no="A1"), name_of(orders, "Customer")
    made = changesets.plan_edit(
        dataset=orders, records=get_row_model(orders).objects.all(), operation=Operation(customer, SET, "CANARY"),
        by=person(acme, "owner"), note="CANARY",
    )  # fmt: skip
    changesets.confirm_changes(changes=made, by=person(acme, "owner"), seen=made.plans)
    html = page(clerk, rows_url(orders, record.pk, "history"))
    assert f"change {made.pk}" in html and "bulk edit" in html and "CANARY" not in html


def test_a_writer_at_work_is_told_of(
    orders: Dataset, told: dict[str, datetime], at_acme: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = "Somebody is writing to this dataset at this moment"
    assert words not in page(at_acme, as_of_url(orders, told["two"]))
    monkeypatch.setattr(asof, "is_being_written", lambda spec: True)
    for url in (as_of_url(orders, told["two"]), differences_url(orders, told["two"], told["end"])):
        assert words in page(at_acme, url)
