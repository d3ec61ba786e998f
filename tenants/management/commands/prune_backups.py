from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from core.clock import now
from core.command import Result, RowhouseCommand
from core.words import count
from tenants.backup.services import prune_backups


class Command(RowhouseCommand):
    help = "Remove stored backups that are past their time; never the newest good one of a tenant."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")

    def run(self, **options: Any) -> Result:
        dry_run: bool = options["dry_run"]
        gone = prune_backups(now=now(), dry_run=dry_run, by="command line")
        keys = [one.key for one in gone.backups]
        verb = "would be removed" if dry_run else "removed"
        return Result(
            {"dry_run": dry_run, "pruned": keys, "strays": gone.strays, "bytes": gone.bytes},
            [
                *keys,
                *gone.strays,
                f"{count(len(keys) + len(gone.strays), 'object')} {verb}, {gone.bytes:,} bytes.",
            ],
        )
