"""`doctor`: look at everything the platform needs, and say what to do where it is not well."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from core.command import FAILED, Result, RowhouseCommand
from rowhouse.doctor.examining import examine
from rowhouse.doctor.findings import Level, worst


class Command(RowhouseCommand):
    help = (
        "Look at settings, secrets, database, storage, clocks, names, disk and work; exit 1 when one fails."
    )

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--strict", action="store_true", help="exit 1 for a warning too")

    def run(self, **options: Any) -> Result:
        findings = examine()
        level = worst(findings)
        is_bad = level == Level.FAILURE or (options["strict"] and level == Level.WARNING)
        numbers = {each: sum(one.level == each for one in findings) for each in Level}
        lines = [*map(str, findings), ", ".join(f"{number} {each}" for each, number in numbers.items())]
        data = {"level": level, "findings": [one.as_dict() for one in findings]}
        return Result(data, lines, FAILED if is_bad else 0)
