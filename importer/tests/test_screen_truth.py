"""The vectorised screen says nothing of a cell that the scalar truth would not say, whatever the cell.

Millions of cells more: `python -m benchmarks.screen_truth --cells 5000000`.
"""

from __future__ import annotations

import os
import random

import polars as pl
import pytest

from benchmarks.screen_cells import TYPES as KINDS
from benchmarks.screen_truth import compare, compare_files, report
from datasets.columntypes import TYPES
from importer import screening

CELLS = int(os.environ.get("SCREEN_CELLS", "300000"))


def test_the_screen_and_the_truth_agree_on_every_cell():
    seed = random.randrange(1 << 32)
    print(f"seed {seed}, {CELLS:,} cells (SCREEN_CELLS for more)")  # noqa: T201 -- to try it again
    found = compare(CELLS, seed)
    assert not found.differences, f"seed {seed}\n{report(found, 0)}"
    assert set(found.cells) == set(KINDS)


def test_a_file_read_at_once_is_read_as_row_by_row():
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")  # noqa: T201 -- to try it again
    _, differences = compare_files(CELLS // 8, seed)
    assert not differences, seed


def test_most_files_are_read_at_once(monkeypatch):
    """Else the comparison above would hold for nothing. Of always the same files: among a few, chance has its way."""
    read_at_once = []
    right = screening.Screen.apply

    def apply(*given):
        screened = right(*given)
        read_at_once.append(screened is not None)
        return screened

    monkeypatch.setattr(screening.Screen, "apply", apply)
    _, differences = compare_files(cells=60_000, seed=20261129)
    assert not differences
    assert sum(read_at_once) > len(read_at_once) / 2


def also(pattern):
    """A screen that passes one wrong form beside what the right one passes."""

    def plant(right):
        def screen(self, values, column, reading):
            passed, wrong = right(self, values, column, reading), values.str.contains(pattern)
            return wrong if passed is None else passed | wrong

        return screen

    return plant


PLANTS = {
    "text": also(r"\x00"),
    "long_text": also(r"^.{21}$"),
    "integer": also(r"^0[1-9]$"),
    "decimal": also(r"^[0-9]\.[0-9]0$"),
    "boolean": also(r"^Oui$"),
    "date": also(r"^2023-02-29$"),
    "time": also(r"^23:59:60$"),
    "timestamp": also(r":59:60Z$"),
    "choice": also(r"^NEW$"),
    "multi_choice": also(";;"),
    "email": also(r"@Example\.org$"),
    "url": also(r"^HTTP://example\."),
    "phone": also("^00"),
    "uuid": also(r"^\{"),
    "json": also("^1e5$"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_one_wrong_form_of_a_type_is_caught(monkeypatch, kind):
    owner = type(TYPES[kind])
    monkeypatch.setattr(owner, "screen", PLANTS[kind](owner.screen))
    found = compare(200_000, 5, [kind] * 4)
    assert {difference.column.spec.type for difference in found.differences} == {kind}


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_value_for_a_right_cell_is_caught(monkeypatch, kind):
    right = screening._first_look
    monkeypatch.setattr(
        screening, "_first_look", lambda *given: (right(*given)[0] + pl.lit(" "), right(*given)[1])
    )
    assert compare(50_000, 6, [kind]).differences


@pytest.mark.parametrize(
    "kind", ["integer", "decimal", "boolean", "date", "time", "timestamp", "email", "url", "uuid"]
)
def test_a_wrong_value_for_what_is_written_in_another_way_is_caught(monkeypatch, kind):
    owner = type(TYPES[kind])
    right = owner.convert
    monkeypatch.setattr(owner, "convert", lambda self, *given: right(self, *given) + pl.lit(" "))
    assert compare(100_000, 6, [kind] * 4).differences


def test_a_recipe_that_is_followed_otherwise_is_caught(monkeypatch):
    def stripped(judge, frame, sources):
        return right(judge, frame, sources).str.strip_chars_end(" ")

    right = screening._prepared
    monkeypatch.setattr(screening, "_prepared", stripped)
    assert compare(50_000, 7, ["text"] * 4).differences


def test_an_empty_cell_that_is_passed_in_a_required_column_is_caught(monkeypatch):
    def forgiving(judge, raw):
        value, unsure = right(judge, raw)
        return value, unsure & raw.is_not_null()

    right = screening._first_look
    monkeypatch.setattr(screening, "_first_look", forgiving)
    assert compare(20_000, 8).differences
