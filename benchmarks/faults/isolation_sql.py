"""Reading SQL as the server logged it: what each statement does to the search path, whose it says it is, what it names.

A small reader and no parser: it knows comments, literals and quoted names apart, so that none of them is taken
for another, and leaves the rest to the server's own plans. What it cannot follow it says so (`OPAQUE`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

Path = tuple[str, ...]
Action = Literal[
    "begin", "commit", "rollback", "rollback to", "savepoint", "release",
    "set", "set local", "setting", "declare", "fetch", "query",
]  # fmt: skip
# What a session's path is before anybody sets it, and after RESET.
DEFAULT: Path = ("$user", "public")
# A path nobody can know from the log: no real one is empty of names and of sense alike.
OPAQUE: Path = ("?",)

SCHEMA = re.compile(r"\bt_[a-z0-9]{8,26}\b")
_TOKEN = re.compile(
    r"""(?P<literal>(?<![A-Za-z0-9_$])[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|\$(?P<tag>[A-Za-z_]?\w*)\$.*?\$(?P=tag)\$)
      | (?P<name>"(?:[^"]|"")*")
      | (?P<comment>--[^\n]*|/\*.*?\*/)
      | (?P<end>;)""",
    re.VERBOSE | re.DOTALL,
)
_MARKER = re.compile(r"/\* rowhouse tenant=([a-z0-9-]+) job=(\d+)(?: (begin|end))? \*/")
_NAME = r'(?:"(?:[^"]|"")+"|[A-Za-z_][\w$]*)'
_RELATION = re.compile(
    rf"(?<!DISTINCT )(?<!DO )(?<!FOR )(?<!KEY )\b(?:FROM|JOIN|INTO|UPDATE|TABLE|COPY|TRUNCATE|USING)\s+(?:ONLY\s+)?"
    rf"((?>{_NAME}(?:\s*\.\s*{_NAME})?))(?!\s*\()",
    re.IGNORECASE,
)
_RELATION_WITH_COLUMNS = re.compile(rf"\b(?:INTO|COPY)\s+({_NAME}(?:\s*\.\s*{_NAME})?)", re.IGNORECASE)
_CTE = re.compile(rf"({_NAME})\s+AS\s+(?:(?:NOT\s+)?MATERIALIZED\s*)?\(", re.IGNORECASE)
_SET_PATH = re.compile(
    r"SET\s+(?P<scope>SESSION\s+|LOCAL\s+)?(?:search_path\s*(?:=|\bTO\b)|SCHEMA\b)\s*(?P<value>.+)",
    re.IGNORECASE | re.DOTALL,
)
_SET_CONFIG = re.compile(
    r"\bset_config\s*\(\s*'search_path'\s*,\s*'((?:[^']|'')*)'\s*,\s*(true|false)\s*\)", re.IGNORECASE
)
_READS_PATH = re.compile(r"\bcurrent_setting\s*\(\s*'search_path'|^\s*SHOW\s+search_path", re.IGNORECASE)
_LAST_NAME = re.compile(rf"({_NAME})\s*$")
_DECLARE = re.compile(rf"DECLARE\s+({_NAME})", re.IGNORECASE)
_CONTROL: dict[str, Action] = {
    "BEGIN": "begin", "START": "begin", "COMMIT": "commit", "END": "commit", "ROLLBACK": "rollback",
    "ABORT": "rollback", "SAVEPOINT": "savepoint", "RELEASE": "release",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Marker:
    """Whose statement it is: a comment of the harness's own. `edge` opens or closes a task's part of a session."""

    tenant: str
    job: int
    edge: str = ""

    def comment(self, edge: str = "") -> str:
        """Return the comment, to be put in front of a statement.

        >>> Marker("acme", 7).comment("begin")
        '/* rowhouse tenant=acme job=7 begin */ '
        """
        return f"/* rowhouse tenant={self.tenant} job={self.job}{edge and ' '}{edge} */ "


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement: `value` is the path it sets; `name` that of a savepoint or cursor; `relations` as written."""

    action: Action
    marker: Marker | None = None
    value: Path = ()
    name: str = ""
    relations: frozenset[str] = frozenset()
    schemas: frozenset[str] = frozenset()  # tenants' schemas it names, also inside literals
    named: frozenset[str] = frozenset()  # the same outside of literals

    @property
    def is_control(self) -> bool:
        """Return whether it touches no table, whatever the path."""
        return self.action not in ("query", "declare", "fetch")


@lru_cache(maxsize=8192)
def statements_of(text: str) -> tuple[Statement, ...]:
    """Return the statements of one logged query string, in order."""
    return tuple(_statement(part) for part in _split(text) if part.has_words)


@dataclass(slots=True)
class _Part:
    bare: str = ""  # without comments, literals empty
    full: str = ""  # without comments
    marker: Marker | None = None

    @property
    def has_words(self) -> bool:
        return bool(self.full.strip()) or self.marker is not None


def _split(text: str) -> list[_Part]:
    parts = [_Part()]
    last = 0
    for token in _TOKEN.finditer(text):
        part, between, found = parts[-1], text[last : token.start()], token.group()
        last = token.end()
        part.bare += between
        part.full += between
        if token.lastgroup == "end":
            parts.append(_Part())
        elif token["comment"] is not None:
            part.bare += " "
            part.full += " "
            if marker := _MARKER.fullmatch(found):
                part.marker = Marker(marker[1], int(marker[2]), marker[3] or "")
        else:
            part.bare += found if token["name"] is not None else "''"
            part.full += found
    parts[-1].bare += text[last:]
    parts[-1].full += text[last:]
    return parts


def _statement(part: _Part) -> Statement:
    bare, full = part.bare.strip(), part.full.strip()
    schemas, named = frozenset(SCHEMA.findall(full)), frozenset(SCHEMA.findall(bare))
    base = Statement("query", part.marker, schemas=schemas, named=named)
    upper = bare.upper()
    verb = upper.split(None, 1)[0] if upper else ""
    if verb in _CONTROL:
        is_partial = verb in ("ROLLBACK", "ABORT") and re.search(r"\bTO\b", upper) is not None
        action: Action = "rollback to" if is_partial else _CONTROL[verb]
        return replace(base, action=action, name=_last_name(bare))
    if verb in ("SET", "RESET", "DISCARD", "SHOW"):
        return _setting(base, verb, upper, full)
    if verb in ("FETCH", "MOVE", "CLOSE"):
        return replace(base, action="fetch", name=_last_name(bare))
    return _query(base, bare, full)


def _setting(base: Statement, verb: str, upper: str, full: str) -> Statement:
    if verb in ("RESET", "DISCARD"):
        is_path = re.search(r"\bALL\b|SEARCH_PATH", upper)
        return replace(base, action="set", value=DEFAULT) if is_path else replace(base, action="setting")
    if verb == "SHOW" or (found := _SET_PATH.fullmatch(full)) is None:
        return replace(base, action="setting")
    value = found["value"].strip()
    is_local = (found["scope"] or "").strip().upper() == "LOCAL"
    return replace(
        base,
        action="set local" if is_local else "set",
        value=DEFAULT if value.upper() == "DEFAULT" else path_of(value),
    )


def _query(base: Statement, bare: str, full: str) -> Statement:
    ctes = {_plain(name) for name in _CTE.findall(bare)}
    found = _RELATION.findall(bare) + _RELATION_WITH_COLUMNS.findall(bare)
    relations = frozenset(name for name in map(_plain, found) if name not in ctes)
    made = replace(base, value=_path_after(full), relations=relations)
    declared = _DECLARE.match(bare)
    return replace(made, action="declare", name=_plain(declared[1])) if declared else made


def _path_after(full: str) -> Path:
    """Return the path a query leaves, () when it leaves it as it is. A local one counts as unknown: nobody needs it."""
    if "search_path" not in full.lower():
        return ()
    if (found := _SET_CONFIG.search(full)) and full.lower().count("search_path") == 1:
        return path_of(found[1].replace("''", "'")) if found[2].lower() == "false" else OPAQUE
    return () if _READS_PATH.search(full) and full.lower().count("search_path") == 1 else OPAQUE


def path_of(value: str) -> Path:
    """Return the schemas of a list as SET, set_config() or a plan writes it.

    >>> path_of('"t_one", public')
    ('t_one', 'public')
    """
    names = re.findall(r"\"(?:[^\"]|\"\")*\"|'(?:[^']|'')*'|[^,\s]+", value)
    return tuple(name[1:-1].replace('""', '"') if name[0] in "\"'" else name.lower() for name in names)


def _last_name(bare: str) -> str:
    found = _LAST_NAME.search(bare)
    return _plain(found[1]) if found else ""


def _plain(name: str) -> str:
    """Return a name as the catalogue has it: `"Public" . x` is `Public.x`."""
    parts = re.findall(_NAME, name)
    return ".".join(part[1:-1].replace('""', '"') if part[0] == '"' else part.lower() for part in parts)
