from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from core.command import NotAllowed, Result, RowhouseCommand
from core.words import count
from rowhouse.bundle.writing import export_bundle
from tenants.services import get_tenant


class Command(RowhouseCommand):
    help = "Write one tenant in open formats (CSV, Table Schema, JSON) into a zip, to leave with or begin elsewhere."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", required=True, metavar="SLUG")
        parser.add_argument("--to", required=True, metavar="PATH", help="the zip to write")

    def run(self, **options: Any) -> Result:
        path = Path(options["to"])
        if path.is_dir():
            raise NotAllowed(f"{path} is a folder. Name the file to write.")
        try:
            manifest = export_bundle(tenant=get_tenant(options["tenant"]), path=path)
        except OSError as error:
            raise NotAllowed(f"{path} cannot be written: {error.strerror}.") from error
        datasets = [one["slug"] for one in manifest["rowhouse:datasets"]]
        data = {
            "tenant": manifest["name"],
            "path": str(path),
            "bytes": path.stat().st_size,
            "taken_at": manifest["rowhouse:taken_at"],
            "datasets": datasets,
            "parts": [{"path": one["path"], "hash": one["hash"]} for one in manifest["resources"]],
        }
        return Result(data, [f"{path}: {count(len(datasets), 'dataset')}, {data['bytes']:,} bytes."])
