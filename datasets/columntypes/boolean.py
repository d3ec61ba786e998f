"""True or false, from a fixed list of words and the reading's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from datasets.columntypes.base import BadValue, ColumnType, Reading
from datasets.columntypes.grammar import any_of, stripped, sure

if TYPE_CHECKING:
    import polars as pl

    from datasets.spec import ColumnSpec

TRUE_WORDS = ("true", "yes", "1", "t", "y")
FALSE_WORDS = ("false", "no", "0", "f", "n")
_PLAIN = frozenset({"true", "false", "yes", "no"})
_MAX_WORD = 64  # no need to fold a cell of a megabyte to know it is no such word


class Boolean(ColumnType):
    """The words of the two lists in any case, or what the reading adds to them."""

    name: ClassVar[str] = "boolean"
    title: ClassVar[str] = "Yes or no"

    def parse(self, raw: str, column: ColumnSpec, reading: Reading) -> str:
        word = stripped(raw)
        value = _value_of(word, reading) if len(word) <= _MAX_WORD else None
        if value is None:
            own = [f"{yes} or {no}" for yes, no in zip(reading.true_words, reading.false_words, strict=False)]
            raise BadValue(f"Write {', '.join([*own, 'true or false, yes or no, 1 or 0'])}.")
        return value

    def sql_type(self, column: ColumnSpec) -> str:
        return "boolean"

    def copy_sql(self, quoted_name: str) -> str:
        return self.text_sql(quoted_name)  # COPY says t and f

    def to_python(self, canonical: str) -> bool:
        return canonical == "true"

    def to_text(self, value: object) -> str:
        if not isinstance(value, bool):
            raise TypeError(f"Expected bool, not {type(value).__name__}")
        return "true" if value else "false"

    def screen(self, values: pl.Expr, column: ColumnSpec, reading: Reading) -> pl.Expr | None:
        canonical = [word for word in ("true", "false") if _value_of(word, reading) == word]
        return sure(values.is_in(canonical), values, reading)

    def convert(self, values: pl.Expr, column: ColumnSpec, reading: Reading) -> pl.Expr | None:
        """Take every known word too, as it stands in the lists, in lower, upper and title case."""
        import polars as pl  # slow import  # noqa: PLC0415

        words = [*TRUE_WORDS, *FALSE_WORDS, *reading.true_words, *reading.false_words]
        spelt = {form for word in words for form in (word, word.lower(), word.upper(), word.title())}
        known = {
            form: value
            for form in spelt
            if 0 < len(form) <= _MAX_WORD and form == stripped(form) and (value := _value_of(form, reading))
        }
        texts = values.replace_strict(list(known), list(known.values()), default=None, return_dtype=pl.String)
        return pl.when(sure(texts.is_not_null(), values, reading)).then(texts)

    def pattern(self, column: ColumnSpec, reading: Reading, marks: str) -> str | None:
        """Of the words PostgreSQL knows too, those that this reading gives no other meaning."""
        words = {form for word in (*TRUE_WORDS, *FALSE_WORDS) for form in (word, word.upper(), word.title())}
        fit = (word for word in sorted(words) if _value_of(word, reading) == _value_of(word, Reading()))
        return any_of(fit, marks)

    def guess(self, values: list[str]) -> bool:
        return all(value.lower() in _PLAIN for value in values)


def _value_of(word: str, reading: Reading) -> str | None:
    folded = word.casefold()
    is_true = folded in {own.casefold() for own in reading.true_words}
    is_false = folded in {own.casefold() for own in reading.false_words}
    if not is_true and not is_false:
        is_true, is_false = folded in TRUE_WORDS, folded in FALSE_WORDS
    if is_true == is_false:  # no word of ours, or one the reading gives both meanings
        return None
    return "true" if is_true else "false"
