"""The fast path: a chunk as columns, what is surely right passed at once, the rest named cell by cell.

Whatever does not add up is left to the slow path (None): the screen never decides alone that a row is wrong.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from datasets.columntypes import type_of
from datasets.columntypes.base import ColumnType
from datasets.columntypes.grammar import WHITE_SPACE
from importer.framing import Framed, Framer, is_blank
from importer.judging import MAX_INDEXED_BYTES, REPLACEMENT, ColumnJudge, Wrong
from importer.readers.grammar import Grammar

if TYPE_CHECKING:
    import polars as pl

    from importer.readers.csv import Chunk

# Fewer cells than that the judge has looked at before polars has begun.
WORTH_ANOTHER_LOOK = 30
type Refusal = tuple[ColumnJudge, Wrong]


@dataclass(slots=True)
class Screened:
    """A chunk as far as the screen got. Rows are counted from 0 within the chunk.

    `values` holds a canonical column for each judge; `wrong` the judges that refuse a cell of a row, and why;
    `warned` the rows that may deserve a warning, refused ones among them; `blank` the rows that hold nothing.
    """

    framed: Framed
    blank: list[int]
    values: list[pl.Series] = field(default_factory=list)
    wrong: dict[int, list[Refusal]] = field(default_factory=dict)
    warned: list[int] = field(default_factory=list)


class Screen:
    """The judges' columns as polars expressions, built once per file."""

    def __init__(self, judges: Sequence[ColumnJudge], width: int, grammar: Grammar) -> None:
        import polars as pl  # slow import  # noqa: PLC0415

        self._judges = judges
        self._width = width
        self._framer = Framer(width, grammar)
        self._names = [f"f{position}" for position in range(width)]
        raws = [pl.col(_raw_name(number, judge)) for number, judge in enumerate(judges)]
        self._first = [
            expression.alias(f"{name}{number}")
            for number, (judge, raw) in enumerate(zip(judges, raws, strict=True))
            for name, expression in zip("vu", _first_look(judge, raw), strict=True)
        ]
        self._second = [_second_look(judge, raw) for judge, raw in zip(judges, raws, strict=True)]
        self._holds_nothing = pl.all_horizontal(pl.col(name).is_null() for name in self._names)

    def apply(self, chunk: Chunk, settled: Collection[int] = ()) -> Screened | None:
        """Return what can be said about a chunk, or None when only the slow path can read it.

        The rows `settled` (from 0) are judged elsewhere: what the file has there is neither wrong nor blank.
        """
        framed = self._framer.read(chunk)
        if framed is None:
            return None
        frame = self._with_prepared(framed.cells)
        nothing = frame.select(self._holds_nothing.alias("nothing"))["nothing"]
        ragged = framed.ragged
        blank = [row for row in nothing.arg_true().to_list() if row not in ragged]
        blank += [row for row, cells in ragged.items() if is_blank(cells, self._width)]
        screened = Screened(framed, [row for row in blank if row not in settled])
        skipped = {*blank, *ragged, *settled}
        for number, (values, unsure) in enumerate(self._look(frame)):
            judge = self._judges[number]
            raws = frame[_raw_name(number, judge)].gather(unsure)
            screened.values.append(_settle(judge, raws, values, unsure, screened.wrong, skipped))
        screened.warned = self._warned(chunk, screened.values)
        return screened

    def look(self, frame: pl.DataFrame) -> list[tuple[pl.Series, pl.Series]]:
        """Return for each judge the canonical texts of its cells, and the rows of which only it can say.

        `frame` holds the cells of a file as columns `f0` and so on.
        """
        return list(self._look(self._with_prepared(frame)))

    def _look(self, frame: pl.DataFrame) -> Iterator[tuple[pl.Series, pl.Series]]:
        import polars as pl  # slow import  # noqa: PLC0415

        said = frame.select(self._first)
        for number, judge in enumerate(self._judges):
            values, unsure = said[f"v{number}"].cast(pl.String), said[f"u{number}"].arg_true()
            second = self._second[number]
            if second is not None and len(unsure) >= WORTH_ANOTHER_LOOK:
                raws = frame[_raw_name(number, judge)].gather(unsure)
                found = raws.to_frame().select(second).to_series()
                sure = found.is_not_null()
                values = values.scatter(unsure.filter(sure), found.filter(sure))
                unsure = unsure.filter(~sure)
            yield values, unsure

    def _with_prepared(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the frame with a column more for each judge whose cells are made by a recipe."""
        prepared = [
            _prepared(judge, frame, [self._names[at] for at in judge.sources]).alias(_raw_name(number, judge))
            for number, judge in enumerate(self._judges)
            if judge.recipe.changes_text
        ]
        return frame.with_columns(prepared) if prepared else frame

    def _warned(self, chunk: Chunk, columns: Sequence[pl.Series]) -> list[int]:
        """Return the rows with a value to warn of, or more: what is said of them the judges decide."""
        import polars as pl  # slow import  # noqa: PLC0415

        found = []
        mark = REPLACEMENT.encode()
        has_replacement = mark[:1] in chunk.data and mark in chunk.data  # one byte is found much faster
        for judge, values in zip(self._judges, columns, strict=True):
            if judge.is_text_key:
                found.append(values.str.len_bytes() != values.str.strip_chars(WHITE_SPACE).str.len_bytes())
            if has_replacement or judge.recipe.changes_text:
                found.append(values.str.contains(REPLACEMENT, literal=True))
        return pl.select(pl.any_horizontal(found)).to_series().arg_true().to_list() if found else []


def _raw_name(number: int, judge: ColumnJudge) -> str:
    """Return the column of the frame that holds what a judge judges."""
    return f"p{number}" if judge.recipe.changes_text else f"f{judge.position}"


def _prepared(judge: ColumnJudge, frame: pl.DataFrame, sources: list[str]) -> pl.Series:
    """Return the cells that a recipe makes: the scalar truth's for each different cell, or row of cells."""
    import polars as pl  # slow import  # noqa: PLC0415

    if not sources:
        return pl.repeat(judge.prepare(()), frame.height, dtype=pl.String, eager=True)
    raws = frame.select(pl.col(name).alias(f"s{number}") for number, name in enumerate(sources))
    different = raws.unique()
    made = pl.Series("made", [judge.prepare(cells) for cells in different.rows()], dtype=pl.String)
    joined = raws.join(
        different.with_columns(made),
        on=different.columns, how="left", nulls_equal=True, maintain_order="left",
    )  # fmt: skip
    return joined["made"]


def _first_look(judge: ColumnJudge, raw: pl.Expr) -> tuple[pl.Expr, pl.Expr]:
    """Return (canonical text or null, whether more must be said) of a column: what is canonical as it stands."""
    import polars as pl  # slow import  # noqa: PLC0415

    sure = type_of(judge.column).screen(raw, judge.column, judge.reading)
    value = pl.lit(None, dtype=pl.String) if sure is None else pl.when(sure).then(raw)
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


def _second_look(judge: ColumnJudge, raw: pl.Expr) -> pl.Expr | None:
    """Return the canonical text of what is written in other plain ways, or null; None when there are none."""
    kind = type_of(judge.column)
    if type(kind).convert is ColumnType.convert:
        return None
    return kind.convert(raw, judge.column, judge.reading)


def _settle(
    judge: ColumnJudge,
    raws: pl.Series,
    values: pl.Series,
    unsure: pl.Series,
    wrong: dict[int, list[Refusal]],
    skipped: set[int],
) -> pl.Series:
    """Return the column with the judge's word for the cells of the unsure rows; who is refused goes into `wrong`."""
    import polars as pl  # slow import  # noqa: PLC0415

    if unsure.is_empty():
        return values
    rows = unsure.to_list()
    settled: list[str | None] = []
    for row, raw in zip(rows, raws.to_list(), strict=True):
        verdict = None if row in skipped else judge.judge(raw)
        if isinstance(verdict, Wrong):
            wrong.setdefault(row, []).append((judge, verdict))
            verdict = None
        settled.append(verdict)
    return values.scatter(rows, pl.Series(settled, dtype=pl.String))
