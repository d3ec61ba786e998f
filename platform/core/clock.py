"""The one clock: services and tasks read it at the edge and pass `now` on."""

from datetime import datetime

from django.db import connection
from django.utils.timezone import now

__all__ = ["database_now", "now"]


def database_now() -> datetime:
    """Return the time by the database's clock: what several machines must agree on is due by it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement_timestamp()")
        found: datetime = cursor.fetchone()[0]
    return found
