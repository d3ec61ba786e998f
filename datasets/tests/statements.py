"""The statements a page sends: what each is for, how many rows it brings, and which of them count without a bound."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

# The first that fits decides. Table and column names are as in the statement.
PURPOSES = (
    (r"FROM public\.tenants_domain", "tenant"),
    (r'FROM "django_session"', "session"),
    (r'FROM "accounts_user" WHERE "accounts_user"."id"', "user"),
    (r'^LOCK TABLE "ds_\d+" IN ACCESS SHARE MODE$', "hold of the definition"),
    (r'JOIN "accounts_user_user_permissions"', "user's rights"),
    (r'JOIN "auth_group_permissions"', "groups' rights"),
    (r'FROM "datasets_dataset" WHERE "datasets_dataset"."id"', "dataset"),
    (r'FROM "datasets_dataset" ORDER BY "datasets_dataset"."title" ASC LIMIT', "sidebar"),
    (r'FROM "datasets_column" WHERE \("datasets_column"."dataset_id"', "columns"),
    (r'FROM "datasets_column" INNER JOIN .*"options" #> %s', "references to it"),
    (r'FROM "datasets_savedview"', "views"),
    (r'FROM "datasets_change"', "changes of the definition"),
    (r'FROM "datasets_historicalcolumn"', "columns' beginnings"),
    (r'FROM "audit_event"', "clean-ups"),
    (r"FROM pg_catalog\.pg_locks", "writers"),
    (r'FROM "django_content_type"', "content type"),
    (r"^SET LOCAL statement_timeout", "limit of time"),
    (r"to_regclass\(name\)", "estimate"),
    (r'(?i)count\(.*"ds_\d+"', "count"),
    (r'"?ds_\d+_history"?', "versions"),
    (r'FROM "ds_\d+"', "records"),
)
# The newest version of a record, in the order of the primary key: as long as nobody has analysed what an import wrote,
# the planner looks for it from history's end on.
_WALK = re.compile(
    r'FROM "(ds_\d+_history)" WHERE "\1"\."id" = %s.* ORDER BY (1|"\1"\."history_id") DESC LIMIT'
)
# The search path goes before each statement after a change of tenant; transactions are savepoints in a test alone.
_NOT_A_QUERY = re.compile(r"SET search_path|SAVEPOINT|RELEASE SAVEPOINT")


@dataclass(slots=True)
class Sent:
    """What was sent: statements in order, and the most rows that one of them brought."""

    statements: list[str] = field(default_factory=list)
    most_rows: int = 0

    @property
    def purposes(self) -> list[str]:
        """What each statement is for; one that nobody has named is here in full."""
        return [
            next((purpose for pattern, purpose in PURPOSES if re.search(pattern, sql)), sql)
            for sql in self.statements
            if not _NOT_A_QUERY.match(sql)
        ]


@contextmanager
def watched() -> Iterator[Sent]:
    """Note what is sent to the database within the block."""
    sent = Sent()

    def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        sent.statements.append(sql)
        result = execute(sql, params, many, context)
        sent.most_rows = max(sent.most_rows, context["cursor"].rowcount)
        return result

    with connection.execute_wrapper(watch):
        yield sent


def walks_of_history(statements: list[str]) -> list[str]:
    """Return the statements that may look for one record's newest version among all versions of all."""
    return [sql for sql in statements if _WALK.search(sql)]


def unbounded_counts(statements: list[str]) -> list[str]:
    """Return the statements with a count over anything but a subquery that ends in LIMIT and a number."""
    return [
        sql
        for sql in statements
        if any(not _is_bounded(sql, found.end()) for found in re.finditer(r"(?i)\bcount\s*\(", sql))
    ]


def _is_bounded(sql: str, start: int) -> bool:
    """Return whether the FROM of the count whose bracket opens before `start` is bounded."""
    end = _closing(sql, start)
    source = re.match(r'(?is)\)\s*(?:AS\s+"?\w+"?)?(?:\s*,[^()]*)?\s*FROM\s*\(', sql[end:])
    if source is None:
        return False
    begin = end + source.end()
    return re.search(r"(?i)\bLIMIT\s+\d+\s*$", sql[begin : _closing(sql, begin)]) is not None


def _closing(sql: str, start: int) -> int:
    """Return where the bracket closes that opened before `start`."""
    depth = 1
    for at in range(start, len(sql)):
        depth += {"(": 1, ")": -1}.get(sql[at], 0)
        if depth == 0:
            return at
    return len(sql)
