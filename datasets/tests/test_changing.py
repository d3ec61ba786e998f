"""Changes of a definition: checked, made with all values, today's and history's, or nothing; and reverted."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, connection, transaction

import jobs.services
from audit.actor import actor
from audit.models import Event
from core.tenancy import TenantRef, in_tenant
from datasets import change_tables, change_work, changing
from datasets.change_models import Change, FailingRecord
from datasets.columntypes import TYPES
from datasets.models import Column, Dataset
from datasets.rows import get_row_model
from datasets.rules import NewColumn
from datasets.services import InvalidDefinition, create_dataset, delete_dataset
from datasets.spec import ColumnOptions
from datasets.tests.changes import worked
from datasets.tests.conftest import person
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


def checked(dataset: Dataset, type: str | None = None, **wanted: Any) -> Change:
    """Ask for a change of the column `v` and have it checked; options are given by their names."""
    rules = {name: wanted.pop(name) for name in ("is_required", "is_unique") if name in wanted}
    options = ColumnOptions(**wanted) if wanted else None
    column = dataset.columns.get(label="v")
    change = changing.propose_change(dataset=dataset, column=column, type=type, options=options, **rules)
    return worked(change)


def confirmed(change: Change, on_failure: str = "stop") -> Change:
    changing.confirm_change(change=change, on_failure=on_failure)
    return worked(change)


def changed(dataset: Dataset, type: str | None = None, on_failure: str = "stop", **wanted: Any) -> Change:
    change = confirmed(checked(dataset, type, **wanted), on_failure)
    assert (change.state, change.error) == ("CHANGE_SUCCEEDED", "")
    dataset.refresh_from_db()
    return change


def reverted(change: Change, on_failure: str = "stop") -> Change:
    back = confirmed(worked(changing.revert_change(change=change)), on_failure)
    assert (back.state, back.error) == ("CHANGE_SUCCEEDED", "")
    change.refresh_from_db()
    assert change.state == "REVERTED"
    return back


def values(dataset: Dataset) -> list[Any]:
    """Today's values, in the order of the records."""
    model, name = get_row_model(dataset), dataset.spec().columns[0].name
    return list(model._default_manager.order_by("id").values_list(name, flat=True))


def versions(dataset: Dataset) -> list[Any]:
    model, name = get_row_model(dataset), dataset.spec().columns[0].name
    return list(model.history.order_by("history_id").values_list(name, flat=True))


def catalog(dataset: Dataset) -> dict[str, list[str]]:
    """Whatever stands in the schema for a dataset, but for the values from before its changes."""
    with connection.cursor() as cursor:
        found = {}
        for what, sql in {
            "relations": "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace"
            " AND relname LIKE %s AND relkind <> 'S'",
            "columns": "SELECT table_name || '.' || column_name FROM information_schema.columns WHERE"
            " table_schema = current_schema() AND table_name LIKE %s AND column_name !~ '_was'",
            "triggers": "SELECT tgname FROM pg_trigger JOIN pg_class c ON c.oid = tgrelid WHERE relnamespace"
            " = current_schema()::regnamespace AND relname LIKE %s AND NOT tgisinternal",
            "rules": "SELECT conname || pg_get_constraintdef(o.oid) FROM pg_constraint o JOIN pg_class c"
            " ON c.oid = conrelid WHERE relnamespace = current_schema()::regnamespace AND relname LIKE %s",
        }.items():
            cursor.execute(f"{sql} ORDER BY 1", [f"ds_{dataset.pk}%"])
            found[what] = [name for (name,) in cursor.fetchall()]
    return found


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
        (
            "timestamp",
            [dt.datetime(2026, 1, 2, 3, 4, 5, 600000, tzinfo=dt.UTC)],
            "text",
            ["2026-01-02T03:04:05.6Z"],
        ),
        ("boolean", [True, None], "text", ["true", None]),
    ],
)
def test_values_convert_as_their_text_would_be_read_and_come_back_to_the_byte(
    as_acme: TenantRef, old: str, before: list[Any], new: str, after: list[Any]
) -> None:
    given = ColumnOptions(precision=6, scale=2) if old == "decimal" else ColumnOptions()
    dataset = made(before, old, options=given)
    stands = catalog(dataset)
    rules: dict[str, dict[str, Any]] = {
        "decimal": {"precision": 6, "scale": 2},
        "choice": {"choices": ("new", "paid")},
    }
    change = changed(dataset, new, **rules.get(new, {}))
    assert (values(dataset), versions(dataset)) == (after, after)
    reverted(change)
    assert (values(dataset), versions(dataset)) == (before, before)
    assert catalog(dataset) == stands


def test_a_change_is_kept_with_who_and_what_and_writes_no_version_of_a_record(acme: TenantRef) -> None:
    owner = person(acme, "owner")
    with in_tenant(acme):
        dataset = made(["1"])
        version, history = dataset.definition_version, len(versions(dataset))
        column = dataset.columns.get()
        change = worked(
            changing.propose_change(
                dataset=dataset, column=column, type="integer", options=ColumnOptions(minimum="0"), by=owner
            )
        )
        changing.confirm_change(change=change, by=owner)
        worked(change)
        dataset.refresh_from_db()
        column.refresh_from_db()
        assert (column.type, column.options) == ("integer", {"minimum": "0"})
        kept = column.history.order_by("history_id").values_list(
            "type", "history_user", "history_change_reason"
        )
        assert list(kept) == [("text", None, None), ("integer", owner.pk, f"change {change.pk}")]
        assert (dataset.definition_version, len(versions(dataset))) == (version + 1, history)
        event = Event.objects.get(name="datasets.change.made")
        assert event.data["after"]["columns"] == {
            str(column.pk): {
                "type": "integer", "is_required": False, "is_unique": False, "options": {"minimum": "0"},
            }
        }  # fmt: skip


@pytest.mark.parametrize(
    ("old", "wanted"),
    [
        (
            NewColumn("v", "text", True, options=ColumnOptions(max_length=3)),
            {"type": "integer", "maximum": "9"},
        ),
        (NewColumn("v", "text"), {"is_required": True, "is_unique": True}),
        (NewColumn("v", "text", True, True), {"is_required": False, "is_unique": False}),
        (NewColumn("v", "text"), {"max_length": 3}),
        (NewColumn("v", "integer", options=ColumnOptions(minimum="1")), {"minimum": "0", "maximum": "9"}),
        (NewColumn("v", "text", True, True), {"type": "integer", "is_required": True, "is_unique": True}),
    ],
)
def test_the_table_is_then_that_of_a_fresh_dataset_and_after_a_revert_that_of_before(
    as_acme: TenantRef, old: NewColumn, wanted: dict[str, Any]
) -> None:
    dataset = create_dataset(title="Things", columns=[old])
    name = dataset.spec().columns[0].name
    get_row_model(dataset)._default_manager.create(**{name: "5"})
    stands = catalog(dataset)
    change = changed(dataset, **wanted)
    new = dataset.spec().columns[0]
    fresh = create_dataset(
        title="Fresh", columns=[NewColumn("v", new.type, new.is_required, new.is_unique, new.options)]
    )
    plain = [
        [(rule.removeprefix(each.spec().table).replace(each.spec().columns[0].name, "c"), kind)
         for rule, kind in constraints(each.spec().table)]
        for each in (dataset, fresh)
    ]  # fmt: skip
    assert plain[0] == plain[1]
    reverted(change)
    assert catalog(dataset) == stands
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_constraint WHERE NOT convalidated")
        assert cursor.fetchone() == (0,)


@pytest.mark.parametrize("new", [name for name in TYPES if name not in ("text", "long_text", "reference")])
def test_a_check_lists_every_record_that_fails_and_changes_nothing(as_acme: TenantRef, new: str) -> None:
    dataset = made(["what", "ever", "what"])
    stands = catalog(dataset)
    change = checked(dataset, new, **({"choices": ("new",)} if "choice" in new else {}))
    assert (change.state, change.records, change.failing) == ("CHECK_SUCCEEDED", 3, 3)
    listed = list(change.failing_records.order_by("record_id").values_list("value", flat=True))
    assert listed == ["what", "ever", "what"]
    with pytest.raises(changing.NotChangeable, match="3 records would fail"):
        changing.confirm_change(change=change)
    assert (values(dataset), Column.objects.get().type) == (["what", "ever", "what"], "text")
    assert catalog(dataset) == stands


def test_a_check_shows_how_values_would_be_rewritten(as_acme: TenantRef) -> None:
    change = checked(made([" 1", "2", "003", None]), "integer")
    assert (change.rewritten, change.failing) == (2, 0)
    assert change.samples == [[" 1", "1"], ["003", "3"]]


def test_records_that_fail_may_lose_their_value_which_is_kept_listed_and_comes_back(
    as_acme: TenantRef,
) -> None:
    dataset = made(["1", "what", "3", "ever"])
    change = changed(dataset, "integer", on_failure="empty")
    assert (values(dataset), change.failing) == ([1, None, 3, None], 2)
    assert list(change.failing_records.order_by("pk").values_list("value", flat=True)) == ["what", "ever"]
    model, name = get_row_model(dataset), dataset.spec().columns[0].name
    model._default_manager.filter(**{name: 3}).update(**{name: 33})
    model._default_manager.filter(pk=model._default_manager.last().pk).update(**{name: 4})
    model._default_manager.create(**{name: 5})
    back = reverted(change)
    assert values(dataset) == ["1", "what", "33", "4", "5"]
    edited = back.failing_records.filter(code="edited-since").order_by("record_id")
    assert ([one.value for one in edited], back.edited) == (["33", "4", "5"], 3)


def test_a_required_column_lets_nobody_lose_a_value(as_acme: TenantRef) -> None:
    change = checked(made(["1", "what"], is_required=True), "integer", is_required=True)
    with pytest.raises(changing.NotChangeable, match="needs a value in every record"):
        changing.confirm_change(change=change, on_failure="empty")


def test_former_versions_bend_the_limits_and_what_no_type_can_hold_stays_in_the_old_column(
    as_acme: TenantRef,
) -> None:
    dataset = made(["100"])
    model, name = get_row_model(dataset), dataset.spec().columns[0].name
    for value in ("old", "1"):
        model._default_manager.update(**{name: value})
    change = changed(dataset, "integer", maximum="9")
    assert (values(dataset), versions(dataset), change.unreadable_versions) == ([1], [100, None, 1], 1)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {name}_was{change.pk} FROM ds_{dataset.pk}_history ORDER BY history_id")
        assert [value for (value,) in cursor.fetchall()] == ["100", "old", "1"]
    reverted(change)
    assert (values(dataset), versions(dataset)) == (["1"], ["100", "old", "1"])


@pytest.mark.parametrize("key", [True, False])
def test_two_values_that_become_one_are_named_where_they_must_be_unique(
    as_acme: TenantRef, key: bool
) -> None:
    dataset = made(["1", "01", "2"], key=key, is_unique=not key)
    change = checked(dataset, "integer", is_unique=not key)
    assert change.failing == 2
    failing = change.failing_records.order_by("pk").values_list("name", "value", "code")
    names = (
        ["1", "01"]
        if key
        else [f"record {pk}" for pk in change.failing_records.values_list("record_id", flat=True)]
    )
    assert list(failing) == [(name, "1", "unique-error") for name in names]
    with pytest.raises(changing.NotChangeable):
        changing.confirm_change(change=change, on_failure="empty")


def test_a_key_stays_the_key(as_acme: TenantRef) -> None:
    dataset = made(["1", "2"], key=True)
    changed(dataset, "integer")
    with pytest.raises(IntegrityError), transaction.atomic():
        get_row_model(dataset)._default_manager.create(**{dataset.spec().columns[0].name: 2})


def test_a_type_that_cannot_be_and_a_change_to_what_is_are_refused(as_acme: TenantRef) -> None:
    dataset = made([])
    with pytest.raises(InvalidDefinition, match="list what may be chosen"):
        checked(dataset, "choice")
    with pytest.raises(changing.NothingToChange):
        checked(dataset, "text")


def test_a_rule_that_is_broken_after_the_check_stops_the_change_and_leaves_nothing(
    as_acme: TenantRef,
) -> None:
    dataset = made(["1"])
    stands = catalog(dataset)
    change = checked(dataset, "integer")
    get_row_model(dataset)._default_manager.create(**{dataset.spec().columns[0].name: "what"})
    change = confirmed(change)
    assert (change.state, change.error_code) == ("CHANGE_FAILED", "not-convertible")
    assert "“what” in “v” of record" in change.error
    assert (values(dataset), catalog(dataset)) == (["1", "what"], stands)


def test_the_key_changes_to_other_columns_and_back(as_acme: TenantRef) -> None:
    dataset = create_dataset(
        title="Things", columns=[NewColumn("a"), NewColumn("b"), NewColumn("c")], key=["a"]
    )
    names = [column.name for column in dataset.spec().columns]
    records = get_row_model(dataset)._default_manager
    for row in (("1", "x", "p"), ("2", "x", "q"), ("3", "y", None)):
        records.create(**dict(zip(names, row, strict=True)))
    stands = catalog(dataset)
    repeated = worked(changing.propose_key(dataset=dataset, key=["b", "c"]))
    assert repeated.failing == 1
    assert [(r.name, r.code) for r in repeated.failing_records.all()] == [("3", "missing-cell")]
    repeated = worked(changing.propose_key(dataset=dataset, key=["b"]))
    assert [(r.name, r.value, r.rule) for r in repeated.failing_records.order_by("pk")] == [
        ("1", "x", "2 records would have this key (b)."),
        ("2", "x", "2 records would have this key (b)."),
    ]
    records.filter(**{names[0]: "3"}).update(**{names[2]: "r"})
    change = confirmed(worked(changing.propose_key(dataset=dataset, key=["b", "c"])))
    dataset.refresh_from_db()
    assert change.state == "CHANGE_SUCCEEDED"
    assert [column.label for column in dataset.spec().key_columns] == ["b", "c"]
    with pytest.raises(IntegrityError), transaction.atomic():
        records.create(**dict(zip(names, ("9", "x", "p"), strict=True)))
    records.create(**dict(zip(names, ("1", "z", "p"), strict=True)))
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM ds_{dataset.pk} WHERE {names[1]} = 'z'")
    reverted(change)
    assert catalog(dataset) == stands


def test_only_who_may_change_the_definition_may_ask_and_confirm(acme: TenantRef, globex: TenantRef) -> None:
    editor = person(acme, "editor")
    with in_tenant(globex):
        made(["1"])
    with in_tenant(acme):
        dataset = made(["1"])
        with pytest.raises(PermissionDenied):
            changing.propose_change(dataset=dataset, column=dataset.columns.get(), type="integer", by=editor)
        change = checked(dataset, "integer")
        for refused in (changing.confirm_change, changing.cancel_change, changing.revert_change):
            with pytest.raises(PermissionDenied):
                refused(change=change, by=editor)
    with in_tenant(globex):
        assert (Change.objects.count(), FailingRecord.objects.count()) == (0, 0)


def test_a_change_can_be_cancelled_before_it_is_in_force_and_then_only_reverted(as_acme: TenantRef) -> None:
    dataset = made(["1"])
    stands = catalog(dataset)
    change = checked(dataset, "integer")
    changing.confirm_change(change=change)
    changing.cancel_change(change=change)
    jobs.services.run_pending()
    change.refresh_from_db()
    assert (change.state, catalog(dataset)) == ("CANCELLED", stands)
    done = changed(dataset, "integer")
    with pytest.raises(changing.ChangeOver, match="Revert it instead"):
        changing.cancel_change(change=done)


def test_many_different_values_convert_with_what_is_written_meanwhile(as_acme: TenantRef) -> None:
    dataset = made([])
    table, name = dataset.spec().table, dataset.spec().columns[0].name
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {table} ({name}) SELECT ' ' || n FROM generate_series(1, 25000) n")
    change = changed(dataset, "integer")
    assert (change.records, sum(values(dataset))) == (25000, 25000 * 25001 // 2)
    reverted(change)
    assert values(dataset)[:2] == [" 1", " 2"]


def test_history_says_nothing_of_a_change_but_still_who_edited(as_acme: TenantRef) -> None:
    dataset = made(["1"])
    model, name = get_row_model(dataset), dataset.spec().columns[0].name
    with actor(None, "by hand"):
        model._default_manager.update(**{name: "2"})
    changed(dataset, "integer")
    kept = get_row_model(dataset).history.order_by("history_id").values_list(name, "history_change_reason")
    assert list(kept) == [(1, None), (2, "by hand")]


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
    changed(dataset, new, **options)
    kind = TYPES[new]
    assert [[kind.to_text(value) for value in each] for each in (values(dataset), versions(dataset))] == [
        [canonical, canonical]
    ] * 2
    changed(dataset, "text")
    assert (values(dataset), versions(dataset)) == ([canonical] * 2, [canonical] * 2)


def test_a_dataset_can_be_deleted_while_it_changes_and_nothing_stays(as_acme: TenantRef) -> None:
    dataset = made(["1"])
    pk = dataset.pk
    change = checked(dataset, "integer")
    changing.confirm_change(change=change)
    change_tables.begin(change_work.shape_of(change))
    delete_dataset(dataset=dataset)
    jobs.services.run_pending()
    dataset.pk = pk
    assert all(not found for found in catalog(dataset).values())
