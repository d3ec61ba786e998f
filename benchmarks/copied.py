"""Staged rows as COPY reads them, with canonical values: what PostgreSQL makes of a text that stands as in the file.

That it does so is shown by importer/tests/test_row_pattern.py, in the database itself.
"""

from __future__ import annotations

from datasets.columntypes import BadValue, check_cell, type_of
from datasets.columntypes.base import Reading
from datasets.spec import ColumnSpec
from importer.readers.grammar import grammar_of
from importer.validation import Checked

_ANY_DAY = Reading(whole_days=True)


def copied(checked: Checked) -> list[list[str | None]]:
    """Return the row number and the values of each row, in the order in which the columns were judged.

    An unquoted empty cell is NULL, a quoted one the empty text.
    """
    form = checked.form
    meant = stored if form.is_as_in_file else (lambda text, _: text)
    places = [form.order.index(number) for number in range(len(form.columns))]
    records = grammar_of(form.delimiter, form.quote).records(checked.staged.decode())
    return [
        [record.cells[0], *(meant(record.cells[place + 1], form.columns[place]) for place in places)]
        for record in records
    ]


def stored(text: str | None, column: ColumnSpec) -> str | None:
    """Return the canonical text of a cell that goes to the database as it stands, or what is wrong with it."""
    if text is None or type_of(column).sql_type(column) == "text":
        return text
    try:
        return check_cell(text, column, _ANY_DAY)
    except BadValue as wrong:
        return f"{text}: {wrong.rule}"
