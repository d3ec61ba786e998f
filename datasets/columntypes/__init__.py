"""The column types, and the whole truth about one cell.

Every value that enters a dataset, by file, form, API or command, is read by this one grammar and stored as
its canonical text. Non-text types take the ASCII spaces around a value away; text keeps every byte.

============  =====================================================  ==========================
type          written as                                             canonical
============  =====================================================  ==========================
text          any Unicode up to 1,048,576 characters; no NUL, no     byte for byte
              half of a surrogate pair; line breaks are text
long_text     as text                                                byte for byte
integer       ``[+-]?[0-9]+`` from -2^63 to 2^63-1                   ``-7``: no plus, no zeros in front
decimal       ``[+-]?[0-9]+(.[0-9]+)?`` or ``.5``; at most `scale`   ``1.50``: exactly `scale` decimals
              decimals besides zeros, which are never rounded away
boolean       true/false, yes/no, 1/0, t/f, y/n in any case, or      ``true``, ``false``
              the reading's own words, which come first
date          ``2026-12-31``; ``31/12/2026`` or ``12/31/2026`` (with  ``2026-12-31``
              ``/``, ``.`` or ``-``) when the reading says DMY or
              MDY; years 0001 to 9999, four digits
time          ``14:00``, ``9:30`` or ``14:00:00`` with up to 6       ``14:00:00.5``: a fraction only if
              decimals; no zone                                      not zero
timestamp     a date, ``T`` or a space, ``14:00`` or ``14:00:00``    ``2026-08-26T14:00:00.5Z``: in UTC,
              with up to 6 decimals, then ``Z``, ``+02``, ``+02:00``  a fraction only if not zero
              or nothing, which is UTC
choice        exactly one of the column's choices                    the choice
multi_choice  some of the column's choices, ``;`` between them       ``new; urgent``: each once, in the
                                                                     order of the column
email         ``name@example.org``, with letters of any language;    domain in lower case, before the
              254 bytes; no quotes, names or ``mailto:``             ``@`` byte for byte
url           ``http://`` or ``https://``, a host, what follows;     scheme and host in lower case, the
              2,000 bytes; no user name                              rest byte for byte
phone         ``+`` and a country's code, or a number of the         ``+4930123456`` (E.164)
              column's region; blanks and ``()./-`` between
uuid          32 hexadecimal digits in any case: hyphenated, in      ``123e4567-e89b-…``: hyphenated, in
              braces, as ``urn:uuid:``, without hyphens              lower case
json          RFC 8259; no key twice, 100 deep, numbers of 1,000     as ``jsonb`` writes it:
              digits in full                                         ``{"a": 1.10}``
reference     what the key it points to takes                        the key's
============  =====================================================  ==========================

Numbers use the decimal mark and, between groups of three digits, the group mark of the reading; exponents,
``0x1F``, ``1_000``, ``NaN``, ``Infinity`` and digits other than 0 to 9 are refused. Words such as ``today``,
two-digit years, ``20240101``, week dates, ``24:00`` and second 60 are refused.

No value: an empty cell, the reading's words for it, and spaces alone in any type but text. A quoted empty
cell (``""``) is an empty text in an optional text column whose rules allow one (unless "" is one of the reading's
words), a missing cell in a required column, and no value anywhere else, in a reference to a text among them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from datasets.columntypes.base import BadValue, ColumnType, Reading
from datasets.columntypes.boolean import Boolean
from datasets.columntypes.choice import Choice
from datasets.columntypes.date import Date
from datasets.columntypes.decimal import Decimal
from datasets.columntypes.email import Email
from datasets.columntypes.grammar import stripped, unseen_space
from datasets.columntypes.integer import Integer
from datasets.columntypes.json import Json
from datasets.columntypes.long_text import LongText
from datasets.columntypes.multi_choice import MultiChoice
from datasets.columntypes.phone import Phone
from datasets.columntypes.reference import Reference
from datasets.columntypes.text import Text
from datasets.columntypes.time import Time
from datasets.columntypes.timestamp import Timestamp
from datasets.columntypes.url import Url
from datasets.columntypes.uuid import Uuid

if TYPE_CHECKING:
    from datasets.spec import ColumnSpec

__all__ = ["TYPES", "BadValue", "ColumnType", "Reading", "check_cell", "is_no_value", "type_of"]

TYPES: dict[str, ColumnType] = {
    kind.name: kind
    for kind in (
        Text(),
        LongText(),
        Integer(),
        Decimal(),
        Boolean(),
        Date(),
        Time(),
        Timestamp(),
        Choice(),
        MultiChoice(),
        Email(),
        Url(),
        Phone(),
        Uuid(),
        Json(),
        Reference(),
    )
}

_SEARCHED_CHARACTERS = 1_000


def type_of(column: ColumnSpec) -> ColumnType:
    """Return the type of a column's values: a reference's are those of the key it points to.

    :raises KeyError: no type has that name.
    """
    return TYPES[column.value_type]


def check_cell(raw: str | None, column: ColumnSpec, reading: Reading) -> str | None:
    """Return the canonical text of one cell, or None for no value.

    `raw` None is an empty cell, "" a quoted empty one.

    :raises BadValue: the column cannot hold it; with code `missing-cell` when it must hold something.
    """
    kind = type_of(column)
    if raw is None or is_no_value(raw, column, reading) or (raw == "" and column.is_required):
        if column.is_required:
            raise BadValue("This column needs a value.", code="missing-cell")
        return None
    if not raw:
        return raw if column.options.target is None and kind.takes_empty_text(column) else None
    try:
        return kind.parse(raw, column, reading)
    except BadValue as wrong:
        is_form = wrong.code == "type-error" or column.options.choices  # and no bound, size or pattern
        space = unseen_space(raw[:_SEARCHED_CHARACTERS])
        if kind.holds_text or not is_form or not space:
            raise
        raise BadValue(f"The cell holds {space}: remove it. {wrong.rule}", code=wrong.code) from None


def is_no_value(raw: str | None, column: ColumnSpec, reading: Reading) -> bool:
    """Return whether a cell says that there is no value: it is empty, blank, or a word for that."""
    if raw is None:
        return True
    if type_of(column).holds_text:
        return raw in reading.null_words
    bare = stripped(raw)
    return not bare or raw in reading.null_words or bare in reading.null_words
