"""The pages on which a definition is changed, and the one that says who changed it."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

import jobs.services
from core import clock
from core.tenancy import TenantRef, in_public, in_tenant
from datasets import editing
from datasets.models import Column, Dataset
from datasets.rules import NewColumn
from datasets.tests.conftest import add_record, make_dataset, newcomer, person
from datasets.tests.pages import Visitor, page, rows_url
from jobs.models import Job

URL = "/admin/datasets/dataset/"


def columns_url(dataset: Dataset, *parts: object) -> str:
    return f"{URL}{dataset.pk}/columns/" + "".join(f"{part}/" for part in parts)


def labels(dataset: Dataset) -> list[str]:
    return [column.label for column in dataset.spec().columns]


def arranged(
    dataset: Dataset, order: list[int], names: dict[str, str] | None = None, *, seen: int = 1
) -> dict[str, Any]:
    """Return the posted form of the editor."""
    given = {f"label-{column.pk}": column.label for column in dataset.columns.in_use()}
    return {"do": "arrange", "seen": str(seen), "column": [str(pk) for pk in order], **given, **(names or {})}


def text_of(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def test_columns_are_arranged_renamed_added_retired_and_brought_back_on_one_page(
    orders: Dataset, at_acme: Visitor
) -> None:
    assert columns_url(orders) in page(at_acme, f"{URL}{orders.pk}/change/")
    html = page(at_acme, columns_url(orders))
    assert "Version 1 of the definition" in html and "Move “Note” up" in html
    pks = [column.pk for column in orders.columns.in_use()]
    note = pks[-1]
    form = arranged(orders, [note, *pks[:-1]], {f"label-{note}": "Remark"})
    assert at_acme.post(columns_url(orders), form).status_code == 302
    assert labels(orders)[:2] == ["Remark", "Order no"]
    moved = {**arranged(orders, [note, *pks[:-1]], seen=2), "move": f"{note}:down"}
    assert at_acme.post(columns_url(orders), moved).status_code == 302  # without JavaScript
    assert labels(orders)[:2] == ["Order no", "Remark"]
    new = {"new-label": "Colour", "new-type": "choice", "new-choices": "red\nblue", "do": "add", "seen": "3"}
    assert at_acme.post(columns_url(orders), new).status_code == 302
    assert orders.spec().columns[-1].options.choices == ("red", "blue")
    assert "Its values stay, in the records" in page(at_acme, columns_url(orders, note, "retire"))
    assert at_acme.post(columns_url(orders, note, "retire"), {"seen": "4"}).status_code == 302
    assert "Remark" in page(at_acme, columns_url(orders))
    assert "Remark" not in labels(orders) and "Remark" not in page(at_acme, rows_url(orders))
    assert at_acme.post(
        columns_url(orders, note, "bring-back"), {"seen": "5", "label": "Note"}
    ).status_code == 302  # fmt: skip
    assert labels(orders)[1] == "Note"


def test_what_is_wrong_is_said_on_the_page_and_what_was_typed_stays(
    orders: Dataset, at_acme: Visitor
) -> None:
    pks = [column.pk for column in orders.columns.in_use()]
    twice = arranged(orders, pks[::-1], {f"label-{pks[0]}": "Customer"})
    answer = at_acme.post(columns_url(orders), twice)
    html = answer.content.decode()
    assert answer.status_code == 422 and "The label “Customer” stands more than once." in html
    assert re.findall(r'name="column" value="(\d+)"', html) == [str(pk) for pk in pks[::-1]]
    assert "now “Order no”" in html
    add_record(orders, Order_no="A")
    for new, problem in (
        ({"new-label": "Note"}, "stands more than once"),
        ({"new-label": "Kind", "new-type": "choice"}, "list what may be chosen"),
        ({"new-label": "Hall", "new-is_required": "on"}, "would have no value in “Hall”"),
        ({"new-label": ""}, "This field is required"),
    ):
        answer = at_acme.post(columns_url(orders), {"do": "add", "seen": "1", "new-type": "text", **new})
        assert answer.status_code == 422 and problem in answer.content.decode()
    assert (labels(orders)[-1], Dataset.objects.get().definition_version) == ("Note", 1)


def test_of_two_people_the_second_is_told_and_sees_both_labels(orders: Dataset, at_acme: Visitor) -> None:
    pks = [column.pk for column in orders.columns.in_use()]
    editing.arrange_columns(dataset=orders, order=[], labels={pks[1]: "Client"})
    answer = at_acme.post(columns_url(orders), arranged(orders, pks, {f"label-{pks[1]}": "Buyer"}))
    html = answer.content.decode()
    assert answer.status_code == 409 and "Somebody changed the definition" in html
    assert 'value="Buyer"' in html and "now “Client”" in html and 'name="seen" value="2"' in html
    assert labels(orders)[1] == "Client"
    for parts in ((pks[2], "retire"), (pks[2], "retire")):
        assert at_acme.post(columns_url(orders, *parts), {"seen": "1"}).status_code == 409
    assert at_acme.post(columns_url(orders), {"do": "arrange", "seen": "x"}).status_code == 409


def test_a_purge_asks_for_the_label_and_can_be_called_off(orders: Dataset, at_acme: Visitor) -> None:
    note = orders.columns.get(label="Note")
    assert at_acme.get(columns_url(orders, note.pk, "purge")).status_code == 404  # it is in use
    editing.retire_column(dataset=orders, column=note)
    url = columns_url(orders, note.pk, "purge")
    assert "Its values go for good" in page(at_acme, url)
    refused = at_acme.post(url, {"typed": "Nope", "when": "now"})
    assert refused.status_code == 422 and "type its label exactly" in refused.content.decode()
    assert at_acme.post(url, {"typed": "Note", "when": "now"}).status_code == 302
    assert "Keep them" in page(at_acme, columns_url(orders))
    assert at_acme.post(columns_url(orders, note.pk, "keep")).status_code == 302
    assert "purge them" in page(at_acme, columns_url(orders))
    assert at_acme.post(url, {"typed": "Note", "when": "now"}).status_code == 302
    with in_public():
        Job.objects.filter(kind="datasets.purge").update(not_before=clock.now() - timedelta(seconds=1))
    jobs.services.run_pending()
    assert not Column.objects.filter(pk=note.pk).exists()
    assert "Purged “Note”" in page(at_acme, f"{URL}{orders.pk}/definition-history/")


def test_the_history_says_who_changed_what_version_by_version(
    as_acme: TenantRef, at_acme: Visitor, acme: TenantRef
) -> None:
    owner, editor = person(acme, "owner"), person(acme, "editor")
    dataset = make_dataset("Parts", [NewColumn("No"), NewColumn("Size", "integer")], ["No"], by=owner)
    [colour] = editing.add_columns(dataset=dataset, columns=[NewColumn("Colour")], by=editor)
    size = dataset.columns.get(label="Size")
    editing.arrange_columns(dataset=dataset, order=[colour.pk], labels={size.pk: "Length"}, by=owner)
    editing.retire_column(dataset=dataset, column=colour)
    editing.order_purge(dataset=dataset, column=colour, typed="Colour", by=owner)
    editing.bring_back_column(dataset=dataset, column=colour, label="Paint", by=owner)
    html = page(at_acme, f"{URL}{dataset.pk}/definition-history/")
    told = text_of(html[html.index("<tbody>") : html.index("</tbody>")])
    told = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "T", told)
    assert told == (
        "5 T owner@acme.example Ordered the purge of “Colour” for T. Brought back “Colour” as “Paint”."
        " 4 T the platform Retired “Colour”; its values stay."
        " 3 T owner@acme.example Renamed “Size” to “Length”. Changed the order of the columns."
        " 2 T editor@acme.example Added “Colour”: Text."
        " 1 T owner@acme.example Made “Parts”. Added “No”: Text; required. Added “Size”: Whole number."
    )
    assert "Renamed “Size”" in page(at_acme, f"{URL}{dataset.pk}/definition-history/?q=length")
    assert "No change speaks of “zebra”" in page(at_acme, f"{URL}{dataset.pk}/definition-history/?q=zebra")


def test_who_may_not_change_a_dataset_gets_nothing_of_its_editor(
    twins: dict[str, Dataset], acme: TenantRef, globex: TenantRef, client_of: Any
) -> None:
    dataset = twins["acme"]
    with in_tenant(acme):
        column = dataset.columns.get(label="Customer")
        newcomer("nobody@acme.example")
    editor, nobody = Visitor(client_of(acme, "editor")), Visitor(client_of(acme, "nobody@acme.example"))
    pages = [
        "",
        f"{column.pk}/retire/",
        f"{column.pk}/bring-back/",
        f"{column.pk}/purge/",
        f"{column.pk}/keep/",
    ]
    for visitor, status in ((editor, 403), (nobody, 404)):
        for at in pages:
            posted = {"do": "arrange", "seen": "1", "typed": "Customer", "label": "x"}
            assert visitor.post(columns_url(dataset) + at, posted).status_code == status, at
        assert visitor.get(columns_url(dataset)).status_code == status
    assert nobody.get(f"{URL}{dataset.pk}/definition-history/").status_code == 404
    assert columns_url(dataset) not in page(editor, f"{URL}{dataset.pk}/change/")
    with in_tenant(acme):
        assert Dataset.objects.get().definition_version == 1
    # The same numbers at the neighbour's are the neighbour's.
    html = page(Visitor(client_of(globex)), columns_url(dataset))
    assert "Machines" in html and "Customer" not in html


@pytest.mark.case("O07")
def test_a_label_is_only_text_wherever_the_editor_shows_it(as_acme: TenantRef, at_acme: Visitor) -> None:
    nasty = '"><script>alert(1)</script>'
    dataset = make_dataset("Bad", [NewColumn("no"), NewColumn(nasty)], ["no"])
    column = dataset.columns.get(label=nasty)
    for url in (columns_url(dataset), columns_url(dataset, column.pk, "retire")):
        assert "<script>alert" not in page(at_acme, url)
    editing.retire_column(dataset=dataset, column=column)
    for url in (
        columns_url(dataset),
        columns_url(dataset, column.pk, "purge"),
        f"{URL}{dataset.pk}/definition-history/",
    ):
        assert "<script>alert" not in page(at_acme, url)
