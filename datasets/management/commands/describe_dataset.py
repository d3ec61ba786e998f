from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from accounts.command import TenantCommand
from core.command import Result
from datasets.definition import to_table_schema
from datasets.services import dataset_by_slug


class Command(TenantCommand):
    help = "Show a dataset's definition; with --json as a Table Schema."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("dataset", nargs="?", help="the dataset's slug")
        parser.add_argument("--dataset", dest="slug", help="the same, as an option")

    def run_in_tenant(self, **options: Any) -> Result:
        dataset = dataset_by_slug(options["slug"] or options["dataset"] or "")
        spec = dataset.spec()
        lines = [f"{dataset.title} ({dataset.slug}), definition version {dataset.definition_version}"]
        for column in spec.columns:
            words = ["key"] if column.name in spec.key else []
            words += ["required"] if column.is_required else []
            words += ["unique"] if column.is_unique else []
            target = column.options.target
            to = f" to {target.label} of {target.slug}" if target else ""
            lines.append(f"  {column.label}: {column.type}{to}" + (f" ({', '.join(words)})" if words else ""))
        return Result(to_table_schema(spec), lines)
