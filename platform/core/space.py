"""What takes space in a tenant, told by the apps that put it there.

An app says on its AppConfig who knows: `space_used = "importer.space.used"`, a function that returns the `Use` of
the current tenant, and `stored_keys = "importer.space.stored_keys"`, one that returns the object keys its rows
know, each with the slug of its dataset ("" without one).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.utils.module_loading import import_string


@dataclass(frozen=True, slots=True)
class Use:
    """Space of one kind (exports, uploads, records, history, staged rows). `files`: 0 for what is no file."""

    kind: str
    dataset: str  # its slug; empty: of none
    files: int
    bytes: int


def used() -> list[Use]:
    """Return what the current tenant takes, as its rows and tables say, by kind and dataset."""
    found: list[Use] = []
    for tell in _told("space_used"):
        found.extend(tell())
    return sorted(found, key=lambda use: (use.kind, use.dataset))


def used_bytes(limit: int) -> int:
    """Return what the current tenant takes in all, for its limit."""
    return sum(use.bytes for use in used())


def stored_keys() -> dict[str, str]:
    """Return every key that a row of the current tenant knows, with the slug of its dataset."""
    found: dict[str, str] = {}
    for tell in _told("stored_keys"):
        found.update(tell())
    return found


def _told(attribute: str) -> list[Callable[[], Any]]:
    paths = [getattr(config, attribute, "") for config in apps.get_app_configs()]
    return [import_string(path) for path in paths if path]
