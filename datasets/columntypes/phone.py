"""Telephone numbers, kept as E.164 writes them: what a phone anywhere in the world can dial."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

import phonenumbers
from phonenumbers import NumberParseException, PhoneMetadata, ValidationResult

from datasets.columntypes.base import BadValue, ColumnType, Reading
from datasets.columntypes.grammar import matches, sql_literal, stripped, sure

if TYPE_CHECKING:
    import polars as pl

    from datasets.spec import ColumnSpec

# Letters (1-800-FLOWERS), other digits and extensions, which the library would take, are refused.
_WRITTEN = re.compile(r"\+? ?[0-9(](?:[ ./-]?[ ()]?[0-9()])*")
_LONGEST = 40
_E164 = r"\+[1-9][0-9]{4,14}"
_SHAPE = "Write the number with its country, as in +49 30 123456"


class Phone(ColumnType):
    """`+4930123456`; written with blanks, brackets, dots, slashes or hyphens too.

    Without the `+` a number belongs to the column's region. That a number has digits enough is checked, not that
    somebody would answer: which ranges are given out changes from month to month.
    """

    name: ClassVar[str] = "phone"
    title: ClassVar[str] = "Telephone number"

    def parse(self, raw: str, column: ColumnSpec, reading: Reading) -> str:
        text = stripped(raw)
        region = column.options.region
        if len(text) > _LONGEST or not _WRITTEN.fullmatch(text):
            raise BadValue(_explain(text, region))
        try:
            number = phonenumbers.parse(text, region)
        except NumberParseException:
            raise BadValue(_explain(text, region)) from None
        reason = phonenumbers.is_possible_number_with_reason(number)
        canonical = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        if reason == ValidationResult.IS_POSSIBLE and not re.fullmatch(_E164, canonical):
            reason = ValidationResult.TOO_LONG
        if reason != ValidationResult.IS_POSSIBLE:
            raise BadValue(_REASONS[reason])
        return canonical

    def sql_type(self, column: ColumnSpec) -> str:
        return "text"

    def checks(self, column: ColumnSpec) -> tuple[str, ...]:
        return (f"{{c}} ~ {sql_literal(f'^{_E164}$')}",)

    def text_sql(self, quoted_name: str) -> str:
        return quoted_name

    def to_python(self, canonical: str) -> str:
        return canonical

    def to_text(self, value: object) -> str:
        return str(value)

    def screen(self, values: pl.Expr, column: ColumnSpec, reading: Reading) -> pl.Expr:
        return sure(matches(values, _surely_canonical()), values, reading)

    def pattern(self, column: ColumnSpec, reading: Reading, marks: str) -> str | None:
        return _surely_canonical()

    def guess(self, values: list[str]) -> bool:
        return False  # +49 may be a number too, and digits alone are nobody's


_REASONS = {
    ValidationResult.TOO_SHORT: "The number has too few digits for its country.",
    ValidationResult.TOO_LONG: "The number has too many digits for its country.",
    ValidationResult.IS_POSSIBLE_LOCAL_ONLY: "The number lacks its area code.",
    ValidationResult.INVALID_LENGTH: "No number of its country has that many digits.",
    ValidationResult.INVALID_COUNTRY_CODE: "No country has that number's code.",
}


def is_region(region: str) -> bool:
    """Return whether two capital letters name a region whose numbers are known."""
    return region in phonenumbers.SUPPORTED_REGIONS


def _explain(text: str, region: str | None) -> str:
    shape = f"{_SHAPE}." if region is None else f"{_SHAPE}, or a number of {region}."
    if re.search(r"(?:x|ext\.?|#|;)\s*[0-9]{1,7}$", text, re.IGNORECASE):
        return f"Leave the extension out; a column of its own can hold it. {shape}"
    return shape


@lru_cache(maxsize=1)
def _surely_canonical() -> str:
    """Return the pattern of texts that are E.164 and that `parse` gives back unchanged, by the library's own data.

    Of a country's numbers those of a possible length are, which begin with neither 0 nor the digits that are
    dialled before a number at home. Countries whose data say more about these digits are left to `parse`.
    """
    by_length: dict[tuple[str, str], list[int]] = {}
    for code in sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE):
        region = phonenumbers.region_code_for_country_code(code)
        data = (
            PhoneMetadata.metadata_for_nongeo_region(code)
            if region == "001"
            else PhoneMetadata.metadata_for_region(region)
        )
        if data is None or data.general_desc is None:
            continue
        prefix = data.national_prefix_for_parsing or ""
        if not re.fullmatch("[0-9]?", prefix) or data.national_prefix_transform_rule:
            continue
        lengths = [
            length for length in data.general_desc.possible_length if 3 <= length <= 15 - len(str(code))
        ]
        first = "".join(digit for digit in "123456789" if digit != prefix)
        if lengths:
            by_length.setdefault((first, _counts(lengths)), []).append(code)
    forms = [
        f"(?:{'|'.join(map(str, codes))})[{first}]{counts}"
        for (first, counts), codes in sorted(by_length.items())
    ]
    return rf"\+(?:{'|'.join(forms)})"


def _counts(lengths: list[int]) -> str:
    """Return the pattern of the digits behind the first.

    >>> _counts([7, 8, 10])
    '(?:[0-9]{6,7}|[0-9]{9})'
    """
    runs: list[list[int]] = []
    for length in sorted(lengths):
        if runs and runs[-1][-1] == length - 1:
            runs[-1][-1:] = [length] if len(runs[-1]) > 1 else [runs[-1][0], length]
        else:
            runs.append([length])
    parts = [f"[0-9]{{{','.join(str(end - 1) for end in run)}}}" for run in runs]
    return parts[0] if len(parts) == 1 else f"(?:{'|'.join(parts)})"
