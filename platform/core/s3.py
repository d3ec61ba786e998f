"""A bucket as a store: calls bounded in time, failures told in sentences, what differs per server allowed for.

Imported only where a bucket is set: boto3 takes a third of a second.
"""

from __future__ import annotations

import hashlib
import io
import socket
import ssl
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, SSLError

from core.s3http import Call, Judge, Patience, last_connection, take_over
from core.stores import COPY_BYTES, StorageError, Store, Writer

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import HeadObjectOutputTypeDef

# S3 refuses parts below 5 MiB but for the last one.
PART_BYTES = 5 * 1024 * 1024
PARTS_OF_A_SIZE = 2_000  # then twice as large ones: there are 10,000 at most, which makes 300 GB
PARTS_IN_FLIGHT = 2  # beside the one being filled
KEYS_PER_CALL = 1000
MOST_LINK_SECONDS = 300
ABSENT = frozenset({"NoSuchKey", "404", "NotFound"})
PLATFORM = "The platform's storage"
NO_LINKS = "none"


class StorageUnreachable(StorageError):
    """The server does not answer, or answers that it cannot now."""

    code = "storage-unreachable"


class StorageDenied(StorageError):
    """The server refuses the access key, or what it asks for."""

    code = "storage-denied"


class BucketMissing(StorageError):
    """The server has no such bucket."""

    code = "storage-bucket-missing"


class ClockSkewed(StorageError):
    """Server and platform disagree about the time, by which every request is signed."""

    code = "storage-clock-skewed"


class LinkTooLong(ValueError):
    """A link was to be good for longer than any may be."""


@dataclass(frozen=True, slots=True)
class Account:
    """A bucket and what opens it, as somebody has entered it; both keys must be there.

    `judge` is asked of the address of each connection. `title` begins the sentences of its failures.
    """

    bucket: str
    access_key: str
    secret_key: str = field(repr=False)
    endpoint: str = ""
    region: str = "us-east-1"
    addressing: str = "path"
    checksums: str = "when_required"
    title: str = PLATFORM
    patience: Patience = Patience()
    judge: Judge | None = None

    def __post_init__(self) -> None:
        # Without them boto3 would look for the platform's own identity.
        if not self.access_key or not self.secret_key:
            raise ValueError("an account needs both of its keys")


def config_of(addressing: str, checksums: str, patience: Patience) -> Config:
    """Return boto3's settings: signature v4, no checksum a server need not know, nothing waited for without end."""
    known: Any = checksums
    places: Any = {"addressing_style": addressing}
    return Config(
        signature_version="s3v4",
        s3=places,
        request_checksum_calculation=known,
        response_checksum_validation=known,
        retries={"total_max_attempts": patience.attempts, "mode": "standard"},
        connect_timeout=patience.connect_seconds,
        read_timeout=patience.read_seconds,
    )


@lru_cache(maxsize=64)
def _client_of(account: Account) -> S3Client:
    session = boto3.Session(
        aws_access_key_id=account.access_key,
        aws_secret_access_key=account.secret_key,
        region_name=account.region,
    )
    config = config_of(account.addressing, account.checksums, account.patience)
    client = session.client("s3", endpoint_url=account.endpoint or None, config=config)
    take_over(client, account.patience, judge=account.judge)
    return client


_taken: weakref.WeakSet[Any] = weakref.WeakSet()
_link_clients: weakref.WeakKeyDictionary[Any, dict[str, S3Client]] = weakref.WeakKeyDictionary()


def _patient(client: S3Client, verify: Any) -> S3Client:
    """Return a client made elsewhere with its requests bounded; it is changed once."""
    if client not in _taken:
        config: Any = client.meta.config
        seconds = config.connect_timeout, config.read_timeout, 2 * config.read_timeout
        take_over(client, Patience(*seconds), verify=verify)
        _taken.add(client)
    return client


def _link_client(client: S3Client, storage: Any, endpoint: str) -> S3Client:
    """Return a client that signs for another address of the same server; it makes no request."""
    if endpoint in {"", NO_LINKS}:
        return client
    made = _link_clients.setdefault(client, {})
    if endpoint not in made:
        session = boto3.Session(
            aws_access_key_id=storage.access_key, aws_secret_access_key=storage.secret_key,
            aws_session_token=storage.security_token, region_name=storage.region_name,
        )  # fmt: skip
        made[endpoint] = session.client("s3", endpoint_url=endpoint, config=storage.client_config)
    return made[endpoint]


class S3Store(Store):
    """One bucket. `link_client` signs links where browsers reach the server by another address."""

    def __init__(
        self, client: S3Client, bucket: str, *, base: str = "", title: str = PLATFORM,
        link_client: S3Client | None = None, has_links: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(base)
        self.client = client
        self.bucket = bucket
        self.title = title
        self._link_client = link_client or client
        self._has_links = has_links

    @classmethod
    def of_account(cls, account: Account, *, base: str = "") -> S3Store:
        """Return the store of a bucket that somebody entered."""
        return cls(_client_of(account), account.bucket, base=base, title=account.title)

    @classmethod
    def of_django(cls, storage: Any, *, link_endpoint: str = "") -> S3Store:
        """Return the store of Django's own S3 storage.

        :param link_endpoint: where browsers reach the server, if not where we do; NO_LINKS: nowhere.
        """
        client = _patient(storage.connection.meta.client, storage.verify)
        return cls(
            client,
            storage.bucket_name,
            link_client=_link_client(client, storage, link_endpoint),
            has_links=link_endpoint != NO_LINKS,
        )

    @contextmanager
    def told(self) -> Iterator[None]:
        """Turn what boto3 raises into sentences.

        :raises StorageError: whatever went wrong.
        """
        try:
            yield
        except (ClientError, BotoCoreError, ConnectionError, TimeoutError) as error:
            raise failure(error, self.title, self.bucket) from error

    def _writer(self, key: str) -> Writer:
        return S3Writer(key, self)

    def open_read(self, key: str) -> BinaryIO:
        """Return the object as it arrives; Django's own file would first read all of it into memory."""
        self.own(key)
        with self.told():
            try:
                body = self.client.get_object(Bucket=self.bucket, Key=key)["Body"]
            except ClientError as error:
                if _is_absent(error):
                    raise self._gone(key) from None
                raise
            return io.BufferedReader(_Body(body, self), COPY_BYTES)

    def delete(self, key: str) -> None:
        self.own(key)
        with self.told():
            try:
                self.client.delete_object(Bucket=self.bucket, Key=key)
            except ClientError as error:
                if not _is_absent(error):
                    raise

    def delete_many(self, keys: Iterable[str]) -> None:
        owned = [self.own(key) for key in keys]
        for start in range(0, len(owned), KEYS_PER_CALL):
            batch = owned[start : start + KEYS_PER_CALL]
            for key in self._left_of(batch):
                self.delete(key)

    def _left_of(self, keys: list[str]) -> list[str]:
        """Remove a batch in one call, and return those to be removed one by one: some servers know no batches."""
        if len(keys) < 2:
            return keys
        try:
            answer = self.client.delete_objects(
                Bucket=self.bucket, Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True}
            )
        except (ClientError, BotoCoreError):
            return keys
        return [one["Key"] for one in answer.get("Errors", []) if one.get("Code") not in ABSENT]

    def exists(self, key: str) -> bool:
        return self._head(key) is not None

    def size(self, key: str) -> int:
        return self._found(key)["ContentLength"]

    def mark(self, key: str) -> str:
        head = self._found(key)
        return f"{head['ContentLength']}:{head['ETag']}:{head['LastModified'].isoformat()}"

    def modified_at(self, key: str) -> datetime:
        return self._found(key)["LastModified"]

    def _found(self, key: str) -> HeadObjectOutputTypeDef:
        head = self._head(key)
        if head is None:
            raise self._gone(key)
        return head

    def _head(self, key: str) -> HeadObjectOutputTypeDef | None:
        self.own(key)
        with self.told():
            try:
                return self.client.head_object(Bucket=self.bucket, Key=key)
            except ClientError as error:
                if _is_absent(error):
                    return None
                raise

    def list_keys(self, path: str = "") -> Iterator[tuple[str, int]]:
        prefix = self._below(path)
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        for page in self._told_each(pages):
            for entry in page.get("Contents", []):
                yield entry["Key"], entry["Size"]

    def _told_each(self, pages: Iterable[Any]) -> Iterator[Any]:
        # Not around the loop: what the caller raises while he has a page is his.
        rest = iter(pages)
        while True:
            with self.told():
                page = next(rest, None)
            if page is None:
                return
            yield page

    def remove_unfinished(self, *, before: datetime) -> int:
        return self.abort_uploads(self._below(""), lambda upload: upload["Initiated"] < before)

    def abort_uploads(self, prefix: str, is_ours: Callable[[Any], bool]) -> int:
        """Abort the unfinished uploads below a prefix that `is_ours` says yes to; returns how many."""
        pages = self.client.get_paginator("list_multipart_uploads").paginate(
            Bucket=self.bucket, Prefix=prefix
        )
        aborted = 0
        for page in self._told_each(pages):
            for upload in page.get("Uploads", []):
                if upload["Key"].startswith(prefix) and is_ours(upload):
                    self.abort_upload(upload["Key"], upload["UploadId"])
                    aborted += 1
        return aborted

    def abort_upload(self, key: str, upload_id: str) -> None:
        """Abort an unfinished upload; one that is no more is no error."""
        with self.told():
            try:
                self.client.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload_id)
            except ClientError as error:
                if error.response["Error"]["Code"] != "NoSuchUpload":
                    raise

    def link(self, key: str, *, header: str, content_type: str, seconds: int) -> str | None:
        if seconds > MOST_LINK_SECONDS:
            raise LinkTooLong(f"{seconds} s")
        if not self._has_links:
            return super().link(key, header=header, content_type=content_type, seconds=seconds)
        return self._link_client.generate_presigned_url(
            "get_object",
            Params={
                "Bucket": self.bucket,
                "Key": self.own(key),
                "ResponseContentDisposition": header,
                "ResponseContentType": content_type,
            },
            ExpiresIn=seconds,
        )


class S3Writer(Writer):
    """A multipart upload in parts of 5 MiB, two on their way while a third is filled; one part alone is a plain PUT."""

    def __init__(self, key: str, store: S3Store) -> None:
        super().__init__(key)
        self._store = store
        self._client = store.client
        self._bucket = store.bucket
        self._buffer = bytearray()
        self._is_begun = False
        self._upload_id = ""
        self._pool: ThreadPoolExecutor | None = None
        self._parts: list[Future[str]] = []

    def _send(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= self._part_bytes:
            self._put_part()

    @property
    def _part_bytes(self) -> int:
        return PART_BYTES << len(self._parts) // PARTS_OF_A_SIZE

    def _put_part(self) -> None:
        if self._pool is None:
            self._begin()
        assert self._pool is not None
        if len(self._parts) >= PARTS_IN_FLIGHT:  # before a copy is made for it: memory counts
            self._parts[-PARTS_IN_FLIGHT].result()
        with memoryview(self._buffer) as whole:
            part = bytes(whole[: self._part_bytes])
        del self._buffer[: len(part)]
        self._parts.append(self._pool.submit(self._upload, len(self._parts) + 1, part))

    def _begin(self) -> None:
        self._is_begun = True
        with self._store.told():
            self._upload_id = self._client.create_multipart_upload(Bucket=self._bucket, Key=self.key)[
                "UploadId"
            ]
        self._pool = ThreadPoolExecutor(PARTS_IN_FLIGHT, "part")

    def _upload(self, number: int, data: bytes) -> str:
        with self._store.told():
            answer = self._client.upload_part(
                Bucket=self._bucket, Key=self.key, UploadId=self._upload_id, PartNumber=number, Body=data
            )
        return answer["ETag"]

    def finish(self) -> None:
        if not self._is_begun:
            with self._store.told():
                self._client.put_object(Bucket=self._bucket, Key=self.key, Body=bytes(self._buffer))
            return
        if self._buffer:
            self._put_part()
        etags = [part.result() for part in self._parts]
        assert self._pool is not None
        self._pool.shutdown()
        parts: Any = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
        with self._store.told():
            try:
                self._client.complete_multipart_upload(
                    Bucket=self._bucket,
                    Key=self.key,
                    UploadId=self._upload_id,
                    MultipartUpload={"Parts": parts},
                )
            except ClientError as error:
                # A repeat of a request that was done, with its answer lost, finds the upload no more.
                if error.response["Error"]["Code"] != "NoSuchUpload" or not self._is_there(etags):
                    raise

    def _is_there(self, etags: list[str]) -> bool:
        """Return whether the object is the one these parts make, by S3's own rule for its ETag."""
        with suppress(ValueError):
            whole = hashlib.md5(
                b"".join(bytes.fromhex(etag.strip('"')) for etag in etags), usedforsecurity=False
            )
            return (
                self._client.head_object(Bucket=self._bucket, Key=self.key)["ETag"].strip('"')
                == f"{whole.hexdigest()}-{len(etags)}"
            )
        return False

    def abort(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)  # a part that arrives later would stay
        if self._upload_id:
            self._store.abort_upload(self.key, self._upload_id)
        elif self._is_begun:  # the server may have begun one without our hearing its name
            self._store.abort_uploads(self.key, lambda upload: upload["Key"] == self.key)


class _Body(io.RawIOBase):
    """The body of an answer, each megabyte of it within its time."""

    def __init__(self, body: Any, store: S3Store) -> None:
        super().__init__()
        self._body = body
        self._store = store
        self._connection = last_connection()
        config: Any = store.client.meta.config
        self._seconds = 2 * config.read_timeout

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        call = Call(self._connection)
        with self._store.told():
            try:
                with call.within(self._seconds):
                    count = cast("int", self._body.readinto(buffer))
            except (BotoCoreError, OSError, ValueError) as error:
                if call.is_past:
                    call.close()
                    raise TimeoutError("the body took too long") from error
                raise
            if call.is_past:
                call.close()
                raise TimeoutError("the body took too long")
            return count

    def close(self) -> None:
        if not self.closed:
            self._body.close()
        super().close()


def _is_absent(error: ClientError) -> bool:
    return error.response["Error"]["Code"] in ABSENT


def failure(error: Exception, title: str, bucket: str) -> StorageError:
    """Return what went wrong as a sentence, with what to do next."""
    is_ours = title == PLATFORM
    ask = (
        "Tell an operator."
        if is_ours
        else "Check its key, and that it may read, write, list and delete there."
    )
    if not isinstance(error, ClientError):
        return StorageUnreachable(
            f"{title} does not answer{_cause(error)}. Try again later; if this stays, "
            + ("tell an operator." if is_ours else "check its endpoint.")
        )
    answer: Any = error.response
    code = str(answer.get("Error", {}).get("Code", ""))
    status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in {"RequestTimeTooSkewed", "RequestExpired"}:
        return ClockSkewed(f"{title} and this platform disagree about the time of day. Tell an operator.")
    if code == "NoSuchBucket":
        found = "has lost its bucket" if is_ours else f"has no bucket {bucket!r}"
        return BucketMissing(f"{title} {found}. " + ("Tell an operator." if is_ours else "Check its name."))
    if (
        status >= 500
        or code in {"SlowDown", "ServiceUnavailable", "RequestTimeout", "Throttling"}
        or status == 429
    ):
        return StorageUnreachable(f"{title} cannot do this now ({code or status}). Try again later.")
    if status in {401, 403}:
        return StorageDenied(f"{title} refuses access ({code or status}). {ask}")
    return StorageError(f"{title} refuses this ({code or status}). {ask}")


def _cause(error: BaseException) -> str:
    """Return why a server was not reached, as far as it can be told; never its name."""
    each: BaseException | None = error
    while each is not None:
        if isinstance(each, socket.gaierror):
            return ": its name is not found in the DNS"
        if isinstance(each, ssl.SSLCertVerificationError):
            return ": its certificate is not one to trust"
        if isinstance(each, ssl.SSLError):
            return ": no secure connection could be made (TLS)"
        each = each.__cause__ or each.__context__
    if isinstance(
        error, SSLError
    ):  # a name that is not the certificate's is told by urllib3, in words of its own
        return ": its certificate is not one to trust"
    return f" ({type(error).__name__})"
