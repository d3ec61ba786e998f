"""Rejected rows as a person corrects them on the page: shown cell by cell, read back, only what was changed."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest

from importer.admin.tabs import number
from importer.issues import visible
from importer.matching import matches_of
from importer.models import ImportIssue, ImportJob, RejectedRow, State
from importer.specs import spec_of

PAGE = 20
MOST_INPUTS = 2_000  # on one page: a browser stays quick, and a form may hold more
LONGEST_ROW = 10_000  # characters; twenty such rows still fit into one form
MOST_BEYOND = 50  # cells shown beyond the labels
FIELD = re.compile(r"c-([0-9]{1,18})-([0-9]{1,5})")
TAKE = re.compile(r"take-([0-9]{1,18})")
# Why a row whose cells are all right may still be rejected: its cells are not surely what the file meant.
READ_DOUBTFULLY = frozenset({"encoding-error", "unterminated-quote"})


@dataclass(frozen=True, slots=True)
class ShownCell:
    """One input. `rules` say what is wrong with it; `is_beyond`: it stands beyond the labels.

    `is_sent`: the value is what a person sent last, which was not taken.
    """

    name: str
    label: str
    value: str
    rules: tuple[str, ...]
    is_beyond: bool
    is_sent: bool = False

    @property
    def is_multiline(self) -> bool:
        return "\n" in self.value or "\r" in self.value or len(self.value) > 80


@dataclass(frozen=True, slots=True)
class ShownRow:
    """One rejected row. `problems` are those of no single cell; `may_take`: it may be right as it is shown."""

    row: int
    line: int
    problems: tuple[str, ...]
    cells: tuple[ShownCell, ...]
    may_take: bool
    is_long: bool
    is_taken: bool = False


def context(request: HttpRequest, job: ImportJob) -> dict[str, Any]:
    """Return a page of rejected rows under the labels of the file, with what was sent and refused."""
    sent = request.POST.dict() if request.method == "POST" else {}
    labels = job.head.get("labels", [])
    size = max(1, min(PAGE, MOST_INPUTS // max(1, len(labels))))
    after = number(sent.get("after") or request.GET.get("after"))
    found = list(RejectedRow.objects.filter(job=job, row__gt=after).order_by("row")[: size + 1])
    page = found[:size]
    issues = defaultdict(list)
    for issue in ImportIssue.objects.filter(job=job, row__in=[one.row for one in page], severity="error"):
        issues[issue.row].append(issue)
    places = _places(job, labels)
    rows = [_shown(one, labels, issues[one.row], places, sent) for one in page]
    return {
        "rows": rows,
        "labels": labels,
        "beyond": range(max((len(row.cells) for row in rows), default=0) - len(labels)),
        "after": after,
        "more": f"?tab=rejects&after={page[-1].row}" if len(found) > size else "",
        "may_fix": job.state == State.PREVIEW_SUCCEEDED,
    }


def corrected(job: ImportJob, posted: Mapping[str, str]) -> dict[int, list[str | None]]:
    """Return the rows a person changed, or took as they were shown, each with all its cells.

    What was not sent, or sent as it was shown, keeps the very cell of the file.
    """
    typed: dict[int, dict[int, str]] = defaultdict(dict)
    for name, value in posted.items():
        if found := FIELD.fullmatch(name):
            typed[int(found[1])][int(found[2])] = value
    taken = {int(found[1]) for name in posted if (found := TAKE.fullmatch(name))}
    width = len(job.head.get("labels", []))
    rows = RejectedRow.objects.filter(job=job, row__in={*typed, *taken})
    fixed = {}
    for one in rows:
        before = _padded(one.cells, width)
        cells = [_cell(old, typed[one.row].get(at)) for at, old in enumerate(before)]
        if cells != before or one.row in taken:
            fixed[one.row] = _without_surplus(cells, width)
    return fixed


def _shown(
    one: RejectedRow,
    labels: Sequence[str],
    issues: Sequence[ImportIssue],
    places: Mapping[str, list[int]],
    sent: Mapping[str, str],
) -> ShownRow:
    rules: dict[int, list[str]] = defaultdict(list)
    problems = [] if issues else [one.problem]  # beyond a number of issues only the row's problem is kept
    for issue in issues:
        for at in places.get(issue.column, ()):
            rules[at].append(issue.rule)
        if issue.column not in places:
            problems.append(issue.rule)
    cells = _padded(one.cells, len(labels))
    shown = cells[: len(labels) + MOST_BEYOND]
    return ShownRow(
        row=one.row,
        line=one.line,
        problems=tuple(problems),
        cells=tuple(
            ShownCell(
                name=(name := f"c-{one.row}-{at}"),
                label=labels[at] if at < len(labels) else "",
                value=visible(sent.get(name, cell or "")),
                rules=tuple(rules[at]),
                is_beyond=at >= len(labels),
                is_sent=_lines(sent.get(name, cell or "")) != _lines(cell or ""),
            )
            for at, cell in enumerate(shown)
        ),
        may_take=len(one.cells) < len(labels) or any(issue.code in READ_DOUBTFULLY for issue in issues),
        is_long=(
            len(shown) < len(cells)
            or len(shown) > MOST_INPUTS
            or sum(len(cell) for cell in shown if cell) > LONGEST_ROW
        ),
        is_taken=f"take-{one.row}" in sent,
    )


def _places(job: ImportJob, labels: Sequence[str]) -> dict[str, list[int]]:
    """Return where the cells of an issue stand: it names a label of the file, a column, or the key's columns."""
    spec = spec_of(job)
    filled: dict[str, list[int]] = defaultdict(list)
    for match in matches_of(job):
        if match.column and match.position >= 0:
            filled[match.column] += [match.position, *match.recipe.joined]
    places = {column.label: filled[column.name] for column in spec.columns if column.name in filled}
    if spec.key:
        key = ", ".join(column.label for column in spec.key_columns)
        places[key] = [at for column in spec.key_columns for at in filled.get(column.name, ())]
    return places | {label: [at] for at, label in enumerate(labels)}


def _padded(cells: Sequence[str | None], width: int) -> list[str | None]:
    return [*cells, *[None] * (width - len(cells))]


def _cell(old: str | None, typed: str | None) -> str | None:
    # A browser sends line ends of its own, and an input does not tell no value from an empty text.
    if typed is None or _lines(typed) == _lines(old or ""):
        return old
    return _lines(typed) or None


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _without_surplus(cells: list[str | None], width: int) -> list[str | None]:
    while len(cells) > width and not cells[-1]:
        cells = cells[:-1]
    return cells
