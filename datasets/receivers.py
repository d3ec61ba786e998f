"""What this app does itself when it tells others of a change."""

from __future__ import annotations

from typing import Any

from django.dispatch import receiver

from datasets import indexing, signals


@receiver(signals.changing)
def drop_indexes(*, dataset: Any, column: Any = None, **_: Any) -> None:
    """Drop the indexes people asked for before a column's type changes: one for texts fits no number, and back."""
    if column is not None:
        indexing.forget_indexes(dataset, [column.pk])
