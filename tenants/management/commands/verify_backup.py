from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from core.command import FAILED, Result, RowhouseCommand
from core.words import count
from tenants.backup.services import find_backup, verify_backup


class Command(RowhouseCommand):
    help = (
        "Restore a backup where nobody sees it, compare every row and sequence with it, and take that back."
    )

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("backup", metavar="BACKUP", help="a file, or the number of a stored backup")

    def run(self, **options: Any) -> Result:
        verified = verify_backup(found=find_backup(options["backup"]), by="command line")
        contents = verified.contents
        data = {
            "tenant": contents.about["tenant"]["slug"],
            "taken_at": contents.about["taken_at"],
            "rows": contents.rows,
            "tables": len(contents.tables),
            "sha256": contents.sha256,
            "findings": verified.findings,
        }
        good = f"{count(contents.rows, 'row')} in {count(len(contents.tables), 'table')} restored, all as they were."
        return Result(data, verified.findings or [good], FAILED if verified.findings else 0)
