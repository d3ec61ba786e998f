"""Fake rows that fit a dataset, with a chosen share of faulty ones: the same seed makes the same rows.

Pure: no Django, no storage, no clock. Rows are made block by block, so memory does not grow with their number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import gcd, prod
from random import Random

from core.errors import RowhouseError
from datasets.checks import holds, read_columns
from datasets.columntypes import type_of
from datasets.spec import CheckSpec, ColumnSpec, DatasetSpec
from importer.generation_faults import Faults, Place, Row
from importer.generation_values import NoValue, Values, values_of

BLOCK = 1_000
EMPTY_SHARE = 0.08  # of the cells of an optional column
REDRAWN = 50  # times, before cells of a row that breaks a check are emptied
LEAST_SPREAD = 10  # so many times more different values than rows, where the column allows it


class TooFewValues(RowhouseError):
    """The key, or a unique column, cannot hold as many different values as rows are wanted."""

    code = "too-few-values"
    status = 422


@dataclass(frozen=True, slots=True)
class Order:
    """What is wanted: `faulty` of `rows` rows; a workbook has faults of its own."""

    rows: int
    faulty: int
    seed: int
    is_workbook: bool = False


def make_rows(
    spec: DatasetSpec, order: Order, keys: Mapping[str, Sequence[str]] | None = None
) -> Iterator[Row]:
    """Yield the rows below the header, good ones and faulty ones mixed evenly.

    Good rows have different keys and unique values; an import into an empty dataset rejects the faulty ones
    and no other.

    :param keys: by a reference's physical name, the keys it may hold. Without any it is empty in every row.
    :raises TooFewValues: before the first row.
    :raises NoValue: no row meets the dataset's checks, or no value the rules of a column.
    """
    sources = [values_of(column, order.seed, (keys or {}).get(column.name, ())) for column in spec.columns]
    for (column, target), source in ((one, sources[spec.columns.index(one[0])]) for one in spec.references):
        if not source.most and column.is_required:
            raise TooFewValues(
                f"“{column.label}” must name a record of “{target.title}”, which has none. Add some there first."
            )
    blocks = _Blocks(spec, sources, order)
    return _rows(blocks, Faults(spec, sources, is_workbook=order.is_workbook), order)


def _rows(blocks: _Blocks, faults: Faults, order: Order) -> Iterator[Row]:
    rng = _random(order, "faults")
    left, faulty, before = order.rows, order.faulty, None
    for start in range(0, order.rows, BLOCK):
        for number, cells in enumerate(blocks.make(start, min(BLOCK, order.rows - start)), start=start):
            if faulty and rng.random() * left < faulty:
                faulty -= 1
                yield faults.plant(rng, cells, Place(number, order.rows, before))
            else:
                if before is None or number % 97 == 0:
                    before = cells
                yield Row(cells)
            left -= 1


def _random(order: Order, use: object) -> Random:
    return Random(f"{order.seed}/{use}")  # noqa: S311 -- the same rows again are wanted, not secrets


class _Blocks:
    """Good rows, a block at a time, column by column."""

    def __init__(self, spec: DatasetSpec, sources: Sequence[Values], order: Order) -> None:
        self._rngs = [_random(order, at) for at in range(len(sources))]
        self._sources, self._spec, self._redraw = sources, spec, _random(order, "checks")
        place = {column.name: at for at, column in enumerate(spec.columns)}
        self._checks = [
            (check, [place[column.name] for column in read_columns(check, spec)]) for check in spec.checks
        ]
        self._kinds = {at: type_of(spec.columns[at]) for _, names in self._checks for at in names}
        columns = list(enumerate(spec.columns))
        self._runs: dict[int, _Run] = {
            at: _Run([(column, sources[at])], order, at)
            for at, column in columns
            if column.is_unique and sources[at].most
        }
        key = [at for at, column in columns if column.name in spec.key]
        if key and not any(at in self._runs for at in key):
            run = _Run([(spec.columns[at], sources[at]) for at in key], order, -1)
            self._runs |= dict.fromkeys(key, run)
        self._key = key
        can_be_empty = {at for at, column in columns if not column.is_required and at not in key}
        # A row without any value would be none.
        self._can_be_empty = can_be_empty - ({0} if len(can_be_empty) == len(columns) else set())

    def make(self, start: int, count: int) -> Iterator[tuple[str | None, ...]]:
        made: dict[int, list[list[str]]] = {}
        columns: list[Sequence[str | None]] = []
        for at, source in enumerate(self._sources):
            run, rng = self._runs.get(at), self._rngs[at]
            if run is None:
                texts = source.draw(rng, count)
            else:
                if id(run) not in made:
                    made[id(run)] = run.make(start, count)
                texts = made[id(run)][self._key.index(at) if len(made[id(run)]) > 1 else 0]
            if not source.most:
                columns.append([None] * count)
                continue
            columns.append(_with_gaps(texts, rng) if at in self._can_be_empty else texts)
        rows = zip(*columns, strict=True)
        return map(self._within_checks, rows) if self._checks else rows

    def _within_checks(self, row: tuple[str | None, ...]) -> tuple[str | None, ...]:
        """Return a row that meets the checks: with other values in their columns, or none where nothing else helps.

        What must differ from row to row stays as it is.

        :raises NoValue: no such row was found.
        """
        cells = list(row)
        for _ in range(REDRAWN):
            broken = [names for check, names in self._checks if not self._meets(check, cells)]
            if not broken:
                return tuple(cells)
            free = sorted({at for names in broken for at in names} - set(self._runs))
            for at in free:
                cells[at] = self._sources[at].draw(self._redraw, 1)[0]
        for check, names in self._checks:
            can_be_empty = [at for at in names if at in self._can_be_empty]
            while can_be_empty and not self._meets(check, cells):
                cells[can_be_empty.pop()] = None
        for check, _ in self._checks:
            if not self._meets(check, cells):
                raise NoValue(
                    f"No row was found that meets the check “{check.name}” with values drawn at random. Make its"
                    " columns optional, or leave the check out while the rows are made."
                )
        return tuple(cells)

    def _meets(self, check: CheckSpec, cells: Sequence[str | None]) -> bool:
        return holds(check, self._spec.columns, self._values(cells))

    def _values(self, cells: Sequence[str | None]) -> dict[str, object]:
        return {
            self._spec.columns[at].name: None if (text := cells[at]) is None else kind.to_python(text)
            for at, kind in self._kinds.items()
        }


def _with_gaps(texts: list[str], rng: Random) -> list[str | None]:
    return [None if rng.random() < EMPTY_SHARE else text for text in texts]


class _Run:
    """Different values, or for several columns different combinations, in an order that looks like none.

    Row n gets the combination number (step · n + first) modulo all of them; a step that shares no factor with
    their number visits each once.
    """

    def __init__(self, columns: Sequence[tuple[ColumnSpec, Values]], order: Order, at: int) -> None:
        self._sources = [source for _, source in columns]
        self._sizes = _sizes(self._sources, order.rows)
        self._all = prod(self._sizes)
        if self._all < order.rows:
            labels = " and ".join(f"“{column.label}”" for column, _ in columns)
            raise TooFewValues(
                f"{labels} can hold {self._all:,} different values only, and {order.rows:,} rows are wanted."
                " Ask for fewer rows."
            )
        rng = _random(order, f"run/{at}")
        self._first = rng.randrange(self._all)
        self._step = next(
            step for step in iter(lambda: rng.randrange(1, self._all + 1), None) if gcd(step, self._all) == 1
        )

    def make(self, start: int, count: int) -> list[list[str]]:
        """Return the values of `count` rows from row `start`, one list for each column."""
        columns: list[list[str]] = [[] for _ in self._sources]
        parts = list(zip(columns, self._sources, self._sizes, strict=True))
        for number in range(start, start + count):
            index = (self._step * number + self._first) % self._all
            for texts, source, size in parts:
                index, within = divmod(index, size)
                texts.append(source.nth(within))
        return columns


def _sizes(sources: Sequence[Values], rows: int) -> list[int]:
    """Return how many values of each source are used: natural ones, more of them where those are too few."""
    sizes = [source.plausible for source in sources]
    wanted = rows * LEAST_SPREAD
    for at, source in enumerate(sources):
        if (have := prod(sizes)) >= wanted:
            break
        others = have // sizes[at]
        sizes[at] = min(source.most, -(-wanted // others))
    return sizes


def all_rows(
    spec: DatasetSpec, order: Order, keys: Mapping[str, Sequence[str]] | None = None
) -> Iterator[Row]:
    """Return the header and the rows below it.

    :raises TooFewValues: at once, not when the first row is asked for.
    """
    return chain([Row(tuple(column.label for column in spec.columns))], make_rows(spec, order, keys))
