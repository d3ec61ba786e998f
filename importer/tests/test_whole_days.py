"""Days and midnights of a workbook: one value, and the screen says of them what the scalar truth says."""

from __future__ import annotations

import polars as pl
import pytest

from datasets.columntypes import BadValue, check_cell, type_of
from datasets.columntypes.base import Reading
from datasets.spec import ColumnOptions, ColumnSpec

WORKBOOK = Reading(whole_days=True)
CELLS = (
    "2024-01-31", "2024-01-31T00:00:00", "2024-02-29", "2024-02-29T00:00:00", "2023-02-29T00:00:00",
    "2024-01-31T12:30:00",
    "2024-01-31T00:00:00.5", "2024-01-31T00:00:00T00:00:00", "T00:00:00", "00:00:00", "1899-12-31", "9999-12-31", "",
    "31/01/2024", "2024-01-31 00:00:00", "2024-01-31T00:00:00Z", " 2024-01-31 ", "37:30:00", "n/a", "0000-00-00",
)  # fmt: skip


def column(kind: str, **options: str) -> ColumnSpec:
    return ColumnSpec(1, "day", kind, options=ColumnOptions(**options))  # type: ignore[arg-type]


def scalar(cell: str, spec: ColumnSpec, reading: Reading) -> str | None:
    try:
        return check_cell(cell, spec, reading)
    except BadValue:
        return None


def test_each_is_taken_for_the_other() -> None:
    day, moment = column("date"), column("timestamp")
    assert scalar("2024-01-31T00:00:00", day, WORKBOOK) == "2024-01-31"
    assert scalar("2024-01-31", moment, WORKBOOK) == "2024-01-31T00:00:00Z"
    assert scalar("2024-01-31T00:00:01", day, WORKBOOK) is None
    assert scalar("2024-01-31T00:00:00", day, Reading()) is None
    assert scalar("2024-01-31", moment, Reading()) is None


@pytest.mark.parametrize("kind", ["date", "timestamp"])
@pytest.mark.parametrize(
    "options",
    [{}, {"minimum": "2024-01-31"}, {"maximum": "2024-01-30"}],
    ids=["free", "from the day on", "until the day before"],
)
@pytest.mark.parametrize(
    "reading",
    [
        WORKBOOK,
        Reading(whole_days=True, date_order="DMY"),
        Reading(whole_days=True, null_words=("2024-01-31",)),
    ],
    ids=["plain", "day first", "a word for none"],
)
def test_the_screen_passes_only_what_the_truth_says(
    kind: str, options: dict[str, str], reading: Reading
) -> None:
    if kind == "timestamp":
        options = {name: f"{value}T00:00:00Z" for name, value in options.items()}
    spec = column(kind, **options)
    found = type_of(spec).convert(pl.col("cell"), spec, reading)
    assert found is not None
    screened = pl.DataFrame({"cell": CELLS}).select(found.alias("value"))["value"].to_list()
    for cell, value in zip(CELLS, screened, strict=True):
        assert value is None or value == scalar(cell, spec, reading), cell


@pytest.mark.parametrize(("kind", "cell"), [("date", "2024-01-31T00:00:00"), ("timestamp", "2024-01-31")])
def test_the_screen_knows_both_by_itself(kind: str, cell: str) -> None:
    """A million of them would take long one by one."""
    spec = column(kind)
    found = type_of(spec).convert(pl.col("cell"), spec, WORKBOOK)
    assert pl.DataFrame({"cell": [cell]}).select(found.is_not_null()).item()
