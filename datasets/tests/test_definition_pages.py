"""Defining a dataset in the admin, and the list of datasets."""

from __future__ import annotations

from typing import Any

import pytest

from audit.models import Event
from core.errors import RowhouseError
from core.tenancy import TenantRef
from datasets import services, signals
from datasets.checking import set_checks
from datasets.models import Dataset
from datasets.rows import get_row_model
from datasets.tests.conftest import ORDERS, add_record, make_dataset, person
from datasets.tests.pages import Visitor, page, rows_url

URL = "/admin/datasets/dataset/"


def columns_form(
    *rows: dict[str, str], title: str = "Parts", existing: int = 0, seen: int = 1
) -> dict[str, str]:
    """Return the posted form of a definition with these columns; `seen` is the version it was opened with."""
    form = {
        "seen": str(seen),
        "title": title,
        "columns-TOTAL_FORMS": str(len(rows)),
        "columns-INITIAL_FORMS": str(existing),
        "columns-MIN_NUM_FORMS": "0",
        "columns-MAX_NUM_FORMS": "500",
    }
    for number, row in enumerate(rows):
        form |= {f"columns-{number}-{name}": value for name, value in {"type": "text", **row}.items()}
    return form


def test_a_dataset_is_defined_on_one_page(as_acme: TenantRef, at_acme: Visitor) -> None:
    assert "No datasets yet." in page(at_acme, URL)
    answer = at_acme.post(
        URL + "add/",
        columns_form(
            {"label": "Part no", "is_key": "on"},
            {"label": "Price", "type": "decimal", "precision": "8", "scale": "3"},
            {"label": "Colour", "type": "choice", "choices": "red\nblue\n", "is_required": "on"},
            {"label": "Serial", "is_unique": "on"},
            {"label": ""},
        ),
    )
    dataset = Dataset.objects.get()
    assert (answer.status_code, answer["Location"]) == (302, rows_url(dataset))
    spec = dataset.spec()
    assert [(one.label, one.type, one.is_required, one.is_unique) for one in spec.columns] == [
        ("Part no", "text", True, False),
        ("Price", "decimal", False, False),
        ("Colour", "choice", True, False),
        ("Serial", "text", False, True),
    ]
    assert [one.label for one in spec.key_columns] == ["Part no"]
    assert (spec.columns[1].options.precision, spec.columns[1].options.scale) == (8, 3)
    assert spec.columns[2].options.choices == ("red", "blue")
    assert get_row_model(dataset).objects.count() == 0
    event = Event.objects.get(name="datasets.dataset.created")
    assert (event.actor_id, event.target_label) == (person(as_acme, "owner").pk, "Parts")
    assert dataset.history.get().history_user_id == event.actor_id
    assert dataset.columns.first().history.get().history_user_id == event.actor_id


def test_a_definition_with_faults_says_which(as_acme: TenantRef, at_acme: Visitor) -> None:
    html = at_acme.post(
        URL + "add/",
        columns_form({"label": "A"}, {"label": "A"}, {"label": "B", "type": "choice"}),
    ).content.decode()
    assert "The label “A” stands more than once." in html
    assert "“B” is a choice: list what may be chosen." in html
    assert "at least one column" in at_acme.post(URL + "add/", columns_form()).content.decode()
    assert not Dataset.objects.exists()


def test_labels_change_on_the_definitions_page_and_nothing_else(orders: Dataset, at_acme: Visitor) -> None:
    url = f"{URL}{orders.pk}/change/"
    assert "Definition" in page(at_acme, rows_url(orders)) and "Order no" in page(at_acme, url)
    rows = [
        {
            "id": str(column.pk),
            "dataset": str(orders.pk),
            "label": column.label,
            "type": "integer",
            "is_unique": "on",
        }
        for column in orders.columns.all()
    ]
    rows[1]["label"] = "Client"
    form = columns_form(*rows, title="Sales", existing=len(rows))
    assert at_acme.post(url, form).status_code == 302
    again = Dataset.objects.get(pk=orders.pk)
    assert (again.title, again.definition_version) == ("Sales", 2)
    kept = [(one.type, one.is_unique) for one in again.spec().columns]
    assert kept == [(one.type, one.is_unique) for one in ORDERS]
    assert again.spec().columns[1].label == "Client"


@pytest.mark.case("C19")
def test_of_two_who_rename_a_dataset_the_second_is_told(orders: Dataset, at_acme: Visitor) -> None:
    url = f"{URL}{orders.pk}/change/"
    assert 'name="seen" value="1"' in page(at_acme, url)
    columns = list(orders.columns.all())
    rows = [{"id": str(one.pk), "dataset": str(orders.pk), "label": one.label} for one in columns]
    rows[1]["label"] = "Buyer"
    services.rename_dataset(dataset=orders, title="Sales", labels={columns[1].pk: "Client"})
    form = columns_form(*rows, title="Bestellungen", existing=len(rows)) | {"check_lines": 'A: "Pieces" > 0'}
    for seen in ("1", "", "x", "9" * 30):
        answer = at_acme.post(url, form | {"seen": seen})
        html = answer.content.decode()
        assert answer.status_code == 409 and "it has version 2, its title is “Sales”" in html
        # What was typed stands there still, to be saved by who has seen that.
        assert 'value="Bestellungen"' in html and 'value="Buyer"' in html and 'name="seen" value="2"' in html
        again = Dataset.objects.get(pk=orders.pk)
        assert (again.title, again.columns.all()[1].label, again.checks) == ("Sales", "Client", [])
    # What comes between the look and the save is refused by the service.
    with pytest.raises(services.DefinitionOutdated, match="“Sales” since you opened it"):
        services.rename_dataset(dataset=orders, title="Bestellungen", seen=1)
    with pytest.raises(services.DefinitionOutdated):
        set_checks(dataset=orders, checks=[], seen=1)
    assert at_acme.post(url, form | {"seen": "2"}).status_code == 302
    again = Dataset.objects.get(pk=orders.pk)
    assert (again.title, again.columns.all()[1].label, len(again.checks)) == ("Bestellungen", "Buyer", 1)


def test_the_list_shows_records_columns_and_the_last_change(orders: Dataset, at_acme: Visitor) -> None:
    make_dataset("Empty")
    add_record(orders, Order_no="A")
    html = page(at_acme, URL)
    assert "Orders" in html and "Empty" in html and rows_url(orders) in html
    assert "Orders" in page(at_acme, URL + "?q=Customer")


def test_a_dataset_is_deleted_by_its_page_after_saying_what_goes(orders: Dataset, at_acme: Visitor) -> None:
    add_record(orders, Order_no="A")
    assert "Orders: 1 records, their history" in page(at_acme, f"{URL}{orders.pk}/delete/")
    assert at_acme.post(f"{URL}{orders.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not Dataset.objects.exists()
    assert Event.objects.filter(name="datasets.dataset.deleted", target_id=str(orders.pk)).exists()


def test_an_app_above_can_refuse_the_deletion(orders: Dataset, at_acme: Visitor) -> None:
    class ImportRunning(RowhouseError):
        """Stands for what an app above raises."""

    def refuse(dataset: Dataset, **_: Any) -> None:
        raise ImportRunning("An import is running. Wait for it or cancel it.")

    signals.deleting.connect(refuse)
    try:
        answer = at_acme.post(f"{URL}{orders.pk}/delete/", {"post": "yes"})
    finally:
        signals.deleting.disconnect(refuse)
    assert answer.status_code == 409
    assert "An import is running." in answer.content.decode()
    assert get_row_model(orders).objects.count() == 0


def test_a_former_definition_cannot_be_put_back_over_the_table(orders: Dataset, at_acme: Visitor) -> None:
    services.rename_dataset(dataset=orders, title="Sales")
    version = orders.history.earliest()
    url = f"{URL}{orders.pk}/history/{version.pk}/"
    page(at_acme, url)
    assert at_acme.post(url, {"title": "Orders"}).status_code == 403
    assert Dataset.objects.get().title == "Sales"


def test_who_may_not_define_is_turned_away(orders: Dataset, acme: TenantRef, client_of: Any) -> None:
    editor = Visitor(client_of(acme, "editor"))
    assert editor.get(URL + "add/").status_code == 403
    assert editor.post(f"{URL}{orders.pk}/change/", {"title": "X"}).status_code == 403
    assert editor.post(f"{URL}{orders.pk}/delete/", {"post": "yes"}).status_code == 403
    assert page(editor, f"{URL}{orders.pk}/change/")
