"""What a look at the installation found. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Level(StrEnum):
    """How bad it is: with a warning everything works today, with a failure something does not."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, how it stands, and what to do about it unless it is well."""

    check: str
    level: Level
    message: str
    advice: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.level:<7}  {self.check}: {self.message}" + (f" {self.advice}" if self.advice else "")


def well(check: str, message: str) -> Finding:
    """Return a line that needs nobody."""
    return Finding(check, Level.OK, message)


def warning(check: str, message: str, advice: str) -> Finding:
    """Return a line about what works today and should not stay so."""
    return Finding(check, Level.WARNING, message, advice)


def failure(check: str, message: str, advice: str) -> Finding:
    """Return a line about what does not work."""
    return Finding(check, Level.FAILURE, message, advice)


def worst(findings: Iterable[Finding]) -> Level:
    """Return the worst of the levels; of no findings, that all is well."""
    levels = {one.level for one in findings}
    return next((level for level in (Level.FAILURE, Level.WARNING) if level in levels), Level.OK)
