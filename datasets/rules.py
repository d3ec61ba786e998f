"""What a dataset's definition must be before a table is made of it. Pure."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from datasets.checks import BadCheck, parsed
from datasets.columntypes import TYPES, patterns
from datasets.columntypes.base import BadValue, Reading
from datasets.columntypes.decimal import size_of
from datasets.columntypes.grammar import stripped
from datasets.columntypes.multi_choice import MARK
from datasets.columntypes.phone import is_region
from datasets.columntypes.text import MAX_CHARACTERS
from datasets.spec import ColumnOptions, ColumnSpec

MAX_COLUMNS = 500
LEAST_HISTORY_DAYS, MOST_HISTORY_DAYS = 7, 36_500
MAX_LABEL = 255
MAX_TITLE = 200
MAX_CHOICES = 500
MAX_CHOICE = 200
MAX_PRECISION = 100
NEVER_UNIQUE = ("json", "multi_choice")  # too long for an index, and not what names a thing
MAX_CHECKS = 20
MAX_MESSAGE = 300
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


@dataclass(frozen=True, slots=True)
class NewCheck:
    """A check as a person writes it, with labels in double quotes. Without a message, the expression is told."""

    name: str
    expression: str
    message: str = ""


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


def problems(columns: Sequence[NewColumn], key: Sequence[str], checks: Sequence[NewCheck] = ()) -> list[str]:
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
    found += [
        f"“{column.label}” tells records apart; with a default two of them would have the same value."
        for column in columns
        if column.options.default is not None and (column.is_unique or column.label in key)
    ]
    # A check is read against the columns: what is wrong with them comes first.
    return found or check_problems(checks, numbered(columns))


def numbered(columns: Sequence[NewColumn]) -> tuple[ColumnSpec, ...]:
    """Return columns that are not stored yet, as checks read them."""
    return tuple(
        ColumnSpec(number, column.label, column.type, options=column.options)
        for number, column in enumerate(columns, start=1)
    )


def check_problems(checks: Sequence[NewCheck], columns: tuple[ColumnSpec, ...]) -> list[str]:
    """Return everything that is wrong with checks of these columns, as sentences."""
    if len(checks) > MAX_CHECKS:
        return [f"There are {len(checks)} checks; {MAX_CHECKS} are allowed."]
    found = [
        f"Two checks are called “{name}”; give each a name of its own."
        for name in _repeated([check.name for check in checks])
    ]
    for check in checks:
        if problem := label_problem(check.name, limit=MAX_TITLE):
            found.append(f"A check has no good name: {problem}")
        if ":" in check.name:
            found.append(f"The check “{check.name[:40]}” has a colon in its name; leave it out.")
        if check.message and (problem := label_problem(check.message, limit=MAX_MESSAGE)):
            found.append(f"The message of the check “{check.name[:40]}”: {problem}")
        try:
            parsed(check.expression, columns, by_name=False)
        except BadCheck as error:
            found.append(f"The check “{check.name[:40]}”, at character {error.at}: {error.rule}.")
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
    found += _length_problems(column.label, options)
    if options.pattern is not None:
        found += _pattern_problems(column.label, options)
    return found or _bound_problems(column)


def _length_problems(label: str, options: ColumnOptions) -> list[str]:
    least, most = options.min_length, options.max_length
    found = []
    if most is not None and most < 1:
        found.append(f"“{label}” allows {most} characters; allow at least one.")
    if least is not None and not 0 <= least <= MAX_CHARACTERS:
        found.append(f"“{label}” needs {least} characters; a text has 0 to {MAX_CHARACTERS:,}.")
    if least is not None and most is not None and least > most:
        found.append(f"“{label}” needs {least} characters and allows only {most}.")
    return found


def _pattern_problems(label: str, options: ColumnOptions) -> list[str]:
    try:
        pattern = patterns.compiled(options.pattern or "")
    except patterns.BadPattern as error:
        return [
            f"“{label}” has the pattern “{(options.pattern or '')[:60]}”: at character {error.at} {error.rule}."
        ]
    least, most = (
        options.min_length or 0,
        min(options.max_length or patterns.MAX_VALUE_CHARACTERS, patterns.MAX_VALUE_CHARACTERS),
    )
    if pattern.least > most or least > most or (pattern.most is not None and pattern.most < least):
        return [f"“{label}” has a pattern that no text of its length fits; change one of them."]
    if pattern.most == 0:
        return [f"“{label}” has a pattern that only an empty text fits; leave it out."]
    return []


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
