"""Addresses of the web: `http` and `https` only, because a page makes links of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from datasets.columntypes import hosts
from datasets.columntypes.base import BadValue, ColumnType, Reading
from datasets.columntypes.grammar import ASCII_SPACES, matches, sql_literal, stripped, sure
from datasets.columntypes.ranges import whole_numbers
from datasets.columntypes.text import check_characters

if TYPE_CHECKING:
    import polars as pl

    from datasets.spec import ColumnSpec

MAX_BYTES = 2_000  # every one can be a key; longer ones are a text
_PORT = f"(?::{whole_numbers(0, 65_535)})?"
# What a browser's address bar gives: no white space, quotes, angle brackets, backslash nor backtick.
_PLAIN = r"!#-;=?-Z\[\]^_a-~"
_PLAIN_SIGNS = "".join(map(chr, range(0x21, 0x7F))).translate(dict.fromkeys(map(ord, '"<>\\`')))
_IN_REST = _PLAIN + hosts.NON_ASCII
_ADDRESS = rf"https?://{hosts.HOST}{_PORT}(?:[/?#][{_IN_REST}]*)?"
_PARTS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)(.*)", re.DOTALL)
_SCHEME = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]*)\s*:")
_SURE_LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_SURE_HOST = rf"(?:{_SURE_LABEL}\.){{0,8}}[a-z](?:[a-z0-9-]{{0,61}}[a-z0-9])?"
_SHAPE = "Write a web address as https://example.org/page."


class Url(ColumnType):
    """`https://example.org/page`: scheme and host are lower-cased, all that follows stays byte for byte."""

    name: ClassVar[str] = "url"
    title: ClassVar[str] = "Web address"
    longest: ClassVar[int] = MAX_BYTES

    def parse(self, raw: str, column: ColumnSpec, reading: Reading) -> str:
        return _canonical(stripped(raw))

    def sql_type(self, column: ColumnSpec) -> str:
        return "text"

    def checks(self, column: ColumnSpec) -> tuple[str, ...]:
        too_long = sql_literal(rf"^https?://[^/?#]*[^/?#.:\[\]]{{{hosts.LONGEST_LABEL + 1}}}")
        return (
            f'{{c}} COLLATE "C" ~ {sql_literal(f"^{_ADDRESS}$")}',
            f'octet_length({{c}}) <= {MAX_BYTES} AND {{c}} COLLATE "C" !~ {too_long}',
        )

    def text_sql(self, quoted_name: str) -> str:
        return quoted_name

    def to_python(self, canonical: str) -> str:
        return canonical

    def to_text(self, value: object) -> str:
        return str(value)

    def screen(self, values: pl.Expr, column: ColumnSpec, reading: Reading) -> pl.Expr:
        fits = matches(values, rf"https?://{_SURE_HOST}{_PORT}(?:[/?#][{_PLAIN}]*)?")
        return sure((values.str.len_bytes() <= MAX_BYTES) & fits, values, reading)

    def convert(self, values: pl.Expr, column: ColumnSpec, reading: Reading) -> pl.Expr | None:
        """Take capital letters of scheme and host and spaces around an address too."""
        import polars as pl  # slow import  # noqa: PLC0415

        bare = values.str.strip_chars(ASCII_SPACES)
        origin = r"\A([A-Za-z]+://[A-Za-z0-9.:-]*)"
        address = pl.concat_str(bare.str.extract(origin, 1).str.to_lowercase(), bare.str.replace(origin, ""))
        fits = sure(self.screen(address, column, Reading()), values, reading)
        return pl.when(fits & sure(bare.is_not_null(), bare, reading)).then(address)

    def pattern(self, column: ColumnSpec, reading: Reading, marks: str) -> str | None:
        """Of any length: a row that is longer than an address may be is left to `parse` (`longest`)."""
        if "/" in marks:
            return None
        starts = "".join(sign for sign in "?#" if sign not in marks)
        rest = f"(?:[/{starts}]{hosts.without(_PLAIN_SIGNS, marks)}*)?"
        return rf"https?://(?:{hosts.SURE_STEM}\.)?{hosts.SURE_LAST}(?::[1-9][0-9]{{0,3}})?{rest}"

    def guess(self, values: list[str]) -> bool:
        return all(_is_address(value) for value in values)


def _bare(host: str) -> str:
    """Return a host without its port."""
    return host[: host.index("]") + 1] if host.startswith("[") and "]" in host else host.partition(":")[0]


def _too_long() -> BadValue:
    return BadValue(
        f"A web address has at most {MAX_BYTES:,} bytes; use a text column for longer ones.",
        code="constraint-error",
    )


def _explain_scheme(text: str) -> str:
    found = _SCHEME.match(text)
    if found is None or re.match(r"[^/?#]+:[0-9]", text):
        return "Begin with https:// or http://, as in https://example.org/page."
    if found[1].lower() in ("http", "https"):
        return _SHAPE
    return (
        f"“{found[1][:20]}:” is no web address. Only http:// and https:// are, for pages make links of them."
    )


def _explain(host: str, rest: str) -> str:
    """Return what is wrong with an address that begins well."""
    if "@" in host:
        return "Leave the user name and the password out: write the host right after ://."
    if other := hosts.first_other(rest, _IN_REST):
        code = "".join(f"%{byte:02X}" for byte in other.encode(errors="replace"))
        return f"The address holds “{other}”. Write {code} in its place."
    if not host:
        return _SHAPE
    return f"“{host[:60]}” is no host. {_SHAPE}"


def _canonical(text: str) -> str:
    """Return an address with its scheme and host in lower case.

    :raises BadValue: it is none, or too long.
    """
    if len(text) > MAX_BYTES:
        raise _too_long()
    check_characters(text)
    found = _PARTS.fullmatch(text)
    if found is None or found[1].lower() not in ("http", "https"):
        raise BadValue(_explain_scheme(text))
    host = hosts.canonical_host(found[2])
    canonical = f"{found[1].lower()}://{host}{found[3]}"
    if not hosts.compiled(_ADDRESS).fullmatch(canonical) or (
        host.startswith("[") and not hosts.is_ipv6(_bare(host))
    ):
        raise BadValue(_explain(host, found[3]))
    if len(canonical.encode()) > MAX_BYTES:
        raise _too_long()
    if hosts.has_long_label(_bare(host)):
        raise BadValue(
            f"Between the dots of a host stand at most {hosts.LONGEST_LABEL} characters.",
            code="constraint-error",
        )
    return canonical


def _is_address(value: str) -> bool:
    try:
        _canonical(value)
    except BadValue:
        return False
    return True
