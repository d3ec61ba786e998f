from __future__ import annotations

import secrets
from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from accounts.command import TenantCommand
from core.command import NotAllowed, Result
from datasets.lookup import first_keys
from datasets.services import dataset_by_slug
from importer.generation import Order, all_rows
from importer.generation_files import write_csv, write_xlsx

MOST_SHEET_ROWS = 1_048_575
SEEDS = 1 << 31
MOST_KEYS = 10_000  # that references are drawn from


class Command(TenantCommand):
    help = "Make a file of fake rows that fit a dataset, with a share of faulty ones if wanted."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dataset", required=True, metavar="SLUG")
        parser.add_argument("--rows", required=True, type=_count, metavar="N")
        parser.add_argument(
            "--errors",
            type=_share,
            default=0.0,
            metavar="SHARE",
            help="faulty rows, from 0 to 1; 0.01 is 1 %%",
        )
        parser.add_argument("--seed", type=int, help="the same seed makes the same file; told when left out")
        parser.add_argument("--to", required=True, type=Path, metavar="FILE", help="ends in .csv or .xlsx")

    def run_in_tenant(self, **options: Any) -> Result:
        path, rows, seed = options["to"], options["rows"], options["seed"]
        is_workbook = _is_workbook(path, rows)
        seed = secrets.randbelow(SEEDS) if seed is None else seed
        spec = dataset_by_slug(options["dataset"]).spec()
        order = Order(rows, round(rows * options["errors"]), seed, is_workbook)
        keys = {column.name: first_keys(column, MOST_KEYS) for column, _ in spec.references}
        made = all_rows(spec, order, keys)
        part = path.with_name(path.name + ".part")
        try:
            planted = write_xlsx(part, spec, made) if is_workbook else write_csv(part, made)
            part.replace(path)
        except OSError as error:
            raise NotAllowed(f"{path} cannot be written: {error.strerror}.") from error
        finally:
            part.unlink(missing_ok=True)
        counts = dict(sorted(planted.items()))
        data = {"file": str(path), "rows": rows, "faulty": order.faulty, "seed": seed, "planted": counts}
        lines = [f"{path}: {rows:,} rows, {order.faulty:,} of them faulty (seed {seed})."]
        return Result(data, lines + [f"  {code}: {count:,}" for code, count in counts.items()])


def _is_workbook(path: Path, rows: int) -> bool:
    ending = path.suffix.lower()
    if ending not in (".csv", ".xlsx"):
        raise NotAllowed(f"{path.name!r} ends neither in .csv nor in .xlsx. Name the file so.")
    if ending == ".xlsx" and rows > MOST_SHEET_ROWS:
        raise NotAllowed(
            f"A sheet holds at most {MOST_SHEET_ROWS:,} rows below its header. Ask for a .csv file."
        )
    return ending == ".xlsx"


def _count(text: str) -> int:
    if not text.isdecimal():
        raise ArgumentTypeError("a whole number, 0 or more")
    return int(text)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ArgumentTypeError("a number from 0 to 1")
    return share
