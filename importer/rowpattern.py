r"""One pattern over a whole row: which rows of a file go to the database as they stand.

Most rows of most files need no more: nothing is taken apart, and nothing written anew. What a cell may be, its
column's type says (`ColumnType.pattern`); rows that do not fit are no worse for it, they are looked at cell by
cell. A pattern tells where a row's cells begin and end only because none of its cells can hold a delimiter, a
quote or a line end that belongs to the file's grammar.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from datasets.columntypes import type_of
from datasets.columntypes.grammar import WHITE_SPACE
from importer.judging import MAX_INDEXED_BYTES, REPLACEMENT, ColumnJudge, Wrong
from importer.readers.csv import Chunk, Excerpt
from importer.readers.grammar import Grammar

if TYPE_CHECKING:
    import polars as pl

DEFAULT_QUOTE = '"'  # of what we write where the file has none
MOST_COUNTED = 1_000  # characters of a cell that a pattern counts
_USED_IN_CELLS = re.compile(r"[A-Za-z0-9 .:+\\-]")
_NOT_IN_TEXT = f"\x00\x01\x02\r\n{REPLACEMENT}"
WORTH_IT = 4  # at least every so many rows of a chunk must fit


@dataclass(slots=True)
class Fitted:
    """A chunk's lines, and which of them are rows that fit.

    `fits` has a value for each line; `rest` holds the records that do not fit, which begin on the lines `rest_at`.
    """

    chunk: Chunk
    lines: pl.Series
    fits: pl.Series
    rows: pl.Series
    rest: Excerpt
    rest_at: Sequence[int]


class RowPattern:
    """The pattern of one file's rows, for a dataset."""

    def __init__(self, pattern: str, doubtful: str, longest: int | None, grammar: Grammar) -> None:
        import polars as pl  # slow import  # noqa: PLC0415

        line = pl.col("line")
        fits = line.str.contains(pattern)
        if longest is not None:
            fits = fits & (line.str.len_bytes() <= longest)
        if doubtful:
            fits = fits & ~line.str.contains(doubtful)
        self._fits = fits.alias("fits")
        self._quote = grammar.quote.decode()
        self.worth_it = WORTH_IT
        self._is_worth_it = True

    def fit(self, chunk: Chunk, others: Collection[int]) -> Fitted | None:
        """Return which rows of a chunk fit, or None when it is better read as a whole. `others` (rows) do not."""
        import polars as pl  # slow import  # noqa: PLC0415

        if not self._is_worth_it:
            return None
        raw = pl.Series("line", [chunk.data[:-1]], dtype=pl.Binary).cast(pl.String).str.split("\n").explode()
        if len(raw) != chunk.lines:  # a line may also end in a lone return
            return None
        begins = self._beginnings(raw, chunk)
        lines = raw.str.strip_suffix("\r") if b"\r" in chunk.data else raw
        fits = lines.to_frame().select(self._fits).to_series()
        if begins is None:
            rows = pl.int_range(chunk.first_row, chunk.first_row + chunk.rows, eager=True)
        else:
            fits = fits & begins
            rows = begins.cast(pl.Int64).cum_sum() + (chunk.first_row - 1)
        if others:
            fits = fits & ~rows.is_in(list(others))
        if fits.sum() * self.worth_it < chunk.rows:
            self._is_worth_it = False  # nor will it be for the other chunks
            return None
        rest_at = (~fits if begins is None else begins & ~fits).arg_true()
        rest = Excerpt(
            data=b"".join(f"{line}\n".encode() for line in raw.filter(~fits).to_list()),
            first_line=chunk.first_line,
            first_row=chunk.first_row,
            rows=len(rest_at),
            end=chunk.end,
            bad_rows=chunk.bad_rows,
            row_numbers=rows.gather(rest_at).to_list(),
            line_numbers=(rest_at.cast(pl.Int64) + chunk.first_line).to_list(),
        )
        return Fitted(chunk, lines, fits, rows, rest, rest_at.to_list())

    def _beginnings(self, lines: pl.Series, chunk: Chunk) -> pl.Series | None:
        """Return on which lines records begin and end well; None when all do.

        A record is at its end where its quotes are even, for a chunk has them only around cells, or doubled.
        """
        if chunk.rows == chunk.lines:
            return None
        quotes = lines.str.count_matches(self._quote, literal=True)
        before = quotes.cum_sum() - quotes
        return before % 2 == 0


def row_pattern(judges: Sequence[ColumnJudge], width: int, grammar: Grammar) -> RowPattern | None:
    """Return the pattern of the rows of a file that is `width` cells wide, or None when they must be taken apart.

    That is so when a cell goes nowhere or to two columns, or is not stored as it stands.
    """
    by_position = {judge.position: judge for judge in judges if not judge.recipe.changes_text}
    if sorted(judge.position for judge in judges) != list(range(width)) or len(by_position) != width:
        return None
    if _USED_IN_CELLS.match(grammar.delimiter) or grammar.delimiter in (
        "\r",
        "\n",
        DEFAULT_QUOTE,
        *_NOT_IN_TEXT,
    ):
        return None
    quote = grammar.quote.decode()
    if quote and _USED_IN_CELLS.match(quote):
        return None
    words = {word for judge in judges for word in judge.reading.null_words}
    marks = f"{grammar.delimiter}{quote or DEFAULT_QUOTE}"
    if any(set(word) & {*marks, "\r", "\n"} for word in words):
        return None
    cells = [_cell(by_position[position], grammar.delimiter, quote) for position in range(width)]
    if None in cells:
        return None
    d = re.escape(grammar.delimiter)
    limits = [limit for judge in judges if (limit := _limit(judge)) is not None and limit > MOST_COUNTED]
    return RowPattern(
        rf"\A{d.join(cell for cell in cells if cell is not None)}\z",
        _doubtful(
            words, d, re.escape(quote), may_be_blank=all(_is_taken(judge, None, None) for judge in judges)
        ),
        min(limits, default=None),
        grammar,
    )


def _doubtful(words: Collection[str], d: str, q: str, *, may_be_blank: bool) -> str:
    """Return the pattern of rows that hold nothing, or a word that may mean that; "" when there are none."""
    forms = [rf"\A(?:{d})*\z"] if may_be_blank else []
    if either := "|".join(re.escape(word) for word in sorted(words) if word):
        around = f"{q}?" if q else ""
        forms.append(rf"(?:\A|{d}){around}(?:{either}){around}(?:{d}|\z)")
    return "|".join(forms)


def _cell(judge: ColumnJudge, delimiter: str, quote: str) -> str | None:
    """Return the pattern of a column's cells, quoted or not, or None when it has none."""
    q = re.escape(quote)
    if type_of(judge.column).holds_text:
        forms = _texts(judge, delimiter, quote)
    else:
        pattern = type_of(judge.column).pattern(
            judge.column, judge.reading, f"{delimiter}{quote or DEFAULT_QUOTE}"
        )
        if pattern is None:
            return None
        forms = [pattern, f"{q}{pattern}{q}"] if quote else [pattern]
    if _is_taken(judge, None, None):
        forms.append("")
    if quote and _is_taken(judge, "", ""):
        forms.append(q * 2)
    return f"(?:{'|'.join(forms)})"


def _is_taken(judge: ColumnJudge, raw: str | None, stored: str | None) -> bool:
    verdict = judge.judge(raw)
    return not isinstance(verdict, Wrong) and verdict == stored


def _limit(judge: ColumnJudge) -> int | None:
    """Return how many characters a text column surely takes, or None for any number."""
    if not type_of(judge.column).holds_text:
        return None
    limit = judge.column.options.max_length
    indexed = MAX_INDEXED_BYTES // 4  # a character is at most four bytes
    return min(limit or indexed, indexed) if judge.limits_bytes else limit


def _texts(judge: ColumnJudge, delimiter: str, quote: str) -> list[str]:
    """Return the patterns of texts of at least one character: unquoted, and quoted."""
    limit = _limit(judge)
    most = None if limit is None or limit > MOST_COUNTED else limit
    edge = WHITE_SPACE if judge.is_text_key else ""
    bare = _NOT_IN_TEXT + delimiter + (quote or DEFAULT_QUOTE)
    forms = [_counted(_other_than(bare), _other_than(bare + edge), most)]
    if quote:
        q, inner = re.escape(quote), _NOT_IN_TEXT + quote
        character, at_edge = (f"(?:{_other_than(without)}|{q}{q})" for without in (inner, inner + edge))
        forms.append(q + _counted(character, at_edge, most) + q)
    return forms


def _counted(character: str, edge: str, most: int | None) -> str:
    """Return the pattern of 1 to `most` characters, of which the first and the last are of the kind `edge`."""
    if edge == character:
        return character + ("+" if most is None else f"{{1,{most}}}")
    between = f"{character}*" if most is None else f"{character}{{0,{max(most - 2, 0)}}}"
    return edge if most == 1 else f"{edge}(?:{between}{edge})?"


def _other_than(characters: str) -> str:
    return "[^" + "".join(f"\\x{{{ord(character):x}}}" for character in characters) + "]"
