"""What a store is: objects of the current tenant under its own prefix, on a folder here or on S3 (`core.s3`).

A path is relative to the tenant ("exports/orders/…"), a key is what the store knows it by
("acme/exports/orders/…", in a bucket of the tenant's own "<base>/acme/exports/orders/…"). Keys come from our own
rows; any that points outside the current tenant's prefix is refused. An object appears whole or not at all.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import BinaryIO, ClassVar

from django.core.exceptions import SuspiciousFileOperation

from core.errors import RowhouseError
from core.tenancy import current_tenant

COPY_BYTES = 1024 * 1024
UNFINISHED = ".part-"


class StorageChanged(RowhouseError):
    """An object is not the one that was stored: its sha256 differs, or it is gone."""

    code = "file-changed"


class StorageError(RowhouseError):
    """A store does not do what it is asked. It may tomorrow: background work tries again by its rules."""

    code = "storage-failed"
    status = 503
    is_passing = True


class ForeignKey(SuspiciousFileOperation):
    """A key points outside the current tenant's prefix."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An object that is in a store; `sha256` in hexadecimal."""

    key: str
    bytes: int
    sha256: str


def checked_path(path: str) -> str:
    """Return a path that stays below whatever it is put behind.

    :raises ForeignKey: the path is empty, absolute, or holds `..`, a backslash or a control character.
    """
    parts = path.split("/")
    if any(part in {"", ".", ".."} for part in parts) or "\\" in path or not path.isprintable():
        raise ForeignKey(f"not a path inside a tenant: {path!r}")
    return path


class Writer(ABC):
    """A file being written; `finish` makes it appear, `abort` leaves nothing behind."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.bytes = 0
        self._hash = hashlib.sha256()

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    @property
    def stored(self) -> Stored:
        return Stored(self.key, self.bytes, self.sha256)

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        self.bytes += len(data)
        self._send(data)
        return len(data)

    @abstractmethod
    def _send(self, data: bytes) -> None: ...

    @abstractmethod
    def finish(self) -> None: ...

    @abstractmethod
    def abort(self) -> None: ...


class LocalWriter(Writer):
    """Writes beside the target and renames: readers see the old file or the new one, never half of one."""

    def __init__(self, key: str, target: Path) -> None:
        super().__init__(key)
        self.target = target
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=UNFINISHED, dir=target.parent)
        self._part = Path(name)
        self._file = os.fdopen(handle, "wb")

    def _send(self, data: bytes) -> None:
        self._file.write(data)

    def finish(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._part.chmod(0o640)
        self._part.replace(self.target)

    def abort(self) -> None:
        try:
            self._file.close()  # writes what is left, and fails again where the disk is full
        finally:
            self._part.unlink(missing_ok=True)


class Store(ABC):
    """Objects of whichever tenant is bound when a method is called.

    `base` comes before the tenant's slug; it is empty in the platform's own storage.
    Every method that takes a key raises ForeignKey for one outside of the current tenant's prefix.
    """

    abort_errors: ClassVar[tuple[type[Exception], ...]] = (OSError, StorageError)

    def __init__(self, base: str = "") -> None:
        self.base = checked_path(base) if base else ""

    @property
    def root(self) -> str:
        """What every key of the current tenant begins with, before a slash.

        :raises NoTenant: there is none.
        """
        slug = current_tenant().slug
        return f"{self.base}/{slug}" if self.base else slug

    def key_of(self, path: str) -> str:
        """Return the key of a path of the current tenant.

        :raises ForeignKey: it is not a path inside a tenant.
        """
        return f"{self.root}/{checked_path(path)}"

    def own(self, key: str) -> str:
        """Return the key when it lies in the current tenant's prefix.

        :raises ForeignKey: it does not.
        """
        begin = f"{self.root}/"
        if not key.startswith(begin):
            raise ForeignKey(f"not a key of this tenant: {key!r}")
        checked_path(key.removeprefix(begin))
        return key

    @contextmanager
    def write(self, path: str) -> Iterator[Writer]:
        """Open a file of the current tenant for writing; it appears when the block ends without an exception.

        Memory is bounded by a few parts. A file of the same path is replaced: callers choose unique paths.
        """
        writer = self._writer(self.key_of(path))
        try:
            yield writer
            writer.finish()
        except BaseException:
            with suppress(*self.abort_errors):  # the first failure is the one to tell
                writer.abort()
            raise

    def save(self, path: str, file: BinaryIO) -> Stored:
        """Store a whole file under a path of the current tenant."""
        with self.write(path) as writer:
            while data := file.read(COPY_BYTES):
                writer.write(data)
        return writer.stored

    def sha256_of(self, key: str) -> str:
        """Return the sha256 of an object, by reading it.

        :raises StorageChanged: it is gone.
        """
        digest = hashlib.sha256()
        with self.open_read(key) as file:
            while data := file.read(COPY_BYTES):
                digest.update(data)
        return digest.hexdigest()

    def delete_many(self, keys: Iterable[str]) -> None:
        """Remove objects; those that are gone already are no error. All keys are judged before the first goes."""
        for key in [self.own(key) for key in keys]:
            self.delete(key)

    @abstractmethod
    def _writer(self, key: str) -> Writer: ...

    @abstractmethod
    def open_read(self, key: str) -> BinaryIO:
        """Open an object for reading.

        :raises StorageChanged: it is gone.
        """

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove an object; one that is gone already is no error."""

    @abstractmethod
    def exists(self, key: str) -> bool:
        """Return whether an object exists."""

    @abstractmethod
    def size(self, key: str) -> int:
        """Return an object's size in bytes.

        :raises StorageChanged: it is gone.
        """

    @abstractmethod
    def mark(self, key: str) -> str:
        """Return what changes with every writing of an object, without reading it: equal marks mean equal bytes.

        :raises StorageChanged: it is gone.
        """

    @abstractmethod
    def modified_at(self, key: str) -> datetime:
        """Return when an object was written, by the store's own clock.

        :raises StorageChanged: it is gone.
        """

    @abstractmethod
    def list_keys(self, path: str = "") -> Iterator[tuple[str, int]]:
        """Yield key and size in bytes of each object below a path, in the key's order."""

    @abstractmethod
    def remove_unfinished(self, *, before: datetime) -> int:
        """Remove what writers that died before a moment have left of unfinished objects; returns how many.

        Nobody else sees such parts, but they take space. A writer that lives this long would lose its object.
        """

    def link(self, key: str, *, header: str, content_type: str, seconds: int) -> str | None:
        """Return an address that gives this object, and no other, to whoever has it, for so many seconds.

        `header` is its Content-Disposition. None: the store cannot sign addresses, and its files are handed out here.
        """
        self.own(key)
        return None

    def _gone(self, key: str) -> StorageChanged:
        return StorageChanged(f"The file {PurePosixPath(key).name!r} is no longer in the storage.")

    def _below(self, path: str) -> str:
        """Return the prefix of what lies below a path. The slash keeps `acme` from listing what is `acme2`'s."""
        return (self.key_of(path) if path else self.root) + "/"


class LocalStore(Store):
    """A folder of this machine."""

    def __init__(self, folder: Path, base: str = "") -> None:
        super().__init__(base)
        self.folder = folder

    def path(self, key: str) -> Path:
        """Return where an object lies."""
        return self.folder / self.own(key)

    def _writer(self, key: str) -> Writer:
        return LocalWriter(key, self.path(key))

    def open_read(self, key: str) -> BinaryIO:
        try:
            return self.path(key).open("rb")
        except FileNotFoundError:
            raise self._gone(key) from None

    def delete(self, key: str) -> None:
        path = self.path(key)
        with suppress(FileNotFoundError, NotADirectoryError):
            if not path.is_dir():  # the folder of others is no object
                path.unlink()

    def exists(self, key: str) -> bool:
        return self.path(key).is_file()

    def size(self, key: str) -> int:
        return self._stat(key).st_size

    def mark(self, key: str) -> str:
        found = self._stat(key)
        return f"{found.st_size}:{found.st_ino}:{found.st_ctime_ns}"

    def modified_at(self, key: str) -> datetime:
        return datetime.fromtimestamp(self._stat(key).st_mtime, tz=UTC)

    def _stat(self, key: str) -> os.stat_result:
        try:
            return self.path(key).stat()
        except FileNotFoundError:
            raise self._gone(key) from None

    def list_keys(self, path: str = "") -> Iterator[tuple[str, int]]:
        files = (file for file in (self.folder / self._below(path)).rglob("*") if file.is_file())
        # By the whole key, as S3 sorts: paths would compare folder by folder.
        for key, file in sorted((file.relative_to(self.folder).as_posix(), file) for file in files):
            if not file.name.startswith(UNFINISHED):
                yield key, file.stat().st_size

    def remove_unfinished(self, *, before: datetime) -> int:
        removed = 0
        for file in (self.folder / self._below("")).rglob(f"{UNFINISHED}*"):
            with suppress(FileNotFoundError):
                if file.is_file() and file.stat().st_mtime < before.timestamp():
                    file.unlink()
                    removed += 1
        return removed
