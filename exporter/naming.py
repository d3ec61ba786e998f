"""Where an export file is stored, below the tenant's own prefix (`core.storage` puts that in front).

A pattern says it, as `{dataset}/{yyyy}/{mm}/{dd}/{dataset}_{time}.{ext}`. All names lie below `exports/`. No name of a
pattern begins with `_`, and none has a dot but before its extension: so manifests (`_run_…`) and the second try of a
file (`….2.csv`) have names that no pattern can make.

Pure: no Django, no storage, no clock.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import UTC, datetime

from core.errors import RowhouseError

# What a path may be made of: never a separator, a dot, or a sign that a server or a browser decodes.
SAFE_SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}")
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
    return export_path(dataset, EXAMPLE_AT, pattern=pattern, extension=extension, content=content, run=1)


def export_path(
    dataset_slug: str,
    at: datetime,
    *,
    number: int = 1,
    pattern: str = "",
    extension: str = "csv",
    content: str = "FULL",
    run: int = 0,
) -> str:
    """Return where an export of the dataset taken `at` (aware; written in UTC, whole seconds) is stored.

    `number` tells a second file of one second from the first. Names sort by time. An empty pattern is the default.

    >>> export_path("orders", datetime(2026, 8, 26, 14, tzinfo=UTC))
    'exports/orders/2026/08/26/orders_20260826T140000Z.csv'
    >>> export_path("orders", datetime(2026, 8, 26, 14, tzinfo=UTC), number=2)
    'exports/orders/2026/08/26/orders_20260826T140000Z_2.csv'
    >>> export_path("orders", datetime(2026, 8, 26, 14, tzinfo=UTC), extension="csv.gz")
    'exports/orders/2026/08/26/orders_20260826T140000Z.csv.gz'

    :raises BadPattern: the pattern cannot be used.
    :raises ValueError: the slug could leave its folder, or `at` has no time zone.
    """
    if not SAFE_SLUG.fullmatch(dataset_slug):
        raise ValueError(f"not a dataset's slug: {dataset_slug!r}")
    if at.tzinfo is None:
        raise ValueError("the time of an export needs a time zone")
    if number < 1:
        raise ValueError(f"files are numbered from 1, not {number}")
    pattern = pattern or DEFAULT_PATTERN
    check_pattern(pattern)
    suffix = "" if number == 1 else f"_{number}"
    stem = pattern.removesuffix(".{ext}") + suffix
    return f"exports/{_filled(f'{stem}.{{ext}}', dataset_slug, at, extension, CONTENTS[content], run)}"


def _filled(pattern: str, dataset: str, at: datetime, extension: str, content: str, run: int) -> str:
    at = at.astimezone(UTC)
    values = {
        "dataset": dataset, "time": f"{at:%Y%m%dT%H%M%SZ}", "yyyy": f"{at:%Y}", "mm": f"{at:%m}", "dd": f"{at:%d}",
        "hh": f"{at:%H}", "content": content, "run": str(run), "ext": extension,
    }  # fmt: skip
    return _TOKEN.sub(lambda found: values[found[1]], pattern)


def free_path(
    dataset_slug: str,
    at: datetime,
    taken: Collection[str],
    *,
    pattern: str = "",
    extension: str = "csv",
    content: str = "FULL",
    run: int = 0,
) -> str:
    """Return the first path of that dataset and second which is not in `taken` (paths without the prefix)."""
    number = 1
    while (
        path := export_path(
            dataset_slug, at, number=number, pattern=pattern, extension=extension, content=content, run=run
        )
    ) in taken:
        number += 1
    return path


def path_of_try(path: str, number: int) -> str:
    """Return where the n-th try to write a planned path puts it, so that no two tries write one object.

    >>> path_of_try("exports/orders/2026/08/26/orders_20260826T140000Z.csv.gz", 1)
    'exports/orders/2026/08/26/orders_20260826T140000Z.csv.gz'
    >>> path_of_try("exports/orders/2026/08/26/orders_20260826T140000Z.csv.gz", 2)
    'exports/orders/2026/08/26/orders_20260826T140000Z.2.csv.gz'
    """
    if number == 1:
        return path
    folder, slash, name = path.rpartition("/")
    stem, dot, extension = name.partition(".")
    return f"{folder}{slash}{stem}.{number}{dot}{extension}"


def manifest_path(at: datetime, run: int) -> str:
    """Return where the manifest of a run lies: above all of its files, which it may name by what follows alone.

    >>> manifest_path(datetime(2026, 8, 26, 14, tzinfo=UTC), 12)
    'exports/_run_20260826T140000Z_12.json'
    """
    return f"exports/_run_{at.astimezone(UTC):%Y%m%dT%H%M%SZ}_{run}.json"


def latest_path(dataset_slug: str) -> str:
    """Return where the pointer to a dataset's newest file lies.

    >>> latest_path("orders")
    'exports/orders/latest.json'

    :raises ValueError: the slug could leave its folder.
    """
    if not SAFE_SLUG.fullmatch(dataset_slug):
        raise ValueError(f"not a dataset's slug: {dataset_slug!r}")
    return f"exports/{dataset_slug}/latest.json"


def file_name(key: str) -> str:
    """Return the name a downloaded file gets.

    >>> file_name("acme/exports/orders/2026/08/26/orders_20260826T140000Z.csv")
    'orders_20260826T140000Z.csv'
    """
    return key.rsplit("/", 1)[-1]
