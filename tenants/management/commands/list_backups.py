from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from core.command import Result, RowhouseCommand
from tenants.backup.models import TenantBackup
from tenants.management.commands.backup_tenant import told


class Command(RowhouseCommand):
    help = "List the backups of tenants, the newest first."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", metavar="SLUG", help="only of this tenant")
        parser.add_argument("--limit", type=int, default=100, help="at most so many (default 100)")

    def run(self, **options: Any) -> Result:
        backups = TenantBackup.objects.select_related("tenant")
        if options["tenant"]:
            backups = backups.filter(tenant__slug=options["tenant"])
        found = list(backups[: options["limit"]])
        lines = [
            f"{one.pk}  {one.tenant.slug}  {one.created_at:%Y-%m-%d %H:%M} UTC  {_state(one)}"
            f"  {one.rows:,} rows  {one.bytes:,} bytes  {one.verdict or 'not tried'}"
            for one in found
        ]
        data = [{**told(one), "trigger": one.trigger, "removed_at": one.deleted_at} for one in found]
        return Result(
            {"backups": data}, lines or ["No backups yet. `rowhouse backup_tenant SLUG` takes one."]
        )


def _state(backup: TenantBackup) -> str:
    return "REMOVED" if backup.deleted_at else str(backup.state)
