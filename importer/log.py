"""An import's log: its events, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from audit.models import Event
from core.words import count
from importer.models import ImportJob, State

SHOWN = 500
WORDS = {
    "importer.job.created": "Uploaded",
    "importer.job.undo_asked": "Undo asked for",
    "importer.job.repeated": "Made from the file of import {again}",
    "importer.job.preview_started": "Preview began",
    "importer.job.previewed": "Preview ended",
    "importer.job.previewed_again": "Previewed again: {notice}",
    "importer.job.remapped": "Columns matched anew, or the file read differently",
    "importer.rows.fixed": "Rejected rows corrected: {rows}, of them still rejected: {still_rejected}",
    "importer.rejects.downloaded": "Rejected rows downloaded",
    "importer.upload.downloaded": "Uploaded file downloaded",
    "importer.job.confirmed": "Confirmed",
    "importer.job.imported": "Ended: the records are written",
    "importer.job.undone": "Undone by import {by}",
    "importer.job.redone": "In force again by import {by}",
    "importer.job.cancelled": "Cancelled",
    "importer.job.expired": "Expired: nobody confirmed the preview for {days} days",
    "importer.job.started_again": "Started again: {step}",
    "importer.job.ended": "Ended: {state}",
}
COUNTED = {
    "created": "new",
    "updated": "changed",
    "deleted": "deleted",
    "unchanged": "unchanged",
    "rejected": "rejected",
    "kept": "kept",
}
OF_AN_UNDO = COUNTED | {"created": "brought back", "updated": "restored", "deleted": "removed"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the log. `who` is empty when no person did it."""

    at: datetime
    who: str
    text: str


def entries_of(job: ImportJob) -> list[Entry]:
    """Return what happened with an import, the newest last; one query."""
    events = Event.objects.filter(target_type=ImportJob._meta.label_lower, target_id=str(job.pk)).order_by(
        "-pk"
    )
    counted = OF_AN_UNDO if job.is_undo else COUNTED
    told = [
        Entry(event.at, event.actor_label, words_of(event.name, event.data, counted))
        for event in events[:SHOWN]
    ]
    return told[::-1]


def words_of(name: str, data: Mapping[str, Any], counted: Mapping[str, str] = COUNTED) -> str:
    """Return an event as a sentence; one that nobody gave words to, by its name.

    >>> words_of("importer.job.previewed", {"created": 3, "rejected": 1, "unchanged": 0})
    'Preview ended: 3 new, 1 rejected'
    >>> words_of("importer.job.turned_over", {})
    'Turned over'
    """
    told = {key: _shown(key, value) for key, value in data.items()}
    try:
        sentence = WORDS[name].format_map(told)
    except KeyError:
        sentence = name.rpartition(".")[2].replace("_", " ").capitalize()
    figures = [
        f"{data[key]:,} {word}"
        for key, word in counted.items()
        if isinstance(data.get(key), int) and data[key]
    ]
    return f"{sentence}: {', '.join(figures)}" if figures else sentence


def _shown(key: str, value: Any) -> str:
    if key == "state" and value in State.values:
        return State(value).label
    if key == "rows" and isinstance(value, int):
        return count(value, "row")
    return f"{value:,}" if isinstance(value, int) else str(value)
