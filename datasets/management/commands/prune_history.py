"""Remove the versions of records that are past their dataset's retention."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from accounts.command import TenantCommand
from core.clock import now
from core.command import Result
from core.words import count
from datasets import pruning
from datasets.models import Dataset
from datasets.services import dataset_by_slug


class Command(TenantCommand):
    help = "Remove versions of records past their dataset's retention; never the last one of a record that is there."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dataset", metavar="SLUG", help="this one alone")
        parser.add_argument("--dry-run", action="store_true", help="only say how many would be removed")

    def run_in_tenant(self, **options: Any) -> Result:
        dry_run: bool = options["dry_run"]
        kept = Dataset.objects.filter(history_days__isnull=False).order_by("slug")
        datasets = [dataset_by_slug(options["dataset"])] if options["dataset"] else list(kept)
        found: list[dict[str, Any]] = []
        lines = []
        for dataset in datasets:
            removed = _prune(dataset, dry_run=dry_run)
            days = dataset.history_days
            found.append({"dataset": dataset.slug, "keep_days": days, "removed": removed})
            verb = "would be removed" if dry_run else "removed"
            lines.append(
                f"{dataset.slug}: history is kept for ever."
                if days is None
                else f"{dataset.slug}: {count(removed, 'version')} older than {days} days {verb}."
            )
        return Result(
            {"dry_run": dry_run, "datasets": found},
            lines or ["No dataset here limits how long history is kept."],
        )


def _prune(dataset: Dataset, *, dry_run: bool) -> int:
    before = pruning.cutoff_of(dataset, now())
    if before is None:
        return 0
    if dry_run:
        return pruning.count_old(dataset, before)
    return pruning.prune_now(dataset=dataset, before=before)
