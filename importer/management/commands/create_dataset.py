from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from accounts.command import TenantCommand
from core.command import NotAllowed, Result
from datasets.definition import from_table_schema, read_json, to_table_schema
from datasets.rules import NewCheck, NewColumn
from datasets.services import create_dataset, infer_definition
from importer.tables import open_table


class Command(TenantCommand):
    help = "Create a dataset from the columns of a CSV file or a workbook, or from a Table Schema."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--name", metavar="TITLE", help="the dataset's title")
        parser.add_argument("--slug", help="how commands and files name it; made of the title if left out")
        source = parser.add_mutually_exclusive_group(required=True)
        source.add_argument(
            "--infer", metavar="FILE", type=Path, help="a CSV file or a workbook with the columns"
        )
        source.add_argument("--definition", metavar="JSON", type=Path, help="a Table Schema (Frictionless)")
        parser.add_argument(
            "--key", action="append", default=[], metavar="LABEL", help="a key column; once for each"
        )
        parser.add_argument("--as", dest="person", metavar="EMAIL", help="who does it; an owner if left out")

    def run_in_tenant(self, **options: Any) -> Result:
        by = self.person(options["person"])
        title, slug, key = options["name"], options["slug"], options["key"]
        if options["infer"]:
            if not title:
                raise NotAllowed("Give the dataset a title with --name.")
            columns, key = _inferred(options["infer"], key)
            checks: tuple[NewCheck, ...] = ()
        else:
            stated = from_table_schema(_read_json(options["definition"]))
            columns, key, checks = list(stated.columns), key or list(stated.key), stated.checks
            title, slug = title or stated.title, slug or stated.slug
        dataset = create_dataset(title=title, slug=slug, columns=columns, key=key, checks=checks, by=by)
        spec = dataset.spec()
        lines = [f"Dataset “{dataset.title}” ({dataset.slug}) with {len(spec.columns)} columns."]
        lines += [f"  {column.label}: {column.type}" for column in spec.columns]
        lines.append(f"Key: {', '.join(key) or 'none: files can only add records'}.")
        data = {"dataset": dataset.slug, "key": list(key), "definition": to_table_schema(spec)}
        return Result(data, lines)


def _inferred(path: Path, key: list[str]) -> tuple[list[NewColumn], list[str]]:
    try:
        with open_table(path) as table:
            columns, found = infer_definition(table.labels, table.rows, key=key)
            return list(columns), list(found)
    except OSError as error:
        raise NotAllowed(f"{path} cannot be read: {error.strerror}.") from error


def _read_json(path: Path) -> object:
    try:
        return read_json(path.read_bytes())
    except OSError as error:
        raise NotAllowed(f"{path} cannot be read: {error.strerror}.") from error
