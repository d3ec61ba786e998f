"""Events as a file: CSV for people, JSON Lines for programs. It is sent while it is read; none of it is kept."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator

from audit.looking import Wish, every
from audit.models import Event
from audit.telling import told
from datasets.escaping import escaped

CSV_HEAD = (
    "number", "uid", "at", "name", "words", "who", "who_id", "what", "what_type", "what_id", "address", "cause", "data",
)  # fmt: skip


def _csv(events: list[Event]) -> bytes:
    file = io.StringIO()
    writer = csv.writer(file)
    for event in events:
        one = told(event)
        actor, target = one["actor"], one["target"]
        cells = (
            one["number"], one["uid"], one["at"], one["name"], one["words"], actor["label"], actor["id"],
            target["label"], target["type"], target["id"], one["address"], one["cause"],
            json.dumps(one["data"], ensure_ascii=False) if one["data"] else "",
        )  # fmt: skip
        # A spreadsheet would take a name for a formula.
        writer.writerow(["" if cell is None else escaped(str(cell)) for cell in cells])
    return file.getvalue().encode()


def _jsonl(events: list[Event]) -> bytes:
    return "".join(json.dumps(told(event), ensure_ascii=False) + "\n" for event in events).encode()


FORMS: dict[str, tuple[str, Callable[[list[Event]], bytes]]] = {
    "csv": ("text/csv; charset=utf-8", _csv),
    "jsonl": ("application/x-ndjson", _jsonl),
}


def body_of(form: str, wish: Wish, *, most: int) -> Iterator[bytes]:
    """Yield a file of all events that fit, up to the number `most`. Each piece is a query of its own."""
    _content_type, written = FORMS[form]
    if form == "csv":
        yield (",".join(CSV_HEAD) + "\r\n").encode()
    for events in every(wish, most=most):
        yield written(events)
