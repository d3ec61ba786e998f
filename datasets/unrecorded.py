"""Whether history tells what the records say: the tables compared, whatever wrote them and by whatever way."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connection

from datasets.spec import DatasetSpec
from datasets.undo_conflicts import stored_columns


@dataclass(frozen=True, slots=True)
class Unrecorded:
    """A record of which history says something else. `what` is "missing", "gone" or "other".

    "missing": it is there, and history knows nothing of it, or only that it was deleted. "gone": it is not there, and
    history does not know that. "other": history says other values.
    """

    record_id: int
    what: str


def unrecorded(spec: DatasetSpec, most: int = 100) -> list[Unrecorded]:
    """Return records of which the newest version does not say what the table does, by their numbers.

    Reads both tables whole. Columns that nobody sees any more are compared too, where both tables have them.
    """
    pairs = ", ".join(f't."{name}"' for name in stored_columns(spec))
    others = ", ".join(f'h."{name}"' for name in stored_columns(spec))
    differs = f"ROW({pairs}) IS DISTINCT FROM ROW({others})" if pairs else "false"
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT coalesce(t.id, h.id), CASE WHEN t.id IS NULL THEN 'gone' WHEN h.id IS NULL THEN 'missing'"
            f" ELSE 'other' END FROM \"{spec.table}\" t FULL JOIN (SELECT * FROM (SELECT DISTINCT ON (id) * FROM"
            f" \"{spec.history_table}\" ORDER BY id, history_id DESC) n WHERE n.history_type <> '-') h ON h.id = t.id"
            f" WHERE t.id IS NULL OR h.id IS NULL OR {differs} ORDER BY 1 LIMIT {int(most)}"
        )
        return [Unrecorded(pk, what) for pk, what in cursor.fetchall()]
