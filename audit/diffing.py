"""What an event kept, as people read it: what was before and after side by side, and the rest by its name. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

BEFORE, AFTER = "before", "after"
NONE = "–"


@dataclass(frozen=True, slots=True)
class Line:
    """One thing an event says: `before` is None where it says only what is."""

    name: str
    before: str | None
    after: str


def lines_of(data: Mapping[str, Any]) -> tuple[Line, ...]:
    """Return what an event says: first what differs between before and after, then the rest.

    >>> lines_of({"before": {"days": 30, "is_on": True}, "after": {"days": 60, "is_on": True}, "by_schedule": False})
    (Line(name='days', before='30', after='60'), Line(name='by schedule', before=None, after='no'))
    >>> lines_of({"before": 30, "after": None})
    (Line(name='value', before='30', after='–'),)
    >>> lines_of({"before": "2026-08-26", "removed": 3})
    (Line(name='before', before=None, after='2026-08-26'), Line(name='removed', before=None, after='3'))
    """
    # A `before` alone that is no former state is a word like any other: until when, say.
    is_change = AFTER in data or isinstance(data.get(BEFORE), dict)
    rest = {name: value for name, value in data.items() if not is_change or name not in (BEFORE, AFTER)}
    return (
        *(_differing(data) if is_change else ()),
        *(Line(_words(name), None, shown(value)) for name, value in _flat(rest)),
    )


def _differing(data: Mapping[str, Any]) -> Iterator[Line]:
    before, after = data.get(BEFORE), data.get(AFTER)
    if not isinstance(before, dict) and not isinstance(after, dict):
        if before != after:
            yield Line("value", shown(before), shown(after))
        return
    was = dict(_flat(before)) if isinstance(before, dict) else {}
    now = dict(_flat(after)) if isinstance(after, dict) else {}
    for name in dict.fromkeys((*was, *now)):
        if was.get(name) != now.get(name):
            yield Line(_words(name), shown(was.get(name)), shown(now.get(name)))


def _flat(data: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in data.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{above}{name}, ")
        else:
            yield f"{above}{name}", value


def shown(value: Any) -> str:
    """Return a value as people read it.

    >>> [shown(one) for one in (None, True, 1234, ["a", "b"], [], "")]
    ['–', 'yes', '1234', 'a, b', '–', '–']
    """
    if value is None or value in ("", [], {}):
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(shown(one) for one in value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _words(name: str) -> str:
    return name.replace("_", " ")
