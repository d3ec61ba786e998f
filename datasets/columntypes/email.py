"""E-mail addresses: where a message can be sent, not how a letter's header names people."""

from __future__ import annotations

from string import ascii_letters, digits
from typing import TYPE_CHECKING, ClassVar

from datasets.columntypes import hosts
from datasets.columntypes.base import BadValue, ColumnType, Reading
from datasets.columntypes.grammar import ASCII_SPACES, matches, sql_literal, stripped, sure
from datasets.columntypes.text import check_characters

if TYPE_CHECKING:
    import polars as pl

    from datasets.spec import ColumnSpec

MAX_BYTES = 254  # RFC 5321, of a path between its brackets
MAX_LOCAL_BYTES = 64
_MARKS = "!#$%&'*+/=?^_`{|}~-"
_ATEXT = ascii_letters + digits + _MARKS
_IN_LOCAL = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\-" + hosts.NON_ASCII
_LOCAL = rf"[{_IN_LOCAL}]+(?:\.[{_IN_LOCAL}]+)*"
_ADDRESS = rf"{_LOCAL}@(?:{hosts.LABEL}\.)+{hosts.LAST_LABEL}"
_SURE_BYTES = 64  # with that, every part of it is short enough
_SURE = (
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z](?:[a-z0-9-]*[a-z0-9])?"
)
_SHAPE = "Write an e-mail address as name@example.org."


class Email(ColumnType):
    """`name@example.org`: dot-atoms of RFC 5322 and RFC 6531, a domain of two labels or more.

    Before the `@` every byte stays, for only its server knows which names are one; the domain is lower-cased.
    """

    name: ClassVar[str] = "email"
    title: ClassVar[str] = "E-mail address"

    def parse(self, raw: str, column: ColumnSpec, reading: Reading) -> str:
        text = stripped(raw)
        if len(text) > MAX_BYTES:
            raise BadValue(f"An e-mail address has at most {MAX_BYTES} bytes.", code="constraint-error")
        check_characters(text)
        local, _, domain = text.rpartition("@")
        domain = hosts.canonical_host(domain)
        canonical = f"{local}@{domain}"
        if not hosts.compiled(_ADDRESS).fullmatch(canonical):
            raise BadValue(_explain(text))
        if len(local.encode()) > MAX_LOCAL_BYTES:
            raise BadValue(f"Before the @ stand at most {MAX_LOCAL_BYTES} bytes.", code="constraint-error")
        if len(canonical.encode()) > MAX_BYTES or hosts.has_long_label(domain):
            raise BadValue(
                f"An e-mail address has at most {MAX_BYTES} bytes, and {hosts.LONGEST_LABEL} characters between dots.",
                code="constraint-error",
            )
        return canonical

    def sql_type(self, column: ColumnSpec) -> str:
        return "text"

    def checks(self, column: ColumnSpec) -> tuple[str, ...]:
        # Whether a letter beyond ASCII is a small one, no expression can say that is the same on every server.
        return (
            f'{{c}} COLLATE "C" ~ {sql_literal(f"^{_ADDRESS}$")}',
            f"octet_length({{c}}) <= {MAX_BYTES} AND octet_length(split_part({{c}}, {sql_literal('@')}, 1))"
            f" <= {MAX_LOCAL_BYTES}",
            f"split_part({{c}}, {sql_literal('@')}, 2) !~ {sql_literal(f'[^.]{{{hosts.LONGEST_LABEL + 1}}}')}",
        )

    def text_sql(self, quoted_name: str) -> str:
        return quoted_name

    def to_python(self, canonical: str) -> str:
        return canonical

    def to_text(self, value: object) -> str:
        return str(value)

    def screen(self, values: pl.Expr, column: ColumnSpec, reading: Reading) -> pl.Expr:
        return sure((values.str.len_bytes() <= _SURE_BYTES) & matches(values, _SURE), values, reading)

    def convert(self, values: pl.Expr, column: ColumnSpec, reading: Reading) -> pl.Expr | None:
        """Take domains of capital letters and spaces around an address too."""
        import polars as pl  # slow import  # noqa: PLC0415

        bare = values.str.strip_chars(ASCII_SPACES)
        domain = bare.str.extract(r"(@[^@]*)\z", 1)
        address = pl.concat_str(bare.str.replace(r"@[^@]*\z", ""), domain.str.to_lowercase())
        fits = sure(matches(domain, "@[A-Za-z0-9.-]+"), values, reading)
        fits = fits & sure(bare.is_not_null(), bare, reading)
        return pl.when(fits & self.screen(address, column, Reading())).then(address)

    def pattern(self, column: ColumnSpec, reading: Reading, marks: str) -> str | None:
        if "@" in marks:
            return None
        sign = hosts.without(_ATEXT, marks)
        return rf"{sign}(?:\.?{sign}){{0,30}}@{hosts.SURE_STEM}\.{hosts.SURE_LAST}"

    def guess(self, values: list[str]) -> bool:
        return all(_is_address(value) for value in values)


def _explain(text: str) -> str:
    """Return what is wrong with an address, and what to write instead."""
    if text.lower().startswith("mailto:"):
        return "Leave out “mailto:”: write the address alone."
    if "<" in text or ">" in text:
        return "Write the address alone, without a name and without < and >."
    if text.count("@") > 1 or "," in text or ";" in text:
        return "Write one address only."
    local, at, domain = text.partition("@")
    if not (at and local and domain):
        return _SHAPE
    if " " in text:
        return "Remove the spaces from the address."
    if "." not in domain:
        return "After the @ stands a whole domain, such as example.org."
    other = hosts.first_other(local, _IN_LOCAL + ".") or hosts.first_other(
        domain, "-A-Za-z0-9." + hosts.NON_ASCII
    )
    return f"The address holds “{other}”, which no e-mail address does. {_SHAPE}" if other else _SHAPE


def _is_address(value: str) -> bool:
    local, _, domain = value.rpartition("@")
    return len(value) <= MAX_BYTES and bool(hosts.compiled(_ADDRESS).fullmatch(f"{local}@{domain.lower()}"))
