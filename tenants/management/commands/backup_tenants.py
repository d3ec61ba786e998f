from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from core.clock import now
from core.command import FAILED, Result, RowhouseCommand
from core.words import count
from jobs import services as jobs
from tenants.backup.services import request_backups
from tenants.management.commands.backup_tenant import lines, told


class Command(RowhouseCommand):
    help = (
        "Back up every tenant that is due, or all, into the platform's storage, and wait; beside workers too."
    )

    def arguments(self, parser: CommandParser) -> None:
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--due", action="store_true", help="those whose interval is over (as if left out)")
        which.add_argument("--all", action="store_true", help="every active or suspended tenant")

    def run(self, **options: Any) -> Result:
        backups = request_backups(now=now(), everyone=options["all"], by="command line")
        for backup in backups:
            jobs.run_until_done(backup.job_id or 0)
            backup.refresh_from_db()
        failed = [one for one in backups if not one.is_kept]
        said = [line for one in failed for line in lines(one)]
        said.append(f"{count(len(backups) - len(failed), 'backup')} taken, {len(failed)} failed.")
        data = {"backups": [told(one) for one in backups], "failed": [one.tenant.slug for one in failed]}
        return Result(data, said if backups else ["No tenant is due."], FAILED if failed else 0)
