"""Whether a text is more than one statement. Pure.

psycopg2 sends a text as it is, so `…; SET ROLE other; …` put into a query would run as statements of its own,
behind what keeps a tenant in its schema. Where there is doubt the text is refused: nothing of ours needs it.
"""

from __future__ import annotations

import re

# Read from left to right, as PostgreSQL does with standard_conforming_strings: what is quoted holds no statement's end.
_QUOTED = re.compile(r"""(?<![\w$])[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"[^"]*"|--[^\n]*""", re.DOTALL)
# A dollar may open a quote, a comment may be nested: with a semicolon, too much doubt.
_DOUBTFUL = re.compile(r"""['"\\$]|/\*""")


def is_stacked(text: str) -> bool:
    """Return whether a semicolon in the text may end one statement and begin another.

    >>> is_stacked("SELECT ';' -- ;"), is_stacked("SELECT 1;"), is_stacked("SELECT 1; SELECT 2")
    (False, False, True)
    """
    text = text.rstrip("; \t\r\n")
    if ";" not in text:
        return False
    bare = _QUOTED.sub(" ", text)
    return ";" in bare or bool(_DOUBTFUL.search(bare))
