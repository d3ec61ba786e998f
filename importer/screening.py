r"""The fast path: a chunk as columns, what is surely right passed at once, the rest named cell by cell.

polars pads short rows and drops what is too much in long ones without a word. So every line gets a sentinel
cell at its end: a row is exactly as wide as the header when the sentinel is right behind its last column.
Whatever does not add up is left to the slow path (None): the screen never decides alone that a row is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from datasets.columntypes import type_of
from importer.judging import MAX_INDEXED_BYTES, ColumnJudge, Wrong
from importer.readers.grammar import Grammar

if TYPE_CHECKING:
    import polars as pl

    from importer.readers.csv import Chunk

SENTINEL = "\x01"
type Refusal = tuple[ColumnJudge, Wrong]


@dataclass(slots=True)
class Screened:
    """A chunk as far as the screen got. Rows are counted from 0 within the chunk.

    `values` holds a canonical column for each judge; `wrong` the judges that refuse a cell of a row, and why;
    `ragged` the cells of each row that is not `width` wide; `blank` the rows that hold nothing.
    """

    frame: pl.DataFrame
    values: list[pl.Series]
    wrong: dict[int, list[Refusal]]
    ragged: dict[int, list[str | None]]
    blank: list[int]
    lines: pl.Series | None  # lines before each row; None: one line per row


class Screen:
    """The judges' columns as polars expressions, built once per file."""

    def __init__(self, judges: Sequence[ColumnJudge], width: int, grammar: Grammar) -> None:
        import polars as pl  # slow import  # noqa: PLC0415

        self._judges = judges
        self._width = width
        self._grammar = grammar
        self._names = [f"f{position}" for position in range(width)]
        self._schema = dict.fromkeys([*self._names, "_s", "_x"], pl.String())
        self._verdicts: list[pl.Expr] = []
        for number, judge in enumerate(judges):
            value, unsure = _expressions(judge)
            self._verdicts += [value.alias(f"v{number}"), unsure.alias(f"u{number}")]
        cells = [pl.col(name) for name in self._names]
        fits = (pl.col("_s") == SENTINEL) & pl.col("_x").is_null()
        ends_in_delimiter = (pl.col("_s").fill_null("") == "") & (pl.col("_x") == SENTINEL)
        self._fits = fits.fill_null(value=False) | ends_in_delimiter.fill_null(value=False)
        self._holds_nothing = pl.all_horizontal(cell.is_null() for cell in cells)

    def apply(self, chunk: Chunk) -> Screened | None:
        """Return what can be said about a chunk, or None when only the slow path can read it."""
        import polars as pl  # slow import  # noqa: PLC0415

        frame = self._read(chunk)
        if frame is None:
            return None
        checked = frame.select(
            self._fits.alias("fits"), self._holds_nothing.alias("nothing"), *self._verdicts
        )
        fits = checked["fits"]
        ragged = {} if fits.all() else self._ragged(chunk, frame, (~fits).arg_true().to_list())
        if ragged is None:
            return None
        blank = [row for row in checked["nothing"].arg_true().to_list() if row not in ragged]
        blank += [row for row, cells in ragged.items() if is_blank(cells, self._width)]
        lines = self._lines_before(chunk, frame)
        if lines is None and chunk.rows != chunk.lines:
            return None
        screened = Screened(frame, [], {}, ragged, blank, lines)
        skipped = set(blank) | set(ragged)
        for number, judge in enumerate(self._judges):
            values, unsure = checked[f"v{number}"], checked[f"u{number}"]
            if unsure.any():
                values = _settle(
                    judge, frame[self._names[judge.position]], values, unsure, screened.wrong, skipped
                )
            screened.values.append(values.cast(pl.String))
        return screened

    def _read(self, chunk: Chunk) -> pl.DataFrame | None:
        import polars as pl  # slow import  # noqa: PLC0415

        data = chunk.data
        has_return = b"\r" in data
        if not chunk.is_plain or b"\x00" in data or b"\x01" in data:
            return None
        if has_return and data.count(b"\r") != data.count(b"\r\n"):
            return None
        end = b"\r\n" if has_return else b"\n"
        mark = (self._grammar.delimiter + SENTINEL).encode()
        try:
            frame = pl.read_csv(
                data.replace(end, mark + b"\n"),
                has_header=False,
                schema=self._schema,
                separator=self._grammar.delimiter,
                quote_char=self._grammar.quote.decode() or None,
                truncate_ragged_lines=True,
                missing_columns="insert",
                extra_columns="ignore",
            )
        except pl.exceptions.PolarsError:
            return None
        if frame.height != chunk.rows:
            return None
        if chunk.rows != chunk.lines:  # cells of several lines: the sentinels inside them go
            undone = pl.all().str.replace_all(mark.decode() + "\n", end.decode(), literal=True)
            frame = frame.with_columns(undone)
        return frame

    def _ragged(
        self, chunk: Chunk, frame: pl.DataFrame, rows: list[int]
    ) -> dict[int, list[str | None]] | None:
        """Return the cells of the rows that are not as wide as the header; None when they cannot be told.

        Rows that are too wide by empty cells only are none of them: the frame holds all that is theirs.
        """
        found: dict[int, list[str | None]] = {}
        texts: list[bytes] = []
        for row, cells in zip(rows, frame[rows].rows(), strict=True):
            if SENTINEL in cells[: self._width]:
                found[row] = list(cells[: cells.index(SENTINEL)])
                continue
            if chunk.rows != chunk.lines:
                return None
            texts = texts or chunk.data.split(b"\n")
            read = next(self._grammar.records(texts[row].decode() + "\n")).cells
            if len(read) == self._width:
                return None
            kept = without_surplus(read, self._width)
            if len(kept) != self._width:
                found[row] = kept
            elif kept != list(cells[: self._width]):
                return None
        return found

    def _lines_before(self, chunk: Chunk, frame: pl.DataFrame) -> pl.Series | None:
        """Return how many lines stand before each row; None when every row is one line, or nobody can tell."""
        import polars as pl  # slow import  # noqa: PLC0415

        if chunk.rows == chunk.lines:
            return None
        per_row = 1 + pl.sum_horizontal(pl.all().str.count_matches("\n", literal=True).fill_null(0))
        counted = frame.select(per_row.cast(pl.Int64).alias("n"))["n"]
        return (counted.cum_sum() - counted) if counted.sum() == chunk.lines else None


def without_surplus(cells: list[str | None], width: int) -> list[str | None]:
    """Return the cells without those beyond the header, if all of them are empty.

    >>> without_surplus(["1", None, None, ""], 2), without_surplus(["1", None, None, "x"], 2)
    (['1', None], ['1', None, None, 'x'])
    """
    return cells if any(cells[width:]) else cells[:width]


def is_blank(cells: Sequence[str | None], width: int) -> bool:
    """Return whether a row holds nothing: no cell does, or it is one cell of blanks where there are several columns."""
    if all(cell is None for cell in cells):
        return True
    return len(cells) == 1 and width > 1 and not (cells[0] or "").strip()


def _expressions(judge: ColumnJudge) -> tuple[pl.Expr, pl.Expr]:
    """Return (canonical text or null, whether only the judge can say) of a judge's column."""
    import polars as pl  # slow import  # noqa: PLC0415

    raw = pl.col(f"f{judge.position}")
    value = type_of(judge.column).convert(raw, judge.column, judge.reading)
    if value is None:
        value = pl.lit(None, dtype=pl.String)
    if judge.limits_bytes:
        value = pl.when(raw.str.len_bytes() <= MAX_INDEXED_BYTES // 2).then(value)
    unsure = value.is_null()
    for known in (None, "", *judge.reading.null_words):
        verdict = judge.judge(known)
        if isinstance(verdict, Wrong):
            continue
        is_known = raw.is_null() if known is None else raw.eq_missing(pl.lit(known))
        unsure = unsure & ~is_known
        if verdict is not None:
            value = pl.when(is_known).then(pl.lit(verdict)).otherwise(value)
    return value, unsure


def _settle(
    judge: ColumnJudge,
    raws: pl.Series,
    values: pl.Series,
    unsure: pl.Series,
    wrong: dict[int, list[Refusal]],
    skipped: set[int],
) -> pl.Series:
    """Return the column with the judge's word for every unsure cell; the rows it refuses go into `wrong`."""
    import polars as pl  # slow import  # noqa: PLC0415

    rows = unsure.arg_true().to_list()
    settled: list[str | None] = []
    for row, raw in zip(rows, raws.filter(unsure).to_list(), strict=True):
        verdict = None if row in skipped else judge.judge(raw)
        if isinstance(verdict, Wrong):
            wrong.setdefault(row, []).append((judge, verdict))
            verdict = None
        settled.append(verdict)
    return values.scatter(rows, pl.Series(settled, dtype=pl.String))
