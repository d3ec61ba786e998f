"""What is wrong with the recipes of a mapping, said before a row is read.

Pure: no Django, no storage, no clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from datasets.columntypes import BadValue, check_cell
from datasets.spec import ColumnSpec, DatasetSpec
from importer.issues import shown
from importer.judging import ColumnJudge, Wrong
from importer.mapping.limits import excesses, excesses_in_all
from importer.mapping.match import Match

CASES = ("", "upper", "lower", "title")
BLANKS = ("", "clear", "keep")
DECIMAL_MARKS = (".", ",")
GROUP_MARKS = ("", ",", ".", " ", "'", "\u00a0", "\u202f", "\u2019")
DATE_ORDERS = ("YMD", "DMY", "MDY")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with one match: `at` its place in the mapping, `field` of its recipe or reading."""

    at: int
    field: str
    value: str
    rule: str
    code: str = "constraint-error"


def faults(matches: Sequence[Match], spec: DatasetSpec, labels: Sequence[str]) -> list[Fault]:
    """Return every fault of a mapping for a file with these labels; columns without a label are none."""
    columns = {column.name: column for column in spec.columns}
    found = []
    for at, match in enumerate(matches):
        column = columns.get(match.column or "")
        here = [Fault(at, name, "", rule) for name, rule in excesses(match)]
        # What is too long is not looked at any closer.
        if not here:
            here = [*_of_places(at, match, len(labels)), *_of_recipe(at, match), *_of_reading(at, match)]
        found += here
        if column is not None and not here:
            found += list(_of_texts(at, match, column, spec.key))
    if not found:
        found = [Fault(at, name, "", rule) for at, name, rule in excesses_in_all(matches)]
    return found


def _of_places(at: int, match: Match, width: int) -> Iterator[Fault]:
    recipe = match.recipe
    if (match.position < 0) != (recipe.constant is not None):
        yield Fault(at, "constant", recipe.constant or "", "A constant needs a text, and reads no label.")
    if match.position >= width:
        rule = f"The file has {width:,} labels; this would be number {match.position + 1:,}."
        yield Fault(at, "column", match.label, rule)
    if recipe.constant is not None and match.column is None:
        yield Fault(at, "column", recipe.constant, "Choose the column that this constant goes to.")
    if wrong := [position for position in recipe.joined if not 0 <= position < width]:
        rule = "A label to join is not in the file. Choose one of its labels."
        yield Fault(at, "joined", str(wrong[0]), rule)


def _of_recipe(at: int, match: Match) -> Iterator[Fault]:
    recipe = match.recipe
    if recipe.part == 0:
        yield Fault(at, "part", "0", "Parts count from 1, or from -1 at the end.")
    elif recipe.part != 1 and not recipe.split:
        yield Fault(at, "split", "", "Say at which text to split, for example a comma or a space.")
    if recipe.case not in CASES:
        yield Fault(at, "case", recipe.case, "Choose upper, lower or title.")
    if recipe.blank not in BLANKS:
        yield Fault(at, "blank", recipe.blank, "Choose clear or keep.")
    for old, times in Counter(old for old, _ in recipe.values).items():
        if times > 1:
            yield Fault(at, "values", old, f"“{shown(old)}” stands here twice. Keep one of the two.")


def _of_reading(at: int, match: Match) -> Iterator[Fault]:
    reading = match.reading
    if reading.decimal_mark not in DECIMAL_MARKS:
        yield Fault(at, "decimal_mark", reading.decimal_mark, "The decimal mark is a point or a comma.")
    if reading.group_mark not in GROUP_MARKS:
        rule = "The group mark is nothing, a comma, a point, a space or an apostrophe."
        yield Fault(at, "group_mark", reading.group_mark, rule)
    elif reading.group_mark == reading.decimal_mark:
        yield Fault(at, "group_mark", reading.group_mark, "The decimal mark and the group mark must differ.")
    if reading.date_order not in DATE_ORDERS:
        yield Fault(at, "date_order", reading.date_order, "Choose YMD, DMY or MDY.")
    if both := set(reading.true_words) & set(reading.false_words):
        word = sorted(both)[0]
        yield Fault(at, "false_words", word, f"“{shown(word)}” cannot mean both yes and no.")


def _of_texts(at: int, match: Match, column: ColumnSpec, key: Sequence[str]) -> Iterator[Fault]:
    """Return the texts that a recipe would write and the column cannot hold."""
    recipe, is_key = match.recipe, column.name in key
    if recipe.blank == "keep" and is_key:
        rule = "The key needs a value in every row, so an empty cell has nothing to keep."
        yield Fault(at, "blank", "keep", rule)
    if recipe.constant is not None:
        judge = ColumnJudge(column, -1, column.label, match.reading, is_key, recipe=recipe)
        verdict = judge.judge(judge.raw_of(()))
        if isinstance(verdict, Wrong):
            yield Fault(at, "constant", recipe.constant, f"{column.label}: {verdict.rule}", verdict.code)
    written = [("default", recipe.default), *(("values", new) for _, new in recipe.values)]
    for name, text in written:
        if text:
            try:
                check_cell(text, column, match.reading)
            except BadValue as wrong:
                rule = f"“{shown(text)}” for {column.label}: {wrong.rule}"
                yield Fault(at, name, text, rule, wrong.code)
