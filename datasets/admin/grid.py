"""Editing cells in the list: what the page needs to know, and the address it saves to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseNotAllowed, JsonResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.urls import reverse

from core.errors import RowhouseError
from datasets import access
from datasets.admin.addresses import change_address
from datasets.cells import CellEdit, CellResult, edit_cells
from datasets.columntypes import type_of
from datasets.display import readable, shorten
from datasets.rows import RowBase
from datasets.spec import ColumnSpec

LONG_CHARACTERS = 2_000  # what is longer is edited on the record's own page
LARGEST_NUMBER = 2**63


class BadRequest(RowhouseError):
    """What a page sent cannot be read."""

    code = "bad-request"
    status = 400


def _texts(record: RowBase, columns: Sequence[ColumnSpec]) -> dict[str, str | None]:
    values = ((one, getattr(record, one.name)) for one in columns)
    texts = {one.name: None if value is None else type_of(one).to_text(value) for one, value in values}
    return {name: text for name, text in texts.items() if text is None or len(text) <= LONG_CHARACTERS}


class CellsPage:
    """The address to which a list saves cells: JSON in and out, by the same rules as everywhere."""

    def grid_of(self: Any, request: HttpRequest, records: Sequence[RowBase]) -> dict[str, Any] | None:
        """Return the columns a person may edit in the list, and their values on this page as canonical text.

        A value too long for a cell of the list is left out.
        """
        columns = [
            one for one in self.listed_columns() if "change" in self.rights and one.name in self.editable
        ]
        if not columns or not records:
            return None
        return {
            "url": reverse("admin:datasets_row_cells", args=[self.dataset.pk]),
            "columns": {
                one.name: {
                    "label": one.label,
                    "choices": ["true", "false"] if one.type == "boolean" else list(one.options.choices),
                    "is_choice": one.type in ("boolean", "choice"),
                    "is_required": one.is_required,
                    "has_lines": one.type == "long_text",
                }
                for one in columns
            },
            "records": {str(record.pk): _texts(record, columns) for record in records},
            "names": {str(record.pk): str(record) for record in records},
        }

    def cells_view(self: Any, request: HttpRequest) -> HttpResponseBase:
        """Save the cells of {"cells": [{"id", "column", "seen", "value"}], "dry_run", "skips_refused"}."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        try:
            access.require(request.user, "change", self.dataset)
            asked, edits = _read(request)
            done = edit_cells(
                dataset=self.dataset,
                edits=edits,
                by=request.user,
                dry_run=asked.get("dry_run") is True,
                skips_refused=asked.get("skips_refused") is True,
            )
        except RowhouseError as error:
            return JsonResponse({"error": error.message, "code": error.code}, status=error.status)
        except PermissionDenied as denied:
            return JsonResponse({"error": str(denied), "code": "not-permitted"}, status=403)
        columns = {one.name: one for one in self.spec.columns}
        answer: dict[str, Any] = {"cells": [_told(cell, columns.get(cell.column)) for cell in done.cells]}
        if done.changes is not None:
            answer["change"] = {
                "title": done.changes.title,
                "url": change_address(done.changes),
                "undo": change_address(done.changes, "undo"),
            }
        return JsonResponse(answer)


def _read(request: HttpRequest) -> tuple[dict[str, Any], list[CellEdit]]:
    wrong = BadRequest("The page sent something that cannot be read. Reload it and try again.")
    try:
        asked = json.loads(request.body)
        edits = [_edit(one) for one in asked["cells"]]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise wrong from error
    return asked, edits


def _edit(sent: dict[str, Any]) -> CellEdit:
    """Return one cell as it was sent.

    :raises TypeError: a part of it is of another kind.
    """
    pk, column, seen, value = sent["id"], sent["column"], sent["seen"], sent["value"]
    if not isinstance(pk, int) or not isinstance(column, str) or not isinstance(value, str):
        raise TypeError
    if not isinstance(seen, str | None) or not 0 <= pk < LARGEST_NUMBER:
        raise TypeError
    return CellEdit(pk, column, seen, value)


def _told(cell: CellResult, column: ColumnSpec | None) -> dict[str, Any]:
    told = {
        "id": cell.record_id,
        "column": cell.column,
        "status": cell.status,
        "seen": cell.seen,
        "now": cell.now,
        "rule": cell.rule,
    }
    if column is None:
        return told
    if column.type == "boolean":
        value = None if cell.now is None else cell.now == "true"
        return told | {"html": render_to_string("unfold/helpers/boolean.html", {"value": value})}
    return told | {"shown": "-" if cell.now is None else shorten(readable(cell.now, column))}
