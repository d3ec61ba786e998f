"""Where an export file is stored, below the tenant's own prefix (`core.storage` puts that in front).

Pure: no Django, no storage, no clock.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import UTC, datetime

# What a path may be made of: never a separator, a dot, or a sign that a server or a browser decodes.
SAFE_SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}")


def export_path(dataset_slug: str, at: datetime, *, number: int = 1, extension: str = "csv") -> str:
    """Return where an export of the dataset taken `at` (aware; written in UTC, whole seconds) is stored.

    `number` tells a second file of one second from the first. Names sort by time.

    >>> export_path("orders", datetime(2026, 8, 26, 14, tzinfo=UTC))
    'exports/orders/2026/08/26/orders_20260826T140000Z.csv'
    >>> export_path("orders", datetime(2026, 8, 26, 14, tzinfo=UTC), number=2)
    'exports/orders/2026/08/26/orders_20260826T140000Z_2.csv'
    >>> export_path("orders", datetime(2026, 8, 26, 14, tzinfo=UTC), extension="csv.gz")
    'exports/orders/2026/08/26/orders_20260826T140000Z.csv.gz'

    :raises ValueError: the slug could leave its folder, or `at` has no time zone.
    """
    if not SAFE_SLUG.fullmatch(dataset_slug):
        raise ValueError(f"not a dataset's slug: {dataset_slug!r}")
    if at.tzinfo is None:
        raise ValueError("the time of an export needs a time zone")
    if number < 1:
        raise ValueError(f"files are numbered from 1, not {number}")
    at = at.astimezone(UTC)
    suffix = "" if number == 1 else f"_{number}"
    return f"exports/{dataset_slug}/{at:%Y/%m/%d}/{dataset_slug}_{at:%Y%m%dT%H%M%SZ}{suffix}.{extension}"


def free_path(dataset_slug: str, at: datetime, taken: Collection[str], extension: str = "csv") -> str:
    """Return the first path of that dataset and second which is not in `taken` (paths without the prefix)."""
    number = 1
    while (path := export_path(dataset_slug, at, number=number, extension=extension)) in taken:
        number += 1
    return path


def path_of_try(path: str, number: int) -> str:
    """Return where the n-th try to write a planned path puts it, so that no two tries write one object.

    >>> path_of_try("exports/orders/2026/08/26/orders_20260826T140000Z.csv", 1)
    'exports/orders/2026/08/26/orders_20260826T140000Z.csv'
    >>> path_of_try("exports/orders/2026/08/26/orders_20260826T140000Z.csv", 2)
    'exports/orders/2026/08/26/orders_20260826T140000Z-2.csv'
    >>> path_of_try("exports/orders/orders_20260826T140000Z.csv.gz", 2)
    'exports/orders/orders_20260826T140000Z-2.csv.gz'
    """
    if number == 1:
        return path
    stem = path.removesuffix(".gz").rpartition(".")[0] or path
    return f"{stem}-{number}{path[len(stem) :]}"


def file_name(key: str) -> str:
    """Return the name a downloaded file gets.

    >>> file_name("acme/exports/orders/2026/08/26/orders_20260826T140000Z.csv")
    'orders_20260826T140000Z.csv'
    """
    return key.rsplit("/", 1)[-1]
