"""Values of a column as another definition of it would read them. Pure.

A value converts as its canonical text would be read from a file into the new column: by the one grammar, with
the vectorised screen for what is surely right. History converts too, so that former versions can be shown and
brought back; the limits of the new definition need not hold there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from datasets.columntypes import BadValue, Reading, check_cell, type_of
from datasets.spec import ColumnOptions, ColumnSpec

CANONICAL = Reading()
WORTH_A_SCREEN = 200  # fewer different texts are judged before polars has begun


@dataclass(frozen=True, slots=True)
class Converted:
    """What becomes of one value: its new canonical text, None for no value; or the rule it breaks.

    `is_edited`: at a revert, it was edited since the change and so is not what it was before.
    """

    text: str | None
    rule: str = ""
    code: str = ""
    is_edited: bool = False

    @property
    def is_failing(self) -> bool:
        return bool(self.code)


type _Many = Callable[[Sequence[tuple[str | None, ...]]], list[Converted]]


class Converter:
    """Converts the values of a column into `new`. Remembers nothing between two calls."""

    def __init__(self, new: ColumnSpec) -> None:
        self.new = new
        self._free = replace(new, is_required=False, options=_size(new.options))

    def convert(self, values: Sequence[tuple[str | None, ...]]) -> list[Converted]:
        """Return what becomes of values; each is given as a tuple of its canonical text alone."""
        return self.of_texts([value[0] for value in values])

    def of_texts(self, texts: Sequence[str | None]) -> list[Converted]:
        """Return what becomes of canonical texts."""
        different = list(dict.fromkeys(texts))
        known = self._screened([text for text in different if text]) if different else {}
        for text in different:
            if text not in known:
                known[text] = self._judged(text)
        return [known[text] for text in texts]

    def in_history(self, values: Sequence[tuple[str | None, ...]]) -> list[Converted]:
        """Return what becomes of values of former versions: failing is only what the type cannot hold at all."""
        return [self._bent(value[0], one) for value, one in zip(values, self.convert(values), strict=True)]

    def _bent(self, text: str | None, converted: Converted) -> Converted:
        if not converted.is_failing:
            return converted
        if self.new.type in ("choice", "multi_choice"):
            return Converted(text)
        try:
            return Converted(check_cell(text, self._free, CANONICAL))
        except BadValue:
            return converted

    def _judged(self, text: str | None) -> Converted:
        try:
            return Converted(check_cell(text, self.new, CANONICAL))
        except BadValue as error:
            return Converted(None, error.rule, error.code)

    def _screened(self, texts: list[str]) -> dict[str | None, Converted]:
        if len(texts) < WORTH_A_SCREEN:
            return {}
        import polars as pl  # slow import  # noqa: PLC0415

        sure = type_of(self.new).convert(pl.col("value"), self.new, CANONICAL)
        if sure is None:
            return {}
        found = pl.DataFrame({"value": pl.Series(texts, dtype=pl.String)}).select(sure.alias("new"))
        return {
            text: Converted(new)
            for text, new in zip(texts, found.get_column("new").to_list(), strict=True)
            if new is not None
        }


class Reverter:
    """Puts the values from before a change back: a value is given as (text before the change, text now).

    What nobody edited since is what it was, to the byte; what was edited is converted from what it is now.
    """

    def __init__(self, *, changed: ColumnSpec, former: ColumnSpec) -> None:
        self._forth, self._back = Converter(changed), Converter(former)

    def convert(self, values: Sequence[tuple[str | None, ...]]) -> list[Converted]:
        return self._put_back(values, self._forth.convert, self._back.convert)

    def in_history(self, values: Sequence[tuple[str | None, ...]]) -> list[Converted]:
        return self._put_back(values, self._forth.in_history, self._back.in_history)

    def _put_back(
        self, values: Sequence[tuple[str | None, ...]], forth: _Many, back: _Many
    ) -> list[Converted]:
        changed = forth([(before,) for before, _now in values])
        from_now = back([(now,) for _before, now in values])
        return [
            Converted(before) if one.text == now else replace(other, is_edited=True)
            for (before, now), one, other in zip(values, changed, from_now, strict=True)
        ]


def _size(options: ColumnOptions) -> ColumnOptions:
    """Return only what the database's type is made of: the rest are limits."""
    return ColumnOptions(precision=options.precision, scale=options.scale)


def is_in_place(old: ColumnSpec, new: ColumnSpec) -> bool:
    """Return whether every value that fits the new definition stays byte for byte what it is."""
    same_sql = type_of(old).sql_type(old) == type_of(new).sql_type(new)
    if old.type == new.type == "multi_choice":  # a value lists its choices in the column's order
        were, are = old.options.choices, new.options.choices
        return [one for one in were if one in are] == [one for one in are if one in were]
    return same_sql and (old.type == new.type or type_of(new).holds_text)
