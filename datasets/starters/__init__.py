"""Definitions to begin a dataset with: Table Schema JSON files beside this module, one for each template. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from datasets.definition import Definition, from_table_schema

FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Starter:
    """One template: its name in addresses, what it is good for, and the definition."""

    name: str
    description: str
    definition: Definition


@cache
def starters() -> tuple[Starter, ...]:
    """Return the templates that come with the product, by title."""
    found = []
    for path in FOLDER.glob("*.json"):
        schema = json.loads(path.read_text(encoding="utf-8"))
        found.append(Starter(path.stem, schema["description"], from_table_schema(schema)))
    return tuple(sorted(found, key=lambda starter: starter.definition.title))
