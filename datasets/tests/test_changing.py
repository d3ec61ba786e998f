"""The change of a column's type: every value converts, today's and history's, or nothing changes."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from audit.models import Event
from core.errors import RowhouseError
from core.tenancy import TenantRef
from datasets.changing import NotConvertible, change_type, check_type_change
from datasets.columntypes import TYPES
from datasets.models import Column, Dataset
from datasets.rows import get_row_model
from datasets.rules import NewColumn
from datasets.services import InvalidDefinition, create_dataset
from datasets.signals import changing
from datasets.spec import ColumnOptions
from datasets.tests.test_tables import constraints


def made(values: list[Any], type: str = "text", *, key: bool = False, **rules: Any) -> Dataset:
    """A dataset of one column with these values."""
    dataset = create_dataset(
        title="Things", columns=[NewColumn("v", type, **rules)], key=["v"] if key else []
    )
    name = dataset.spec().columns[0].name
    for value in values:
        get_row_model(dataset)._default_manager.create(**{name: value})
    return dataset


def change(dataset: Dataset, type: str, **options: Any) -> Any:
    column = dataset.columns.get(label="v")
    report = change_type(dataset=dataset, column=column, type=type, options=ColumnOptions(**options))
    dataset.refresh_from_db()
    return report


def values(dataset: Dataset) -> list[Any]:
    """Today's values, in the order of the records."""
    model, name = get_row_model(dataset), dataset.spec().columns[0].name
    return list(model._default_manager.order_by("id").values_list(name, flat=True))


def versions(dataset: Dataset) -> list[Any]:
    model, name = get_row_model(dataset), dataset.spec().columns[0].name
    return list(model.history.order_by("history_id").values_list(name, flat=True))


@pytest.mark.parametrize(
    ("old", "before", "new", "after"),
    [
        ("text", ["1", " 007 ", None, "-0", ""], "integer", [1, 7, None, 0, None]),
        ("text", ["1.5", ".5", "2"], "decimal", [Decimal("1.50"), Decimal("0.50"), Decimal("2.00")]),
        ("text", ["yes", "F", "1"], "boolean", [True, False, True]),
        ("text", ["2026-12-31"], "date", [dt.date(2026, 12, 31)]),
        ("text", ["2026-12-31 14:00"], "timestamp", [dt.datetime(2026, 12, 31, 14, tzinfo=dt.UTC)]),
        ("text", ["new", " paid"], "choice", ["new", "paid"]),
        ("text", ["a\nb", "x" * 5000], "long_text", ["a\nb", "x" * 5000]),
        ("integer", [7, None, -(2**63)], "text", ["7", None, "-9223372036854775808"]),
        ("integer", [1, 0], "boolean", [True, False]),
        ("decimal", [Decimal("3.00")], "text", ["3.00"]),
        ("date", [dt.date(1, 1, 1)], "text", ["0001-01-01"]),
        ("date", [dt.date(2026, 1, 2)], "timestamp", None),
        (
            "timestamp",
            [dt.datetime(2026, 1, 2, 3, 4, 5, 600000, tzinfo=dt.UTC)],
            "text",
            ["2026-01-02T03:04:05.6Z"],
        ),
        ("boolean", [True, None], "text", ["true", None]),
        ("boolean", [True], "integer", None),
    ],
)
def test_values_convert_as_their_text_would_be_read(
    as_acme: TenantRef, old: str, before: list[Any], new: str, after: list[Any] | None
) -> None:
    given = ColumnOptions(precision=6, scale=2) if old == "decimal" else ColumnOptions()
    dataset = made(before, old, options=given)
    rules: dict[str, dict[str, Any]] = {
        "decimal": {"precision": 6, "scale": 2},
        "choice": {"choices": ("new", "paid")},
    }
    options = rules.get(new, {})
    if after is None:
        with pytest.raises(NotConvertible):
            change(dataset, new, **options)
        after = before
    else:
        change(dataset, new, **options)
    assert (values(dataset), versions(dataset)) == (after, after)


def test_a_change_is_kept_with_who_and_what_and_writes_no_history_of_records(as_acme: TenantRef) -> None:
    dataset = made(["1"])
    version, history = dataset.definition_version, len(versions(dataset))
    change(dataset, "integer", minimum="0")
    column = Column.objects.get()
    assert (column.type, column.options) == ("integer", {"minimum": "0"})
    assert [one.type for one in column.history.order_by("history_id")] == ["text", "integer"]
    assert (dataset.definition_version, len(versions(dataset))) == (version + 1, history)
    event = Event.objects.get(name="datasets.column.type_changed")
    assert event.data == {"column": column.pk, "before": "text", "after": "integer"}


def test_the_rules_of_the_new_type_are_the_tables_and_those_of_the_old_gone(as_acme: TenantRef) -> None:
    dataset = made(["5"], is_required=True, options=ColumnOptions(max_length=3))
    change(dataset, "integer", maximum="9")
    fresh = create_dataset(
        title="Fresh", columns=[NewColumn("v", "integer", True, options=ColumnOptions(maximum="9"))]
    )
    plain = [
        [(name.removeprefix(each.spec().table).replace(each.spec().columns[0].name, "c"), kind)
         for name, kind in constraints(each.spec().table)]
        for each in (dataset, fresh)
    ]  # fmt: skip
    assert plain[0] == plain[1]
    with pytest.raises(IntegrityError), transaction.atomic():
        get_row_model(dataset)._default_manager.create(**{dataset.spec().columns[0].name: 10})


@pytest.mark.parametrize("new", [name for name in TYPES if name not in ("text", "long_text")])
def test_a_value_that_does_not_convert_stops_everything_and_is_named(as_acme: TenantRef, new: str) -> None:
    dataset = made(["what", "ever", "what"])
    options = ColumnOptions(choices=("new",)) if "choice" in new else ColumnOptions()
    column = dataset.columns.get(label="v")
    report = check_type_change(dataset=dataset, column=column, type=new, options=options)
    assert (report.values, report.unconvertible, report.is_clean) == (2, 2, False)
    assert [(one.value, one.records) for one in report.problems] == [("what", 2), ("ever", 1)]
    with pytest.raises(NotConvertible, match="“what” of “v” cannot be converted") as refused:
        change_type(dataset=dataset, column=column, type=new, options=options)
    assert refused.value.report == report
    assert values(dataset) == ["what", "ever", "what"]
    assert Column.objects.get().type == "text"


def test_values_of_history_alone_must_convert_too(as_acme: TenantRef) -> None:
    dataset = made(["old"])
    get_row_model(dataset)._default_manager.update(**{dataset.spec().columns[0].name: "1"})
    with pytest.raises(NotConvertible, match=r"“old” of “v” \(in the history of a record\)") as refused:
        change(dataset, "integer")
    assert [(one.value, one.records) for one in refused.value.report.problems] == [("old", 0)]


def test_limits_need_not_hold_in_history(as_acme: TenantRef) -> None:
    dataset = made(["100"])
    get_row_model(dataset)._default_manager.update(**{dataset.spec().columns[0].name: "1"})
    change(dataset, "integer", maximum="9")
    assert (values(dataset), versions(dataset)) == ([1], [100, 1])
    change(dataset, "choice", choices=("1",))
    assert (values(dataset), versions(dataset)) == (["1"], ["100", "1"])


def test_two_keys_that_become_one_are_refused(as_acme: TenantRef) -> None:
    dataset = made(["1", "01"], key=True)
    with pytest.raises(NotConvertible, match="Two records would have the same value in “v”"):
        change(dataset, "integer")
    assert values(dataset) == ["1", "01"]


def test_a_key_stays_the_key(as_acme: TenantRef) -> None:
    dataset = made(["1", "2"], key=True)
    change(dataset, "integer")
    with pytest.raises(IntegrityError), transaction.atomic():
        get_row_model(dataset)._default_manager.create(**{dataset.spec().columns[0].name: 2})


def test_a_required_value_must_be_one_in_the_new_type(as_acme: TenantRef) -> None:
    dataset = made([" "], is_required=True)
    with pytest.raises(NotConvertible, match="needs a value"):
        change(dataset, "integer")


def test_a_type_that_cannot_be_is_refused(as_acme: TenantRef) -> None:
    dataset = made([])
    with pytest.raises(InvalidDefinition, match="list what may be chosen"):
        change(dataset, "choice")


def test_an_app_that_works_on_the_dataset_refuses(as_acme: TenantRef) -> None:
    class Busy(RowhouseError):
        code = "busy"

    def refuse(**_: Any) -> None:
        raise Busy("Wait.")

    dataset = made(["1"])
    changing.connect(refuse)
    try:
        with pytest.raises(Busy):
            change(dataset, "integer")
    finally:
        changing.disconnect(refuse)
    assert values(dataset) == ["1"]


def test_many_different_values_convert_and_nothing_is_left_behind(as_acme: TenantRef) -> None:
    dataset = made([])
    table, name = dataset.spec().table, dataset.spec().columns[0].name
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {table} ({name}) SELECT ' ' || n FROM generate_series(1, 25000) n")
    assert change(dataset, "integer").values == 25000
    assert sum(values(dataset)) == 25000 * 25001 // 2
    change(dataset, "text")
    assert values(dataset)[:2] == ["1", "2"]
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_proc WHERE proname = 'rowhouse_converted'")
        assert cursor.fetchone()[0] == 0


@pytest.mark.parametrize(
    ("new", "options", "given", "canonical"),
    [
        ("time", {}, "9:30", "09:30:00"),
        ("multi_choice", {"choices": ("a", "b")}, "b;a", "a; b"),
        ("email", {}, "A@Example.org", "A@example.org"),
        ("url", {}, "HTTP://example.org", "http://example.org"),
        ("phone", {"region": "DE"}, "030 123456", "+4930123456"),
        ("uuid", {}, "123E4567E89B12D3A456426614174000", "123e4567-e89b-12d3-a456-426614174000"),
        ("json", {}, '{"b":1e2}', '{"b": 100}'),
    ],
)
def test_text_becomes_another_type_and_text_again(
    as_acme: TenantRef, new: str, options: dict[str, Any], given: str, canonical: str
) -> None:
    dataset = made([given, canonical])
    change(dataset, new, **options)
    kind = TYPES[new]
    assert [[kind.to_text(value) for value in each] for each in (values(dataset), versions(dataset))] == [
        [canonical, canonical]
    ] * 2
    change(dataset, "text")
    assert (values(dataset), versions(dataset)) == ([canonical] * 2, [canonical] * 2)
