"""docs/reference/events.md, made of the list of events in the code.

python -m tests.events_page          writes it anew
"""

from __future__ import annotations

from audit.names import AREAS, EVENTS
from tests.source import ROOT

PAGE = ROOT / "docs" / "reference" / "events.md"
HEAD = """# Events

Every event by its name, `app.noun.verbed`, and what it says. This page is made of `audit/names.py` by
`python -m tests.events_page`; a test finds every name that the code records. What an event keeps, how it is searched,
proven and sent out: [audit](../audit.md).
"""


def page() -> str:
    """Return the whole page."""
    parts = [HEAD]
    for area, title in AREAS.items():
        rows = [f"| `{name}` | {words} |" for name, words in EVENTS.items() if name.startswith(f"{area}.")]
        parts.append(f"## {title}\n\n| event | says |\n|---|---|\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def main() -> None:
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
