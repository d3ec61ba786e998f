"""Files of a tenant, on a local folder or on S3, each under the tenant's own prefix.

A path is relative to the tenant ("exports/orders/…"), a key is what the storage knows it by
("acme/exports/orders/…"). Keys come from our own rows; any that points outside the current tenant is
refused. An object appears whole or not at all.
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, cast

from django.conf import settings
from django.core.exceptions import SuspiciousFileOperation
from django.core.files.storage import FileSystemStorage, default_storage

from core.errors import RowhouseError
from core.tenancy import current_tenant

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from storages.backends.s3 import S3Storage

# S3 refuses parts below 5 MiB but for the last one.
PART_BYTES = 8 * 1024 * 1024
COPY_BYTES = 1024 * 1024


class StorageChanged(RowhouseError):
    """An object is not the one that was stored: its sha256 differs, or it is gone."""

    code = "file-changed"


class ForeignKey(SuspiciousFileOperation):
    """A key points outside the current tenant's prefix."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An object that is in the storage; `sha256` in hexadecimal."""

    key: str
    bytes: int
    sha256: str


def key_of(path: str) -> str:
    """Return the key of a path of the current tenant.

    :raises ForeignKey: the path is empty, absolute, or holds `..`, a backslash or a control character.
    """
    parts = path.split("/")
    if any(part in {"", ".", ".."} for part in parts) or "\\" in path or not path.isprintable():
        raise ForeignKey(f"not a path inside a tenant: {path!r}")
    return f"{current_tenant().slug}/{path}"


def _own(key: str) -> str:
    """Return the key when it lies in the current tenant's prefix.

    :raises ForeignKey: it does not.
    """
    slug, _, path = key.partition("/")
    if slug != current_tenant().slug or key_of(path) != key:
        raise ForeignKey(f"not a key of this tenant: {key!r}")
    return key


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
        handle, name = tempfile.mkstemp(prefix=".part-", dir=target.parent)
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


class S3Writer(Writer):
    """A multipart upload in parts of 8 MiB; a file of one part is a plain PUT."""

    def __init__(self, key: str, client: S3Client, bucket: str) -> None:
        super().__init__(key)
        self._client = client
        self._bucket = bucket
        self._buffer = bytearray()
        self._upload_id: str | None = None
        self._parts: list[dict[str, object]] = []

    def _send(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= PART_BYTES:
            self._put_part(bytes(self._buffer[:PART_BYTES]))
            del self._buffer[:PART_BYTES]

    def _put_part(self, data: bytes) -> None:
        if self._upload_id is None:
            started = self._client.create_multipart_upload(Bucket=self._bucket, Key=self.key)
            self._upload_id = started["UploadId"]
        number = len(self._parts) + 1
        answer = self._client.upload_part(
            Bucket=self._bucket, Key=self.key, UploadId=self._upload_id, PartNumber=number, Body=data
        )
        self._parts.append({"PartNumber": number, "ETag": answer["ETag"]})

    def finish(self) -> None:
        if self._upload_id is None:
            self._client.put_object(Bucket=self._bucket, Key=self.key, Body=bytes(self._buffer))
            return
        if self._buffer:
            self._put_part(bytes(self._buffer))
        self._client.complete_multipart_upload(
            Bucket=self._bucket,
            Key=self.key,
            UploadId=self._upload_id,
            MultipartUpload={"Parts": self._parts},  # type: ignore[typeddict-item] # the stubs want their own TypedDict
        )

    def abort(self) -> None:
        if self._upload_id is not None:
            self._client.abort_multipart_upload(Bucket=self._bucket, Key=self.key, UploadId=self._upload_id)


def is_local() -> bool:
    """Return whether files lie in a folder of this machine and not on S3."""
    return isinstance(default_storage, FileSystemStorage)


def _s3() -> tuple[S3Client, str]:
    storage = cast("S3Storage", default_storage)
    return storage.connection.meta.client, storage.bucket_name


def _writer(key: str) -> Writer:
    if is_local():
        return LocalWriter(key, Path(default_storage.path(key)))
    return S3Writer(key, *_s3())


@contextmanager
def write(path: str) -> Iterator[Writer]:
    """Open a file of the current tenant for writing; it appears when the block ends without an exception.

    Memory is bounded by one part. A file of the same path is replaced: callers choose unique paths.
    """
    writer = _writer(key_of(path))
    try:
        yield writer
        writer.finish()
    except BaseException:
        with suppress(*_abort_errors()):  # the first failure is the one to tell
            writer.abort()
        raise


def _abort_errors() -> tuple[type[Exception], ...]:
    if is_local():
        return (OSError,)
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 -- slow import

    return (OSError, BotoCoreError, ClientError)


def save(path: str, file: BinaryIO) -> Stored:
    """Store a whole file under a path of the current tenant."""
    with write(path) as writer:
        while data := file.read(COPY_BYTES):
            writer.write(data)
    return writer.stored


def open_read(key: str) -> BinaryIO:
    """Open an object of the current tenant for reading.

    :raises StorageChanged: it is gone.
    """
    try:
        return cast("BinaryIO", default_storage.open(_own(key), "rb") if is_local() else _s3_body(_own(key)))
    except FileNotFoundError:
        raise StorageChanged(f"The file {PurePosixPath(key).name!r} is no longer in the storage.") from None


def _s3_body(key: str) -> io.BufferedReader:
    """Return the object as it arrives. The storage's own file would first read all of it into memory."""
    from botocore.exceptions import ClientError  # noqa: PLC0415 -- slow import

    client, bucket = _s3()
    try:
        body = client.get_object(Bucket=bucket, Key=key)["Body"]
    except ClientError as error:
        if error.response["Error"]["Code"] in {"NoSuchKey", "404"}:
            raise FileNotFoundError(key) from None
        raise
    return io.BufferedReader(cast("io.RawIOBase", body), COPY_BYTES)


def sha256_of(key: str) -> str:
    """Return the sha256 of an object of the current tenant, by reading it.

    :raises StorageChanged: it is gone.
    """
    digest = hashlib.sha256()
    with open_read(key) as file:
        while data := file.read(COPY_BYTES):
            digest.update(data)
    return digest.hexdigest()


def local_copy(key: str, sha256: str, *, known: str = "") -> Path:
    """Return a file of this machine with the object's bytes, downloaded once and checked.

    :param known: the object's `mark` when its sha256 was taken; a local file that still has it is read in its place.
    :raises StorageChanged: the object is gone or is not the one with this sha256.
    """
    if known and is_local() and mark(key) == known:
        return Path(default_storage.path(_own(key)))
    cache = Path(settings.ROWHOUSE_DATA) / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    copy = cache / f"{current_tenant().schema}-{sha256}"
    if copy.exists():
        return copy
    digest = hashlib.sha256()
    with open_read(key) as source, tempfile.NamedTemporaryFile(dir=cache, delete=False) as part:
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
    default_storage.delete(_own(key))


def exists(key: str) -> bool:
    """Return whether an object of the current tenant exists."""
    return default_storage.exists(_own(key))


def size(key: str) -> int:
    """Return an object's size in bytes."""
    return default_storage.size(_own(key))


def modified_at(key: str) -> datetime:
    """Return when an object of the current tenant was written, by the storage's clock."""
    return default_storage.get_modified_time(_own(key))


def mark(key: str) -> str:
    """Return what changes with every writing of an object, without reading it: equal marks mean equal bytes.

    :raises StorageChanged: it is gone.
    """
    gone = StorageChanged(f"The file {PurePosixPath(key).name!r} is no longer in the storage.")
    if is_local():
        try:
            found = Path(default_storage.path(_own(key))).stat()
        except FileNotFoundError:
            raise gone from None
        return f"{found.st_size}:{found.st_ino}:{found.st_ctime_ns}"
    from botocore.exceptions import ClientError  # noqa: PLC0415 -- slow import

    client, bucket = _s3()
    try:
        head = client.head_object(Bucket=bucket, Key=_own(key))
    except ClientError as error:
        if error.response["Error"]["Code"] in {"NoSuchKey", "404"}:
            raise gone from None
        raise
    return f"{head['ContentLength']}:{head['ETag']}:{head['LastModified'].isoformat()}"


def list_keys(path: str = "") -> Iterator[tuple[str, int]]:
    """Yield key and size in bytes of each object of the current tenant below a path, in the key's order."""
    # The slash keeps `acme` from listing what lies under `acme2`.
    prefix = (key_of(path) if path else current_tenant().slug) + "/"
    if is_local():
        root = Path(default_storage.path(""))
        files = (file for file in (root / prefix).rglob("*") if file.is_file())
        # By the whole key, as S3 sorts: paths would compare folder by folder.
        for key, file in sorted((file.relative_to(root).as_posix(), file) for file in files):
            if not file.name.startswith(".part-"):
                yield key, file.stat().st_size
        return
    client, bucket = _s3()
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for entry in page.get("Contents", []):
            yield entry["Key"], entry["Size"]
