"""What an import into a plain model would change, as its preview wrote it down beside the plan."""

from __future__ import annotations

import json
from collections.abc import Mapping

from django.db import connection

from datasets.display import shorten
from importer import staging
from importer.changes import SHOWN, Cell, Change
from importer.models import ImportJob, State
from importer.specs import spec_of, version_of
from importer.staging import plan_table


def page_of_plan(
    job: ImportJob, *, op: str = "", after: int = 0, size: int = 50, column: str = ""
) -> list[Change]:
    """Return the next changes of a preview after the row `after`; none once it is merged.

    A plain model keeps no history that could tell afterwards what a record was before.
    """
    if (
        job.state != State.PREVIEW_SUCCEEDED
        or job.definition_version != version_of(job)
        or not staging.exist(plan_table(job.pk))  # UNLOGGED: a crash may have taken it
    ):
        return []
    labels = {one.name: one.label for one in spec_of(job).columns if column in ("", one.name)}
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT rn, op::text, id, key, cells::text FROM {plan_table(job.pk)}"
            " WHERE rn > %s AND op <> '=' AND (%s = '' OR op::text = %s)"
            " AND (%s = '' OR jsonb_exists(cells, %s)) ORDER BY rn LIMIT %s",
            [after, op, op, column, column, size],
        )
        return [
            Change(
                at=rn,
                op=kind,
                key=key or "",
                cells=_cells(json.loads(cells), labels),
                record_id=record,
                row=rn,
            )
            for rn, kind, record, key, cells in cursor.fetchall()
        ]


def _cells(cells: Mapping[str, list[str | None]], labels: Mapping[str, str]) -> tuple[Cell, ...]:
    return tuple(
        Cell(label, *(None if text is None else shorten(text, SHOWN) for text in cells[name]))
        for name, label in labels.items()
        if name in cells
    )
