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

from datasets.columntypes import patterns, type_of
from datasets.columntypes.grammar import WHITE_SPACE
from datasets.columntypes.text import most_characters
from importer.judging import MAX_INDEXED_BYTES, REPLACEMENT, ColumnJudge, Wrong
from importer.readers.csv import Chunk, Excerpt, Mark
from importer.readers.grammar import Grammar

if TYPE_CHECKING:
    import polars as pl

DEFAULT_QUOTE = '"'  # of what we write where the file has none
MOST_COUNTED = 1_000  # characters of a cell that a pattern counts
# Of all cells of a row. With more, the states of the expression no longer fit its cache, and it is slow.
COUNTED_IN_ALL = 600
_USED_IN_CELLS = re.compile(r"[A-Za-z0-9 .:+-]")
_NOT_IN_TEXT = f"\x00\x01\x02\r\n{REPLACEMENT}"
MARKED_ROWS = 256
WORTH_IT = 4  # at least every so many rows of a chunk must fit


@dataclass(slots=True)
class Fitted:
    """A chunk's lines, and which of them are rows that fit.

    `fits` has a value for each line; `rest` holds the records that do not fit, which begin on the lines `rest_at`.
    `marks` say where every MARKED_ROWS-th record stands.
    """

    lines: pl.Series
    fits: pl.Series
    rows: pl.Series
    rest: Excerpt
    rest_at: Sequence[int]
    marks: Sequence[Mark]


class PatternTooLarge(Exception):
    """So many columns or choices that their pattern cannot be compiled."""


class RowPattern:
    """The pattern of one file's rows, for a dataset: what fits it, is not `doubtful`, and has at most `longest` bytes.

    :raises PatternTooLarge: it cannot be compiled.
    """

    def __init__(self, pattern: str, doubtful: str, longest: int | None, grammar: Grammar) -> None:
        import polars as pl  # slow import  # noqa: PLC0415

        line = pl.col("line")
        fits = line.str.contains(pattern)
        if longest is not None:
            fits = fits & (line.str.len_bytes() <= longest)
        if doubtful:
            fits = fits & ~line.str.contains(doubtful)
        self._fits = fits.alias("fits")
        try:
            pl.DataFrame({"line": [""]}).select(self._fits)
        except pl.exceptions.PolarsError as error:
            raise PatternTooLarge from error
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
        if begins is not None and begins.sum() != chunk.rows:
            return None
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
        return Fitted(lines, fits, rows, rest, rest_at.to_list(), _marks(raw, begins))

    def _beginnings(self, lines: pl.Series, chunk: Chunk) -> pl.Series | None:
        """Return on which lines records begin and end well; None when all do.

        A record is at its end where its quotes are even, for a chunk has them only around cells, or doubled.
        """
        if chunk.rows == chunk.lines:
            return None
        quotes = lines.str.count_matches(self._quote, literal=True)
        before = quotes.cum_sum() - quotes
        return before % 2 == 0


def _marks(lines: pl.Series, begins: pl.Series | None) -> list[Mark]:
    import polars as pl  # slow import  # noqa: PLC0415

    firsts = pl.int_range(len(lines), eager=True) if begins is None else begins.arg_true()
    firsts = firsts.gather_every(MARKED_ROWS)
    lengths = lines.str.len_bytes().cast(pl.Int64) + 1
    offsets = (lengths.cum_sum() - lengths).gather(firsts)
    return [
        Mark(number * MARKED_ROWS, line, offset)
        for number, (line, offset) in enumerate(zip(firsts.to_list(), offsets.to_list(), strict=True))
    ]


def row_pattern(judges: Sequence[ColumnJudge], width: int, grammar: Grammar) -> RowPattern | None:
    """Return the pattern of the rows of a file that is `width` cells wide, or None when they must be taken apart.

    That is so when a cell goes nowhere or to two columns, or is not stored as it stands.
    """
    by_position = {judge.position: judge for judge in judges if not judge.recipe.changes_text}
    if sorted(judge.position for judge in judges) != list(range(width)) or len(by_position) != width:
        return None
    words = {word for judge in judges for word in judge.reading.null_words if word}
    forms = _Forms(grammar.delimiter, grammar.quote.decode())
    if not forms.are_possible or any(set(word) & {*forms.marks, "\r", "\n"} for word in words):
        return None
    counted, uncounted = _counted_ones(judges)
    cells = [
        forms.cell(judge, is_counted=judge.column.name in counted) for _, judge in sorted(by_position.items())
    ]
    if None in cells:
        return None
    doubtful = [forms.any_cell(words)] if words else []
    if all(_is_taken(judge, None, None) for judge in judges):
        doubtful.append(rf"\A(?:{forms.d})*\z")  # a row that holds nothing
    if 0 < uncounted <= MOST_COUNTED:
        doubtful.append(f"{_other_than(grammar.delimiter)}{{{uncounted + 1}}}")
    pattern = rf"\A{forms.d.join(cell for cell in cells if cell is not None)}\z"
    try:
        return RowPattern(
            pattern, "|".join(doubtful), uncounted if uncounted > MOST_COUNTED else None, grammar
        )
    except PatternTooLarge:
        return None


def _counted_ones(judges: Sequence[ColumnJudge]) -> tuple[set[str], int]:
    """Return the text columns whose characters the pattern counts, and the least limit of the others, or 0.

    A row in which any cell is longer than that is left to the judges.
    """
    limits = sorted(
        (limit, judge.column.name)
        for judge in judges
        if judge.column.options.pattern is None and (limit := _limit(judge)) is not None
    )
    counted, room = set[str](), COUNTED_IN_ALL
    for limit, name in limits:
        room -= limit
        if limit > MOST_COUNTED or room < 0:
            return counted, limit
        counted.add(name)
    return counted, 0


def _least(judge: ColumnJudge) -> int:
    """Return how many characters a text column wants at least, of one that is not empty."""
    return max(judge.column.options.min_length or 1, 1)


def _limit(judge: ColumnJudge) -> int | None:
    """Return how many characters a column surely takes whose pattern takes any number of them, or None."""
    if not type_of(judge.column).holds_text:
        return type_of(judge.column).longest
    limit = most_characters(judge.column)
    indexed = MAX_INDEXED_BYTES // 4  # a character is at most four bytes
    return min(limit or indexed, indexed) if judge.limits_bytes else limit


def _is_taken(judge: ColumnJudge, raw: str | None, stored: str | None) -> bool:
    verdict = judge.judge(raw)
    return not isinstance(verdict, Wrong) and verdict == stored


class _Forms:
    """The forms of cells between a delimiter and, if the file has one, in a quote; `d` and `q` are their patterns."""

    def __init__(self, delimiter: str, quote: str) -> None:
        self.delimiter, self.quote = delimiter, quote
        self.d, self.q = re.escape(delimiter), re.escape(quote)
        self.marks = delimiter + (quote or DEFAULT_QUOTE)

    @property
    def are_possible(self) -> bool:
        """Whether no mark can be part of a number, a day or the like, and COPY takes both."""
        is_used = any(_USED_IN_CELLS.match(mark) for mark in self.marks)
        return not is_used and self.delimiter not in (DEFAULT_QUOTE, *_NOT_IN_TEXT)

    def any_cell(self, words: Collection[str]) -> str:
        """Return the pattern of rows in which one of the words is a cell."""
        either, around = "|".join(re.escape(word) for word in sorted(words)), f"{self.q}?" if self.q else ""
        return rf"(?:\A|{self.d}){around}(?:{either}){around}(?:{self.d}|\z)"

    def cell(self, judge: ColumnJudge, *, is_counted: bool) -> str | None:
        """Return the pattern of a column's cells, quoted or not, or None when it has none."""
        if type_of(judge.column).holds_text:
            made = self._texts(judge, is_counted=is_counted)
            if made is None:
                return None
            forms = made
        else:
            pattern = type_of(judge.column).pattern(judge.column, judge.reading, self.marks + _NOT_IN_TEXT)
            if pattern is None:
                return None
            forms = [pattern, f"{self.q}{pattern}{self.q}"] if self.quote else [pattern]
        if _is_taken(judge, None, None):
            forms.append("")
        if self.quote and _is_taken(judge, "", ""):
            forms.append(self.q * 2)
        return f"(?:{'|'.join(forms)})"

    def _texts(self, judge: ColumnJudge, *, is_counted: bool) -> list[str] | None:
        """Return the patterns of texts of at least one character: unquoted, and quoted; None where they are not sure.

        Where its characters should be counted and are not, a quoted one has none: it may hold delimiters.
        """
        limit, edge, least = _limit(judge), WHITE_SPACE if judge.is_text_key else "", _least(judge)
        if judge.column.options.pattern is not None:
            return self._patterned(judge)
        if least > MOST_COUNTED or (limit is not None and least > limit):
            return None
        most = limit if is_counted else None
        bare = _NOT_IN_TEXT + self.marks
        forms = [_repeated(_other_than(bare), _other_than(bare + edge), most, least)]
        if self.quote and limit == most:
            inner = _NOT_IN_TEXT + self.quote
            character, at_edge = (
                f"(?:{_other_than(without)}|{self.q}{self.q})" for without in (inner, inner + edge)
            )
            forms.append(self.q + _repeated(character, at_edge, most, least) + self.q)
        return forms

    def _patterned(self, judge: ColumnJudge) -> list[str] | None:
        """Return the column's own pattern, for the texts that hold no mark: as it stands, and quoted.

        It counts its characters itself, or does not fit here. A key's white space is left to the judges.
        """
        pattern, limit = patterns.compiled(judge.column.options.pattern or ""), _limit(judge)
        is_short = pattern.most is not None and (limit is None or pattern.most <= limit)
        if not is_short or pattern.least < _least(judge):
            return None
        others = _NOT_IN_TEXT + self.marks + (WHITE_SPACE if judge.is_text_key else "")
        form = patterns.engine_text(patterns.without(pattern.node, others))
        return [form, f"{self.q}{form}{self.q}"] if self.quote else [form]


def _repeated(character: str, edge: str, most: int | None, least: int) -> str:
    """Return the pattern of `least` to `most` characters, of which the first and the last are of the kind `edge`."""
    if edge == character:
        return character + _between(least, most)
    if most == 1:
        return edge
    inner = character + _between(max(least - 2, 0), None if most is None else most - 2)
    return f"{edge}(?:{inner}{edge}){'?' if least == 1 else ''}"


def _between(least: int, most: int | None) -> str:
    if most is None:
        return {0: "*", 1: "+"}.get(least, f"{{{least},}}")
    return f"{{{least},{most}}}"


def _other_than(characters: str) -> str:
    return "[^" + "".join(f"\\x{{{ord(character):x}}}" for character in characters) + "]"
