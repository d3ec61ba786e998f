"""Say what a tenant's files take."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from accounts.command import TenantCommand
from core.command import Result
from exporter.services import storage_usage


class Command(TenantCommand):
    help = "List the space a tenant's files take, by kind and dataset, as the storage itself lists it."

    def run_in_tenant(self, **options: Any) -> Result:
        usage = storage_usage()
        total = sum(one.bytes for one in usage)
        lines = [
            f"{one.kind}{'/' if one.dataset else ''}{one.dataset}  {one.files:,} files  {one.bytes:,} bytes"
            for one in usage
        ]
        data = {
            "usage": [asdict(one) for one in usage],
            "files": sum(one.files for one in usage),
            "bytes": total,
        }
        return Result(data, [*lines, f"{total:,} bytes in all."])
