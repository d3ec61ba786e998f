"""The storage: an object is written, read, found, linked to and removed, below a prefix that is nobody's."""

from __future__ import annotations

import hashlib
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any
from uuid import uuid4

from django.conf import settings

from core.clock import now
from core.storage import is_local, store_below
from core.stores import COPY_BYTES, StorageChanged, StorageError, Store
from rowhouse.doctor.database import skew
from rowhouse.doctor.findings import Finding, failure, warning, well

PREFIX = "_doctor"
# More than one part, so that a bucket is tried as large files need it.
SAMPLE_BYTES = 6 * 1024 * 1024
LINK_SECONDS, WAIT_SECONDS = 60, 10
GIVE_RIGHTS = "Give the access key the rights to write, read, list and delete in ROWHOUSE_S3_BUCKET."


def storage() -> Iterator[Finding]:
    """Look at the storage that settings give to every tenant."""
    try:
        yield from _tried(store_below(PREFIX), f"{uuid4().hex}.bin")
    except (StorageError, StorageChanged) as error:
        yield failure("storage", error.message, _advice(error))
    except OSError as error:
        yield failure(
            "storage",
            f"A file could not be kept ({error.strerror}).",
            "Give the platform's user the right to write below ROWHOUSE_DATA, or set ROWHOUSE_S3_BUCKET.",
        )


def _advice(error: StorageError | StorageChanged) -> str:
    return {
        "storage-unreachable": "Check ROWHOUSE_S3_ENDPOINT, and that this machine may reach it.",
        "storage-bucket-missing": "Make the bucket, or correct ROWHOUSE_S3_BUCKET.",
        "storage-clock-skewed": "Let this machine follow a time server.",
        "storage-denied": "Check ROWHOUSE_S3_ACCESS_KEY and _SECRET_KEY. " + GIVE_RIGHTS,
    }.get(error.code, GIVE_RIGHTS)


def _tried(store: Store, path: str) -> Iterator[Finding]:
    content = os.urandom(SAMPLE_BYTES)
    key = store.key_of(path)
    try:
        with store.write(path) as writer:
            for start in range(0, len(content), COPY_BYTES):
                writer.write(content[start : start + COPY_BYTES])
        if store.sha256_of(key) != hashlib.sha256(content).hexdigest():
            yield failure("storage", "What was read is not what was written.", "Distrust this server.")
        if key not in [name for name, _ in store.list_keys()]:
            yield failure("storage", "What was written is not listed.", GIVE_RIGHTS)
        yield _links(store, key, content)
    finally:
        store.delete(key)
    if store.exists(key):
        yield failure(
            "storage", "What was removed is still there.", "Look for a lock or a policy on the bucket."
        )
        return
    yield _kept_where()
    if not is_local():
        yield skew("clock of the storage", (_time_of(store) - now()).total_seconds())


def _kept_where() -> Finding:
    if not is_local():
        said = "An object of several parts was written, read, listed and removed."
        return well("storage", said)
    if settings.IS_PRODUCTION:
        return warning(
            "storage",
            "Files lie in a folder: written, read, listed and removed, but on this machine alone.",
            "Let web and workers share ROWHOUSE_DATA, or set ROWHOUSE_S3_BUCKET.",
        )
    return well("storage", "Files lie in a folder: written, read, listed and removed.")


def _links(store: Store, key: str, content: bytes) -> Finding:
    link = store.link(key, header="attachment", content_type="application/octet-stream", seconds=LINK_SECONDS)
    if link is None:
        return well("download links", "There are none: files are handed out by the platform itself.")
    try:
        found = _fetched(link)
    except OSError as error:
        is_elsewhere = bool(settings.ROWHOUSE_S3_LINK_ENDPOINT)
        make = warning if is_elsewhere else failure
        return make(
            "download links",
            f"A signed link could not be followed from here ({_reason(error)}).",
            "Check ROWHOUSE_S3_LINK_ENDPOINT; where no browser reaches the server, set it to none.",
        )
    if found != content:
        return failure("download links", "A signed link led to something else.", "Check the proxy before it.")
    try:
        _fetched(link.partition("?")[0])
    except OSError:
        return well(
            "download links", "A signed link led to the object, the same without its signature to none."
        )
    return failure(
        "download links",
        "Whoever knows a key can read its object without a signature.",
        "Take public access from the bucket, or use a server that checks signatures.",
    )


def _fetched(address: str) -> bytes:
    # The store made the address: it is http or https.
    with urllib.request.urlopen(address, timeout=WAIT_SECONDS) as answer:  # noqa: S310
        return bytes(answer.read())


def _reason(error: OSError) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code}"
    return str(getattr(error, "reason", error))


def _time_of(store: Any) -> datetime:
    """Return the time that a bucket's server says with each answer; ours if it says none."""
    with store.told():
        answer = store.client.list_objects_v2(Bucket=store.bucket, Prefix=f"{PREFIX}/", MaxKeys=1)
    said = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    return parsedate_to_datetime(said) if said else now()
