"""List a tenant's export files."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from accounts.command import TenantCommand
from core.command import Result
from exporter.models import ExportFile, ExportRun, State


class Command(TenantCommand):
    help = "List a tenant's export files, the newest first, and the runs that failed."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dataset", metavar="SLUG", help="only of this dataset")
        parser.add_argument("--limit", type=int, default=100, help="at most so many (default 100)")

    def run_in_tenant(self, **options: Any) -> Result:
        files = ExportFile.objects.select_related("run")
        if options["dataset"]:
            files = files.filter(dataset_slug=options["dataset"])
        exports = [_told(file) for file in files[: options["limit"]]]
        failed = ExportRun.objects.filter(state=State.FAILED)[: options["limit"]]
        failures = [
            {"run": run.pk, "at": run.named_at.isoformat(), "error_code": run.error_code, "error": run.error}
            for run in failed
        ]
        lines = [
            f"{one['key']}  {one['rows']:,} rows  {one['bytes']:,} bytes  {one['state']}" for one in exports
        ]
        lines += [
            f"run {one['run']} of {one['at']} failed[{one['error_code']}]: {one['error']}" for one in failures
        ]
        return Result({"exports": exports, "failed_runs": failures}, lines or ["No exports yet."])


def _told(file: ExportFile) -> dict[str, Any]:
    return {
        "file": file.pk,
        "run": file.run_id,
        "dataset": file.dataset_slug,
        "key": file.key,
        "rows": file.rows,
        "bytes": file.bytes,
        "sha256": file.sha256,
        "mode": file.mode,
        "trigger": file.run.trigger,
        "created_at": file.created_at.isoformat(),
        "state": "PRUNED" if file.is_pruned else file.fault or "STORED",
    }
