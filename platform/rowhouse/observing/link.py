"""A connection of its own for looking at `public`, which gives up in seconds where requests would be patient."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import psycopg2
from django.db import connections

Row = tuple[Any, ...]


class Link:
    """Asks one statement after another on one connection, which is made when it is needed and again when it broke.

    For one thread at a time. A server that answers no more is noticed by the kernel within `seconds` of silence
    where it can tell (TCP_USER_TIMEOUT), and by whoever asks through `core.patience` in any case.

    :param seconds: how long connecting may take, and each statement.
    :param name: how the session is called in `pg_stat_activity`.
    """

    def __init__(self, *, seconds: int, name: str) -> None:
        self._seconds = seconds
        self._name = name
        self._connection: Any = None

    def ask(self, statement: str, values: dict[str, Any] | None = None) -> list[Row]:
        """Return the rows of a statement that reads.

        :raises psycopg2.Error: the database is away, too slow, or does not understand it.
        """
        # The limit travels with the statement, so that it counts behind a pooler too.
        limited = f"SET LOCAL statement_timeout = '{self._seconds}s'; {statement}"
        was_there = self._connection is not None
        try:
            return self._ask(limited, values or {})
        except psycopg2.errors.QueryCanceled:  # too slow, on a connection that is well
            raise
        except (psycopg2.OperationalError, psycopg2.InterfaceError):
            self.close()
            if not was_there:
                raise
        # It lay there since the last time, and a restart or a pooler has ended it meanwhile.
        return self._ask(limited, values or {})

    def _ask(self, statement: str, values: dict[str, Any]) -> list[Row]:
        with self._connected().cursor() as cursor:
            cursor.execute(statement, values)
            return list(cursor.fetchall())

    def close(self) -> None:
        """Let the connection go."""
        if self._connection is not None:
            with suppress(psycopg2.Error):
                self._connection.close()
            self._connection = None

    def _connected(self) -> Any:
        if self._connection is None or self._connection.closed:
            parameters = {
                **connections["default"].get_connection_params(),
                "application_name": self._name,
                "connect_timeout": max(2, self._seconds),  # libpq takes less for 2
                "tcp_user_timeout": self._seconds * 1000,
            }
            self._connection = psycopg2.connect(**parameters)
            self._connection.autocommit = True  # each message is a transaction of its own
        return self._connection
