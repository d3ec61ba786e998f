"""Who changed what in a dataset's definition, version by version, read from its history."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from accounts.models import User
from datasets.editing import ADDED
from datasets.models import Column, Dataset, options_of
from datasets.spec import ColumnSpec
from datasets.wording import rule_words, type_words


@dataclass(slots=True)
class Change:
    """One change of a definition. `version` is the one it made, or None where the definition stayed as it is."""

    at: datetime
    version: int | None
    by_pk: int | None
    sentences: list[str] = field(default_factory=list)
    by: str = ""


def history_of(dataset: Dataset) -> list[Change]:
    """Return the changes, the last one first. Three queries, whatever their number."""
    columns = list(Column.history.filter(dataset_id=dataset.pk).order_by("history_date", "history_id"))
    versions = list(Dataset.history.filter(id=dataset.pk).order_by("history_date", "history_id"))
    entries = sorted([*versions, *columns], key=lambda entry: entry.history_date)
    changes: list[Change] = []
    gathered: list[Any] = []
    before: dict[int, Any] = {}
    former: Any = None
    is_making = False
    for entry in entries:
        if isinstance(entry, Dataset.history.model):
            if gathered and is_making:
                former_change = changes[-1]
                former_change.sentences += _column_sentences(gathered, before)
                gathered = []
            change = Change(entry.history_date, entry.definition_version, entry.history_user_id)
            change.sentences += _dataset_sentences(former, entry)
            change.sentences += _column_sentences(gathered, before)
            is_making, former, gathered = entry.history_type == "+", entry, []
            changes.append(change)
            continue
        if is_making and not (entry.history_type == "+" and entry.history_change_reason != ADDED):
            changes[-1].sentences += _column_sentences(gathered, before)
            gathered, is_making = [], False
        gathered.append(entry)
    if gathered and is_making:
        changes[-1].sentences += _column_sentences(gathered, before)
    elif gathered:  # a purge was ordered or called off: the definition has no new version
        changes.append(Change(gathered[-1].history_date, None, gathered[-1].history_user_id))
        changes[-1].sentences += _column_sentences(gathered, before)
    _name_people(changes)
    return [change for change in reversed(changes) if change.sentences]


def _name_people(changes: list[Change]) -> None:
    people = User.objects.in_bulk({change.by_pk for change in changes if change.by_pk})
    for change in changes:
        if change.by_pk is None:
            change.by = "the platform"
        else:
            change.by = str(people.get(change.by_pk, "somebody who is gone"))


def _dataset_sentences(before: Any, after: Any) -> list[str]:
    if after.history_type == "+":
        return [f"Made “{after.title}”."]
    if before is not None and before.title != after.title:
        return [f"Renamed the dataset from “{before.title}” to “{after.title}”."]
    return []


def _column_sentences(entries: list[Any], before: dict[int, Any]) -> list[str]:
    """Return what a group of entries did; `before` holds each column's last entry and is brought up to date."""
    found: list[str] = []
    moved = 0
    for entry in entries:
        sentences, is_moved = _sentences_of(before.get(entry.id), entry)
        found += sentences
        moved += is_moved
        before[entry.id] = entry
    if moved:
        found.append("Changed the order of the columns.")
    return found


def _sentences_of(before: Any, after: Any) -> tuple[list[str], bool]:
    name = f"“{after.label}”"
    if after.history_type == "+" or before is None:
        return [f"Added {name}: {'; '.join([type_words(after.type), *rule_words(_spec(after))])}."], False
    if after.history_type == "-":
        return [f"Purged {name}: its values are gone, from history too."], False
    if before.is_retired and not after.is_retired:
        label = f" as {name}" if before.label != after.label else ""
        return [f"Brought back “{before.label}”{label}."], False
    if after.is_retired and not before.is_retired:
        return [f"Retired {name}; its values stay."], False
    found = []
    if before.label != after.label:
        found.append(f"Renamed “{before.label}” to {name}.")
    if before.type != after.type:
        found.append(
            f"Changed the type of {name} from {type_words(before.type)} to {type_words(after.type)}."
        )
    old, new = rule_words(_spec(before)), rule_words(_spec(after))
    if old != new:
        found.append(f"Changed the rules of {name} from {_listed(old)} to {_listed(new)}.")
    if before.purge_at != after.purge_at:
        found.append(
            f"Ordered the purge of {name} for {after.purge_at:%Y-%m-%d %H:%M} UTC."
            if after.purge_at
            else f"Called off the purge of {name}."
        )
    return found, before.position != after.position


def _spec(entry: Any) -> ColumnSpec:
    return ColumnSpec(
        entry.id, entry.label, entry.type, entry.is_required, entry.is_unique, options_of(entry.options)
    )


def _listed(words: list[str]) -> str:
    return "; ".join(words) or "none"
