"""How a recipe's lists are written in a form: a value map one to a line, words with commas.

    ja => true
    "a => b" => "c"
    none =>

A side that would be misread without them stands in quotes, as JSON writes them.

Pure: no Django, no storage, no clock.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

ARROW = "=>"
_LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"


class BadText(ValueError):
    """What was written cannot be read; the message says what to write."""


def write_values(values: Sequence[tuple[str, str | None]]) -> str:
    """Return a value map as a form shows it."""
    return "\n".join(f"{_quoted(old)} {ARROW} {_quoted(new)}".rstrip() for old, new in values)


def read_values(text: str) -> tuple[tuple[str, str | None], ...]:
    """Return a value map as it was written in a form.

    :raises BadText: a line has no arrow, or a quote in it is not closed.
    """
    values = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        old, rest = _side(line.strip(), number)
        if not rest.startswith(ARROW):
            raise BadText(
                f"Line {number}: write the old text, {ARROW}, and the new one, for example ja {ARROW} true."
            )
        new, rest = _side(rest.removeprefix(ARROW).strip(), number, is_last=True)
        if rest:
            raise BadText(f"Line {number}: there is more behind the new text. Put the whole of it in quotes.")
        values.append((old or "", new))
    return tuple(values)


def write_words(words: Sequence[str]) -> str:
    """Return words as a form shows them."""
    return ", ".join(_quoted(word, ",") for word in words)


def read_words(text: str) -> tuple[str, ...]:
    """Return words as they were written in a form; each once.

    :raises BadText: a quote in it is not closed.
    """
    words, rest = [], text.strip()
    while rest:
        if rest.startswith('"'):
            try:
                word, end = json.JSONDecoder().raw_decode(rest)
            except json.JSONDecodeError as error:
                raise BadText(
                    "A quote is not closed. Write words with commas between: n/a, -, none."
                ) from error
            rest = rest[end:].strip()
            if rest and not rest.startswith(","):
                raise BadText("Put a comma between words: n/a, -, none.")
        else:
            word, _, rest = rest.partition(",")
            rest = "," + rest
        words.append(word.strip())
        rest = rest.removeprefix(",").strip()
    return tuple(dict.fromkeys(word for word in words if word))


def _side(text: str, number: int, *, is_last: bool = False) -> tuple[str | None, str]:
    """Return the side that `text` begins with, and what is left."""
    if text.startswith('"'):
        try:
            word, end = json.JSONDecoder().raw_decode(text)
        except json.JSONDecodeError as error:
            raise BadText(f"Line {number}: a quote is not closed.") from error
        return str(word), text[end:].strip()
    if is_last:
        return text or None, ""
    at = text.find(ARROW)
    return (text, "") if at < 0 else (text[:at].strip(), text[at:])


def _quoted(text: str | None, divider: str = ARROW) -> str:
    if text is None:
        return ""
    return json.dumps(text, ensure_ascii=False) if _needs_quotes(text, divider) else text


def _needs_quotes(text: str, divider: str) -> bool:
    return (
        not text
        or text != text.strip()
        or divider in text
        or '"' in text
        or "\\" in text
        or any(sign in text for sign in _LINE_ENDS)
    )
