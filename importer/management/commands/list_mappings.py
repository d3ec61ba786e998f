"""List the saved mappings of a dataset."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from accounts.command import TenantCommand
from core.command import Result
from datasets.services import dataset_by_slug
from importer import saved_mappings


class Command(TenantCommand):
    help = "List a dataset's saved mappings."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dataset", required=True, metavar="SLUG")

    def run_in_tenant(self, **options: Any) -> Result:
        versions = saved_mappings.newest(dataset_by_slug(options["dataset"]))
        entries = [
            {"name": version.saved.name, "version": version.number, "at": version.at.isoformat()}
            for version in versions
        ]
        lines = [
            f"{version.saved.name}: version {version.number} of {version.at:%Y-%m-%d %H:%M}"
            for version in versions
        ]
        return Result({"mappings": entries}, lines or ["No saved mappings yet."])
