"""What the tests of the past share: the moment it is, and what each page says of one."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.db import connection

from datasets.models import Dataset
from datasets.tests.pages import Visitor, page, rows_url


def database_time() -> datetime:
    """Return the moment it is, by the clock that dates the versions; each call returns a later one."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(0.001)")  # to the microsecond, two statements may begin at once
        cursor.execute("SELECT clock_timestamp()")
        at: datetime = cursor.fetchone()[0]
        return at


def as_of_url(dataset: Dataset, at: datetime | str, **query: Any) -> str:
    """Return the address of the records as of a moment."""
    text = at if isinstance(at, str) else at.isoformat()
    return rows_url(dataset, "as-of") + "?" + urlencode({"at": text, **query}, doseq=True)


def differences_url(dataset: Dataset, since: datetime, until: datetime, **query: Any) -> str:
    """Return the address of what differs between two moments."""
    asked = {"from": since.isoformat(), "to": until.isoformat(), **query}
    return rows_url(dataset, "differences") + "?" + urlencode(asked, doseq=True)


def listed(visitor: Visitor, url: str, *texts: str) -> list[str]:
    """Return which of these texts a page shows, in the page's order."""
    html = page(visitor, url)
    return sorted((text for text in texts if text in html), key=html.index)
