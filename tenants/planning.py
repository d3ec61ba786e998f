"""What tenants lack of the migrations, and the statements that give it to all who lack the same.

Migrations are run once, in a copy of a schema as the tenants' are, which is rolled back; what they wrote is the plan.
Some cannot be planned so: those that run Python, that are not atomic, or that ask for a value of each tenant's own.
"""

# ruff: noqa: S608 -- the schemas are ours, and quoted
from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.db import models, router, transaction
from django.db.migrations import Migration, operations
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation

from core.errors import RowhouseError
from core.tenancy import TenantRef, connection, in_tenant
from tenants import template
from tenants.catalog import NotCopied, quoted, schema_script
from tenants.models import SchemaTemplate, SpareSchema
from tenants.names import new_schema_name

AT_ONCE = 50  # schemas a query asks: each holds two locks until it ends
# What a plan may replay of statements somebody wrote; those that only read are the executor's own questions.
_WRITTEN = {"CREATE", "ALTER", "DROP", "COMMENT", "INSERT", "UPDATE", "DELETE", "LOCK"}
_ASIDE = {"SELECT", "SHOW", "SAVEPOINT", "RELEASE", "ROLLBACK"}
_CONSTANT = {dict, list, set, str, int, bool, float, bytes}

logger = logging.getLogger(__name__)

Name = tuple[str, str]


class NotPlanned(RowhouseError):
    """Migrations wrote something that cannot be run again as it stands."""

    code = "migration-not-planned"


@dataclass(frozen=True, slots=True)
class Plan:
    """What tenants that lack the same migrations are to run; `statements` None: Django does it for each."""

    missing: tuple[Name, ...]
    statements: str | None


# ---- who is behind


def behind(schemas: Sequence[str]) -> dict[str, tuple[Name, ...]]:
    """Return which of the schemas lack migrations, and which: in the order in which they are to be run.

    One query for fifty schemas, and one more for each that lacks some. Call it outside of every tenant.
    """
    wanted = _in_order()
    suspects = [schema for schema, number in _counts(schemas, list(wanted)) if number < len(wanted)]
    found = {}
    for schema in suspects:
        if missing := _lacking(wanted, _done(schema)):
            found[schema] = missing
    return found


def lacking(done: set[Name]) -> tuple[Name, ...]:
    """Return the migrations of this release that are not among those that were `done`. Asks no database."""
    return _lacking(_known(), done)


@cache
def _known() -> dict[Name, Migration]:
    return _in_order()


def _lacking(wanted: dict[Name, Migration], done: set[Name]) -> tuple[Name, ...]:
    return tuple(
        name
        for name, migration in wanted.items()
        if name not in done and not (migration.replaces and done.issuperset(migration.replaces))
    )


def _in_order() -> dict[Name, Migration]:
    """Return every migration there is, each behind those it needs."""
    graph = MigrationLoader(None, ignore_no_migrations=True).graph
    found: dict[Name, Migration] = {}
    for leaf in graph.leaf_nodes():
        for name in graph.forwards_plan(leaf):
            found.setdefault(name, graph.nodes[name])
    return found


def _counts(schemas: Sequence[str], wanted: Sequence[Name]) -> Iterator[tuple[str, int]]:
    """Yield of each schema how many of the migrations it has."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT n FROM unnest(%s::text[]) n WHERE to_regclass(quote_ident(n) || '.django_migrations') IS NOT NULL",
            [list(schemas)],
        )
        begun = {name for (name,) in cursor.fetchall()}
        yield from ((schema, 0) for schema in schemas if schema not in begun)
        there = [schema for schema in schemas if schema in begun]
        for start in range(0, len(there), AT_ONCE):
            asked = " UNION ALL ".join(
                f"SELECT '{schema}', (SELECT count(DISTINCT (m.app, m.name)) FROM {quoted(schema)}.django_migrations m"
                " WHERE (m.app, m.name) IN (SELECT app, name FROM wanted))"
                for schema in there[start : start + AT_ONCE]
            )
            cursor.execute(
                "WITH wanted (app, name) AS MATERIALIZED (SELECT * FROM unnest(%s::text[], %s::text[]))"
                + asked,
                [[app for app, _ in wanted], [name for _, name in wanted]],
            )
            yield from cursor.fetchall()


def _done(schema: str) -> set[Name]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s)", [f"{quoted(schema)}.django_migrations"])
        if cursor.fetchone()[0] is None:
            return set()
        cursor.execute(f"SELECT app, name FROM {quoted(schema)}.django_migrations")
        return set(cursor.fetchall())


# ---- the plan


def plan(missing: tuple[Name, ...], example: str) -> Plan:
    """Return how schemas like the example get the migrations they lack. Changes nothing."""
    wanted = _in_order()
    migrations = [wanted[name] for name in missing]
    with in_tenant(TenantRef(example, template.SLUG)):
        if not all(map(_is_plannable, migrations)):
            return Plan(missing, None)
    try:
        return Plan(missing, ";\n".join(_written(missing, _plainest(missing, example))))
    except (NotPlanned, NotCopied) as error:
        logger.warning("Django migrates each tenant: %s", error.message)
        return Plan(missing, None)


def _plainest(missing: tuple[Name, ...], example: str) -> str:
    """Return a schema in the example's state with little in it: one of earlier code's own, if there is one."""
    own = [
        *SchemaTemplate.objects.order_by("-pk").values_list("schema_name", flat=True),
        *SpareSchema.objects.order_by("-pk").values_list("schema_name", flat=True),
    ]
    found = behind(own)
    return next((schema for schema in own if found.get(schema) == missing), example)


def _written(missing: tuple[Name, ...], source: str) -> list[str]:
    """Return the statements that the migrations write in a copy of `source`, which goes again."""
    scratch = new_schema_name()
    written: list[str] = []

    def watch(execute: Any, sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
        text = str(sql) if params is None else context["cursor"].cursor.mogrify(sql, params).decode()
        is_aside = _first_word(text) in _ASIDE
        if not is_aside and (many or scratch in text):
            raise NotPlanned("A migration says the name of its schema, or writes many rows.")
        if not is_aside:
            written.append(text.strip().rstrip(";"))
        return execute(sql, params, many, context)

    with transaction.atomic(), connection.cursor() as cursor:
        template.create_schema(cursor, scratch, ";\n".join(schema_script(cursor, source)))
        cursor.execute(
            f"INSERT INTO {quoted(scratch)}.django_migrations (app, name, applied)"
            f" SELECT app, name, applied FROM {quoted(source)}.django_migrations ORDER BY id"
        )
        with in_tenant(TenantRef(scratch, template.SLUG)):
            executor = _Unrecorded(connection)
            planned = executor.migration_plan(executor.loader.graph.leaf_nodes())
            if {(one.app_label, one.name) for one, _ in planned} != set(missing):
                raise NotPlanned("The migrations to be run are not those that are missing.")
            with connection.execute_wrapper(watch):
                executor.migrate(executor.loader.graph.leaf_nodes(), planned)
        transaction.set_rollback(True)
    return written


class _Unrecorded(MigrationExecutor):
    """Runs migrations without a record of it, which is made anew where they are replayed."""

    def record_migration(self, app_label: str, name: str, forward: bool = True) -> None:
        """Leave it out."""

    def check_replacements(self) -> None:
        """Leave it out."""


def _is_plannable(migration: Migration) -> bool:
    """Return whether a migration writes the same statements in every tenant. Must be inside a tenant."""
    if not migration.atomic or migration.replaces:
        return False
    is_of_tenants = router.allow_migrate(connection.alias, migration.app_label)
    return all(_is_plain(one, is_of_tenants=is_of_tenants) for one in migration.operations)


def _is_plain(operation: Operation, *, is_of_tenants: bool) -> bool:
    if isinstance(operation, operations.SeparateDatabaseAndState):
        return all(_is_plain(one, is_of_tenants=is_of_tenants) for one in operation.database_operations)
    if not type(operation).__module__.startswith(("django.db.migrations.", "django.contrib.postgres.")):
        return False
    if not is_of_tenants:
        return True  # it does nothing here
    if isinstance(operation, operations.RunPython):
        return operation.code is operations.RunPython.noop
    if isinstance(operation, operations.RunSQL):
        return all(_first_word(one) in _WRITTEN for one in _sql_of(operation))
    if isinstance(operation, operations.AddField | operations.AlterField):
        return _has_one_default(operation.field)
    return True


def _has_one_default(given: models.Field[Any, Any]) -> bool:
    """Return whether rows get the same default wherever they are: a function may give each tenant its own."""
    return not callable(given.default) or given.default in _CONSTANT or not given.has_default()


def _sql_of(operation: operations.RunSQL) -> Iterator[str]:
    given = operation.sql if isinstance(operation.sql, list | tuple) else [operation.sql]
    for one in given:
        text = one if isinstance(one, str) else one[0]
        yield from connection.ops.prepare_sql_script(text)


def _first_word(statement: str) -> str:
    found = re.match(r"\s*(\w+)", statement)
    return found[1].upper() if found else ""
