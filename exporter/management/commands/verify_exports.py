"""Prove that the stored exports are what the history says."""

from __future__ import annotations

from typing import Any

from accounts.command import TenantCommand
from core.clock import now
from core.command import DONE, FAILED, Result
from core.words import count
from exporter.services import verify_exports


class Command(TenantCommand):
    help = "Compare size and sha256 of every stored export of a tenant with its row; exits 1 if one differs."

    def run_in_tenant(self, **options: Any) -> Result:
        files = verify_exports(now=now())
        faults = [{"key": file.key, "fault": str(file.fault)} for file in files if file.fault]
        lines = [f"{fault['key']} is {fault['fault'].lower()}." for fault in faults]
        lines.append(f"{count(len(files), 'file')} checked, {len(faults)} missing or altered.")
        data = {"checked": len(files), "faults": faults, "bytes": sum(file.bytes for file in files)}
        return Result(data, lines, FAILED if faults else DONE)
