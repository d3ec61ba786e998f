"""What apps share to erase values of a person: how a value is looked for in texts and files, and what a place answers.

A place is where values can stand: records, uploads, export files. An app names its places in its config, by dotted
path in `erased_places`; each is a function that does one slice of its work and may be called again::

    def uploads(hunt: Hunt, cursor: Json, work: Slice) -> Part: ...

No tables, no tenant: values in, values out.
"""

from __future__ import annotations

import codecs
import gzip
import html
import io
import json
import re
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, BinaryIO

ERASED = "[erased]"
BLOCK_BYTES = 1024 * 1024
GZIP, ZIP, PARQUET = b"\x1f\x8b", b"PK\x03\x04", b"PAR1"
NARROW, WIDE = ("utf-8", "cp1252"), ("utf-16-le", "utf-16-be")

type Json = dict[str, Any]


@dataclass(frozen=True)
class Needle:
    """Values that are looked for: in any case, and where they stand by themselves and not inside a longer word."""

    values: tuple[str, ...]

    @cached_property
    def spellings(self) -> tuple[str, ...]:
        """The values as they are written in JSON, CSV and XML too."""
        found: dict[str, None] = {}
        for value in self.values:
            for one in (
                value,
                json.dumps(value)[1:-1],
                json.dumps(value, ensure_ascii=False)[1:-1],
                value.replace('"', '""'),
                html.escape(value, quote=False),
                html.escape(value),
            ):
                found[one] = None
        return tuple(found)

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The regular expression of all of them."""
        longest_first = sorted(self.spellings, key=len, reverse=True)
        return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)", re.IGNORECASE)

    @cached_property
    def likes(self) -> list[str]:
        """The patterns of ILIKE by which the database finds all texts that may hold one, and some more."""
        every = {form for one in self.spellings for form in (one, one.lower(), one.upper())}
        return sorted("%" + re.sub(r"([\\%_])", r"\\\1", one) + "%" for one in every)

    @cached_property
    def lowered(self) -> list[str]:
        """The values as `lower()` of a cell may give them, whatever the database's locale."""
        return sorted({form for one in self.values for form in (one, one.lower())})

    def in_text(self, text: str) -> bool:
        """Return whether a text holds one of the values.

        >>> Needle(("ada@x.org",)).in_text("write to Ada@X.org."), Needle(("12",)).in_text("order 123")
        (True, False)
        """
        return self.pattern.search(text) is not None

    def in_value(self, value: Any) -> bool:
        """Return whether a JSON value holds one of the values, in a text or as a number."""
        if isinstance(value, dict):
            return any(self.in_text(str(name)) or self.in_value(each) for name, each in value.items())
        if isinstance(value, list | tuple):
            return any(map(self.in_value, value))
        return value is not None and not isinstance(value, bool) and self.in_text(str(value))

    def without(self, value: Any) -> Any:
        """Return a text or JSON value in which ERASED stands for each of the values.

        >>> Needle(("ada@x.org",)).without({"q": ["ADA@x.org", 7]})
        {'q': ['[erased]', 7]}
        """
        if isinstance(value, str):
            return self.pattern.sub(ERASED, value)
        if isinstance(value, dict):
            return {self.without(name): self.without(each) for name, each in value.items()}
        if isinstance(value, list):
            return [self.without(each) for each in value]
        if isinstance(value, int | float) and not isinstance(value, bool) and self.in_text(str(value)):
            return ERASED
        return value

    def in_file(self, file: BinaryIO, *, look: Callable[[], object] = lambda: None) -> bool:
        """Return whether a file holds one of the values: text in any usual encoding, gzip, a workbook or Parquet.

        :param look: called after each block that was read; it may raise to stop.
        :raises ValueError: it is packed, and cannot be unpacked.
        """
        head = file.read(4)
        whole: BinaryIO = _Prefixed(head, file)  # type: ignore[assignment] # it reads as one
        try:
            if head.startswith(GZIP):
                return self._in_text_file(gzip.GzipFile(fileobj=whole), look)  # type: ignore[arg-type]
            if head == ZIP:
                return self._in_zip(whole, look)
            if head == PARQUET:
                return self._in_parquet(whole, look)
        except (OSError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"it cannot be unpacked: {type(error).__name__}") from error
        return self._in_text_file(whole, look)

    def _in_text_file(self, file: BinaryIO, look: Callable[[], object]) -> bool:
        keep = max(map(len, self.spellings)) + 2
        data = file.read(BLOCK_BYTES)
        is_wide = b"\0" in data or data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        # Plain letters and digits read alike in both of the narrow ones.
        narrow = NARROW[:1] if all(one.isascii() for one in self.spellings) else NARROW
        decoders = [codecs.getincrementaldecoder(name)("replace") for name in (WIDE if is_wide else narrow)]
        tails = [""] * len(decoders)
        while data:
            look()
            for number, decoder in enumerate(decoders):
                text = tails[number] + decoder.decode(data)
                if self.in_text(text):
                    return True
                tails[number] = text[-keep:]
            data = file.read(BLOCK_BYTES)
        return False

    def _in_zip(self, file: BinaryIO, look: Callable[[], object]) -> bool:
        with tempfile.TemporaryFile() as copy:
            while data := file.read(BLOCK_BYTES):
                look()
                copy.write(data)
            with zipfile.ZipFile(copy) as packed:
                return any(self.in_text(html.unescape(name)) for name in packed.namelist()) or any(
                    self._in_text_file(packed.open(one), look)  # type: ignore[arg-type]
                    for one in packed.infolist()
                )

    def _in_parquet(self, file: BinaryIO, look: Callable[[], object]) -> bool:
        import polars as pl  # slow import  # noqa: PLC0415

        with tempfile.NamedTemporaryFile() as copy:
            while data := file.read(BLOCK_BYTES):
                look()
                copy.write(data)
            copy.flush()
            scanned = pl.scan_parquet(copy.name)
            for name in scanned.collect_schema().names():
                look()
                for value in scanned.select(name).collect().to_series().to_list():
                    if self.in_value(value if isinstance(value, list) else [value]):
                        return True
        return False


class _Prefixed(io.RawIOBase):
    """Reads a file whose first bytes were read already."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        super().__init__()
        self._head, self._rest = head, rest

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        if self._head and size != 0:
            some = self._head if size < 0 else self._head[:size]
            self._head = self._head[len(some) :]
            return some + self._rest.read(size - len(some) if size >= 0 else -1)
        return self._rest.read(size)


@dataclass(frozen=True, slots=True)
class Hunt:
    """One erasure on its way through the places.

    `is_real`: values are erased; else they are only counted. `datasets`: the primary keys of those it is about.
    `name` is what history writes beside what it changes; `by` the primary key of who asked for it.
    """

    needle: Needle
    is_real: bool
    name: str
    by: int | None
    datasets: frozenset[int]
    number: int


@dataclass(frozen=True, slots=True)
class Part:
    """What one call of a place did. `cursor`: where the next goes on, None at the end; `found` counts this call alone.

    `left`: what holds a value and was not rewritten, in words without values, each with how often.
    `rest_seconds`: it waits for other work.
    """

    cursor: Json | None = None
    found: int = 0
    left: Json = field(default_factory=dict)
    rest_seconds: float = 0.0
