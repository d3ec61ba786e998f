"""Records as the API tells them: values, conditions, pages, keys, versions."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from core.tenancy import TenantRef, in_tenant
from datasets.models import Dataset
from datasets.rules import NewColumn
from datasets.services import create_dataset
from datasets.spec import ColumnOptions
from exporter.tests.helpers import insert
from importer.tests.tools import import_text, make_orders
from rowhouse.api.tests.conftest import OURS, MakeProgram, Place, Program

EVERYTHING = (
    NewColumn("n", "integer", is_required=True),
    NewColumn("exact", "decimal", options=ColumnOptions(precision=30, scale=5)),
    NewColumn("flag", "boolean"),
    NewColumn("day", "date"),
    NewColumn("at", "timestamp"),
    NewColumn("tags", "multi_choice", options=ColumnOptions(choices=("a", "b", "c"))),
    NewColumn("any", "json"),
    NewColumn("text", "long_text"),
)


def column(dataset: Dataset, label: str) -> str:
    return f"c{dataset.columns.get(label=label).pk}"


def walked(client: Program, path: str, **query: Any) -> list[Any]:
    """Return all rows of a list, page by page along `next`."""
    told = client.ask(path, **query)
    rows = told["results"]
    while told["next"]:
        answer = client.get(told["next"])
        assert answer.status_code == 200, answer.content
        told = answer.json()
        rows += told["results"]
    return rows  # type: ignore[no-any-return]


def test_values_are_json_and_lose_no_digit(acme: TenantRef, program: MakeProgram) -> None:
    with in_tenant(acme):
        dataset = create_dataset(title="All", columns=EVERYTHING, key=("n",), by=None)
        insert(
            dataset,
            [
                (
                    "1", "1234567890123456789012345.10000", "true", "2026-02-28", "2026-02-28 12:00:00+00",
                    "a; b", '{"x": [1, null, 1e400, "é"]}', "=1+1",
                ),
                ("2", None, None, None, None, None, None, ""),
            ],
        )  # fmt: skip
    first, second = sorted(
        program(acme).ask("/datasets/all/records")["results"], key=lambda one: one["values"]["n"]
    )
    values = first["values"]
    assert values.pop("tags")  # a list, whatever stands between its parts in the database
    assert values == {
        "n": 1,
        "exact": "1234567890123456789012345.10000",
        "flag": True,
        "day": "2026-02-28",
        "at": "2026-02-28T12:00:00Z",
        "any": {"x": [1, None, values["any"]["x"][2], "é"]},
        "text": "=1+1",
    }
    assert values["any"]["x"][2] == 10**400
    assert set(second["values"].values()) == {2, None, ""}


def test_a_list_takes_the_conditions_of_the_pages_list(place: Place, program: MakeProgram) -> None:
    owner = program(place.tenant)
    with in_tenant(place.tenant):
        id_, status, note = (column(place.orders, one) for one in ("id", "status", "note"))

    def ids(**query: Any) -> list[int]:
        return [one["values"]["id"] for one in owner.ask("/datasets/orders/records", **query)["results"]]

    assert ids() == [3, 2, 1]
    assert ids(sort=id_) == [1, 2, 3]
    assert ids(sort=f"-{status}.{id_}") == [3, 2, 1]
    assert ids(**{f"{id_}__from": 2}) == [3, 2]
    assert ids(**{f"{status}__is": ["new", "paid"]}, sort=id_) == [1, 2]
    assert ids(**{f"{note}__empty": "yes"}) == [2]
    assert ids(q=OURS) == [1]
    told = owner.ask("/datasets/orders/records", cols=f"{note}.{id_}")["results"][0]
    assert list(told["values"]) == ["note", "id"]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"c1__like": "x"}, "unknown-parameter"),
        ({"page": "2"}, "unknown-parameter"),
        ({"c999999__is": "x"}, "bad-filter"),
        ({"sort": "c999999"}, "bad-filter"),
        ({"n": "7"}, "bad-filter"),
        ({"after": "here"}, "bad-place"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_what_cannot_be_asked_is_refused_and_not_left_out(
    query: dict[str, str], code: str, place: Place, program: MakeProgram
) -> None:
    assert program(place.tenant).ask("/datasets/orders/records", 422, **query)["code"] == code


@pytest.mark.parametrize("sort", ["", "id", "-status", "note", "-amount.id"], ids=lambda sort: sort or "none")
def test_pages_hold_each_record_once_in_every_order(sort: str, acme: TenantRef, program: MakeProgram) -> None:
    with in_tenant(acme):
        orders = make_orders()
        lines = [f"{n},{('new', 'paid', 'sent')[n % 3]},{n % 7 or ''},{'x' * (n % 4)}" for n in range(1, 131)]
        import_text(orders, "id,status,amount,note\n" + "\n".join(lines) + "\n")
        for label in ("id", "status", "amount", "note"):
            sort = sort.replace(label, column(orders, label))
    query = {"n": 25, **({"sort": sort} if sort else {})}
    found = walked(program(acme), "/datasets/orders/records", **query)
    ids = [one["values"]["id"] for one in found]
    assert sorted(ids) == list(range(1, 131))


def test_a_record_is_found_by_its_key(place: Place, program: MakeProgram) -> None:
    owner = program(place.tenant)
    told = owner.ask("/datasets/orders/records/by-key", key="1")
    assert told == owner.ask(f"/datasets/orders/records/{place.record}")
    assert told["values"]["note"] == OURS
    assert owner.ask("/datasets/orders/records/by-key", 404, key="77")["code"] == "not-found"
    assert owner.ask("/datasets/orders/records/by-key", 404, key="one")["code"] == "not-found"
    assert owner.ask("/datasets/orders/records/by-key", 422)["code"] == "no-key"
    assert owner.ask("/datasets/orders/records/by-key", 422, key=["1", "2"])["code"] == "no-key"


def test_versions_say_what_each_changed(place: Place, program: MakeProgram) -> None:
    with in_tenant(place.tenant):
        import_text(place.orders, "id,status\n1,paid\n", mode="update")
    owner = program(place.tenant)
    newest, oldest = owner.ask(f"/datasets/orders/records/{place.record}/versions")["results"]
    assert (newest["kind"], oldest["kind"], newest["by"]) == ("changed", "created", "owner@acme.example")
    assert [(one["label"], one["old"], one["new"]) for one in newest["changes"]] == [
        ("status", "new", "paid")
    ]
    page = owner.ask(f"/datasets/orders/records/{place.record}/versions", n=1)
    assert page["results"] == [newest]
    assert owner.get(page["next"]).json() == {"results": [oldest], "next": None}


def test_the_number_of_statements_does_not_grow_with_rows(acme: TenantRef, program: MakeProgram) -> None:
    with in_tenant(acme):
        orders = make_orders()
        import_text(orders, "id,status\n1,new\n")
    owner = program(acme)
    paths = ["/datasets", "/datasets/orders/records", "/imports", "/exports"]
    with in_tenant(acme):
        model = column(orders, "id")
    paths.append(f"/datasets/orders/records?sort={model}")
    few = {path: _statements(owner, path) for path in paths}
    with in_tenant(acme):
        lines = "\n".join(f"{n},new" for n in range(2, 45))
        import_text(orders, f"id,status\n{lines}\n")
        for number in range(4):
            import_text(orders, f"id,status\n{number + 100},new\n")
            make_orders(f"More {number}")
    assert {path: _statements(owner, path) for path in paths} == few


def _statements(client: Program, path: str) -> int:
    client.ask(path)  # what is asked once in a process or a minute
    with CaptureQueriesContext(connection) as caught:
        client.ask(path)
    return len(caught)
