"""A dataset's definition as Table Schema JSON (Frictionless), out and in. Pure.

What Table Schema cannot say stands in properties of our own: `rowhouse:type` where two of our types share
one of theirs, `rowhouse:precision` and `rowhouse:scale` of a decimal, `rowhouse:choices` of several choices,
`rowhouse:region` of telephone numbers, `rowhouse:default` of a column, `rowhouse:checks` across columns. A reference
is one of `foreignKeys`; its resource is the slug of the dataset, or "" for the very dataset. What we cannot keep (a
pattern beyond `datasets.columntypes.patterns`, a reference of two columns) is refused, never dropped in silence.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from core.errors import RowhouseError
from datasets import rules
from datasets.checks import by_labels
from datasets.columntypes import TYPES, BadValue, Reading, check_cell
from datasets.rules import NewCheck, NewColumn, clean_label
from datasets.spec import CheckSpec, ColumnOptions, ColumnSpec, DatasetSpec, Target

THEIRS = {
    "text": "string",
    "long_text": "string",
    "choice": "string",
    "multi_choice": "string",
    "email": "string",
    "url": "string",
    "phone": "string",
    "uuid": "string",
    "json": "any",
    "integer": "integer",
    "decimal": "number",
    "boolean": "boolean",
    "date": "date",
    "time": "time",
    "timestamp": "datetime",
}
# What Table Schema says of a string's form. It calls an address of the web a URI, which may be any.
_FORMATS = {"email": "email", "url": "uri", "uuid": "uuid"}
_OURS = {
    "string": "text",
    "any": "text",
    "integer": "integer",
    "year": "integer",
    "number": "decimal",
    "boolean": "boolean",
    "date": "date",
    "time": "time",
    "datetime": "timestamp",
    "object": "json",
    "array": "json",
    "geojson": "json",
}
_BOUNDED = ("integer", "decimal", "date", "time", "timestamp")
_SHOWN_PROBLEMS = 10

NewColumnDef = NewColumn


class InvalidDefinition(RowhouseError):
    """A definition no table can be made of."""

    code = "invalid-definition"
    status = 422

    def __init__(self, message: str) -> None:
        # It quotes what was stated, and half of a surrogate pair could not be shown to anybody.
        super().__init__(message.encode(errors="replace").decode())


@dataclass(frozen=True, slots=True)
class Definition:
    """A dataset to be made. `key` holds labels, in the key's order; its columns are required."""

    title: str
    slug: str | None
    columns: tuple[NewColumnDef, ...]
    key: tuple[str, ...] = ()
    null_words: tuple[str, ...] = ()  # the words files may write for no value
    checks: tuple[NewCheck, ...] = ()


def to_table_schema(spec: DatasetSpec) -> dict[str, Any]:
    """Return the definition of a dataset as Table Schema, ready for JSON."""
    schema: dict[str, Any] = {
        "name": spec.slug,
        "title": spec.title,
        "fields": [_field(column) for column in spec.columns],
        "missingValues": [""],
    }
    if spec.key:
        schema["primaryKey"] = [column.label for column in spec.key_columns]
    if spec.references:
        schema["foreignKeys"] = [_foreign_key(spec, column, target) for column, target in spec.references]
    if spec.checks:
        schema["rowhouse:checks"] = [_check(check, spec) for check in spec.checks]
    return schema


def _foreign_key(spec: DatasetSpec, column: ColumnSpec, target: Target) -> dict[str, Any]:
    resource = "" if target.dataset == spec.pk else target.slug
    return {"fields": [column.label], "reference": {"resource": resource, "fields": [target.label]}}


def _check(check: CheckSpec, spec: DatasetSpec) -> dict[str, str]:
    stated = {"name": check.name, "expression": by_labels(check.expression, spec.columns)}
    return {**stated, "message": check.message} if check.message else stated


def read_json(data: bytes) -> object:
    """Return what a JSON text says.

    :raises InvalidDefinition: it is none; the message names line and column.
    """
    try:
        return json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InvalidDefinition(
            f"The file is not UTF-8 text (byte {error.start + 1}). Save it as UTF-8."
        ) from error
    except json.JSONDecodeError as error:
        raise InvalidDefinition(
            f"The file is no JSON: {error.msg} in line {error.lineno}, column {error.colno}."
        ) from error
    except (RecursionError, ValueError) as error:
        raise InvalidDefinition("The file is no JSON that can be read: it is nested too deep.") from error


def from_table_schema(schema: object) -> Definition:
    """Return the definition a Table Schema states.

    :raises InvalidDefinition: it is no Table Schema, or states what a dataset cannot be; the message names
        each problem.
    """
    top = _mapping(schema, "The definition")
    _refuse_unknown_rules(top)
    fields = top.get("fields")
    if not isinstance(fields, list) or not fields:
        raise InvalidDefinition("The definition has no list “fields”; list at least one column there.")
    if len(fields) > rules.MAX_COLUMNS:
        raise InvalidDefinition(f"The definition has {len(fields)} columns; {rules.MAX_COLUMNS} are allowed.")
    columns = _with_references(
        [_column(field, number) for number, field in enumerate(fields, start=1)], top, fields
    )
    title = clean_label(_text(top, "title", "The definition") or _text(top, "name", "The definition") or "")
    definition = Definition(
        title=title,
        slug=_text(top, "name", "The definition"),
        columns=tuple(columns),
        key=tuple(clean_label(label) for label in _strings(top.get("primaryKey", []), "primaryKey")),
        null_words=tuple(word for word in _strings(top.get("missingValues", []), "missingValues") if word),
        checks=_checks(top.get("rowhouse:checks", [])),
    )
    return check_definition(definition)


def check_definition(definition: Definition) -> Definition:
    """Return the definition with its key columns required and its bounds in canonical form.

    The title may still be missing.

    :raises InvalidDefinition: no table can be made of it; the message names each problem.
    """
    found = rules.problems(definition.columns, definition.key, definition.checks)
    found += _labels_alike(definition.columns)
    found += [problem for column in definition.columns for problem in _column_problems(column)]
    if definition.title and (problem := rules.label_problem(definition.title, limit=rules.MAX_TITLE)):
        found.append(f"The title: {problem}")
    if found:
        more = len(found) - _SHOWN_PROBLEMS
        tail = [f"There are {more} more problems."] if more > 0 else []
        raise InvalidDefinition(" ".join([*found[:_SHOWN_PROBLEMS], *tail]))
    return replace(
        definition,
        columns=tuple(
            replace(
                column,
                is_required=column.is_required or column.label in definition.key,
                options=_with_canonical_default(replace(column, options=_canonical_bounds(column))),
            )
            for column in definition.columns
        ),
    )


def _labels_alike(columns: Sequence[NewColumnDef]) -> list[str]:
    """Return a problem for every label that only its case tells from an earlier one."""
    first: dict[str, str] = {}
    found = []
    for column in columns:
        earlier = first.setdefault(column.label.casefold(), column.label)
        if earlier != column.label:
            found.append(f"The labels “{earlier}” and “{column.label}” differ only in case; rename one.")
    return found


def _column_problems(column: NewColumnDef) -> list[str]:
    options = column.options
    if options.target is not None and options.target.dataset:
        return []  # its options are those of the key it points to
    found = []
    if column.type not in _BOUNDED and (options.minimum is not None or options.maximum is not None):
        found.append(f"“{column.label}” is {column.type}, which has no minimum and no maximum.")
    if column.type in TYPES and not TYPES[column.type].holds_text:
        texts = {
            "maximum length": options.max_length,
            "minimum length": options.min_length,
            "pattern": options.pattern,
        }
        found += [
            f"“{column.label}” is {column.type}, which has no {name}."
            for name, value in texts.items()
            if value is not None
        ]
    if column.type not in ("choice", "multi_choice") and options.choices:
        found.append(f"“{column.label}” is {column.type}; only a choice has a list of values (enum).")
    return found


def _canonical_bounds(column: NewColumnDef) -> ColumnOptions:
    """Return the options with minimum and maximum in canonical form.

    :raises InvalidDefinition: the minimum is above the maximum.
    """
    options = column.options
    if column.type not in _BOUNDED:
        return options
    kind = TYPES[column.type]
    free = ColumnSpec(0, column.label, column.type, options=replace(options, minimum=None, maximum=None))
    low = None if options.minimum is None else kind.parse(options.minimum, free, Reading())
    high = None if options.maximum is None else kind.parse(options.maximum, free, Reading())
    if low is not None and high is not None:
        try:
            kind.parse(low, replace(free, options=replace(free.options, maximum=high)), Reading())
        except BadValue:
            raise InvalidDefinition(
                f"“{column.label}” has the minimum {low} above its maximum {high}."
            ) from None
    return replace(options, minimum=low, maximum=high)


def _with_canonical_default(column: NewColumnDef) -> ColumnOptions:
    """Return the options with the default in canonical form.

    :raises InvalidDefinition: the column cannot hold its default.
    """
    options = column.options
    if options.default is None:
        return options
    try:
        default = check_cell(
            options.default, ColumnSpec(0, column.label, column.type, options=options), Reading()
        )
    except BadValue as error:
        raise InvalidDefinition(
            f"“{column.label}” has the default “{options.default[:40]}”: {error.rule}"
        ) from error
    return replace(options, default=default or None)


def _field(column: ColumnSpec) -> dict[str, Any]:
    options = column.options
    made: dict[str, Any] = {"name": column.label, "type": THEIRS[column.value_type]}
    if column.value_type in _FORMATS:
        made["format"] = _FORMATS[column.value_type]
    if options.target is not None:  # `foreignKeys` says the rest
        options = ColumnOptions()
    elif "format" not in made and _OURS[made["type"]] != column.type:
        made["rowhouse:type"] = column.type
    # The values of a cell that names several are no enum of the cell.
    listed = "rowhouse:choices" if column.type == "multi_choice" else ""
    if listed:
        made[listed] = list(options.choices)
    if options.region is not None:
        made["rowhouse:region"] = options.region
    if options.precision is not None:
        made["rowhouse:precision"] = options.precision
    if options.scale is not None:
        made["rowhouse:scale"] = options.scale
    if options.default is not None:
        made["rowhouse:default"] = options.default
    constraints = {
        "required": column.is_required or None,
        "unique": column.is_unique or None,
        "minimum": options.minimum,
        "maximum": options.maximum,
        "minLength": options.min_length,
        "maxLength": options.max_length,
        "pattern": options.pattern,
        "enum": (list(options.choices) or None) if not listed else None,
    }
    stated = {name: value for name, value in constraints.items() if value is not None}
    return {**made, "constraints": stated} if stated else made


def _column(field: object, number: int) -> NewColumnDef:
    """Return the column a field states; `number` counts from 1."""
    stated = _mapping(field, f"Field {number}")
    label = clean_label(_text(stated, "name", f"Field {number}") or "")
    where = f"“{label[:40]}”" if label else f"Field {number}"
    if not label:
        raise InvalidDefinition(f"Field {number} has no name; give every column a label.")
    constraints = _mapping(stated.get("constraints", {}), f"The constraints of {where}")
    known = ("required", "unique", "minimum", "maximum", "minLength", "maxLength", "pattern", "enum")
    if unknown := [name for name in constraints if name not in known]:
        raise InvalidDefinition(
            f"{where} has the constraint “{str(unknown[0])[:40]}”; known are {', '.join(known)}."
        )
    enum = _strings(constraints.get("enum", []), f"enum of {where}")
    enum += _strings(stated.get("rowhouse:choices", []), f"rowhouse:choices of {where}")
    return NewColumn(
        label=label,
        type=_type(stated, where, has_enum=bool(enum)),
        is_required=_flag(constraints, "required", where),
        is_unique=_flag(constraints, "unique", where),
        options=ColumnOptions(
            precision=_count(stated, "rowhouse:precision", where),
            scale=_count(stated, "rowhouse:scale", where),
            choices=tuple(enum),
            minimum=_bound(constraints, "minimum", where),
            maximum=_bound(constraints, "maximum", where),
            max_length=_count(constraints, "maxLength", where),
            region=_text(stated, "rowhouse:region", where),
            min_length=_count(constraints, "minLength", where),
            pattern=_text(constraints, "pattern", where),
            default=_text(stated, "rowhouse:default", where),
        ),
    )


def _checks(stated: object) -> tuple[NewCheck, ...]:
    if not isinstance(stated, list):
        raise InvalidDefinition("rowhouse:checks must be a list of checks.")
    made = []
    for number, one in enumerate(stated, start=1):
        check = _mapping(one, f"Check {number}")
        name, expression, message = (
            _text(check, part, f"Check {number}") or "" for part in ("name", "expression", "message")
        )
        made.append(NewCheck(clean_label(name), expression.strip(), clean_label(message)))
    return tuple(made)


def _type(stated: Mapping[str, Any], where: str, *, has_enum: bool) -> str:
    ours = stated.get("rowhouse:type")
    if ours is not None:
        if not isinstance(ours, str) or ours not in TYPES:
            raise InvalidDefinition(f"{where} has the type {_shown(ours)}; known are {', '.join(TYPES)}.")
        return ours
    theirs = stated.get("type", "string")
    if not isinstance(theirs, str) or theirs not in _OURS:
        raise InvalidDefinition(f"{where} has the type {_shown(theirs)}; known are {', '.join(_OURS)}.")
    if theirs == "string" and not has_enum:
        form = _text(stated, "format", where)
        return next((ours for ours, name in _FORMATS.items() if name == form), "text")
    return "choice" if _OURS[theirs] == "text" and has_enum else _OURS[theirs]


def _refuse_unknown_rules(top: Mapping[str, Any]) -> None:
    if top.get("uniqueKeys"):
        raise InvalidDefinition("The definition has “uniqueKeys”, which datasets cannot keep; remove it.")


def _with_references(
    columns: list[NewColumnDef], top: Mapping[str, Any], fields: list[Any]
) -> list[NewColumnDef]:
    """Return the columns, those that `foreignKeys` names as references."""
    listed = top.get("foreignKeys") or []
    if not isinstance(listed, list):
        raise InvalidDefinition(f"foreignKeys is {_shown(listed)}; it must be a list.")
    targets: dict[str, Target] = {}
    for number, one in enumerate(listed, start=1):
        label, target = _reference(one, f"Foreign key {number}")
        if target.slug == top.get("name"):
            target = replace(target, slug="")
        if label in targets:
            raise InvalidDefinition(f"foreignKeys names “{label[:40]}” more than once.")
        targets[label] = target
    if unknown := set(targets) - {column.label for column in columns}:
        raise InvalidDefinition(f"foreignKeys names “{min(unknown)[:40]}”, which is no column.")
    return [
        _referring(column, targets[column.label], field) if column.label in targets else column
        for column, field in zip(columns, fields, strict=True)
    ]


def _referring(column: NewColumnDef, target: Target, field: Mapping[str, Any]) -> NewColumnDef:
    stated = column.type if "type" in field and column.type != "reference" else ""
    options = replace(column.options, target=replace(target, type=stated))
    return replace(column, type="reference", options=options)


def _reference(stated: object, where: str) -> tuple[str, Target]:
    """Return the label of the column and the key that an entry of `foreignKeys` states."""
    entry = _mapping(stated, where)
    reference = _mapping(entry.get("reference"), f"The reference of {where}")
    labels = _strings(entry.get("fields", []), f"fields of {where}")
    keys = _strings(reference.get("fields", []), f"fields of the reference of {where}")
    if len(labels) != 1 or len(keys) > 1:
        raise InvalidDefinition(
            f"{where} has several fields or none; a reference is one column to one key column."
        )
    resource = _text(reference, "resource", f"The reference of {where}") or ""
    return clean_label(labels[0]), Target(resource, clean_label(keys[0]) if keys else "")


def _mapping(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidDefinition(f"{what} is {_shown(value)}; it must be a JSON object.")
    return value


def _text(stated: Mapping[str, Any], name: str, where: str) -> str | None:
    value = stated.get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidDefinition(f"{where} has the {name} {_shown(value)}; it must be a text.")
    return value


def _strings(value: object, what: str) -> list[str]:
    """Return a list of texts; Table Schema lets one text stand for a list of one."""
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        raise InvalidDefinition(f"{what} must be a list of texts.")
    return listed


def _flag(constraints: Mapping[str, Any], name: str, where: str) -> bool:
    value = constraints.get(name, False)
    if not isinstance(value, bool):
        raise InvalidDefinition(f"{where} has {name} {_shown(value)}; it must be true or false.")
    return value


def _count(stated: Mapping[str, Any], name: str, where: str) -> int | None:
    value = stated.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 2**31 - 1:
        raise InvalidDefinition(f"{where} has {name} {_shown(value)}; it must be a whole number.")
    return value


def _bound(constraints: Mapping[str, Any], name: str, where: str) -> str | None:
    value = constraints.get(name)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise InvalidDefinition(f"{where} has the {name} {_shown(value)}; write it as a text or a number.")
    return str(value)


def _shown(value: object) -> str:
    text = str(value) if isinstance(value, str | int | float | bool) else type(value).__name__
    return f"“{text[:40]}”"
