"""Labels are data: any of them works, none of them is code."""

from __future__ import annotations

import pytest

from core.tenancy import TenantRef
from datasets import services
from datasets.display import shorten
from datasets.models import Dataset
from datasets.rows import get_row_model
from datasets.rules import NewColumn
from datasets.services import InvalidDefinition
from datasets.spec import ColumnOptions
from datasets.tests.conftest import ORDERS, add_record, make_dataset, name_of
from datasets.tests.pages import Visitor, page, posted, rows_url

RESERVED = (
    *("select", "user", "order", "pk", "id", "_state", "objects", "save", "history", "history_id"),
    *("history_date", "history_user", "class", "None", "__init__", "_meta", "DoesNotExist", "xmin"),
    *("ctid", "tableoid", "oid", "c1", "spec", "delete", "clean", "e", "q", "p", "o", "all"),
    *("%s", "%(name)s", "{}", "{c}"),
)
PAYLOADS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "<img x-data x-init=alert(1)>",
    "{{ 7*7 }}",
    "{% load x %}",
    "javascript:alert(1)",
    "' onmouseover='alert(1)",
    "</textarea><b x-text=1>",
)


@pytest.mark.case("N01", "N08")
def test_reserved_words_are_labels_like_any_other(as_acme: TenantRef, at_acme: Visitor) -> None:
    columns = [NewColumn(label) for label in RESERVED]
    dataset = make_dataset(columns=columns, key=["select"])
    values = {name_of(dataset, label): f"v{number}" for number, label in enumerate(RESERVED)}
    assert at_acme.post(rows_url(dataset, "add"), values).status_code == 302
    record = get_row_model(dataset).objects.get()
    assert [getattr(record, column.name) for column in dataset.spec().columns] == list(values.values())
    for parts in ((), (record.pk, "change"), (record.pk, "history"), (record.pk, "delete")):
        page(at_acme, rows_url(dataset, *parts))
    assert at_acme.post(rows_url(dataset, "add"), values).status_code == 200
    assert (
        "Another record has this key (select)."
        in at_acme.post(rows_url(dataset, "add"), values).content.decode()
    )


@pytest.mark.case("N03", "N12")
def test_labels_equal_in_63_bytes_are_two_columns(as_acme: TenantRef) -> None:
    long = "ä" * 40
    dataset = make_dataset(columns=[NewColumn(long + "x"), NewColumn(long + "y"), NewColumn("..")], key=[])
    record = get_row_model(dataset).objects.create(
        **{name_of(dataset, long + "x"): "1", name_of(dataset, long + "y"): "2"}
    )
    record.refresh_from_db()
    assert (record.text_of(name_of(dataset, long + "x")), record.text_of(name_of(dataset, long + "y"))) == (
        "1",
        "2",
    )


@pytest.mark.case("N04")
@pytest.mark.parametrize(
    ("length", "is_allowed"), [(0, False), (1, True), (255, True), (256, False), (10_000, False)]
)
def test_a_label_has_1_to_255_characters(as_acme: TenantRef, length: int, is_allowed: bool) -> None:
    columns = [NewColumn("x" * length)]
    if is_allowed:
        assert make_dataset(columns=columns, key=[]).columns.get().label == "x" * length
    else:
        with pytest.raises(InvalidDefinition) as refused:
            make_dataset(columns=columns, key=[])
        assert refused.value.status == 422


@pytest.mark.case("N05")
@pytest.mark.parametrize("label", ["a\x00b", "a\u202eb", "a\x1bb", "a\u2028b", "\ud800"])
def test_a_label_that_cannot_be_shown_is_refused(as_acme: TenantRef, label: str) -> None:
    with pytest.raises(InvalidDefinition):
        make_dataset(columns=[NewColumn(label)], key=[])


@pytest.mark.case("N05")
@pytest.mark.parametrize("label", ["💰", "سعر", "a\u200bb", "Ԝord", "e\u0301", "१२"])
def test_any_script_is_a_label(as_acme: TenantRef, at_acme: Visitor, label: str) -> None:
    dataset = make_dataset(columns=[NewColumn(label)], key=[])
    assert dataset.columns.get().label in page(at_acme, rows_url(dataset, "add"))


@pytest.mark.case("N16")
def test_the_501st_column_is_refused(as_acme: TenantRef) -> None:
    columns = [NewColumn(f"c {number}") for number in range(501)]
    with pytest.raises(InvalidDefinition, match="500 are allowed"):
        make_dataset(columns=columns, key=[])


@pytest.mark.slow
@pytest.mark.case("N16")
def test_500_columns_work(as_acme: TenantRef, at_acme: Visitor) -> None:
    dataset = make_dataset(columns=[NewColumn(f"c {number}") for number in range(500)], key=["c 0"])
    assert at_acme.post(rows_url(dataset, "add"), {f"c{dataset.key[0]}": "A"}).status_code == 302
    assert page(at_acme, rows_url(dataset)).count("<th") < 60


@pytest.mark.case("O07")
def test_markup_is_inert_wherever_it_stands(as_acme: TenantRef, at_acme: Visitor) -> None:
    columns = [NewColumn(payload) for payload in PAYLOADS]
    columns.append(NewColumn("State", "choice", options=ColumnOptions(choices=PAYLOADS)))
    columns.append(NewColumn("Note", "long_text"))
    dataset = make_dataset("".join(PAYLOADS)[:190], columns, [PAYLOADS[0]])
    values = {name_of(dataset, payload): payload for payload in PAYLOADS}
    values |= {name_of(dataset, "State"): PAYLOADS[1], name_of(dataset, "Note"): "\n".join(PAYLOADS)}
    assert at_acme.post(rows_url(dataset, "add"), values).status_code == 302
    record = get_row_model(dataset).objects.get()
    at_acme.post(rows_url(dataset, record.pk, "change"), {**values, name_of(dataset, "Note"): PAYLOADS[2]})
    version = record.history.earliest()
    selected = {"action": "delete_selected", "_selected_action": [record.pk]}
    edited = {**selected, "action": "edit_selected"}
    note = {
        **edited,
        "column": name_of(dataset, "Note"),
        "how": "set",
        "value": PAYLOADS[0],
        "note": PAYLOADS[1],
    }
    pages = [
        page(at_acme, rows_url(dataset, *parts))
        for parts in (
            (),
            ("add",),
            (record.pk, "change"),
            (record.pk, "history"),
            (record.pk, "history", version.pk),
            (record.pk, "delete"),
        )
    ]
    pages.append(at_acme.post(rows_url(dataset), edited).content.decode())
    for action in (selected, note):
        pages.append(page(at_acme, at_acme.post(rows_url(dataset), action).url))
    pages.append(page(at_acme, "/admin/datasets/changeset/"))
    pages.append(page(at_acme, rows_url(dataset) + "?q=%3Cscript%3Ealert(1)%3C/script%3E"))
    tails = [f"{dataset.pk}/{operation}/" for operation in ("change", "rights", "history", "delete")]
    pages += [page(at_acme, f"/admin/datasets/dataset/{tail}") for tail in ("", *tails)]
    for html in pages:
        for payload in PAYLOADS[:3]:
            assert payload not in html
        assert "<b x-text=1>" not in html and "' onmouseover='alert" not in html
        assert ">49<" not in html


@pytest.mark.case("V19", "D13")
def test_a_flood_of_marks_or_a_megabyte_does_not_break_a_page(orders: Dataset, at_acme: Visitor) -> None:
    flood, large = "e" + "\u0301" * 10_000, "x" * 1_000_000
    record = add_record(orders, Order_no="A", Customer=flood, Note=large)
    form = posted(orders, Order_no="A", Customer=flood, Note=large + "y")
    assert at_acme.post(rows_url(orders, record.pk, "change"), form).status_code == 302
    assert len(page(at_acme, rows_url(orders))) < 300_000
    assert len(page(at_acme, rows_url(orders, record.pk, "history"))) < 300_000
    record.refresh_from_db()
    assert record.text_of(name_of(orders, "Customer")) == flood


def test_what_is_shown_is_short_and_has_few_marks() -> None:
    assert shorten("e" + "\u0301" * 50 + "f") == "e" + "\u0301" * 4 + "f"
    assert shorten("x" * 1_000) == "x" * 99 + "…"
    assert shorten("x" * 100) == "x" * 100


@pytest.mark.parametrize("slug", ["../x", "a/b", "%s", "A", "", "-a", "x" * 64, "information schema"])
@pytest.mark.case("N12")
def test_a_slug_is_plain_or_refused(as_acme: TenantRef, slug: str) -> None:
    if not slug:
        assert make_dataset(slug=slug).slug == "orders"
        return
    with pytest.raises(InvalidDefinition):
        make_dataset(slug=slug)


def test_a_slug_is_made_of_the_title_and_stands_once(as_acme: TenantRef) -> None:
    slugs = [make_dataset(title).slug for title in ("Orders 2026", "Orders 2026", "💰", "💰")]
    assert slugs == ["orders-2026", "orders-2026-2", "dataset", "dataset-2"]
    with pytest.raises(services.SlugTaken):
        make_dataset(slug="dataset")


@pytest.mark.case("N14")
def test_labels_change_without_the_table(orders: Dataset) -> None:
    record = add_record(orders, Order_no="A", Customer="Ada")
    customer, order = orders.columns.get(label="Customer"), orders.columns.get(label="Order no")
    swapped = {customer.pk: "Order no", order.pk: "Customer"}
    services.rename_dataset(dataset=orders, title="Sales", labels=swapped)
    again = Dataset.objects.get(pk=orders.pk)
    assert (again.title, again.slug, again.definition_version) == ("Sales", "orders", 2)
    assert [column.label for column in again.spec().columns[:2]] == ["Customer", "Order no"]
    assert str(get_row_model(again).objects.get()) == str(record) == "A"
    with pytest.raises(InvalidDefinition):
        services.rename_dataset(dataset=again, title="Sales", labels={customer.pk: "Note"})
    assert len(again.spec().columns) == len(ORDERS)
