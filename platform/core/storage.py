"""The platform's own store, and what every caller that has no other needs of it: files of the current tenant.

A path is relative to the tenant ("exports/orders/…"), a key is what the storage knows it by
("acme/exports/orders/…"). `core.stores` says what holds for both; a bucket of the tenant's own is a store too.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from django.conf import settings
from django.core.files.storage import FileSystemStorage, default_storage

from core.stores import COPY_BYTES as COPY_BYTES
from core.stores import ForeignKey as ForeignKey
from core.stores import LocalStore as LocalStore
from core.stores import LocalWriter as LocalWriter
from core.stores import StorageChanged as StorageChanged
from core.stores import StorageError as StorageError
from core.stores import Store as Store
from core.stores import Stored as Stored
from core.stores import Writer as Writer
from core.tenancy import current_tenant


def is_local() -> bool:
    """Return whether files lie in a folder of this machine and not on S3."""
    return isinstance(default_storage, FileSystemStorage)


def platform_store() -> Store:
    """Return the store that settings give to every tenant."""
    if is_local():
        return LocalStore(Path(default_storage.path("")))
    from core.s3 import S3Store  # noqa: PLC0415 -- slow import

    return S3Store.of_django(default_storage, link_endpoint=settings.ROWHOUSE_S3_LINK_ENDPOINT)


def store_below(prefix: str) -> Store:
    """Return the platform's store of what belongs to no tenant, below a prefix that no slug can be.

    A slug begins with a letter: behind an underscore no tenant sees what is there, or can remove it.
    """
    assert prefix.startswith("_"), prefix
    if is_local():

        class LocalBelow(LocalStore):
            root = prefix

        return LocalBelow(Path(default_storage.path("")))
    from core.s3 import S3Store  # noqa: PLC0415 -- slow import

    class S3Below(S3Store):
        root = prefix

    return S3Below.of_django(default_storage, link_endpoint=settings.ROWHOUSE_S3_LINK_ENDPOINT)


def key_of(path: str) -> str:
    """Return the key of a path of the current tenant.

    :raises ForeignKey: the path is empty, absolute, or holds `..`, a backslash or a control character.
    """
    return platform_store().key_of(path)


def write(path: str) -> AbstractContextManager[Writer]:
    """Open a file of the current tenant for writing; it appears when the block ends without an exception.

    Memory is bounded by a few parts. A file of the same path is replaced: callers choose unique paths.
    """
    return platform_store().write(path)


def save(path: str, file: BinaryIO) -> Stored:
    """Store a whole file under a path of the current tenant."""
    return platform_store().save(path, file)


def open_read(key: str) -> BinaryIO:
    """Open an object of the current tenant for reading.

    :raises StorageChanged: it is gone.
    """
    return platform_store().open_read(key)


def sha256_of(key: str) -> str:
    """Return the sha256 of an object of the current tenant, by reading it.

    :raises StorageChanged: it is gone.
    """
    return platform_store().sha256_of(key)


def local_copy(key: str, sha256: str, *, known: str = "", store: Store | None = None) -> Path:
    """Return a file of this machine with the object's bytes, downloaded once and checked.

    :param store: where it is, if not in the platform's own.
    :param known: the object's `mark` when its sha256 was taken; a local file that still has it is read in its place.
    :raises StorageChanged: the object is gone or is not the one with this sha256.
    """
    store = store or platform_store()
    store.own(key)
    if known and isinstance(store, LocalStore) and store.mark(key) == known:
        return store.path(key)
    cache = Path(settings.ROWHOUSE_DATA) / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    copy = cache / f"{current_tenant().schema}-{sha256}"
    if copy.exists():
        return copy
    digest = hashlib.sha256()
    with store.open_read(key) as source, tempfile.NamedTemporaryFile(dir=cache, delete=False) as part:
        try:
            while data := source.read(COPY_BYTES):
                digest.update(data)
                part.write(data)
            part.flush()
            if digest.hexdigest() != sha256:
                raise StorageChanged(
                    f"The stored file {PurePosixPath(key).name!r} has changed since its upload. Upload it again."
                )
        except BaseException:
            Path(part.name).unlink(missing_ok=True)
            raise
    Path(part.name).replace(copy)
    return copy


def forget_local_copy(sha256: str) -> None:
    """Remove the cached file of an object that is no longer worked on; one that cannot go costs space alone."""
    with suppress(OSError):
        (Path(settings.ROWHOUSE_DATA) / "cache" / f"{current_tenant().schema}-{sha256}").unlink()


def delete(key: str) -> None:
    """Remove an object of the current tenant; one that is gone already is no error."""
    platform_store().delete(key)


def delete_many(keys: Iterable[str]) -> None:
    """Remove objects of the current tenant; those that are gone already are no error."""
    platform_store().delete_many(keys)


def exists(key: str) -> bool:
    """Return whether an object of the current tenant exists."""
    return platform_store().exists(key)


def size(key: str) -> int:
    """Return an object's size in bytes.

    :raises StorageChanged: it is gone.
    """
    return platform_store().size(key)


def modified_at(key: str) -> datetime:
    """Return when an object of the current tenant was written, by the storage's clock.

    :raises StorageChanged: it is gone.
    """
    return platform_store().modified_at(key)


def mark(key: str) -> str:
    """Return what changes with every writing of an object, without reading it: equal marks mean equal bytes.

    :raises StorageChanged: it is gone.
    """
    return platform_store().mark(key)


def list_keys(path: str = "") -> Iterator[tuple[str, int]]:
    """Yield key and size in bytes of each object of the current tenant below a path, in the key's order."""
    return platform_store().list_keys(path)


def remove_unfinished(*, before: datetime) -> int:
    """Remove what writers that died before a moment have left of unfinished objects; returns how many."""
    return platform_store().remove_unfinished(before=before)
