"""A change of a definition in words, for pages and commands."""

from __future__ import annotations

from typing import Any

from core.words import count
from datasets.change_models import Change, ChangeState
from datasets.columntypes import TYPES
from datasets.ddl import MOST_PLACES


def what(change: Change) -> str:
    """Return what a change is about: "Amount: Text to Whole number"."""
    if change.is_rebuild:
        return "table made anew"
    if change.column is None:
        words = "key"
    else:
        was, is_now = (
            side["columns"][str(change.column_id)]["type"] for side in (change.before, change.after)
        )
        words = change.column.label
        words += ": other rules" if was == is_now else f": {TYPES[was].title} to {TYPES[is_now].title}"
    return f"{words} (revert of {change.reverts})" if change.reverts_id else words


def definition_words(change: Change) -> tuple[str, str]:
    """Return what the column or the key was, and is to be."""
    if change.is_rebuild:
        used = (side["places"] for side in (change.before, change.after))
        before, after = (f"{places:,} of {MOST_PLACES:,} places for columns used" for places in used)
        return before, after
    if change.column is None:
        labels = dict(change.dataset.columns.values_list("pk", "label"))
        keys = [[labels.get(pk, "?") for pk in side["key"]] for side in (change.before, change.after)]
        return (", ".join(keys[0]) or "no key", ", ".join(keys[1]) or "no key")
    pk = str(change.column_id)
    return _column_words(change.before["columns"][pk]), _column_words(change.after["columns"][pk])


def _column_words(stated: dict[str, Any]) -> str:
    words = [TYPES[stated["type"]].title]
    words += ["required"] if stated["is_required"] else []
    words += ["unique"] if stated["is_unique"] else []
    for name, value in stated["options"].items():
        shown = ", ".join(map(str, value[:10])) if isinstance(value, list) else value
        words.append(f"{name.replace('_', ' ')} {shown}")
    return ", ".join(words)


def outcome(change: Change) -> str:
    """Return one sentence: how a change stands, and what to do next."""
    if change.is_rebuild and change.state == ChangeState.CHANGE_IN_PROGRESS:
        return (
            "PostgreSQL keeps a place for every column a table ever had. The table and its history are being copied"
            " without the places of columns that are gone. Everybody works on as before."
        )
    if change.is_rebuild and change.state == ChangeState.CHANGE_SUCCEEDED:
        return "The table has room for columns again. Records and history are what they were."
    failing = count(change.failing, "record")
    match change.state:
        case ChangeState.CHECK_IN_PROGRESS:
            return "Every record is being looked at. Nothing is changed."
        case ChangeState.CHECK_SUCCEEDED if change.failing:
            return f"{failing} of {change.records:,} would fail. Nothing is changed yet: look at them, then decide."
        case ChangeState.CHECK_SUCCEEDED:
            return f"All {count(change.records, 'record')} fit. Nothing is changed yet: confirm to begin."
        case ChangeState.CHANGE_IN_PROGRESS:
            return "The change is being made beside the records. Everybody works on as before."
        case ChangeState.CHANGE_SUCCEEDED:
            lost = f" {failing} lost the value and are listed with it." if change.failing else ""
            kept = (
                f" The values from before are kept until {change.kept_until:%Y-%m-%d} for a revert."
                if change.kept_until
                else ""
            )
            return f"The new definition is in force.{lost}{kept}"
        case ChangeState.REVERTED:
            return "This change was taken back."
        case _:
            return change.error or "It was given up. The records are as they were."
