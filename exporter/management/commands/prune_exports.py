"""Remove the exports that are past their time."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from accounts.command import TenantCommand
from core.clock import now
from core.command import Result
from exporter.pruning import policy, prune_exports


class Command(TenantCommand):
    help = "Remove a tenant's exports that are past the limits of age and count; never a dataset's newest good one."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")

    def run_in_tenant(self, **options: Any) -> Result:
        dry_run: bool = options["dry_run"]
        gone = prune_exports(now=now(), dry_run=dry_run)
        keep = policy()
        data = {
            "dry_run": dry_run,
            "keep_days": keep.keep_days,
            "keep_count": keep.keep_count,
            "pruned": [file.key for file in gone],
            "bytes": sum(file.bytes for file in gone),
        }
        verb = "would be removed" if dry_run else "removed"
        return Result(
            data, [*(file.key for file in gone), f"{len(gone)} files {verb}, {data['bytes']:,} bytes."]
        )
