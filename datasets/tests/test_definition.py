"""Definitions as Table Schema: out, in, and what is refused."""

import json
from typing import Any

import pytest

from datasets.definition import InvalidDefinition, NewColumnDef, from_table_schema, to_table_schema
from datasets.spec import ColumnOptions, ColumnSpec, DatasetSpec

ORDERS = DatasetSpec(
    pk=7,
    slug="orders",
    title="Orders",
    columns=(
        ColumnSpec(1, "Number", "integer", is_required=True, options=ColumnOptions(minimum="1")),
        ColumnSpec(
            2,
            "Line",
            "text",
            is_required=True,
            is_unique=True,
            options=ColumnOptions(max_length=9, min_length=2, pattern="[A-Z]+"),
        ),
        ColumnSpec(3, "Price", "decimal", options=ColumnOptions(10, 2, maximum="5000.00")),
        ColumnSpec(4, "Note", "long_text"),
        ColumnSpec(5, "Status", "choice", options=ColumnOptions(choices=("new", "paid"))),
        ColumnSpec(6, "Paid", "boolean"),
        ColumnSpec(7, "Due", "date"),
        ColumnSpec(8, "Sent at", "timestamp"),
    ),
    key=("c1", "c2"),
)


def read(*fields: Any, **rest: Any) -> tuple[NewColumnDef, ...]:
    return from_table_schema({"fields": list(fields), **rest}).columns


def refusal(schema: Any) -> str:
    with pytest.raises(InvalidDefinition) as caught:
        from_table_schema(schema)
    assert (caught.value.code, caught.value.status) == ("invalid-definition", 422)
    return caught.value.message


def test_a_definition_survives_the_way_out_and_in() -> None:
    definition = from_table_schema(json.loads(json.dumps(to_table_schema(ORDERS))))

    assert (definition.title, definition.slug, definition.key) == ("Orders", "orders", ("Number", "Line"))
    assert definition.columns == tuple(
        NewColumnDef(column.label, column.type, column.is_required, column.is_unique, column.options)
        for column in ORDERS.columns
    )


def test_types_are_those_of_table_schema_where_it_has_them() -> None:
    fields = to_table_schema(ORDERS)["fields"]

    assert fields[2:5] == [
        {
            "name": "Price",
            "type": "number",
            "rowhouse:precision": 10,
            "rowhouse:scale": 2,
            "constraints": {"maximum": "5000.00"},
        },
        {"name": "Note", "type": "string", "rowhouse:type": "long_text"},
        {
            "name": "Status",
            "type": "string",
            "rowhouse:type": "choice",
            "constraints": {"enum": ["new", "paid"]},
        },
    ]


def test_a_schema_of_another_tool_is_understood() -> None:
    columns = read(
        {"name": "Name"},
        {"name": "Year", "type": "year"},
        {"name": "Kind", "type": "string", "constraints": {"enum": ["a", "b"]}},
        {"name": "Size", "type": "number", "constraints": {"minimum": 0.5, "required": True}},
        primaryKey="Name",
        missingValues=["", "NA"],
    )

    assert columns == (
        NewColumnDef("Name", "text", is_required=True),
        NewColumnDef("Year", "integer"),
        NewColumnDef("Kind", "choice", options=ColumnOptions(choices=("a", "b"))),
        NewColumnDef("Size", "decimal", is_required=True, options=ColumnOptions(minimum="0.500000")),
    )


def test_words_for_no_value_are_kept() -> None:
    definition = from_table_schema({"fields": [{"name": "a"}], "missingValues": ["", "NA", "-"]})

    assert definition.null_words == ("NA", "-")


@pytest.mark.case("N01")
@pytest.mark.parametrize(
    "label",
    ["select", "user", "order", "pk", "id", "_state", "objects", "save", "history", "history_id", "class"]
    + ["None", "__init__", "_meta", "DoesNotExist", "xmin", "ctid", "tableoid", "oid", "%s", '"; --', "{c}"],
)
def test_any_word_is_a_label(label: str) -> None:
    assert read({"name": label})[0].label == label


@pytest.mark.case("N03")
def test_labels_equal_in_63_bytes_are_two_labels() -> None:
    first, second = "ä" * 40 + "x", "ä" * 40 + "y"

    assert [column.label for column in read({"name": first}, {"name": second})] == [first, second]


@pytest.mark.case("N04")
def test_labels_have_1_to_255_characters() -> None:
    assert [len(column.label) for column in read({"name": "a"}, {"name": "b" * 255})] == [1, 255]
    assert "has no name" in refusal({"fields": [{"name": " "}]})
    assert "has no name" in refusal({"fields": [{}]})
    assert "256 characters" in refusal({"fields": [{"name": "b" * 256}]})
    assert "10000 characters" in refusal({"fields": [{"name": "b" * 10_000}]})


@pytest.mark.case("N05")
@pytest.mark.parametrize("label", ["🏳️‍🌈", "مرحبا", "аpple", "数量", "a\u200bb"])
def test_labels_of_any_script_are_kept(label: str) -> None:
    assert read({"name": label})[0].label == label


@pytest.mark.case("N05")
@pytest.mark.parametrize("label", ["a\0b", "a\x1bb", "\ud800", "a\u202eb"])
def test_labels_with_control_characters_are_refused_in_a_message_that_can_be_shown(label: str) -> None:
    assert refusal({"fields": [{"name": label}]}).encode()


@pytest.mark.parametrize(("first", "second"), [("Price", "Price"), ("Price", "PRICE"), ("Straße", "STRASSE")])
def test_labels_that_only_their_case_tells_apart_are_refused(first: str, second: str) -> None:
    assert second in refusal({"fields": [{"name": first}, {"name": second}]})


@pytest.mark.case("N16")
def test_the_501st_column_is_refused() -> None:
    fields = [{"name": f"c{number}"} for number in range(501)]

    assert len(read(*fields[:500])) == 500
    assert refusal({"fields": fields}) == "The definition has 501 columns; 500 are allowed."


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ([], "must be a JSON object"),
        ({}, "list at least one column"),
        ({"fields": {}}, "list at least one column"),
        ({"fields": ["a"]}, "Field 1 is “a”"),
        ({"fields": [{"name": 5}]}, "must be a text"),
        ({"fields": [{"name": "a", "type": "geopoint"}]}, "known are string, any, integer"),
        ({"fields": [{"name": "a", "type": ["string"]}]}, "has the type “list”"),
        ({"fields": [{"name": "a", "rowhouse:type": "money"}]}, "known are text, long_text"),
        ({"fields": [{"name": "a", "constraints": {"required": "yes"}}]}, "true or false"),
        ({"fields": [{"name": "a", "constraints": {"maxLength": -1}}]}, "whole number"),
        ({"fields": [{"name": "a", "constraints": {"minimum": 1}}]}, "has no minimum"),
        ({"fields": [{"name": "a", "type": "date", "constraints": {"minimum": "today"}}]}, "2026-12-31"),
        (
            {"fields": [{"name": "a", "type": "integer", "constraints": {"minimum": "1.0"}}]},
            "without decimals",
        ),
        ({"fields": [{"name": "a", "type": "number", "constraints": {"minimum": float("inf")}}]}, "number"),
        (
            {"fields": [{"name": "a", "type": "integer", "constraints": {"minimum": 2, "maximum": 1}}]},
            "minimum 2 above its maximum 1",
        ),
        ({"fields": [{"name": "a", "type": "integer", "constraints": {"enum": ["1"]}}]}, "only a choice"),
        ({"fields": [{"name": "a", "rowhouse:type": "choice"}]}, "list what may be chosen"),
        ({"fields": [{"name": "a", "type": "number", "rowhouse:scale": 2000}]}, "2000 after the point"),
        ({"fields": [{"name": "a"}], "primaryKey": ["b"]}, "names “b”, which is no column"),
        ({"fields": [{"name": "a"}], "primaryKey": ["a", "a"]}, "more than once"),
        ({"fields": [{"name": "a"}], "primaryKey": 5}, "list of texts"),
        ({"fields": [{"name": "a"}], "uniqueKeys": [["a"]]}, "cannot keep"),
    ],
)
def test_what_a_dataset_cannot_be_is_refused_with_the_reason(schema: Any, says: str) -> None:
    assert says in refusal(schema)


@pytest.mark.case("D01")
def test_a_pattern_that_no_linear_engine_reads_is_refused_where_it_is_defined() -> None:
    field = {"name": "a", "constraints": {"pattern": r"(a+)+\1"}}

    assert "at character 6 “\\1” is a back reference" in refusal({"fields": [field]})
