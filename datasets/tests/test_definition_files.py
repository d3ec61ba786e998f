"""A definition as a file: downloaded, compared, and the beginning of a new dataset; templates too."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from openpyxl import load_workbook

from audit.models import Event
from core.tenancy import TenantRef, in_tenant
from datasets import editing, templates_of_tenant
from datasets.comparing import compare
from datasets.definition import from_table_schema, to_table_schema
from datasets.models import Dataset, DatasetTemplate
from datasets.rules import NewColumn
from datasets.starters import starters
from datasets.tests.conftest import make_dataset, newcomer
from datasets.tests.pages import Visitor, page

URL = "/admin/datasets/dataset/"


def as_file(schema: object) -> SimpleUploadedFile:
    data = schema if isinstance(schema, bytes) else json.dumps(schema).encode()
    return SimpleUploadedFile("definition.json", data, "application/json")


def changed(dataset: Dataset) -> dict[str, Any]:
    """The definition of orders with one difference of each kind."""
    schema = to_table_schema(dataset.spec())
    fields = {field["name"]: field for field in schema["fields"]}
    fields["Pieces"]["constraints"] = {"minimum": "1"}
    fields["Paid"] = {"name": "Paid", "type": "string"}
    del fields["Note"]
    fields["Weight"] = {"name": "Weight", "type": "number", "constraints": {"minimum": "0"}}
    order = ["Customer", *(name for name in fields if name != "Customer")]
    return {
        "title": "Sales",
        "fields": [fields[name] for name in order],
        "primaryKey": ["Order no", "Customer"],
    }


def test_a_definition_is_downloaded_as_it_would_be_uploaded(orders: Dataset, at_acme: Visitor) -> None:
    answer = at_acme.get(f"{URL}{orders.pk}/schema/")
    assert answer["Content-Disposition"] == 'attachment; filename="orders.schema.json"'
    schema = json.loads(answer.content)
    assert schema == to_table_schema(orders.spec())
    assert compare(orders.spec(), from_table_schema(schema)) == []
    made = at_acme.post(URL + "new/", {"file": as_file(schema)})
    twin = Dataset.objects.exclude(pk=orders.pk).get()
    assert (made.status_code, made["Location"]) == (302, f"{URL}{twin.pk}/columns/")
    assert (twin.slug, to_table_schema(twin.spec())) == ("orders-2", {**schema, "name": "orders-2"})


def test_every_difference_is_named_and_new_columns_are_added_from_the_page(
    orders: Dataset, at_acme: Visitor
) -> None:
    schema = changed(orders)
    found = compare(orders.spec(), from_table_schema(schema))
    assert [one.sentence for one in found] == [
        "“Customer” has other rules. Dataset: none. Definition: required.",
        "“Pieces” has other rules. Dataset: none. Definition: from 1.",
        "“Paid” is Yes or no in the dataset, Text in the definition.",
        "“Weight” is in the definition alone: Decimal number; from 0.000000.",
        "“Note” is in the dataset alone: Long text.",
        "The key is Order no in the dataset, Order no; Customer in the definition.",
        "The columns stand in another order.",
        "The title is “Orders” in the dataset, “Sales” in the definition.",
    ]
    url = f"{URL}{orders.pk}/compare/"
    html = at_acme.post(url, {"file": as_file(schema)}).content.decode()
    assert "8 differences" in html and "Add 1 column<" in html
    posted = {"do": "add", "schema": json.dumps(schema), "seen": "1"}
    assert at_acme.post(url, posted).status_code == 302
    assert orders.spec().columns[-1].label == "Weight"
    assert at_acme.post(url, posted).status_code in (409, 422)  # it is there already
    assert (
        "No difference"
        in at_acme.post(url, {"file": as_file(to_table_schema(orders.spec()))}).content.decode()
    )


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "The file is empty"),
        (b"{\n  \"fields\": [,]}", "in line 2, column 14"),
        (b"\xff\xfe", "not UTF-8 text (byte 1)"),
        (b"[" * 100_000, "nested too deep"),
        (b"[]", "must be a JSON object"),
        (b"{}", "no list “fields”"),
        (b'{"fields": [{"name": "a"}, {"type": "integer"}]}', "Field 2 has no name"),
        (b'{"fields": [{"name": "a", "type": "geopoint"}]}', "“a” has the type “geopoint”"),
        (b'{"fields": [{"name": "a", "constraints": {"minimum": "x"}}]}', "which has no minimum"),
        (b'{"title": "T", "fields": [{"name": "a"}], "primaryKey": "b"}', "“b”, which is no column"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_definition_is_said_exactly(
    orders: Dataset, at_acme: Visitor, data: bytes, problem: str
) -> None:
    for url in (URL + "new/", f"{URL}{orders.pk}/compare/"):
        answer = at_acme.post(url, {"file": as_file(data)})
        assert (answer.status_code, problem in answer.content.decode()) == (422, True), answer.content
    assert Dataset.objects.get() == orders


def test_the_template_workbook_is_downloaded(orders: Dataset, at_acme: Visitor) -> None:
    answer = at_acme.get(f"{URL}{orders.pk}/workbook/")
    assert answer["Content-Disposition"] == 'attachment; filename="orders-template.xlsx"'
    sheet = load_workbook(io.BytesIO(answer.content)).active
    assert sheet is not None
    assert [cell.value for cell in sheet[1]] == [column.label for column in orders.spec().columns]
    assert f"{URL}{orders.pk}/workbook/" in page(at_acme, f"{URL}{orders.pk}/change/")


@pytest.mark.parametrize("starter", starters(), ids=lambda starter: starter.name)
def test_every_template_makes_a_dataset(as_acme: TenantRef, at_acme: Visitor, starter: Any) -> None:
    html = page(at_acme, f"{URL}new/{starter.name}/")
    assert all(column.label in html for column in starter.definition.columns)
    title = starter.definition.title
    assert at_acme.post(f"{URL}new/{starter.name}/", {"title": title}).status_code == 302
    assert at_acme.post(f"{URL}new/{starter.name}/", {"title": title}).status_code == 302  # a second one
    first, second = Dataset.objects.order_by("pk")
    assert (first.slug, second.slug) == (starter.name, f"{starter.name}-2")
    assert [column.label for column in first.spec().key_columns] == list(starter.definition.key)
    assert starter.description and first.title == title


def test_templates_are_found_by_title_and_label(as_acme: TenantRef, at_acme: Visitor) -> None:
    html = page(at_acme, URL + "new/")
    assert all(starter.definition.title in html for starter in starters())
    html = page(at_acme, URL + "new/?q=due+date")
    assert "new/invoices/" in html and "new/contacts/" not in html
    assert "No template speaks of “zebra”" in page(at_acme, URL + "new/?q=zebra")


def test_a_dataset_is_kept_as_a_template_of_its_tenant_alone(
    twins: dict[str, Dataset], acme: TenantRef, at_acme: Visitor, at_globex: Visitor
) -> None:
    url = f"{URL}{twins['acme'].pk}/save-as-template/"
    assert at_acme.post(url, {"title": "Our orders", "description": "As we like them."}).status_code == 302
    taken = at_acme.post(url, {"title": "Our orders"})
    assert taken.status_code == 422 and "Another template is called “Our orders”" in taken.content.decode()
    with in_tenant(acme):
        template = DatasetTemplate.objects.get()
        assert Event.objects.filter(name="datasets.template.saved", target_id=str(template.pk)).exists()
    assert "As we like them." in page(at_acme, URL + "new/")
    assert "Our orders" not in page(at_globex, URL + "new/")
    at = f"{URL}new/{template.pk}/"
    page(at_globex, at, 404)
    assert at_globex.post(f"{URL}templates/{template.pk}/delete/").status_code == 404
    assert at_acme.post(at, {"title": "More orders"}).status_code == 302
    with in_tenant(acme):
        made = Dataset.objects.get(slug="more-orders")
        before, after = to_table_schema(twins["acme"].spec()), to_table_schema(made.spec())
        assert {**after, "name": "orders", "title": "Orders"} == before
    assert at_acme.post(f"{URL}templates/{template.pk}/delete/").status_code == 302
    assert f"new/{template.pk}/" not in page(at_acme, URL + "new/")


def test_who_may_not_make_or_change_datasets_is_turned_away(
    orders: Dataset, acme: TenantRef, client_of: Any
) -> None:
    newcomer("nobody@acme.example")
    template = templates_of_tenant.save_as_template(dataset=orders, title="Ours")
    editor, nobody = Visitor(client_of(acme, "editor")), Visitor(client_of(acme, "nobody@acme.example"))
    for at in ("new/", "new/contacts/", f"{orders.pk}/save-as-template/"):
        assert (editor.get(URL + at).status_code, editor.post(URL + at, {"title": "x"}).status_code) == (
            403,
            403,
        )
    assert editor.post(f"{URL}templates/{template.pk}/delete/").status_code == 403
    assert editor.post(f"{URL}{orders.pk}/compare/", {"file": as_file({})}).status_code == 403
    for at in ("schema", "workbook"):
        assert editor.get(f"{URL}{orders.pk}/{at}/").status_code == 200
        assert nobody.get(f"{URL}{orders.pk}/{at}/").status_code == 404
    assert (Dataset.objects.count(), DatasetTemplate.objects.count()) == (1, 1)


def test_a_retired_label_does_not_lead_to_its_dataset(orders: Dataset, at_acme: Visitor) -> None:
    other = make_dataset("Other", [NewColumn("Colour")], [])
    third = make_dataset("Third", [NewColumn("no"), NewColumn("Colour")], ["no"])
    editing.retire_column(dataset=third, column=third.columns.get(label="Colour"))
    html = page(at_acme, URL + "?q=colour")
    assert f"{URL}{other.pk}/change/" in html and f"{URL}{third.pk}/change/" not in html
