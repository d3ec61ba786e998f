"""Long text: text of several lines. It differs from text only in how forms and lists show it."""

from __future__ import annotations

from datasets.columntypes.text import Text


class LongText(Text):
    """Notes, descriptions, addresses."""

    name = "long_text"
    title = "Long text"

    def guess(self, values: list[str]) -> bool:
        return True
