"""A review of access as a file: CSV, a line for each person and dataset; or a workbook, a sheet for each part."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import datetime

from xlsxwriter import Workbook

from datasets import access
from datasets.escaping import escaped
from rowhouse.review.report import Person, Report, Reviewed, rows_of

type Cell = str | int
FORMATS = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
MOST_LINES = 1_000_000  # of a sheet, less a few


def as_csv() -> bytes:
    """Return a line for each person and dataset with the rights there, where they come from and since when."""
    file = io.StringIO()
    writer = csv.writer(file)
    for line in _rights():
        writer.writerow([escaped(str(cell)) for cell in line])
    return file.getvalue().encode()


def as_workbook(report: Report, reviews: Sequence[Reviewed]) -> bytes:
    """Return a workbook: people, rights, what stands out, operators' entries, and the reviews so far."""
    made = io.BytesIO()
    book = Workbook(made, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False})
    try:
        for title, lines in (
            ("People", _people(report)),
            ("Rights", _rights()),
            ("What stands out", _findings(report)),
            ("Operators", _entries(report)),
            ("Reviews", _reviews(reviews)),
        ):
            sheet = book.add_worksheet(title)
            for at, line in enumerate(lines):
                if at == MOST_LINES:
                    break
                for place, cell in enumerate(line):
                    if isinstance(cell, int):
                        sheet.write_number(at, place, cell)
                    else:
                        sheet.write_string(at, place, cell)
    finally:
        book.close()
    return made.getvalue()


def _people(report: Report) -> Iterable[Sequence[Cell]]:
    uses = list(dict.fromkeys(kind for person in report.people for kind in person.uses))
    yield (
        "e-mail address", "name", "active", "roles", "since", "last sign-in", "second factor", "tokens",
        *(f"datasets: {right}" for right in access.RIGHTS), *(f"last {kind}" for kind in uses),
    )  # fmt: skip
    for person in report.people:
        user = person.user
        yield (
            user.email, user.get_full_name(), "yes" if user.is_active else "no", ", ".join(person.roles),
            stamp(person.since), stamp(user.last_login), _factor(person),
            "unknown" if person.tokens is None else person.tokens, *person.rights.values(),
            *(stamp(person.uses.get(kind)) for kind in uses),
        )  # fmt: skip


def _factor(person: Person) -> str:
    return {None: "unknown", True: "yes", False: "no"}[person.has_second_factor]


def _rights() -> Iterable[Sequence[Cell]]:
    head = [cell for right in access.RIGHTS for cell in (right, f"{right} granted")]
    yield ("e-mail address", "name", "dataset", *head, "columns")
    for row, dates in rows_of():
        cells = [
            cell
            for right, sources in row.rights
            for cell in ("; ".join(one.words for one in sources), stamp(dates.get(right)))
        ]
        kept = "; ".join(f"{one.label}: {one.how} {one.words}" for one in row.kept)
        yield (row.user.email, row.user.get_full_name(), row.dataset.title, *cells, kept)


def _findings(report: Report) -> Iterable[Sequence[Cell]]:
    yield ("what", "who", "")
    for one in report.findings:
        yield (one.kind, one.who, one.words)


def _entries(report: Report) -> Iterable[Sequence[Cell]]:
    yield ("operator", "why", "as", "entered", "until")
    for one in report.entries:
        yield (
            one.operator_label, one.reason, one.role, stamp(one.entered_at), stamp(one.ended_at or one.expires_at),
        )  # fmt: skip


def _reviews(reviews: Sequence[Reviewed]) -> Iterable[Sequence[Cell]]:
    yield ("reviewed", "by", "note")
    for one in reviews:
        yield (stamp(one.at), one.by, one.note)


def stamp(at: datetime | None) -> str:
    """Return a time as these files have it, in UTC; empty for none.

    >>> stamp(None)
    ''
    """
    return f"{at:%Y-%m-%d %H:%M}" if at else ""
