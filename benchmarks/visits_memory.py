"""What a process holds: its memory, the classes of records that live, and what stands in caches without an end."""

from __future__ import annotations

import gc
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import _lru_cache_wrapper
from pathlib import Path
from typing import Any
from weakref import WeakSet

from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.core.cache import cache
from django.db.models import signals
from django.template import engines
from django.utils.translation import trans_real
from simple_history.models import registered_models

from accounts.sites import tenant_site
from datasets.rows import MODELS, RowBase


@dataclass(slots=True, weakref_slot=True)
class Built:
    """The classes of records, and of their versions, that were built while watched."""

    number: int = 0
    living: WeakSet[type] = field(default_factory=WeakSet)

    def note(self, sender: type, **_: Any) -> None:
        self.number += 1
        self.living.add(sender)

    @property
    def of_records(self) -> list[type]:
        return [one for one in self.living if issubclass(one, RowBase)]


@contextmanager
def watch_classes() -> Iterator[Built]:
    """Note each model class that is built within the block, and hold none of them."""
    built = Built()
    signals.class_prepared.connect(built.note)
    try:
        yield built
    finally:
        signals.class_prepared.disconnect(built.note)


def memory_of(pid: int | str, name: str) -> int:
    """Return a figure of a process's memory in kB; 0 where it may not be read."""
    try:
        found = re.search(
            rf"^{name}:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE
        )
    except OSError:
        return 0
    return int(found[1]) if found else 0


def caches() -> Counter[str]:
    """Return how much is in every cache that lasts as long as the process."""
    found: Counter[str] = Counter()
    for one in gc.get_objects():
        if isinstance(one, _lru_cache_wrapper):
            kind = "unbounded" if one.cache_info().maxsize is None else "bounded"
            found[f"{kind} functools caches"] += one.cache_info().currsize
    found["row models"] = len(MODELS)
    found["schemas of content types"] = len(ContentType.objects._cache)  # type: ignore[attr-defined]
    found["registered models"] = sum(len(models) for models in apps.all_models.values())
    found["pending model operations"] = len(apps._pending_operations)
    found["registered admins"] = len(tenant_site._registry)
    found["models with history"] = len(registered_models)
    found["receivers of class_prepared"] = len(signals.class_prepared.receivers or ())
    found["compiled templates"] = sum(
        len(getattr(loader, "get_template_cache", ()))
        for engine in engines.all()
        for loader in getattr(getattr(engine, "engine", None), "template_loaders", ())
    )
    found["translations"] = len(trans_real._translations)  # type: ignore[attr-defined]
    found["local cache"] = len(getattr(cache, "_cache", ()))
    return found
