"""JSON Lines: an object for each record, its keys the labels in their order, null for no value.

Numbers are JSON numbers with every digit they have; dates, times and the like are their canonical texts; several
choices are a list; JSON is itself. PostgreSQL writes the texts. Pure: no Django.
"""

from __future__ import annotations

import json

from datasets.columntypes.grammar import sql_literal
from datasets.columntypes.multi_choice import SEPARATOR
from exporter.writers.base import Column, FileWriter, copy_csv

# JSON text has no control character: it is escaped there. So it can quote what COPY wants quoted, and be taken away.
QUOTE = b"\x01"


class JsonLinesWriter(FileWriter):
    """Each cell of COPY is `"label":value`; the delimiter is the comma between them."""

    content_type = "application/x-ndjson"

    def statement(self) -> str:
        columns = self.table.columns
        cells = [
            f"{_literal(column, is_first=at == 0)} || coalesce({_value(column)}, 'null')"
            + (" || '}'" if at == len(columns) - 1 else "")
            for at, column in enumerate(columns)
        ]
        mark = f"E'\\x{QUOTE.hex()}'"
        return copy_csv(self.table.select(cells), f", QUOTE {mark}, ESCAPE {mark}")

    def write(self, data: bytes) -> None:
        self.out(data.replace(QUOTE, b""))


def _literal(column: Column, *, is_first: bool) -> str:
    return sql_literal(("{" if is_first else "") + json.dumps(column.label, ensure_ascii=False) + ":")


def _value(column: Column) -> str:
    """Return an expression of a value's JSON text, NULL for no value."""
    match column.spec.value_type:
        case "integer" | "decimal" | "boolean" | "json":
            return f"{column.sql}::text"
        case "multi_choice":
            return f"array_to_json(string_to_array({column.sql}, {sql_literal(SEPARATOR)}))::text"
        case _:
            return f"to_json({column.text_sql})::text"
