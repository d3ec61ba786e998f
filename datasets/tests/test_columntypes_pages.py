"""The newer column types on pages: widgets, links, filters; and in definitions, from a file or from JSON."""

from __future__ import annotations

from typing import Any

import pytest

from datasets import rules
from datasets.definition import InvalidDefinition, from_table_schema, to_table_schema
from datasets.display import target_of
from datasets.inference import infer
from datasets.models import Dataset
from datasets.rows import get_row_model
from datasets.rules import NewColumn
from datasets.spec import ColumnOptions, ColumnSpec
from datasets.tests.conftest import make_dataset, name_of
from datasets.tests.pages import Visitor, page, posted, rows_url

UUID = "123e4567-e89b-12d3-a456-426614174000"
TAGS = ColumnOptions(choices=("new", "urgent", "it's <b>"))
COLUMNS = (
    NewColumn("No", "text"),
    NewColumn("Opens", "time", options=ColumnOptions(minimum="06:00")),
    NewColumn("Tags", "multi_choice", options=TAGS),
    NewColumn("Mail", "email"),
    NewColumn("Page", "url"),
    NewColumn("Call", "phone", options=ColumnOptions(region="DE")),
    NewColumn("Ref", "uuid"),
    NewColumn("Data", "json"),
)
TYPED = {
    "No": "1",
    "Opens": "9:30",
    "Tags": ["it's <b>", "new"],
    "Mail": "O'Neil@Example.ORG",
    "Page": "https://example.org/?a=1&b='",
    "Call": "030 123456",
    "Ref": UUID.upper(),
    "Data": '{"b": 1.10}',
}
STORED = [
    "1", "09:30:00", "new; it's <b>", "O'Neil@example.org", "https://example.org/?a=1&b='", "+4930123456", UUID,
    '{"b": 1.10}',
]  # fmt: skip


@pytest.fixture
def shops(as_acme: Any) -> Dataset:
    return make_dataset("Shops", COLUMNS, ("No",))


def stored(dataset: Dataset) -> list[list[str]]:
    names = [column.name for column in dataset.spec().columns]
    return [[one.text_of(name) for name in names] for one in get_row_model(dataset).objects.order_by("pk")]


def test_a_form_takes_every_type_and_shows_the_canonical_text(shops: Dataset, at_acme: Visitor) -> None:
    at_acme.post(rows_url(shops, "add"), posted(shops, **TYPED))
    assert stored(shops) == [STORED]
    record = get_row_model(shops).objects.get()
    html = page(at_acme, rows_url(shops, record.pk, "change"))
    assert 'value="09:30:00"' in html
    assert [word in html for word in ('value="new" ', 'value="urgent"', "it&#x27;s &lt;b&gt;")] == [True] * 3
    assert html.count(" checked") >= 2
    # Saved again as it was shown, nothing changes; with one box fewer, one value does.
    again = {**TYPED, "Opens": "09:30:00", "Tags": ["new", "it's <b>"], "Ref": UUID, "Call": "+4930123456"}
    again["Mail"] = "O'Neil@example.org"
    at_acme.post(rows_url(shops, record.pk, "change"), posted(shops, **again))
    assert get_row_model(shops).history.count() == 1
    at_acme.post(rows_url(shops, record.pk, "change"), posted(shops, **{**again, "Tags": []}))
    assert stored(shops) == [[*STORED[:2], "", *STORED[3:]]]
    assert [version.history_type for version in get_row_model(shops).history.order_by("history_id")] == [
        "+",
        "~",
    ]


def test_a_form_says_what_an_import_would(shops: Dataset, at_acme: Visitor) -> None:
    wrong = {
        **TYPED,
        "Opens": "05:59",
        "Tags": ["sold"],
        "Page": "javascript:alert(1)",
        "Call": "x",
        "Data": "{",
    }
    answer = at_acme.post(rows_url(shops, "add"), posted(shops, **wrong))
    html = answer.content.decode()
    for rule in (
        "The smallest value allowed is 06:00:00.",
        "“sold” is not an allowed choice.",
        "“javascript:” is no web address.",
        "or a number of DE.",
        "This is no JSON:",
    ):
        assert rule in html, rule
    assert stored(shops) == []


def test_a_list_makes_links_that_leak_nothing(shops: Dataset, at_acme: Visitor) -> None:
    at_acme.post(rows_url(shops, "add"), posted(shops, **TYPED))
    html = page(at_acme, rows_url(shops))
    assert (
        '<a href="https://example.org/?a=1&amp;b=&#x27;" target="_blank" rel="noopener noreferrer nofollow"'
        in html
    )
    assert '<a href="mailto:O%27Neil@example.org" target="_blank" rel="noopener noreferrer nofollow"' in html
    assert 'href="tel:+4930123456"' in html
    assert [f">{one}</span>" in html for one in ("new", "it&#x27;s &lt;b&gt;", "urgent")] == [
        True,
        True,
        False,
    ]


def test_what_psql_could_put_there_is_no_link_unless_it_is_one() -> None:
    page_column = ColumnSpec(1, "Page", "url")
    assert target_of("javascript:alert(1)", page_column) == ""
    assert target_of("https://example.org", ColumnSpec(1, "Page", "text")) == ""
    assert target_of("a?cc=b@example.org", ColumnSpec(1, "Mail", "email")) == "mailto:a%3Fcc%3Db@example.org"


@pytest.fixture
def filled(shops: Dataset) -> Dataset:
    model = get_row_model(shops)
    for number, (opens, tags) in enumerate([("08:00", "new"), ("09:30", "new; urgent"), (None, "it's <b>")]):
        values = {
            "No": f"No-{number}",
            "Opens": opens,
            "Tags": tags,
            "Ref": UUID[:-1] + str(number),
            "Data": "[7]",
        }
        model.objects.create(**{name_of(shops, label): value for label, value in values.items()})
    return shops


@pytest.mark.parametrize(
    ("label", "query", "expected"),
    [
        ("Opens", {"__from": "9:00"}, [1]),
        ("Opens", {"__from": "08:00", "__to": "08:00:00"}, [0]),
        ("Tags", {"__any": ["urgent", "it's <b>"]}, [1, 2]),
        ("Tags", {"__all": ["new", "urgent"]}, [1]),
        ("Tags", {"__any": ["new"]}, [0, 1]),
        ("Tags", {"__any": ["new"], "__all": ["urgent"]}, [1]),
        ("Tags", {"__any": ["none of them"]}, []),
        ("Ref", {"__is": UUID[:-1] + "1"}, [1]),
        ("Data", {"__empty": "yes"}, []),
    ],
)
def test_a_filter_shows_what_fits(
    filled: Dataset, at_acme: Visitor, label: str, query: dict[str, Any], expected: list[int]
) -> None:
    name = name_of(filled, label)
    answer = at_acme.get(rows_url(filled), {name + suffix: value for suffix, value in query.items()})
    assert answer.status_code == 200
    assert [number for number in range(3) if f"No-{number}" in answer.content.decode()] == expected


def test_search_finds_choices_and_identifiers(filled: Dataset, at_acme: Visitor) -> None:
    found = [
        at_acme.get(rows_url(filled), {"q": words}).content.decode() for words in ("urgent", UUID[:-1] + "2")
    ]
    assert [[number for number in range(3) if f"No-{number}" in html] for html in found] == [[1], [2]]


@pytest.mark.parametrize("query", [{"__from": "noon"}, {"__to": "24:00"}, {"__from": "1'"}])
def test_a_filter_that_is_no_time_says_so_and_fits_no_record(
    filled: Dataset, at_acme: Visitor, query: dict[str, str]
) -> None:
    name = name_of(filled, "Opens")
    answer = at_acme.get(rows_url(filled), {name + suffix: value for suffix, value in query.items()})
    assert answer.status_code == 200
    assert "No record fits." in answer.content.decode()


def test_a_definition_comes_back_from_its_table_schema(shops: Dataset) -> None:
    schema = to_table_schema(shops.spec())
    assert [(one["type"], one.get("format"), one.get("rowhouse:type")) for one in schema["fields"]] == [
        ("string", None, None),
        ("time", None, None),
        ("string", None, "multi_choice"),
        ("string", "email", None),
        ("string", "uri", None),
        ("string", None, "phone"),
        ("string", "uuid", None),
        ("any", None, "json"),
    ]
    assert schema["fields"][2]["rowhouse:choices"] == list(TAGS.choices)
    again = from_table_schema(schema)
    assert [(one.label, one.type, one.options) for one in again.columns] == [
        (one.label, one.type, one.options) for one in shops.spec().columns
    ]


@pytest.mark.parametrize(
    ("column", "problem"),
    [
        (NewColumn("T", "multi_choice"), "list what may be chosen"),
        (NewColumn("T", "multi_choice", options=ColumnOptions(choices=("a;b",))), "holds “;”"),
        (
            NewColumn("T", "multi_choice", options=ColumnOptions(choices=(" a",))),
            "begins or ends with a blank",
        ),
        (NewColumn("T", "multi_choice", False, True, TAGS), "whose values cannot be unique"),
        (NewColumn("T", "json", False, True), "whose values cannot be unique"),
        (NewColumn("T", "phone", options=ColumnOptions(region="de")), "two capital letters"),
        (NewColumn("T", "phone", options=ColumnOptions(region="ZZ")), "two capital letters"),
        (NewColumn("T", "text", options=ColumnOptions(region="DE")), "two capital letters"),
        (NewColumn("T", "time", options=ColumnOptions(minimum="24:00")), "has the limit “24:00”"),
    ],
)
def test_a_column_that_cannot_be_is_refused(column: NewColumn, problem: str) -> None:
    (found,) = rules.problems([column], [])
    assert problem in found


def test_no_record_is_known_by_json_or_several_choices() -> None:
    (found,) = rules.problems([NewColumn("T", "json")], ["T"])
    assert "no record is told from another by that" in found


def test_bounds_of_a_time_are_kept_in_canonical_form() -> None:
    field = {"name": "T", "type": "time", "constraints": {"minimum": "9:00", "maximum": "17:00"}}
    (column,) = from_table_schema({"title": "T", "fields": [field]}).columns
    assert column.options == ColumnOptions(minimum="09:00:00", maximum="17:00:00")
    with pytest.raises(InvalidDefinition, match="minimum 09:00:00 above its maximum 08:00:00"):
        from_table_schema(
            {"title": "T", "fields": [{**field, "constraints": {"minimum": "9:00", "maximum": "8:00"}}]}
        )


@pytest.mark.parametrize(
    ("values", "name"),
    [
        (["14:00", "23:59:59.5"], "time"),
        (["9:30", "14:00"], "text"),
        (["14:00", "24:00"], "text"),
        ([UUID, UUID.upper()], "uuid"),
        ([UUID, UUID.replace("-", "")], "text"),
        (["a@b.example", "A.B@C.EXAMPLE"], "email"),
        (["a@b.example", "n/a"], "text"),
        (["http://a.example", "https://b.example/x"], "url"),
        (["https://a.example", "www.b.example"], "text"),
        (["+49 30 123456", "+1 202 555 0143"], "text"),
        (['{"a": 1}', "[]"], "text"),
        (["a; b", "b"], "text"),
    ],
)
def test_what_is_guessed_fits_every_value(values: list[str], name: str) -> None:
    (column,) = infer(["Column"], ([value] for value in values))
    assert column.type == name
    if name != "text":
        assert column.evidence.startswith(f"Every value (2) fits, so {name};")
    else:
        assert "so text" in column.evidence
