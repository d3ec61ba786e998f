"""Where the newest seals are noted outside the database: in the tenant's storage, or the platform's own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from django.utils.dateparse import parse_datetime

from audit.models import Seal
from core import storage
from core.stores import Store
from core.tenancy import tenant_or_none

FOLDER = "audit"
OF_THE_PLATFORM = "_audit"
MOST_BYTES = 10_000


@dataclass(frozen=True, slots=True)
class Anchor:
    """What an anchor says. `hash` in hexadecimal; both are empty where the file says nothing of the kind."""

    path: str
    seal: int
    hash: str
    at: str


def _store() -> Store:
    return storage.platform_store() if tenant_or_none() else storage.store_below(OF_THE_PLATFORM)


def write_anchor() -> str:
    """Note the newest seal in the storage, and return the path; empty without a seal.

    Must be called when that seal is committed. A repeat writes the same file again.
    """
    last = Seal.objects.order_by("-number").values("number", "hash", "at").first()
    if last is None:
        return ""
    whole = bytes(last["hash"]).hex()
    path = f"{FOLDER}/{last['number']:09d}-{whole[:16]}.json"
    with _store().write(path) as file:
        file.write(json.dumps({"seal": last["number"], "hash": whole, "at": last["at"].isoformat()}).encode())
    return path


def read_anchors() -> Iterator[Anchor]:
    """Yield every anchor there is, by the number of its seal."""
    store = _store()
    for key, _size in store.list_keys(FOLDER):
        with store.open_read(key) as file:
            yield _read(key.partition("/")[2], file.read(MOST_BYTES))


def _read(path: str, text: bytes) -> Anchor:
    try:
        said = json.loads(text)
        seal, whole, at = int(said["seal"]), str(said["hash"]), str(said["at"])
        if parse_datetime(at) is None:
            raise ValueError(at)
    except (ValueError, TypeError, KeyError):
        return Anchor(path, 0, "", "")
    return Anchor(path, seal, whole, at)


def stored_keys() -> dict[str, str]:
    """Return the keys of the current tenant's anchors; no row knows them, so that no row can disown them."""
    return {key: "" for key, _size in storage.list_keys(FOLDER)}
