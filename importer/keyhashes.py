"""Which rows of a file may repeat a key, told by 64 bits of each: the database is then asked about those alone.

Two keys that the database takes for one have one hash, whichever way their rows go there (`ColumnType.compared`).
Two others may share one as well, by chance: a suspect is no more than that.

Pure: no Django, no storage, no clock.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from datasets.columntypes import type_of
from datasets.spec import ColumnSpec

if TYPE_CHECKING:
    import polars as pl

    from importer.readers.csv import Position

MOST_ROWS = 3_000_000  # of a file: 36 MB, for a row takes twelve bytes
MOST_SUSPECTS = 10_000  # their numbers go through a job's cursor
LAST_PLACE = 32  # of a key's column among a line's cells, if lines go as they stand: parting more takes long
_ODD = 0x9E3779B97F4A7C15


class KeyHasher:
    """Hashes the keys of a file's rows. `places` say where in a line the key's columns stand (from 0)."""

    def __init__(
        self, columns: Sequence[ColumnSpec], places: Sequence[int], delimiter: str, quote: str
    ) -> None:
        import polars as pl  # slow import  # noqa: PLC0415

        self._delimiter, self._quote, self._places = delimiter, quote, tuple(places)
        compared = [type_of(column).compared(pl.col(f"k{at}"), column) for at, column in enumerate(columns)]
        known = [one for one in compared if one is not None]
        self.is_possible = bool(known) and len(known) == len(compared) and max(self._places) <= LAST_PLACE
        if self.is_possible:
            self._texts = [self._quoted_cell(pl.col("line"), place) for place in self._places]
            rows = pl.col("rn").cast(pl.UInt32, strict=False)
            self._hash = [
                rows,
                _together([one.hash(seed=at) for at, one in enumerate(known)]).alias("hash"),
                pl.all_horizontal(one.is_not_null() for one in (rows, *known)).alias("is_known"),
            ]

    def of_values(self, rows: pl.Series, keys: Sequence[pl.Series]) -> pl.DataFrame | None:
        """Return (rn, hash) of rows with these values in the key's columns, or None where one cannot be told."""
        import polars as pl  # slow import  # noqa: PLC0415

        if not self.is_possible:
            return None
        named = [rows.alias("rn"), *(values.alias(f"k{at}") for at, values in enumerate(keys))]
        said = pl.DataFrame(named).select(self._hash)
        return said.drop("is_known") if said["is_known"].all() else None

    def of_lines(self, rows: pl.Series, lines: pl.Series) -> pl.DataFrame | None:
        """Return (rn, hash) of rows that stand as these lines, in any order, or None where one cannot be told."""
        import polars as pl  # slow import  # noqa: PLC0415

        if not self.is_possible:
            return None
        is_first = self._places == (0,)  # as in most files: no other cell matters
        has_quote = (
            lines.str.starts_with(self._quote) if is_first else lines.str.contains(self._quote, literal=True)
        )
        if not has_quote.any():
            return self.of_values(rows, self._plain_cells(lines))
        frame = pl.DataFrame([rows.alias("rn"), lines.alias("line")])
        plain, others = frame.filter(~has_quote), frame.filter(has_quote)
        found = [
            self.of_values(plain["rn"], self._plain_cells(plain["line"])),
            self.of_values(others["rn"], others.select(self._texts).get_columns()),
        ]
        hashes = [each for each in found if each is not None]
        return pl.concat(hashes) if len(hashes) == len(found) else None

    def _plain_cells(self, lines: pl.Series) -> list[pl.Series]:
        """Return the key's cells of lines without a quote, or with none in a key that is the first cell."""
        import polars as pl  # slow import  # noqa: PLC0415

        if self._places == (0,):
            line = pl.col("line")
            end = pl.coalesce(line.str.find(self._delimiter, literal=True), line.str.len_bytes())
            # By bytes: what comes before the first delimiter is whole characters.
            head = line.cast(pl.Binary).bin.slice(0, end).cast(pl.String)
            return [lines.alias("line").to_frame().select(head).to_series()]
        parts = lines.str.splitn(self._delimiter, max(self._places) + 2)
        return [parts.struct.field(f"field_{place}") for place in self._places]

    def _quoted_cell(self, line: pl.Expr, place: int) -> pl.Expr:
        """Return the text of a cell of lines that may have quotes, around a cell or doubled within."""
        d, q = re.escape(self._delimiter), re.escape(self._quote)
        bare, within = (
            f"[^{_one(self._delimiter)}{_one(self._quote)}]*",
            f"(?:[^{_one(self._quote)}]|{q}{q})*",
        )
        before = f"(?:(?:{bare}|{q}{within}{q}){d}){{{place}}}" if place else ""
        pattern = rf"\A{before}(?:{q}({within}){q}|({bare}))(?:{d}|\z)"
        quoted, plain = line.str.extract(pattern, 1), line.str.extract(pattern, 2)
        inner = quoted.str.replace_all(self._quote * 2, self._quote, literal=True)
        return inner.fill_null(plain).alias(f"k{place}")


def _one(character: str) -> str:
    return f"\\x{{{ord(character):x}}}"


def _together(hashes: Sequence[pl.Expr]) -> pl.Expr:
    import polars as pl  # slow import  # noqa: PLC0415

    together = hashes[0]
    for one in hashes[1:]:
        together = together * pl.lit(_ODD, dtype=pl.UInt64) + one
    return together


class KeyHashes:
    """The hashes of the rows staged so far. Where some are not known, or too many, there are none."""

    def __init__(self) -> None:
        self._parts: list[pl.DataFrame] = []
        self._rows = 0
        self.are_known = True

    def add(self, part: pl.DataFrame | None) -> None:
        """Add those of further rows; None: they cannot be told."""
        if part is None or self._rows + part.height > MOST_ROWS:
            self.are_known = False
            self._parts.clear()
        if part is not None and self.are_known:
            self._parts.append(part)
            self._rows += part.height

    def suspects(self) -> list[int] | None:
        """Return the rows whose hash another one has too, in order; None where only the database can say."""
        import polars as pl  # slow import  # noqa: PLC0415

        if not self.are_known:
            return None
        if not self._parts:
            return []
        # Without a copy of what is there already: there may be tens of megabytes of it.
        ordered = pl.concat([part["hash"] for part in self._parts], rechunk=False).sort()
        repeated = ordered[1:].filter(ordered[1:] == ordered[:-1]).unique()
        if repeated.is_empty():
            return []
        if len(repeated) > MOST_SUSPECTS:
            return None
        rows = [
            row for part in self._parts for row in part["rn"].filter(part["hash"].is_in(repeated.implode()))
        ]
        return sorted(rows) if len(rows) <= MOST_SUSPECTS else None


# What the slice before left for the next one of the same staging, if this process does both. One of them at most:
# a worker that takes turns between two large files leaves their keys to the database.
_left: dict[str, tuple[Position, KeyHashes]] = {}


def take_up(staging: str, begin: Position | None) -> KeyHashes | None:
    """Return the hashes of all rows before `begin`, or None where this process does not have them.

    :param staging: names one staging of one file among all that ever are.
    """
    if begin is None:
        return KeyHashes()
    position, hashes = _left.pop(staging, (None, None))
    return hashes if position == begin else None


def leave(staging: str, end: Position, hashes: KeyHashes | None) -> None:
    """Keep the hashes of all rows before `end` for the slice that goes on there."""
    _left.clear()
    if hashes is not None and hashes.are_known:
        _left[staging] = (end, hashes)
