"""What a dataset's definition must be before a table is made of it. Pure."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from datasets.columntypes import TYPES
from datasets.columntypes.base import BadValue, Reading
from datasets.columntypes.decimal import size_of
from datasets.columntypes.grammar import stripped
from datasets.columntypes.multi_choice import MARK
from datasets.columntypes.phone import is_region
from datasets.spec import ColumnOptions, ColumnSpec

MAX_COLUMNS = 500
MAX_LABEL = 255
MAX_TITLE = 200
MAX_CHOICES = 500
MAX_CHOICE = 200
MAX_PRECISION = 100
NEVER_UNIQUE = ("json", "multi_choice")  # too long for an index, and not what names a thing
# Direction overrides turn the text around them; the other format characters (joiners, marks) are language.
_OVERRIDES = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True, slots=True)
class NewColumn:
    """A column as a person defines it, before it has a number."""

    label: str
    type: str = "text"
    is_required: bool = False
    is_unique: bool = False
    options: ColumnOptions = field(default_factory=ColumnOptions)


def clean_label(label: str) -> str:
    """Return a label with runs of white space, line breaks too, as one blank, in composed form.

    >>> clean_label(" Unit\\n price ")
    'Unit price'
    """
    return " ".join(unicodedata.normalize("NFC", label).split())


def label_problem(label: str, *, limit: int = MAX_LABEL) -> str | None:
    """Return what is wrong with a label or a title, as a sentence, or None."""
    if not label.strip():
        return "A label is missing."
    if len(label) > limit:
        return f"“{label[:40]}…” has {len(label)} characters; {limit} are allowed."
    if any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") or char in _OVERRIDES for char in label):
        return f"“{clean_label(label)[:40]}” holds a control character; remove it."
    return None


def problems(columns: Sequence[NewColumn], key: Sequence[str]) -> list[str]:
    """Return everything that is wrong with a definition, as sentences; empty when it can be made."""
    if not columns:
        return ["A dataset needs at least one column."]
    if len(columns) > MAX_COLUMNS:
        return [f"The definition has {len(columns)} columns; {MAX_COLUMNS} are allowed."]
    found = [
        f"The label “{label}” stands more than once."
        for label in _repeated([column.label for column in columns])
    ]
    for column in columns:
        problem = label_problem(column.label)
        found += [problem] if problem else _column_problems(column)
    labels = {column.label: column for column in columns}
    found += [f"The key names “{label}” more than once." for label in _repeated(key)]
    found += [f"The key names “{label}”, which is no column." for label in key if label not in labels]
    found += [
        f"The key names “{label}”, which is {labels[label].type}: no record is told from another by that."
        for label in key
        if label in labels and labels[label].type in NEVER_UNIQUE
    ]
    return found


def _repeated(values: Sequence[str]) -> list[str]:
    return [value for value, times in Counter(values).items() if times > 1]


def _column_problems(column: NewColumn) -> list[str]:
    if column.type not in TYPES:
        return [f"“{column.label}” has the type “{column.type}”; known are {', '.join(TYPES)}."]
    options = column.options
    if column.type == "reference":
        return [] if options.target else [f"“{column.label}” is a reference: say which dataset it refers to."]
    found = []
    if column.type == "decimal":
        found += _decimal_problems(ColumnSpec(0, column.label, "decimal", options=options))
    if column.type in ("choice", "multi_choice"):
        found += _choice_problems(column.label, options.choices)
    if column.type == "multi_choice":
        found += [
            f"“{column.label}” has the choice “{choice[:40]}”, which holds “{MARK}” or begins or ends with a blank."
            for choice in options.choices
            if MARK in choice or choice != stripped(choice)
        ]
    if options.region is not None and not (column.type == "phone" and is_region(options.region)):
        found.append(
            f"“{column.label}” has the region “{options.region[:40]}”; a telephone number has one of two capital"
            " letters, such as DE."
        )
    if column.type in NEVER_UNIQUE and column.is_unique:
        found.append(f"“{column.label}” is {column.type}, whose values cannot be unique.")
    if options.max_length is not None and options.max_length < 1:
        found.append(f"“{column.label}” allows {options.max_length} characters; allow at least one.")
    return found or _bound_problems(column)


def _decimal_problems(column: ColumnSpec) -> list[str]:
    precision, scale = size_of(column)
    if 1 <= precision <= MAX_PRECISION and 0 <= scale <= precision:
        return []
    return [
        f"“{column.label}” cannot have {precision} digits with {scale} after the point; "
        f"at most {MAX_PRECISION} in all are allowed, and no more after the point than in all."
    ]


def _choice_problems(label: str, choices: tuple[str, ...]) -> list[str]:
    if not choices:
        return [f"“{label}” is a choice: list what may be chosen."]
    if len(choices) > MAX_CHOICES:
        return [f"“{label}” has {len(choices)} choices; {MAX_CHOICES} are allowed."]
    found = [f"“{label}” lists the choice “{choice}” more than once." for choice in _repeated(choices)]
    for choice in choices:
        problem = label_problem(choice, limit=MAX_CHOICE)
        if problem:
            found.append(f"A choice of “{label}”: {problem}")
    return found


def _bound_problems(column: NewColumn) -> list[str]:
    kind = TYPES[column.type]
    bare = ColumnSpec(
        0,
        column.label,
        column.type,
        options=ColumnOptions(precision=column.options.precision, scale=column.options.scale),
    )
    for bound in (column.options.minimum, column.options.maximum):
        if bound is None:
            continue
        try:
            kind.parse(bound, bare, Reading())
        except BadValue as error:
            return [f"“{column.label}” has the limit “{bound}”: {error.rule}"]
    return []
