"""The statement that writes a dataset as CSV, and its header row.

The text is exact: each value in its type's canonical form, which the importer reads back unchanged; NULL is
an empty cell, an empty text is `""`. RFC 4180 but for the line end, which is LF as PostgreSQL writes it:
CR LF would be a second form of the same file. Pure: no Django, no storage, no clock.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from io import StringIO

from datasets.columntypes import type_of
from datasets.spec import ColumnSpec, DatasetSpec

# What a session or a server could be configured to, and what a text of a value depends on.
FIXED_SETTINGS = (
    "SET LOCAL client_encoding = 'UTF8'",
    "SET LOCAL DateStyle = 'ISO, YMD'",
    "SET LOCAL IntervalStyle = 'iso_8601'",
    "SET LOCAL TimeZone = 'UTC'",
    "SET LOCAL extra_float_digits = 1",
    "SET LOCAL bytea_output = 'hex'",
)


def header_row(spec: DatasetSpec) -> bytes:
    """Return the labels as the file's first row. COPY's own header would cut them at 63 bytes."""
    return header_of(spec.columns)


def header_of(columns: Sequence[ColumnSpec]) -> bytes:
    """Return the labels of these columns as a row."""
    return row_of([column.label for column in columns])


def row_of(labels: Sequence[str]) -> bytes:
    """Return labels as a row."""
    line = StringIO()
    csv.writer(line, lineterminator="\n").writerow(labels)
    return line.getvalue().encode()


def copy_statement(spec: DatasetSpec) -> str:
    """Return the COPY of every record in the key's order (a dataset without a key: as they were added)."""
    cells = ", ".join(type_of(column).text_sql(f'"{column.name}"') for column in spec.columns)
    # By the table's columns: a bare name would mean the text in the list before, and 10 come before 9.
    order = ", ".join(f'r."{name}"' for name in spec.key) or 'r."id"'
    return f'COPY (SELECT {cells} FROM "{spec.table}" AS r ORDER BY {order}) TO STDOUT (FORMAT csv)'
