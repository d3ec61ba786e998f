"""Say what a tenant's files take, and whether storage and rows know the same ones."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandParser

from accounts.command import TenantCommand
from core.clock import now
from core.command import FAILED, NotAllowed, Result
from core.words import count
from exporter.space import Check, check_storage, storage_usage


class Command(TenantCommand):
    also_suspended = True
    help = "List the space a tenant's files take, by kind and dataset, as the storage itself lists it."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--check", action="store_true", help="find objects without a row, and rows without an object"
        )
        parser.add_argument(
            "--mend",
            action="store_true",
            help="with --check: remove the objects older than a day, mark the rows",
        )

    def run_in_tenant(self, **options: Any) -> Result:
        if options["mend"] and not options["check"]:
            raise NotAllowed("--mend goes with --check.")
        check = check_storage(now=now(), mend=options["mend"]) if options["check"] else None
        usage = storage_usage()
        total = sum(one.bytes for one in usage)
        lines = [
            f"{one.kind}{'/' if one.dataset else ''}{one.dataset}  {one.files:,} files  {one.bytes:,} bytes"
            for one in usage
        ]
        data: dict[str, Any] = {
            "usage": [asdict(one) for one in usage],
            "files": sum(one.files for one in usage),
            "bytes": total,
        }
        lines.append(f"{total:,} bytes in all.")
        if check is None:
            return Result(data, lines)
        data["check"] = {
            "objects": check.objects,
            "orphans": [{"key": key, "bytes": size} for key, size in check.orphans],
            "young": check.young,
            "missing": [file.key for file in check.missing],
            "missing_manifests": check.missing_manifests,
            "is_mended": check.is_mended,
        }
        found = check.orphans or check.missing or check.missing_manifests
        return Result(data, [*lines, *_told(check)], FAILED if found and not check.is_mended else 0)


def _told(check: Check) -> list[str]:
    verb = "removed" if check.is_mended else "no row knows it"
    lines = [f"{key}  {size:,} bytes  {verb}" for key, size in check.orphans]
    lines += [f"{file.key} is missing{', marked so' if check.is_mended else ''}." for file in check.missing]
    lines += [f"{key} is missing." for key in check.missing_manifests]
    ends = f"{count(check.objects, 'object')} looked at: {count(len(check.orphans), 'orphan')}, "
    return [*lines, ends + f"{count(len(check.missing) + len(check.missing_manifests), 'missing file')}."]
