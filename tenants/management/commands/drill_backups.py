from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from core.clock import now
from core.command import FAILED, Result, RowhouseCommand
from core.words import count
from jobs import services as jobs
from tenants.backup.models import TenantBackup
from tenants.backup.services import request_drills
from tenants.management.commands.backup_tenant import told


class Command(RowhouseCommand):
    help = "Restore the backup whose trial is due, or --all tenants' newest, where nobody sees it; beside workers too."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--all", action="store_true", help="the newest backup of every tenant, due or not"
        )

    def run(self, **options: Any) -> Result:
        asked = request_drills(now=now(), everyone=options["all"], by="command line")
        for backup, job_id in asked:
            jobs.run_until_done(job_id)
            backup.refresh_from_db()
        backups = [backup for backup, _ in asked]
        bad = [one for one in backups if one.verdict != TenantBackup.Verdict.GOOD]
        lines = [f"Backup {one.pk} of {one.tenant.slug} was not restored: {one.findings}" for one in bad]
        lines.append(f"{count(len(backups) - len(bad), 'backup')} restored on trial, {len(bad)} not.")
        data = {"drilled": [told(one) for one in backups], "bad": [one.tenant.slug for one in bad]}
        return Result(data, lines if backups else ["No trial is due."], FAILED if bad else 0)
