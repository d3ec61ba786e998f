"""What a person should know of a sheet that was read: said in sentences, never kept silent.

Pure: no Django.
"""

from __future__ import annotations

from collections.abc import Sequence

from importer.readers.areas import Areas
from importer.readers.records import Records
from importer.readers.workbook import SheetPart, TotalRows

SHOWN_NAMES = 10


def notes_of(
    records: Records, areas: Areas, totals: Sequence[TotalRows], sheet: SheetPart, others: Sequence[SheetPart]
) -> list[str]:
    """Return the notes of a sheet."""
    return [
        *_formulas(records),
        *_hidden(records, sheet),
        *_merged(areas),
        *(_total(total) for total in totals),
        *_others(others),
    ]


def _formulas(records: Records) -> list[str]:
    if not records.formulas:
        return []
    if records.formulas == 1:
        return ["1 cell holds a formula; its stored result is used."]
    return [f"{records.formulas:,} cells hold formulas; their stored results are used."]


def _hidden(records: Records, sheet: SheetPart) -> list[str]:
    last = records.width
    columns = {
        column for first, end in records.hidden_columns for column in range(max(first, 1), min(end, last) + 1)
    }
    said = [f"The sheet “{sheet.name}” is hidden."] if sheet.is_hidden else []
    for count, what in ((records.hidden_rows, "row"), (len(columns), "column")):
        if count == 1:
            said.append(f"1 hidden {what} is read like any other.")
        elif count:
            said.append(f"{count:,} hidden {what}s are read like all others.")
    return said


def _merged(areas: Areas) -> list[str]:
    if not areas.merged:
        return []
    count, cells = len(areas.merged), sum(area.cells - 1 for area in areas.merged)
    has = "1 merged cell covers" if count == 1 else f"{count:,} merged cells cover"
    others = "1 other" if cells == 1 else f"{cells:,} others"
    read = "the other is" if cells == 1 else "the others are"
    said = [f"{has} {others}: the value counts for the first cell only, {read} read as empty."]
    if areas.hidden_values:
        if areas.hidden_values == 1:
            holds, kept = "1 covered cell holds a value that nobody sees in the sheet and that is", "it"
        else:
            count, kept = areas.hidden_values, "them"
            holds = f"{count:,} covered cells hold values that nobody sees in the sheet and that are"
        said.append(f"{holds} not read. Unmerge the cells to keep {kept}.")
    return said


def _total(total: TotalRows) -> str:
    what = "row" if total.rows == 1 else f"{total.rows:,} rows"
    return f"The total {what} of the table “{total.table}” ({total.ref}) is left out: totals are no records."


def _others(others: Sequence[SheetPart]) -> list[str]:
    if not others:
        return []
    names = ", ".join(
        f"“{sheet.name}”" + (" (hidden)" if sheet.is_hidden else "") for sheet in others[:SHOWN_NAMES]
    )
    more = f" and {len(others) - SHOWN_NAMES:,} more" if len(others) > SHOWN_NAMES else ""
    verb = "sheet is" if len(others) == 1 else "sheets are"
    return [f"{len(others):,} other {verb} not read: {names}{more}."]
