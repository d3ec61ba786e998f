"""The list of changes on the page of an import, before and after it is merged."""

from __future__ import annotations

import re

import pytest

from core.tenancy import TenantRef, in_tenant
from datasets.models import Dataset
from importer.admin import tabs
from importer.changes import page_of_changes
from importer.models import ImportJob
from importer.tests.tools import merge, upload
from importer.tests.visits import ClientOf, at, changed, figures, imported, preview, worked

NEW_FILE = "id,status,amount,note\n1,sent,10.00,call\n2,paid,21.00,new note\n4,new,4.00,fourth\n"


def columns(dataset: Dataset) -> dict[str, str]:
    return {column.label: column.name for column in dataset.spec().columns}


def shown(
    job: ImportJob, **options: object
) -> list[tuple[str, str, tuple[tuple[str, str | None, str | None], ...]]]:
    found = page_of_changes(job, **options)  # type: ignore[arg-type]
    return [(one.op, one.key, tuple((cell.label, cell.old, cell.new) for cell in one.cells)) for one in found]


EXPECTED = [
    ("~", "1", (("status", "new", "sent"),)),
    ("~", "2", (("amount", "20.50", "21.00"), ("note", None, "new note"))),
    (
        "+",
        "4",
        (("id", None, "4"), ("status", None, "new"), ("amount", None, "4.00"), ("note", None, "fourth")),
    ),
]
GONE = ("-", "3", (("id", "3", None), ("status", "sent", None), ("note", "later", None)))


@pytest.mark.parametrize("mode", ["upsert", "sync"])
def test_the_plan_and_history_show_the_same_changes(orders: Dataset, mode: str) -> None:
    merge(upload(orders))
    job = upload(orders, NEW_FILE, mode=mode)
    expected = [*EXPECTED, GONE] if mode == "sync" else EXPECTED
    assert shown(job) == expected
    job = merge(job, deletes=job.deleted_rows)
    assert sorted(shown(job)) == sorted(expected)


@pytest.mark.parametrize("is_merged", [False, True])
def test_changes_can_be_of_one_kind_or_of_one_column(orders: Dataset, is_merged: bool) -> None:
    merge(upload(orders))
    job = upload(orders, NEW_FILE, mode="sync")
    job = merge(job, deletes=1) if is_merged else job
    assert [key for _, key, _ in shown(job, op="+")] == ["4"]
    assert [key for _, key, _ in shown(job, op="-")] == ["3"]
    assert shown(job, op="~", column=columns(orders)["note"]) == [("~", "2", (("note", None, "new note"),))]
    of_amount = shown(job, column=columns(orders)["amount"])
    assert sorted(of_amount) == [
        ("+", "4", (("amount", None, "4.00"),)),
        ("~", "2", (("amount", "20.50", "21.00"),)),
    ]


def test_a_column_the_file_lacks_changes_only_in_records_that_go(orders: Dataset) -> None:
    merge(upload(orders))
    job = upload(orders, "id,status\n1,sent\n2,paid\n", mode="sync")
    note = columns(orders)["note"]
    assert shown(job) == [EXPECTED[0], GONE]
    assert shown(job, column=note) == [("-", "3", (("note", "later", None),))]


def test_pages_follow_each_other_without_a_gap(orders: Dataset) -> None:
    merge(upload(orders, "id,status\n" + "".join(f"{n},new\n" for n in range(1, 8))))
    job = upload(orders, "id,status\n" + "".join(f"{n},paid\n" for n in range(3, 10)), mode="sync")
    for is_merged in (False, True):
        now = merge(job, deletes=2) if is_merged else job
        whole = page_of_changes(now)
        found, after = [], 0
        while page := page_of_changes(now, after=after, size=2):
            found += page
            after = page[-1].at
        assert [(one.op, one.key) for one in found] == [(one.op, one.key) for one in whole]
        assert sorted(one.key for one in whole) == [str(n) for n in range(1, 10)]


@pytest.mark.case("D13")
def test_a_huge_cell_is_cut_and_still_seen_to_change(orders: Dataset) -> None:
    long = "x" * 1_000_000
    merge(upload(orders, f"id,status,note\n1,new,{long}\n"))
    job = upload(orders, f"id,status,note\n1,new,{long}y\n")
    (change,) = page_of_changes(job)
    (cell,) = change.cells
    assert cell.label == "note"
    assert cell.old == cell.new == "x" * 299 + "…"


def test_the_page_filters_by_kind_and_column(
    acme: TenantRef, acme_orders: Dataset, client_of: ClientOf
) -> None:
    imported(acme, acme_orders)
    job = preview(acme, acme_orders, NEW_FILE, mode="sync")
    client = client_of(acme)
    page = client.get(at(job)).text
    assert figures(page) == {"new": "1", "changed": "2", "unchanged": "0", "rejected": "0", "deleted": "1"}
    assert "missing from the file (1)" in page
    assert changed(client.get(at(job) + "?tab=changes&kind=deleted").text) == [
        ("id", "3", ""), ("status", "sent", ""), ("note", "later", ""),
    ]  # fmt: skip
    with in_tenant(acme):
        note = columns(acme_orders)["note"]
    of_note = client.get(at(job) + f"?tab=changes&kind=changed&column={note}").text
    assert changed(of_note) == [("note", "", "new note")]
    # What no page offers is as good as no filter.
    assert len(changed(client.get(at(job) + "?tab=changes&column=id;&kind=x&after=zz").text)) == 10


def test_long_lists_come_in_pages(
    acme: TenantRef, acme_orders: Dataset, client_of: ClientOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tabs, "PAGE", 2)
    job, client = preview(acme, acme_orders, "id,status\n1,new\n2,new\n3,new\n"), client_of(acme)
    first = client.get(at(job) + "?tab=changes&kind=new").text
    assert 'href="?tab=changes&amp;kind=new&amp;after=3#parts"' in first
    second = client.get(at(job) + "?tab=changes&kind=new&after=3").text
    assert (changed(first)[0], changed(second)[0]) == (("id", "", "1"), ("id", "", "3"))
    assert "Next page" not in second


def test_records_lead_to_their_history_and_deleted_ones_nowhere(
    acme: TenantRef, acme_orders: Dataset, client_of: ClientOf
) -> None:
    imported(acme, acme_orders)
    client = client_of(acme)
    with in_tenant(acme):
        job = merge(upload(acme_orders, NEW_FILE, mode="sync"), deletes=1)
    page = client.get(at(job)).text
    histories = re.findall(r'href="([^"]+/history/)"', page)
    assert len(histories) == 3
    assert {client.get(link).status_code for link in histories} == {200}


def test_after_a_change_of_the_definition_the_page_asks_to_preview_again(
    acme: TenantRef, acme_orders: Dataset, client_of: ClientOf
) -> None:
    job, client = preview(acme, acme_orders), client_of(acme)
    with in_tenant(acme):
        Dataset.objects.filter(pk=acme_orders.pk).update(
            definition_version=acme_orders.definition_version + 1
        )
    page = client.get(at(job))
    assert page.status_code == 200
    assert "definition changed since the preview" in page.text
    assert changed(page.text) == []
    assert worked(acme, job).state == "PREVIEW_SUCCEEDED"


def test_issues_come_in_the_order_of_the_rows_whenever_they_were_found(
    acme: TenantRef, acme_orders: Dataset, client_of: ClientOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tabs, "PAGE", 2)
    text = "id,status,amount\n1,bad,x\n2,new,1\n2,new,1\n3,bad,1\n4,new,y\n"
    job, client = preview(acme, acme_orders, text), client_of(acme)

    def listed(query: str) -> tuple[list[tuple[str, ...]], str]:
        page = client.get(at(job) + query).text.partition("im-issues")[2]
        rows = re.findall(r'<tr><td class="rh-number">(\d+)</td>.*?<td>([a-z-]+)</td><td>', page)
        more = re.search(r'href="([^"]+)#parts">Next page', page)
        return rows, more[1].replace("&amp;", "&") if more else ""

    first, more = listed("?tab=issues")
    second, more = listed(more)
    third, more = listed(more)
    assert [*first, *second, *third] == [
        ("2", "constraint-error"), ("2", "type-error"), ("4", "primary-key"), ("5", "constraint-error"),
        ("6", "type-error"),
    ]  # fmt: skip
    assert more == ""
    assert listed("?tab=issues&code=type-error&column=amount") == (
        [("2", "type-error"), ("6", "type-error")],
        "",
    )
    assert listed("?tab=issues&column=status")[0] == [("2", "constraint-error"), ("5", "constraint-error")]
    assert listed("?tab=issues&severity=warning")[0] == []


def test_warnings_are_told_apart_from_errors(
    acme: TenantRef, acme_orders: Dataset, client_of: ClientOf
) -> None:
    job, client = preview(acme, acme_orders, "id,status\n1,new\n2,bad\n"), client_of(acme)
    with in_tenant(acme):
        job.issues.create(
            code="space-around", row=2, line=2, column="note", rule="Look at it.", severity="warning"
        )
        ImportJob.objects.filter(pk=job.pk).update(warning_counts={"space-around": 1})
    page = client.get(at(job)).text
    assert "1 warning: look at the issues." in page
    assert figures(page)["warnings"] == "1"
    warnings = client.get(at(job) + "?tab=issues&severity=warning").text
    assert "space-around" in warnings
    assert '<span class="im-state im-warning">warning</span>' in warnings
    assert "<td>constraint-error</td>" not in warnings
