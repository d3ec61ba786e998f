"""Export datasets now, in the foreground, through the same job as every export."""

from __future__ import annotations

from pathlib import Path
from shutil import copyfileobj
from time import monotonic
from typing import Any

from django.core.management.base import CommandParser

from accounts.command import TenantCommand
from core import storage
from core.command import FAILED, NotAllowed, Result
from core.tenancy import current_tenant
from core.words import count
from datasets.services import dataset_by_slug
from exporter.form import FORMATS, SPREADSHEET
from exporter.models import ExportFile, State
from exporter.services import request_export
from jobs import services as jobs
from jobs.foreground import progress_shown


class Command(TenantCommand):
    help = "Export a tenant's datasets now, all from one snapshot, and wait until the files are stored."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--dataset", action="append", metavar="SLUG", help="repeat for several; default: all"
        )
        parser.add_argument(
            "--format", default="", help=f"one of: {', '.join(FORMATS)}; default: each dataset's settings"
        )
        parser.add_argument(
            "--spreadsheet",
            action="store_true",
            help="CSV for spreadsheet programs: no text is taken for a formula; an import reads it back",
        )
        parser.add_argument("--to", metavar="DIR", type=Path, help="also write the files into this folder")
        parser.add_argument(
            "--as", dest="person", metavar="USER", help="act as this user; default: the platform"
        )

    def run_in_tenant(self, **options: Any) -> Result:
        folder: Path | None = options["to"]
        if folder is not None and folder.exists() and not folder.is_dir():
            raise NotAllowed(f"{folder} is not a folder; give --to a folder.")
        chosen = [dataset_by_slug(slug) for slug in options["dataset"]] if options["dataset"] else None
        by = self.person(options["person"]) if options["person"] else None
        begun = monotonic()
        overrides = {"format": options["format"]} if options["format"] else {}
        if options["spreadsheet"]:
            overrides["mode"] = SPREADSHEET
        run = request_export(by=by, datasets=chosen, overrides=overrides)
        if run.job_id is not None:
            with progress_shown() as tell:
                jobs.run_until_done(run.job_id, on_progress=tell)
        run.refresh_from_db()
        files = list(run.files.order_by("dataset_slug"))
        exports = [_told(file, _copied(file, folder) if folder else None) for file in files]
        data = {
            "run": run.pk,
            "job": run.job_id,
            "tenant": current_tenant().slug,
            "state": run.state,
            "exports": exports,
            "error_code": run.error_code,
            "error": run.error,
            "seconds": round(monotonic() - begun, 3),
        }
        lines = [
            f"{file.key}  {file.rows:,} rows  {file.bytes:,} bytes  sha256 {file.sha256}" for file in files
        ]
        if run.state != State.SUCCEEDED:
            return Result(data, [f"The export ended {run.state}: {run.error}"], FAILED)
        return Result(data, [*lines, f"{count(len(files), 'dataset')} exported in {data['seconds']} s."])


def _told(file: ExportFile, path: Path | None) -> dict[str, Any]:
    told = {
        "tenant": current_tenant().slug,
        "dataset": file.dataset_slug,
        "format": file.format,
        "mode": file.mode,
        "key": file.key,
        "rows": file.rows,
        "bytes": file.bytes,
        "sha256": file.sha256,
    }
    return told | ({"path": str(path)} if path else {})


def _copied(file: ExportFile, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / file.file_name
    with storage.open_read(file.key) as source, copy.open("wb") as target:
        copyfileobj(source, target, 1024 * 1024)
    return copy
