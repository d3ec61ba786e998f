"""What export settings may say, and which of them apply to each other. Pure: no Django, no storage, no clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from datasets.spec import ColumnSpec
from exporter.form import BadForm, check_form
from exporter.naming import BadPattern, check_pattern
from exporter.schedules import OF_A_ZONE, BadSchedule, check_cron, check_zone

Values = Mapping[str, Any]
MOST_LABEL = 250
DELIMITER_WORDS = {",": "comma  ,", ";": "semicolon  ;", "\t": "tab", "|": "vertical bar  |"}
DELIMITED = ("csv", "csv.gz")
WITH_MODES = DELIMITED  # a workbook holds texts as texts, and programs know no formulas
# What a setting is where it does not apply: what a new tenant has.
DEFAULTS: dict[str, Any] = {
    "every": "HOUR", "cron": "", "time_zone": "UTC", "format": "csv", "content": "FULL", "full_after": 24,
    "mode": "EXACT", "columns": [], "delimiter": ",", "null_word": "", "encoding": "utf-8", "pattern": "",
    "destination": None, "keep_days": None, "keep_count": None, "keep_bytes": None, "keep_daily": 0,
    "keep_monthly": 0,
}  # fmt: skip


def applies(name: str, values: Values) -> bool:
    """Return whether a setting means anything beside the others."""
    match name:
        case "cron":
            return bool(values["every"] == "CRON")
        case "time_zone":
            return values["every"] in OF_A_ZONE
        case "delimiter" | "null_word" | "encoding":
            return values["format"] in DELIMITED
        case "mode":
            return values["format"] in WITH_MODES
        case "full_after":
            return bool(values["content"] == "INCREMENTAL")
    return True


def settled(values: Values) -> dict[str, Any]:
    """Return every setting, those that do not apply as a new tenant has them."""
    whole = {**DEFAULTS, **values}
    return {name: whole[name] if applies(name, whole) else value for name, value in DEFAULTS.items()}


def faults_of(values: Values, columns: Sequence[ColumnSpec], keys: Iterable[str] = ()) -> dict[str, str]:
    """Return a sentence for each setting that cannot be as it is.

    `values` are settled; `columns` are the dataset's and `keys` the names of its key columns, both empty for a
    tenant's settings.
    """
    found = {
        "cron": _said(check_cron, values["cron"]) if values["every"] == "CRON" else "",
        "time_zone": _said(check_zone, values["time_zone"]),
        "pattern": _said(check_pattern, values["pattern"]) if values["pattern"] else "",
        "delimiter": _said(_check_form, values, "delimiter"),
        "encoding": _said(_check_form, values, "encoding"),
        "null_word": _null_word_fault(values),
        "full_after": "" if values["full_after"] >= 1 else "Write how many files, 1 or more.",
        "columns": _columns_fault(values, columns, keys),
    }
    return {name: said for name, said in found.items() if said}


def _null_word_fault(values: Values) -> str:
    if _said(_check_form, values, "encoding"):
        return ""  # said there
    return _said(_check_form, values, "null_word", "encoding")


def _check_form(values: Values, *names: str) -> None:
    check_form({name: values[name] for name in names})


def _said(check: Callable[..., None], *values: Any) -> str:
    try:
        check(*values)
    except (BadSchedule, BadPattern, BadForm) as error:
        return error.message
    return ""


def _columns_fault(values: Values, columns: Sequence[ColumnSpec], keys: Iterable[str]) -> str:
    chosen = values["columns"]
    if not chosen:
        return ""
    by_pk = {column.pk: column for column in columns}
    if any(one["column"] not in by_pk for one in chosen):
        return "One of these columns is not there any more. Look at the columns again."
    labels = [one["label"] or by_pk[one["column"]].label for one in chosen]
    if long := next((label for label in labels if len(label) > MOST_LABEL), None):
        return f"The label {long[:40]!r}… has more than {MOST_LABEL} characters. Shorten it."
    folded = [label.casefold() for label in labels]
    if twice := next((label for label in labels if folded.count(label.casefold()) > 1), None):
        return f"Two columns would be called {twice!r}. Give one another label."
    names = {by_pk[one["column"]].name for one in chosen}
    if values["content"] == "INCREMENTAL" and not set(keys) <= names:
        return "Files of changes need the key columns: without them nobody can tell whose changes they are."
    return ""
