"""What makes a log that nobody can edit unseen: signatures of single events, and seals that hang together.

An event is signed as it is written, with a key the database does not hold: whoever can write to the database alone
cannot add one. Some time after, a seal takes in the events since: it lists each with a digest, and names the seal
before it. An event that is changed differs from its digest, one that is removed is missing, and a seal that is changed
or removed breaks what hangs on it. The newest seal is anchored outside the database now and then.

Times, numbers and addresses are written here in one form, whichever way the database gives them back.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

DIGEST_BYTES = 32
ID_BYTES = 8
FIRST = bytes(DIGEST_BYTES)  # what the first seal names as the one before it
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Facts:
    """All that an event says. `origin` is the slug of the tenant it was written in, empty for the platform's own;
    `cause` is what led to it: `request:…`, `job:…` or `command:…`."""

    uid: UUID | None
    origin: str
    at: datetime
    name: str
    actor_id: int | None
    actor_label: str
    target_type: str
    target_id: str
    target_label: str
    address: str | None
    data: Any
    cause: str = ""

    def text(self) -> bytes:
        """Return the one text of these facts."""
        whole: tuple[Any, ...] = (
            1,
            str(self.uid) if self.uid else None,
            self.origin,
            self.at.astimezone(UTC).isoformat(timespec="microseconds"),
            self.name,
            self.actor_id,
            self.actor_label,
            self.target_type,
            self.target_id,
            self.target_label,
            ipaddress.ip_address(self.address).packed.hex() if self.address else None,
            plain(self.data),
        )
        if self.cause:  # events from before it was kept have their text for ever
            whole = (2, *whole[1:], self.cause)
        return _CANONICAL.encode(whole).encode()


def plain(value: Any) -> Any:
    """Return a JSON value with its numbers as jsonb gives them back: 2.0 is 2, 1e22 an integer."""
    if isinstance(value, float):
        exact = Decimal(repr(value))
        return int(exact) if exact == exact.to_integral_value() else value
    if isinstance(value, dict):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value


def sign(text: bytes, secret: str) -> bytes:
    """Return the signature of a text."""
    return hmac.digest(_key(secret), text, "sha256")


def is_signed(text: bytes, signature: bytes, secrets: Iterable[str]) -> bool:
    """Return whether one of the secrets made this signature."""
    return any(hmac.compare_digest(sign(text, secret), signature) for secret in secrets)


def digest(number: int, signature: bytes, text: bytes) -> bytes:
    """Return what a seal keeps of an event: with its number, so that two cannot change places."""
    return hashlib.sha256(struct.pack(">q", number) + signature + text).digest()


@dataclass(frozen=True, slots=True)
class Link:
    """What a seal says: its number from 1 on, the hash of the one before, and the events it takes in."""

    number: int
    previous: bytes
    origin: str
    at: datetime
    settled: int
    ids: Sequence[int]
    digests: bytes

    def hash(self) -> bytes:
        """Return what the next seal names, and an anchor keeps."""
        head = json.dumps(
            [
                1,
                self.number,
                self.origin,
                self.at.astimezone(UTC).isoformat(timespec="microseconds"),
                self.settled,
            ]
        )
        return hashlib.sha256(
            b"\0".join((b"rowhouse.seal", head.encode(), self.previous, packed(self.ids))) + self.digests
        ).digest()

    def digest_of(self, place: int) -> bytes:
        """Return the digest of the event at this place, from 0 on."""
        return self.digests[place * DIGEST_BYTES : (place + 1) * DIGEST_BYTES]


def packed(ids: Sequence[int]) -> bytes:
    """Return numbers of events as a seal keeps them."""
    return struct.pack(f">{len(ids)}q", *ids)


def unpacked(data: bytes) -> tuple[int, ...]:
    """Return the numbers a seal keeps; what is left over at the end is none."""
    count = len(data) // ID_BYTES
    return struct.unpack(f">{count}q", data[: count * ID_BYTES])


@lru_cache(maxsize=16)
def _key(secret: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"rowhouse.audit.1").derive(secret.encode())
