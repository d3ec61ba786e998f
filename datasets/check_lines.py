"""Checks as a person writes them on a page, one a line: `Name: expression  # what to tell people`. Pure."""

from __future__ import annotations

from datasets.checks import by_labels
from datasets.rules import NewCheck, clean_label
from datasets.spec import DatasetSpec


class BadLine(ValueError):
    """A line that is no check; the message says which and why."""


def checks_of(text: str) -> list[NewCheck]:
    """Return the checks that stand in a text; empty lines say nothing.

    :raises BadLine: a line has no name.
    """
    made = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        name, colon, rest = line.partition(":")
        if not (colon and name.strip() and _mark(name, '"') < 0):
            raise BadLine(f'Line {number} has no name. Write it as — Dates in order: "Start" <= "End"')
        at = _mark(rest, "#")
        expression, message = (rest, "") if at < 0 else (rest[:at], rest[at + 1 :])
        made.append(NewCheck(clean_label(name), expression.strip(), clean_label(message)))
    return made


def text_of(spec: DatasetSpec) -> str:
    """Return the checks of a dataset as lines, with the labels of today."""
    return "\n".join(
        f"{check.name}: {by_labels(check.expression, spec.columns)}"
        + (f"  # {check.message}" if check.message else "")
        for check in spec.checks
    )


def _mark(text: str, mark: str) -> int:
    """Return where a mark stands outside of quotes, or -1."""
    quote = ""
    for at, char in enumerate(text):
        if not quote and char == mark:
            return at
        if char in "\"'" and quote in ("", char):
            quote = "" if quote else char
    return -1
