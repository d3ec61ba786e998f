"""Migrating a schema that is in use: no statement waits for a lock long enough to hold everybody up.

Who waits for a table's lock makes everyone behind it wait. So a migration that does not get it soon gives way
and comes again; what it had begun is rolled back, and what it had finished is on record.
"""

from __future__ import annotations

from contextlib import contextmanager
from time import sleep
from typing import TYPE_CHECKING

from django.core.management import call_command
from django.core.management.commands.migrate import Command as Migrate
from django.db import OperationalError
from psycopg2.errors import DeadlockDetected, LockNotAvailable

from core.errors import RowhouseError
from core.tenancy import connection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Less than PostgreSQL waits before it looks for a deadlock (1 s): who migrates gives way first, and whoever works there
# is not the one whose statement is stopped.
LOCK_SECONDS = 0.5
TRIES = 60
PAUSE_SECONDS = 1.0


class SchemaBusy(RowhouseError):
    """Somebody held a table all the time."""

    code = "schema-busy"


def migrate() -> None:
    """Migrate the schema the connection is in.

    :raises SchemaBusy: a table was not to be had within about a minute and a half.
    """
    # Django's own command and not django-tenants', which would leave the tenant and close the connection.
    patiently(lambda: call_command(Migrate(), interactive=False, verbosity=0))


def patiently(act: Callable[[], object], schema: str = "") -> None:
    """Do it with little patience for each lock, and again when one was not to be had.

    :param schema: whose tables it is about, if not those of the schema the connection is in.

    :raises SchemaBusy: it never was.
    """
    for number in range(1, TRIES + 1):
        try:
            with _lock_timeout():
                act()
        except OperationalError as error:
            if not isinstance(error.__cause__, LockNotAvailable | DeadlockDetected):
                raise
            if number == TRIES:
                raise SchemaBusy(
                    f"A table of {schema or connection.schema_name} was in use all the time, so it was not migrated; "
                    "nothing is half done. Look for long transactions, then run it again."
                ) from error
            sleep(PAUSE_SECONDS)
        else:
            return


@contextmanager
def _lock_timeout() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = {int(LOCK_SECONDS * 1000)}")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("RESET lock_timeout")
