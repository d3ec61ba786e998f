"""Rows as text for COPY: those that fit as they stand, the others written anew, in the file's order.

Pure: no Django, no storage, no clock.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from datasets.spec import ColumnSpec
from importer.keyhashes import KeyHasher
from importer.readers.csv import Chunk
from importer.rowpattern import Fitted

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, slots=True)
class CopyForm:
    """How staged rows are written: the row number, then these columns. No value is empty, "" is quoted.

    `order` says where each of the columns stands among those that were judged.
    """

    columns: tuple[ColumnSpec, ...] = ()
    order: tuple[int, ...] = ()
    delimiter: str = ","
    quote: str = '"'
    is_as_in_file: bool = False  # some of the rows stand as the file has them
    hasher: KeyHasher | None = field(default=None, compare=False)  # of the dataset's key, if it has one
    key: tuple[int, ...] = ()  # where the key's columns stand among those that were judged

    def hashes(self, rows: pl.Series, columns: Mapping[int, pl.Series]) -> pl.DataFrame | None:
        """Return the hashes of the keys of rows with these values, if they can be told."""
        return self.hasher.of_values(rows, [columns[at] for at in self.key]) if self.hasher else None


class Copied(NamedTuple):
    """Rows as text for COPY, how many they are, and the hashes of their keys, if they can be told."""

    data: bytes
    rows: int
    hashes: pl.DataFrame | None


def written(form: CopyForm, chunk: Chunk, columns: Sequence[pl.Series], left_out: Collection[int]) -> Copied:
    """Return the rows of a chunk that are not left out (from 0)."""
    import polars as pl  # slow import  # noqa: PLC0415

    rows = pl.int_range(chunk.first_row, chunk.first_row + chunk.rows, eager=True).alias("rn")
    out = pl.DataFrame([rows, *(columns[at].alias(f"v{at}") for at in form.order)])
    if left_out:
        keep = pl.repeat(True, chunk.rows, dtype=pl.Boolean, eager=True)
        out = out.filter(keep.scatter(list(left_out), False))
    hashes = form.hashes(out["rn"], {at: out[f"v{at}"] for at in form.key})
    buffer = io.BytesIO()
    out.write_csv(buffer, include_header=False, separator=form.delimiter, quote_char=form.quote)
    return Copied(buffer.getvalue(), out.height, hashes)


def spliced(
    form: CopyForm, fitted: Fitted, columns: Sequence[pl.Series], left_out: Collection[int]
) -> Copied:
    """Return the rows that fit as they stand, and those of the rest that are not left out.

    `columns` hold the values of the rest, by which `left_out` counts.
    """
    import polars as pl  # slow import  # noqa: PLC0415

    lines, keep = fitted.lines, fitted.fits
    hashes = form.hasher.of_lines(fitted.rows.filter(keep), lines.filter(keep)) if form.hasher else None
    if kept := [at for at in range(len(fitted.rest_at)) if at not in left_out]:
        cells = [_cell(pl.col(f"v{at}"), form.quote) for at in form.order]
        rest = pl.DataFrame([columns[at].alias(f"v{at}") for at in form.order])
        texts = rest[kept].select(pl.concat_str(cells, separator=form.delimiter)).to_series()
        places = [fitted.rest_at[at] for at in kept]
        others = form.hashes(fitted.rows.gather(places), {at: rest[f"v{at}"][kept] for at in form.key})
        hashes = None if hashes is None or others is None else pl.concat([hashes, others])
        lines, keep = lines.scatter(places, texts), keep.scatter(places, True)
    out = pl.DataFrame([fitted.rows.alias("rn"), lines.alias("line")]).filter(keep)
    buffer = io.BytesIO()
    out.write_csv(buffer, include_header=False, separator=form.delimiter, quote_style="never")
    return Copied(buffer.getvalue(), out.height, hashes)


def _cell(values: pl.Expr, quote: str) -> pl.Expr:
    import polars as pl  # slow import  # noqa: PLC0415

    mark = pl.lit(quote)
    quoted = pl.concat_str(mark, values.str.replace_all(quote, quote * 2, literal=True), mark)
    return pl.when(values.is_null()).then(pl.lit("")).otherwise(quoted)
