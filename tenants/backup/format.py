"""The file of a backup: parts in frames, a manifest behind them, and a sha256 of all that as its last 32 bytes.

    magic · head (plain JSON) · part, part, … · manifest · sha256

A part is a frame that says what it is, frames of compressed content, and a frame with its sums. Written in one go and
read in one go, in bounded memory. A file that was cut off has no manifest; any other change alters the sha256. With a
key each frame is sealed by AES-256-GCM under a key of this file alone, its number and its kind in the seal: frames
cannot be exchanged, left out or taken from another backup. Pure: it knows neither Django nor a database.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, BinaryIO, ClassVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from isal import isal_zlib

from core.errors import RowhouseError

MAGIC = b"rowhouse-backup\n"
FORMAT = 1
LEVEL = 1
PIECE_BYTES = 256 * 1024  # of content, before it is compressed
MOST_FRAME_BYTES = 64 * 1024 * 1024
HEAD, DATA, END, MANIFEST = b"h", b"d", b"e", b"m"
LENGTH = struct.Struct(">cI")
SUM_BYTES = 32
HASH_BYTES = 16

NOT_DEFLATE: type[Exception] = isal_zlib.error  # type: ignore[assignment] # its stub calls it something else

Json = dict[str, Any]


class BackupDamaged(RowhouseError):
    """A backup is not what was written: cut off, altered, or no backup at all."""

    code = "backup-damaged"
    status = 422


class BackupSealed(RowhouseError):
    """A backup is encrypted under a key that is not there."""

    code = "backup-sealed"
    status = 422


class BackupTooNew(RowhouseError):
    """A backup was written by a later release, whose form or whose migrations this one does not know."""

    code = "backup-too-new"
    status = 422


class RowHash:
    """A hash of rows that does not hang on their order: the sum of each row's own, modulo 2^128.

    >>> one, other = RowHash(), RowHash()
    >>> one.add(b"a"), one.add(b"b"), other.add(b"b"), other.add(b"a")
    (None, None, None, None)
    >>> one.text == other.text, one.rows
    (True, 2)
    """

    def __init__(self) -> None:
        self.rows = 0
        self._sum = 0

    def add(self, row: bytes) -> None:
        """Count a row, without the line break behind it."""
        self.rows += 1
        self._sum += int.from_bytes(hashlib.blake2b(row, digest_size=HASH_BYTES).digest(), "big")

    def add_line(self, line: bytes) -> None:
        """Count a row as COPY gives it, with its line break."""
        self.add(line[:-1])

    @property
    def text(self) -> str:
        return f"{self._sum % 2 ** (8 * HASH_BYTES):0{2 * HASH_BYTES}x}"


@dataclass(frozen=True, slots=True)
class Sums:
    """What a part must come to: bytes and sha256 of its content; of a table's also its rows and their hash."""

    bytes: int
    sha256: str
    rows: int = 0
    hash: str = ""


@dataclass(frozen=True, slots=True)
class Contents:
    """A backup that was read to its end and is what was written."""

    about: Json  # the first part: whose it is, and of what release
    parts: list[Json]  # each part's head and sums, in their order
    bytes: int
    sha256: str  # of the whole file
    is_sealed: bool

    @property
    def tables(self) -> list[Json]:
        return [part for part in self.parts if part["kind"] == "table"]

    @property
    def rows(self) -> int:
        return sum(int(part["rows"]) for part in self.tables)


# ---- keys


def key_name(secret: str) -> str:
    """Return by what a key is told from others without giving it away."""
    return _derived(secret, b"", b"rowhouse.backup.name")[:4].hex()


def _derived(secret: str, salt: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(secret.encode())


class _Seal:
    """The sealing of one file's frames, in their order; without a key it lets them through."""

    def __init__(self, secret: str | None, salt: bytes, head: bytes) -> None:
        # The head goes into the key: one that was altered opens nothing.
        info = b"rowhouse.backup.1" + hashlib.sha256(head).digest()
        self._key = AESGCM(_derived(secret, salt, info)) if secret is not None else None
        self._number = 0

    def close(self, kind: bytes, payload: bytes) -> bytes:
        nonce = self._nonce()
        return payload if self._key is None else self._key.encrypt(nonce, payload, kind)

    def open(self, kind: bytes, payload: bytes) -> bytes:
        nonce = self._nonce()
        if self._key is None:
            return payload
        try:
            return self._key.decrypt(nonce, payload, kind)
        except InvalidTag:
            raise _damaged("a piece of it does not open under its key") from None

    def _nonce(self) -> bytes:
        self._number += 1
        return self._number.to_bytes(12, "big")


# ---- writing


class BackupWriter:
    """Writes a backup to `send`; `finish` ends it, and without that it is none."""

    def __init__(self, send: Callable[[bytes], object], *, secret: str | None = None) -> None:
        salt = os.urandom(16)
        sealed = None
        if secret is not None:
            sealed = {"salt": base64.b64encode(salt).decode(), "key": key_name(secret)}
        head = _json({"format": FORMAT, "sealed": sealed})
        self.bytes = 0
        self.parts: list[Json] = []
        self._send = send
        self._sha256 = hashlib.sha256()
        self._seal = _Seal(secret, salt, head)
        self._put(MAGIC + LENGTH.pack(HEAD, len(head)) + head)

    @property
    def sha256(self) -> str:
        """The sha256 of all that was written, in hexadecimal."""
        return self._sha256.hexdigest()

    @contextmanager
    def part(self, kind: str, **about: Any) -> Iterator[PartWriter]:
        """Open the next part; its sums follow when the block ends."""
        described = {"kind": kind, **about}
        self._frame(HEAD, _json(described))
        part = PartWriter(self._frame)
        yield part
        sums = asdict(part.end())
        self._frame(END, _json(sums))
        self.parts.append({**described, **sums})

    def whole_part(self, kind: str, content: bytes, **about: Any) -> None:
        """Write a part that is in memory."""
        with self.part(kind, **about) as part:
            part.write(content)

    def finish(self) -> None:
        """Write the manifest and the sum of everything before it."""
        self._frame(MANIFEST, isal_zlib.compress(_json({"parts": self.parts}), LEVEL))
        self._put(self._sha256.digest())

    def _frame(self, kind: bytes, payload: bytes) -> None:
        closed = self._seal.close(kind, payload)
        self._put(LENGTH.pack(kind, len(closed)) + closed)

    def _put(self, data: bytes) -> None:
        self._sha256.update(data)
        self.bytes += len(data)
        self._send(data)


class PartWriter:
    """The content of one part. What PostgreSQL's COPY gives goes to `write_row`, anything else to `write`."""

    def __init__(self, frame: Callable[[bytes, bytes], None]) -> None:
        self._frame = frame
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._bytes = 0
        self._sha256 = hashlib.sha256()
        self._packer = isal_zlib.compressobj(LEVEL)
        self.rows = RowHash()

    def write(self, data: bytes) -> int:
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes >= PIECE_BYTES:
            self._flush()
        return len(data)

    def write_row(self, line: bytes) -> int:
        """Write one row with its line break: COPY hands over each by itself."""
        self.rows.add_line(line)
        return self.write(line)

    def end(self) -> Sums:
        """Write what is left, and return what it came to."""
        self._flush()
        if rest := self._packer.flush():
            self._frame(DATA, rest)
        rows = self.rows
        return Sums(self._bytes, self._sha256.hexdigest(), rows.rows, rows.text if rows.rows else "")

    def _flush(self) -> None:
        data = b"".join(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0
        self._bytes += len(data)
        self._sha256.update(data)
        if packed := self._packer.compress(data):
            self._frame(DATA, packed)


# ---- reading


@dataclass(slots=True)
class Part:
    """A part as it is read: `about` says what it is, `chunks` gives its content once."""

    about: Json
    chunks: Iterator[bytes]

    @property
    def kind(self) -> str:
        return str(self.about["kind"])

    def content(self) -> bytes:
        """Return the whole content: for parts that are known to be small."""
        return b"".join(self.chunks)


@dataclass(slots=True)
class BackupReader:
    """Reads a backup once, from its beginning to its end.

    :raises BackupDamaged: (from any method) it is not what was written.
    """

    source: BinaryIO
    secrets: Sequence[str] = ()
    contents: Contents | None = None  # when the end was reached and everything fits
    is_sealed: bool = False
    _parts: list[Json] = field(default_factory=list)
    _about: Json = field(default_factory=dict)
    _bytes: int = 0
    _sha256: Any = field(default_factory=hashlib.sha256)
    _seal: _Seal = field(init=False)

    KINDS: ClassVar = frozenset({HEAD, DATA, END, MANIFEST})

    def parts(self) -> Iterator[Part]:
        """Yield each part; what of its content was not taken is read and judged all the same.

        `contents` is set when the last one was read and the whole is as it was written.

        :raises BackupSealed: none of the keys opens it.
        :raises BackupTooNew: its form is one of a later release.
        """
        self._open()
        while True:
            kind, payload = self._frame()
            if kind == MANIFEST:
                self._finish(payload)
                return
            if kind != HEAD:
                raise _damaged("its parts are in disorder")
            about = _parsed(payload)
            if "kind" not in about:
                raise _damaged("a part does not say what it is")
            chunks = self._chunks(about)
            part = Part(about, chunks)
            if not self._parts:
                if part.kind != "about":
                    raise _damaged("it does not say whose it is")
                content = part.content()
                self._about = _parsed(content)
                part.chunks = iter([content])
            yield part
            for _ in chunks:
                pass

    def _open(self) -> None:
        magic = self._take(len(MAGIC), or_else="it is no backup of this platform")
        if magic != MAGIC:
            raise _damaged("it is no backup of this platform")
        kind, length = LENGTH.unpack(self._take(LENGTH.size))
        if kind != HEAD or length > 64 * 1024:
            raise _damaged("its head is not readable")
        raw = self._take(length)
        head = _parsed(raw)
        if not isinstance(head.get("format"), int):
            raise _damaged("its head is not readable")
        if head["format"] != FORMAT:
            raise BackupTooNew(
                f"This backup has the form {head['format']}, this release knows {FORMAT}."
                " Restore it with the release that wrote it."
            )
        self.is_sealed = head.get("sealed") is not None
        self._seal = self._seal_of(head["sealed"], raw) if self.is_sealed else _Seal(None, b"", raw)

    def _seal_of(self, sealed: Any, head: bytes) -> _Seal:
        try:
            salt, name = base64.b64decode(sealed["salt"], validate=True), sealed["key"]
        except (KeyError, TypeError, ValueError):
            raise _damaged("its head is not readable") from None
        for secret in self.secrets:
            if key_name(secret) == name:
                return _Seal(secret, salt, head)
        raise BackupSealed(
            f"This backup is encrypted under the key {name}, which is not among ROWHOUSE_BACKUP_KEYS."
            " Add the key it was written with."
        )

    def _frame(self) -> tuple[bytes, bytes]:
        kind, length = LENGTH.unpack(self._take(LENGTH.size))
        if kind not in self.KINDS or length > MOST_FRAME_BYTES:
            raise _damaged("its parts are in disorder")
        return kind, self._seal.open(kind, self._take(length))

    def _chunks(self, about: Json) -> Iterator[bytes]:
        unpacker = isal_zlib.decompressobj()
        sha256, size = hashlib.sha256(), 0
        while True:
            kind, payload = self._frame()
            if kind == END:
                break
            if kind != DATA:
                raise _damaged("its parts are in disorder")
            for chunk in _unpacked(unpacker, payload):
                sha256.update(chunk)
                size += len(chunk)
                yield chunk
        sums = _parsed(payload)
        if not unpacker.eof or (size, sha256.hexdigest()) != (sums.get("bytes"), sums.get("sha256")):
            raise _damaged(f"the part {about.get('name') or about.get('kind')} is not what was written")
        self._parts.append({**about, **sums})

    def _finish(self, payload: bytes) -> None:
        expected = self._sha256.digest()
        end = self._take(SUM_BYTES)
        if not hmac.compare_digest(end, expected):
            raise _damaged("its sum does not fit")
        if self.source.read(1):
            raise _damaged("something stands behind its end")
        try:
            manifest = _parsed(isal_zlib.decompress(payload))
        except NOT_DEFLATE:
            raise _damaged("its manifest is not readable") from None
        if manifest.get("parts") != self._parts:
            raise _damaged("its manifest lists other parts")
        self.contents = Contents(
            self._about, self._parts, self._bytes, self._sha256.hexdigest(), self.is_sealed
        )

    def _take(self, size: int, *, or_else: str = "it ends too early") -> bytes:
        data = b""
        while len(data) < size:
            more = self.source.read(size - len(data))
            if not more:
                raise _damaged(or_else)
            data += more
        self._sha256.update(data)
        self._bytes += size
        return data


def read_through(source: BinaryIO, secrets: Sequence[str] = ()) -> Contents:
    """Read a backup from beginning to end and return what is in it, if all of it is as it was written.

    :raises BackupDamaged: it is not.
    :raises BackupSealed: none of the keys opens it.
    :raises BackupTooNew: its form is one of a later release.
    """
    reader = BackupReader(source, secrets)
    for _ in reader.parts():
        pass
    assert reader.contents is not None
    return reader.contents


class Lines:
    """Chunks as the file that COPY reads from, with the rows counted and hashed on their way."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._left = b""

    def read(self, size: int = -1) -> bytes:
        while not self._left:
            chunk = next(self._chunks, None)
            if chunk is None:
                return b""
            self._left = chunk
        if size < 0:
            size = len(self._left)
        taken, self._left = self._left[:size], self._left[size:]
        return taken


def _unpacked(unpacker: Any, payload: bytes) -> Iterator[bytes]:
    """Yield what a frame holds in pieces of bounded size, however well it was compressed."""
    try:
        chunk = unpacker.decompress(payload, PIECE_BYTES)
        while chunk:
            yield chunk
            chunk = unpacker.decompress(unpacker.unconsumed_tail, PIECE_BYTES)
    except NOT_DEFLATE:
        raise _damaged("a piece of it does not unpack") from None


def _json(value: Json) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _parsed(payload: bytes) -> Json:
    try:
        found = json.loads(payload)
    except ValueError:
        raise _damaged("a part of it is not readable") from None
    if not isinstance(found, dict):
        raise _damaged("a part of it is not readable")
    return found


def _damaged(why: str) -> BackupDamaged:
    return BackupDamaged(f"This backup is damaged: {why}. Nothing was changed. Take another one.")
