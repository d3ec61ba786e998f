"""Datasets to visit: their columns differ in number, types and rules; the last refers to the first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

PAGES = ("list", "record", "filtered", "history", "search", "add", "keys")
RECORDS = 3
# Label, type, and the cell of the n-th record.
KINDS: tuple[tuple[str, str, Callable[[int], str]], ...] = (
    ("Price", "decimal", lambda n: f"{n}.25"),
    ("Added", "date", lambda n: f"2026-05-{n:02}"),
    ("Active", "boolean", lambda n: "true" if n % 2 else "false"),
    ("State", "choice", lambda n: ("new", "open", "done")[n % 3]),
    ("Seen", "timestamp", lambda n: f"2026-05-{n:02}T12:00:00Z"),
    ("Note", "long_text", lambda n: f"Line {n}, another"),
    ("Tags", "multi_choice", lambda n: ("red", "blue", "green")[n % 3]),
    ("At", "time", lambda n: f"{n:02}:30"),
    ("Mail", "email", lambda n: f"someone{n}@rowhouse.example"),
    ("Site", "url", lambda n: f"https://rowhouse.example/{n}"),
    ("Phone", "phone", lambda n: f"+4930{1_000_000 + n}"),
    ("Mark", "uuid", lambda n: str(UUID(int=n))),
    ("More", "json", lambda n: f'{{"n": {n}}}'),
)


def make_datasets(tenant: Any, number: int) -> list[dict[str, str]]:
    """Make so many datasets in a fresh tenant, each with a few records of which one was changed.

    Titles, the label of a column and a value of each record say the tenant's slug. Return the pages of each dataset.
    """
    from core.tenancy import in_tenant  # noqa: PLC0415 -- after the settings

    with in_tenant(tenant):
        made: list[Any] = []
        pages = []
        for at in range(number):
            is_last = at == number - 1 and at > 0
            dataset = _make(tenant.slug, at, made[0] if is_last else None)
            made.append(dataset)
            pages.append(_pages(dataset, tenant.slug))
    return pages


def _make(slug: str, at: int, target: Any) -> Any:
    from audit.actor import actor  # noqa: PLC0415 -- after the settings
    from datasets import services  # noqa: PLC0415 -- after the settings
    from datasets.columntypes import Reading, type_of  # noqa: PLC0415 -- after the settings
    from datasets.rows import get_row_model  # noqa: PLC0415 -- after the settings
    from datasets.rules import NewColumn  # noqa: PLC0415 -- after the settings
    from datasets.spec import ColumnOptions, Target  # noqa: PLC0415 -- after the settings

    options = {
        "decimal": ColumnOptions(precision=12, scale=2, minimum="0"),
        "choice": ColumnOptions(choices=("new", "open", "done")),
        "multi_choice": ColumnOptions(choices=("red", "blue", "green")),
        "phone": ColumnOptions(region="DE"),
    }
    kinds = [KINDS[(at + place) % len(KINDS)] for place in range(2 + at % len(KINDS))]
    columns = [
        NewColumn("No", "text", options=ColumnOptions(max_length=40)),
        NewColumn(f"Name at {slug}", "text"),
        NewColumn("Pieces", "integer", is_required=at % 2 == 0),
        *(NewColumn(label, kind, options=options.get(kind, ColumnOptions())) for label, kind, _ in kinds),
    ]
    if target is not None:
        columns.append(
            NewColumn("First", "reference", options=ColumnOptions(target=Target(slug=target.slug)))
        )
    dataset = services.create_dataset(title=f"Things {at} of {slug}", columns=columns, key=["No"])
    spec, model = dataset.spec(), get_row_model(dataset)
    for number in range(1, RECORDS + 1):
        cells = [
            f"{slug}-{number}",
            f"Thing {number} of {slug}",
            str(number),
            *(cell(number) for *_, cell in kinds),
        ]
        if target is not None:
            cells.append(f"{slug}-{number}")
        values = {
            column.name: type_of(column).to_python(type_of(column).parse(cell, column, Reading()))
            for column, cell in zip(spec.columns, cells, strict=True)
        }
        with actor(None, "made by the benchmark"):
            record = model.objects.create(**values)
            setattr(record, spec.columns[2].name, number * 10)
            record.save()
    return dataset


def _pages(dataset: Any, slug: str) -> dict[str, str]:
    base = f"/admin/datasets/dataset/{dataset.pk}/rows/"
    pieces = dataset.spec().columns[2].name
    return {
        "list": base,
        "record": f"{base}1/change/",
        "filtered": f"{base}?{pieces}__from=10&{pieces}__to=20&sort=-{pieces}",
        "history": f"{base}1/history/",
        "search": f"{base}?{urlencode({'q': slug})}",
        "add": f"{base}add/",
        "keys": f"{base}keys/?{urlencode({'term': slug})}",
    }
