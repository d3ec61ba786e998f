from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from core.command import FAILED, NotAllowed, Result, RowhouseCommand
from core.words import count
from jobs import services as jobs
from tenants.backup.models import TenantBackup
from tenants.backup.services import back_up_to_file, request_backup
from tenants.services import get_tenant


class Command(RowhouseCommand):
    help = "Back up one tenant, all of it from one moment: to a file, or into the platform's storage."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", metavar="SLUG")
        parser.add_argument(
            "--to", default="", metavar="PATH", help="a file; left out: the platform's storage"
        )

    def run(self, **options: Any) -> Result:
        tenant = get_tenant(options["slug"])
        if options["to"]:
            path = Path(options["to"])
            if path.is_dir():
                raise NotAllowed(f"{path} is a folder. Name the file to write.")
            try:
                backup = back_up_to_file(tenant=tenant, path=path, by="command line")
            except OSError as error:
                raise NotAllowed(f"{path} cannot be written: {error.strerror}.") from error
        else:
            backup = request_backup(tenant=tenant, by="command line")
            jobs.run_until_done(backup.job_id or 0)
            backup.refresh_from_db()
        return Result(told(backup), lines(backup), 0 if backup.is_kept else FAILED)


def told(backup: TenantBackup) -> dict[str, Any]:
    """Return a backup as scripts read it."""
    return {
        "backup": backup.pk,
        "tenant": backup.tenant.slug,
        "state": backup.state,
        "place": backup.path or backup.key,
        "rows": backup.rows,
        "tables": backup.tables,
        "bytes": backup.bytes,
        "sha256": backup.sha256,
        "encrypted": backup.is_sealed,
        "taken_at": backup.taken_at,
        "verified_at": backup.verified_at,
        "verdict": backup.verdict,
        "error_code": backup.error_code,
        "error": backup.error,
    }


def lines(backup: TenantBackup) -> list[str]:
    """Return a backup as people read it."""
    if not backup.is_kept:
        return [f"Backup {backup.pk} failed[{backup.error_code}]: {backup.error}"]
    sealed = "encrypted" if backup.is_sealed else "not encrypted: set ROWHOUSE_BACKUP_KEYS"
    return [
        f"Backup {backup.pk} of {backup.tenant.slug}: {count(backup.rows, 'row')} in {count(backup.tables, 'table')},"
        f" {backup.bytes:,} bytes, {sealed}.",
        backup.path or backup.key,
    ]
