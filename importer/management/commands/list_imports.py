"""List a tenant's imports, newest first."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from accounts.command import TenantCommand
from core.command import Result
from importer.models import ImportJob, State
from importer.words import name_of, outcome


class Command(TenantCommand):
    help = "List imports, newest first."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dataset", metavar="SLUG")
        parser.add_argument("--state", choices=State.values)
        parser.add_argument("--limit", type=int, default=50)

    def run_in_tenant(self, **options: Any) -> Result:
        found = ImportJob.objects.select_related("dataset", "created_by", "undoes").order_by("-pk")
        if options["dataset"]:
            found = found.filter(dataset__slug=options["dataset"])
        if options["state"]:
            found = found.filter(state=options["state"])
        imports = list(found[: options["limit"]])
        lines = [
            f"{job.pk}  {job.created_at:%Y-%m-%d %H:%M}  {_place(job)}  {name_of(job)}: {outcome(job)}"
            for job in imports
        ]
        return Result({"imports": [_entry(job) for job in imports]}, lines or ["No imports yet."])


def _place(job: ImportJob) -> str:
    return job.target or job.dataset.slug


def _entry(job: ImportJob) -> dict[str, Any]:
    return {
        "job": job.pk,
        "dataset": None if job.target else job.dataset.slug,
        "target": job.target or None,
        "undoes": job.undoes_id,
        "file": job.file_name,
        "sha256": job.sha256,
        "state": job.state,
        "mode": job.mode,
        "created": job.created_rows,
        "updated": job.updated_rows,
        "unchanged": job.unchanged_rows,
        "rejected": job.rejected_rows,
        "by": str(job.created_by) if job.created_by else None,
        "created_at": job.created_at.isoformat(),
        "ended_at": job.ended_at.isoformat() if job.ended_at else None,
        "error": job.error_code,
    }
