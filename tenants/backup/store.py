"""Where backups lie: in the platform's store, under a prefix no tenant's can be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from core.storage import store_below
from core.stores import Store

PREFIX = "_backups"


def backup_store() -> Store:
    """Return the store of backups; unlike every other it belongs to no tenant."""
    return store_below(PREFIX)


@contextmanager
def opened(key: str) -> Iterator[BinaryIO]:
    """Open a stored backup for reading.

    :raises StorageChanged: it is gone.
    """
    source = backup_store().open_read(key)
    try:
        yield source
    finally:
        source.close()
