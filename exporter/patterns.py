"""Patterns of file names: what may be in one, and an example of what it gives. Pure: no Django, no storage."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from core.errors import RowhouseError

DEFAULT_PATTERN = "{dataset}/{yyyy}/{mm}/{dd}/{dataset}_{time}.{ext}"
# The words of a pattern, and what they stand for.
TOKENS = {
    "dataset": "the dataset's slug",
    "time": "the second in UTC, as 20260826T140000Z",
    "yyyy": "the year",
    "mm": "the month",
    "dd": "the day",
    "hh": "the hour (UTC)",
    "content": "full or changes",
    "run": "the number of the run",
    "ext": "the file's extension",
}
CONTENTS = {"FULL": "full", "INCREMENTAL": "changes"}
MOST_CHARACTERS = 400  # of a path, whatever the dataset is called
EXAMPLE_AT = datetime(2026, 8, 26, 14, tzinfo=UTC)
_TOKEN = re.compile(r"\{([^{}]*)\}")
_SAFE_TEXT = re.compile(r"[A-Za-z0-9_=/-]*")


class BadPattern(RowhouseError):
    """A pattern of file names that could not be used for every dataset and time."""

    code = "bad-pattern"
    status = 422


def check_pattern(pattern: str) -> None:
    """Go on only if a pattern gives every dataset and second a name of its own, that is safe and sorts by time.

    :raises BadPattern: with what to write instead.
    """
    _check_signs(pattern)
    name = pattern.removesuffix(".{ext}").rpartition("/")[2]
    if "{dataset}" not in pattern:
        raise BadPattern("Put {dataset} somewhere, or the files of two datasets would have one name.")
    before, found, _ = name.partition("{time}")
    if not found:
        raise BadPattern(
            "Put {time} into the file's name (behind the last /), or two files would have one name."
        )
    if set(_TOKEN.findall(before)) - {"dataset"}:
        raise BadPattern(
            "Before {time} only text and {dataset} can stand in the file's name: it sorts by time then."
        )
    if len(_filled(pattern, "d" * 100, EXAMPLE_AT, "parquet", "changes", 10**9)) > MOST_CHARACTERS:
        raise BadPattern(f"The names could have more than {MOST_CHARACTERS} characters. Shorten the pattern.")


def _check_signs(pattern: str) -> None:
    for word in _TOKEN.findall(pattern):
        if word not in TOKENS:
            known = ", ".join(f"{{{one}}}" for one in TOKENS)
            raise BadPattern(f"{{{word}}} means nothing here. Use {known}.")
    if ".." in pattern:
        raise BadPattern("“..” would lead out of the folder of exports. Leave it out.")
    if not pattern.endswith(".{ext}"):
        raise BadPattern("File names must end with .{ext}, so that programs know what they are.")
    text = _TOKEN.sub("", pattern.removesuffix(".{ext}"))
    if signs := sorted(set("".join(_SAFE_TEXT.split(text)))):
        shown = " ".join("a space" if sign == " " else sign for sign in signs)
        raise BadPattern(f"Letters, digits, _ - = and / can be part of a name here, and not {shown}.")
    if any(not part or part.startswith("_") for part in pattern.split("/")):
        raise BadPattern("Each folder and file needs a name, and none may begin with _.")


def example(pattern: str, *, dataset: str = "orders", extension: str = "csv", content: str = "FULL") -> str:
    """Return the path that a pattern gives a file of 14:00 on 26 August 2026.

    >>> example("{yyyy}/{dataset}_{time}_{content}.{ext}")
    'exports/2026/orders_20260826T140000Z_full.csv'

    :raises BadPattern: it cannot be used.
    """
    pattern = pattern or DEFAULT_PATTERN
    check_pattern(pattern)
    return f"exports/{_filled(pattern, dataset, EXAMPLE_AT, extension, CONTENTS[content], 1)}"


def _filled(pattern: str, dataset: str, at: datetime, ext: str, content: str, run: int) -> str:
    at = at.astimezone(UTC)
    values = {
        "dataset": dataset, "time": f"{at:%Y%m%dT%H%M%SZ}", "yyyy": f"{at:%Y}", "mm": f"{at:%m}", "dd": f"{at:%d}",
        "hh": f"{at:%H}", "content": content, "run": str(run), "ext": ext,
    }  # fmt: skip
    return _TOKEN.sub(lambda found: values[found[1]], pattern)
