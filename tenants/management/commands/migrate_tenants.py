from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from core.command import FAILED, Result, RowhouseCommand
from core.tenancy import in_tenant
from core.words import count
from tenants.migrating import migrate
from tenants.models import Tenant
from tenants.services import migrate_schema


class Command(RowhouseCommand):
    help = "Migrate the platform's own schema, then every tenant's. --check only says what is behind."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--check", action="store_true", help="change nothing; exit 1 when a schema is behind"
        )

    def run(self, **options: Any) -> Result:
        if options["check"]:
            return self._check()
        migrate()
        outcomes = [{"schema": "public", "tenant": "", "outcome": "migrated"}]
        for tenant in self._tenants():
            migrate_schema(tenant.ref)
            outcomes.append({"schema": tenant.schema_name, "tenant": tenant.slug, "outcome": "migrated"})
        return Result({"schemas": outcomes}, [f"{count(len(outcomes), 'schema')} migrated."])

    def _check(self) -> Result:
        behind = [] if self._is_current() else ["public"]
        if not behind:
            for tenant in self._tenants():
                with in_tenant(tenant.ref):
                    if not self._is_current():
                        behind.append(tenant.slug)
        lines = [f"{name} is behind. Run `rowhouse migrate_tenants`." for name in behind]
        return Result({"behind": behind}, lines or ["Every schema is up to date."], FAILED if behind else 0)

    def _tenants(self) -> list[Tenant]:
        states = [Tenant.State.ACTIVE, Tenant.State.SUSPENDED]
        return list(Tenant.objects.filter(state__in=states).order_by("pk"))

    def _is_current(self) -> bool:
        executor = MigrationExecutor(connection)
        return not executor.migration_plan(executor.loader.graph.leaf_nodes())
