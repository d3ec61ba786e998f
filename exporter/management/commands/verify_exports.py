"""Prove that the stored exports are what the history says."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandParser

from accounts.command import TenantCommand
from core.clock import now
from core.command import DONE, FAILED, Result
from core.words import count
from exporter.services import verify_exports
from exporter.verifying import Finding, verify_manifests, verify_rows

WORDS = {
    "MISSING": "missing",
    "ALTERED": "altered",
    "DIFFERENT": "not what the rows say",
    "ROWS": "not as many records as its row says",
}


class Command(TenantCommand):
    also_suspended = True
    help = (
        "Prove a tenant's stored exports, their rows and the runs' manifests against each other;"
        " exits 1 if one differs."
    )

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--deep", action="store_true", help="also read every CSV file and count its records"
        )

    def run_in_tenant(self, **options: Any) -> Result:
        files = verify_exports(now=now())
        found = [Finding(file.key, str(file.fault)) for file in files if file.fault]
        manifests, wrong = verify_manifests()
        found += wrong
        if options["deep"]:
            found += verify_rows(files)
        lines = [f"{one.key} is {WORDS[one.fault]}." for one in found]
        lines.append(
            f"{count(len(files), 'file')} and {count(manifests, 'manifest')} checked, {len(found)} missing or altered."
        )
        data = {
            "checked": len(files),
            "manifests": manifests,
            "faults": [asdict(one) for one in found],
            "bytes": sum(file.bytes for file in files),
            "deep": options["deep"],
        }
        return Result(data, lines, FAILED if found else DONE)
