"""The page of one record's past: all its versions, the difference of two of them, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render

from datasets import cells, versions
from datasets.admin.addresses import (
    cause_address,
    changes_address,
    record_address,
    records_address,
)
from datasets.changeset import ChangeSet

PAGE = 50
MOST_DIGITS = 18  # of a bigint


class RecordPage:
    """Mixin of the admin of records, before the history admin whose list of versions it replaces."""

    def seen_version(self: Any, request: HttpRequest, object_id: str) -> int | None:
        """Return the version a form shows: the newest, or the one it was opened with when it comes back."""
        sent = _number(request.POST.get("seen_version"))
        if sent is not None or _number(object_id) is None:
            return sent
        numbers = versions.newest_first(self.model, int(object_id)).values_list("history_id", flat=True)
        newest: int | None = numbers.first()
        return newest

    def columns_to_save(self: Any, request: HttpRequest, record: Any, changed: list[str]) -> list[str]:
        """Return the columns that the person, and nobody else meanwhile, changed in the form.

        :raises RecordChanged: somebody changed one of them too.
        """
        seen = _number(request.POST.get("seen_version"))
        if seen is None or not changed:
            return changed
        values = {name: getattr(record, name) for name in changed}
        return cells.changed_by_form(model=self.model, record_id=record.pk, seen=seen, values=values)

    def history_view(
        self: Any, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        self.require_in_scope(request, object_id)
        pk = int(object_id)
        before = _number(request.GET.get("before"))
        found = versions.versions_of(self.spec, pk, before=before, size=PAGE + 1)
        shown, newest = found[:PAGE], versions.newest_first(self.model, pk).first()
        record = self.model.objects.filter(pk=pk).first()
        may_change = record is not None and "change" in self.rights
        editable = self.editable if may_change else frozenset()
        is_gone = record is None
        request.current_app = self.admin_site.name  # as Django's own admin does
        context = {
            **self.admin_site.each_context(request),
            "title": str(record) if record is not None else (shown[0].name if shown else f"record {pk}"),
            "subtitle": self.dataset.title,
            "opts": self.opts,
            "dataset": self.dataset,
            "is_gone": is_gone,
            "object_id": pk,
            "newest": newest.history_id if newest is not None else 0,
            "versions": self._with_ways_back(request, pk, shown, newest, editable, is_gone=is_gone),
            "more": shown[-1].pk if len(found) > PAGE else None,
            "compared": self._compared(request, pk),
            "asked": (_number(request.GET.get("from")), _number(request.GET.get("to"))),
            "urls": {
                "records": records_address(self.dataset),
                "changes": changes_address(self.dataset),
                "revert": record_address(self.dataset, pk, "revert"),
                "form": "" if is_gone else record_address(self.dataset, pk, "change"),
                **self._neighbours(pk),
            },
            **(extra_context or {}),
        }
        return render(request, "datasets/record_history.html", context)

    def _with_ways_back(
        self: Any,
        request: HttpRequest,
        pk: int,
        shown: Sequence[versions.Version],
        newest: Any,
        editable: frozenset[str],
        *,
        is_gone: bool,
    ) -> list[dict[str, Any]]:
        """Return the versions with what can be taken back: only what would change the record as it is now."""
        now = newest.history_id if newest is not None else 0
        asked = {one.pk for one in shown} | {one.former for one in shown if one.former}
        differing = versions.differing_from(self.spec, pk, now, sorted(asked))
        made = []
        for one in shown:
            # A change is taken back by what was before it, a creation by what it says.
            target = one.former if one.kind == "~" else one.pk
            ways = differing.get(target or 0, set()) & editable
            made.append(
                {
                    "version": one,
                    "cause": cause_address(one.reason),
                    "is_newest": one.pk == now,
                    "may_revert": bool(differing.get(one.pk)) and bool(editable) and one.kind != "-",
                    "may_bring_back": is_gone and self.has_add_permission(request),
                    "cells": [
                        {
                            "cell": cell,
                            "target": target if cell.column in ways and one.kind != "-" else None,
                            "value": cell.old if one.kind == "~" else cell.new,
                        }
                        for cell in one.cells
                    ],
                }
            )
        return made

    def _neighbours(self: Any, pk: int) -> dict[str, str]:
        """Return the pages of the records before and after one, by their numbers; empty at the ends."""
        earlier = self.model.objects.filter(pk__lt=pk).order_by("-pk").values_list("pk", flat=True).first()
        later = self.model.objects.filter(pk__gt=pk).order_by("pk").values_list("pk", flat=True).first()
        return {
            "previous": record_address(self.dataset, earlier) if earlier else "",
            "next": record_address(self.dataset, later) if later else "",
        }

    def _compared(self: Any, request: HttpRequest, pk: int) -> dict[str, Any] | None:
        older, newer = _number(request.GET.get("from")), _number(request.GET.get("to"))
        if older is None or newer is None:
            return None
        older, newer = sorted((older, newer))
        difference = versions.difference(self.spec, pk, older, newer)
        if difference is None:
            raise Http404
        return {"older": older, "newer": newer, "cells": difference.cells}

    def revert_view(self: Any, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Put a version back, whole or one of its columns, or bring the deleted record back."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        self.require_in_scope(request, object_id)
        pk = int(object_id)
        version, seen = _number(request.POST.get("version")), _number(request.POST.get("seen"))
        if version is None or seen is None:
            raise Http404
        column = request.POST.get("column")
        done: ChangeSet | None
        try:
            if request.POST.get("bring_back"):
                done = cells.bring_back(
                    dataset=self.dataset, record_id=pk, version_id=version, seen=seen, by=request.user
                )
            else:
                done = cells.revert_record(
                    dataset=self.dataset, record_id=pk, version_id=version, seen=seen, by=request.user,
                    columns=[column] if column else None,
                )  # fmt: skip
        except (cells.RecordChanged, cells.VersionUnfit) as error:
            messages.error(request, error.message)
            return redirect(record_address(self.dataset, pk))
        if done is None:
            messages.info(request, "The record has these values already; nothing was changed.")
        else:
            messages.success(request, f"{done.title}. It can be undone under Changes.")
        return redirect(record_address(self.dataset, pk))


def _number(text: str | None) -> int | None:
    if text and text.isascii() and text.isdigit() and len(text) < MOST_DIGITS:
        return int(text)
    return None
