from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from accounts.command import TenantCommand
from core.command import NotAllowed, Result
from datasets import access
from datasets.comparing import compare
from datasets.definition import from_table_schema, read_json, to_table_schema
from datasets.services import dataset_by_slug
from datasets.spec import DatasetSpec


class Command(TenantCommand):
    help = "Show a dataset's definition; with --json as a Table Schema."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("dataset", nargs="?", help="the dataset's slug")
        parser.add_argument("--dataset", dest="slug", help="the same, as an option")
        parser.add_argument(
            "--as",
            dest="person",
            metavar="USER",
            help="as this user sees it: without what is hidden from them",
        )
        parser.add_argument(
            "--compare", metavar="JSON", type=Path, help="say instead how a Table Schema differs from it"
        )

    def run_in_tenant(self, **options: Any) -> Result:
        dataset = dataset_by_slug(options["slug"] or options["dataset"] or "")
        by = self.person(options["person"]) if options["person"] else None
        if by is not None and not by.has_perm("datasets.view_dataset"):
            access.require(by, "view", dataset)
        seen = access.seen_by(by, dataset)
        spec, editable = seen.spec, seen.editable
        if options["compare"]:
            return _compared(spec, options["compare"])
        lines = [f"{dataset.title} ({dataset.slug}), definition version {dataset.definition_version}"]
        for column in spec.columns:
            words = ["key"] if column.name in spec.key else []
            words += ["required"] if column.is_required else []
            words += ["unique"] if column.is_unique else []
            words += [] if column.name in editable else ["read-only"]
            target = column.options.target
            to = f" to {target.label} of {target.slug}" if target else ""
            lines.append(f"  {column.label}: {column.type}{to}" + (f" ({', '.join(words)})" if words else ""))
        return Result(to_table_schema(spec), lines)


def _compared(spec: DatasetSpec, path: Path) -> Result:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise NotAllowed(f"{path} cannot be read: {error.strerror}.") from error
    found = compare(spec, from_table_schema(read_json(data)))
    lines = [one.sentence for one in found] or ["No difference."]
    return Result({"dataset": spec.slug, "differences": [asdict(one) for one in found]}, lines)
