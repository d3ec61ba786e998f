"""Where backups lie: in the platform's store, under a prefix no tenant's can be.

A slug begins with a letter, so no tenant has the prefix, sees what is in it, or can remove it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from django.conf import settings
from django.core.files.storage import default_storage

from core.storage import is_local
from core.stores import LocalStore, Store

PREFIX = "_backups"


class LocalBackups(LocalStore):
    """The platform's own folder of this machine."""

    @property
    def root(self) -> str:
        return PREFIX


def backup_store() -> Store:
    """Return the store of backups; unlike every other it belongs to no tenant."""
    if is_local():
        return LocalBackups(Path(default_storage.path("")))
    from core.s3 import S3Store  # noqa: PLC0415 -- slow import

    class S3Backups(S3Store):
        """The platform's own bucket."""

        @property
        def root(self) -> str:
            return PREFIX

    return S3Backups.of_django(default_storage, link_endpoint=settings.ROWHOUSE_S3_LINK_ENDPOINT)


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
