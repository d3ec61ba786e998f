"""psycopg2's connection and cursor, whose every statement says in the same message where it runs.

`SET LOCAL` and the statement travel together: no pooler can put another client's transaction between them, nothing is
left in the session when the transaction ends, and there is no round trip for it. Every way in which psycopg2 sends
SQL passes here: `execute`, `executemany`, `callproc`, `copy_expert`, cursors on the server. `copy_from` and `copy_to`,
which would not, are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NoReturn

from psycopg2 import NotSupportedError, ProgrammingError, extensions, sql

from core.backend.places import PUBLIC, Place
from core.backend.stacked import is_stacked

# They end or divide the transaction that `SET LOCAL` lasts for, and in one that has failed nothing else may come first.
_OF_TRANSACTIONS = re.compile(
    r"\s*(SAVEPOINT|RELEASE|ROLLBACK|COMMIT|BEGIN|START\s+TRANSACTION|END|ABORT)\b", re.IGNORECASE
)
# They run outside of every transaction, and are the platform's own.
_ALONE = re.compile(
    r"\s*(VACUUM|(CREATE|DROP)\s+DATABASE|ALTER\s+SYSTEM|CREATE\s+INDEX\s+CONCURRENTLY)\b", re.IGNORECASE
)
_FUNCTION = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?", re.IGNORECASE)


class Statements(str):
    """Several statements in one text, written by us: a tenant's connection refuses any other."""

    __slots__ = ()

    def __str__(self) -> str:
        return self  # str() of it is it still: Django's schema editor asks for that


class StackedStatements(ProgrammingError):
    """A text for a tenant's connection may hold more than one statement."""


class Connection(extensions.connection):
    """psycopg2's connection, with the place its cursors' statements run in; None while it is being set up."""

    place: Place | None = None

    def cursor(self, *arguments: Any, **options: Any) -> Any:
        return super().cursor(*arguments, **{"cursor_factory": Cursor, **options})


class Cursor(extensions.cursor):
    """psycopg2's cursor, which puts the place before each statement."""

    connection: Any

    def execute(self, query: Any, values: Any = None) -> None:
        """Run a statement in the connection's place.

        :raises StackedStatements: in a tenant, it may be more than one.
        """
        if self.name:
            self._be_there()  # DECLARE takes one statement, and its cursor keeps the rights it was declared with
            super().execute(self._checked(query), values)
        else:
            super().execute(self._placed(query), values)

    def executemany(self, query: Any, values: Iterable[Any]) -> None:
        for each in values:
            self.execute(query, each)

    def callproc(self, procname: str | bytes, parameters: Any = (), /) -> Any:
        name = procname.decode() if isinstance(procname, bytes) else procname
        if not _FUNCTION.fullmatch(name):
            raise ProgrammingError(f"not a function's name: {name!r}")
        arguments = ", ".join(["%s"] * len(parameters))
        self.execute(f"SELECT * FROM {name}({arguments})", list(parameters))  # noqa: S608 -- a name was asked for
        return parameters

    def copy_expert(self, query: Any, file: Any, size: int = 8192) -> None:
        super().copy_expert(self._placed(query), file, size)

    def copy_from(self, *_arguments: Any, **_options: Any) -> NoReturn:
        raise NotSupportedError("copy_from() does not say where it runs; use copy_expert().")

    def copy_to(self, *_arguments: Any, **_options: Any) -> NoReturn:
        raise NotSupportedError("copy_to() does not say where it runs; use copy_expert().")

    def _be_there(self) -> None:
        place: Place | None = self.connection.place
        if place is None:
            return
        if self.connection.autocommit:
            raise ProgrammingError("A cursor on the server needs a transaction: open one with atomic().")
        with self.connection.cursor() as other:
            extensions.cursor.execute(other, place.prefix)

    def _placed(self, query: Any) -> Any:
        place: Place | None = self.connection.place
        text = self._checked(query)
        if place is None or _OF_TRANSACTIONS.match(text):
            return text
        if place.schema == PUBLIC and self.connection.autocommit and _ALONE.match(text):
            return text
        return place.prefix + text

    def _reads_quotes_as_usual(self) -> bool:
        """Return whether quotes are read as the standard says: a setting, which an injected statement may have set."""
        status: str | None = self.connection.info.parameter_status("standard_conforming_strings")
        return status == "on"

    def _checked(self, query: Any) -> str:
        if isinstance(query, sql.Composable):
            query = query.as_string(self)
        text = query.decode() if isinstance(query, bytes) else query
        place: Place | None = self.connection.place
        is_ours = place is None or place.schema == PUBLIC or isinstance(text, Statements)
        if not is_ours and ";" in text and (is_stacked(text) or not self._reads_quotes_as_usual()):
            raise StackedStatements(
                "A text for a tenant's connection may be more than one statement, so it was not run. "
                "Send them one by one."
            )
        return str(text)
