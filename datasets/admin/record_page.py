"""The page of one record's past: all its versions, the difference of two of them, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, QueryDict
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse

from datasets import access, asof, cells, versions
from datasets.admin.addresses import (
    cause_address,
    changes_address,
    record_address,
    records_address,
)
from datasets.causes import Cause, causes_of
from datasets.change_models import Change
from datasets.changeset import ChangeSet
from datasets.versions import CAUSES, Version, Wanted
from datasets.wording import type_words

PAGE = 50
MOST_DIGITS = 18  # of a bigint
KINDS = {"+": "added", "~": "changed", "-": "deleted"}
CAUSE_WORDS = {
    "import": "an import, a restore or an undo of one",
    "change": "a bulk edit, edited cells, a revert or an undo",
    "other": "anything else, as a record's form",
}


@dataclass(frozen=True, slots=True)
class Definition:
    """A change of a column's type or rules, or of the key, beside the versions: it converted those before it."""

    words: str
    at: datetime
    who: Any
    url: str


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
        wanted, problem = _wanted(request.GET)
        found = versions.versions_of(self.spec, pk, before=before, size=PAGE + 1, wanted=wanted)
        shown, newest = found[:PAGE], versions.newest_first(self.model, pk).first()
        record = self.model.objects.filter(pk=pk).first()
        may_change = record is not None and "change" in self.rights
        editable = self.editable if may_change else frozenset()
        is_gone = record is None
        listed = self._with_ways_back(request, pk, shown, newest, editable, is_gone=is_gone)
        rest = [] if wanted else self._definitions(found, is_first_page=before is None)
        for one in listed:  # each stands before the versions it converted
            one["definitions"] = [change for change in rest if change.at > one["version"].at]
            rest = [change for change in rest if change.at <= one["version"].at]
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
            "versions": listed,
            "definitions_before": rest,
            "more_url": _more(request.GET, shown[-1].pk) if len(found) > PAGE else "",
            "is_later_page": before is not None,
            "is_narrowed": bool(wanted),
            "problem": problem,
            "filters": self._filters(pk, wanted),
            "compared": self._compared(request, pk),
            "asked": (_number(request.GET.get("from")), _number(request.GET.get("to"))),
            "urls": {
                "records": records_address(self.dataset),
                "changes": changes_address(self.dataset),
                "as_of": reverse("admin:datasets_row_as_of", args=[self.dataset.pk]),
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
        causes = self._causes(request, [one.reason for one in shown])
        made = []
        for one in shown:
            # A change is taken back by what was before it, a creation by what it says.
            target = one.former if one.kind == "~" else one.pk
            ways = differing.get(target or 0, set()) & editable
            made.append(
                {
                    "version": one,
                    "cause": cause_address(one.reason),
                    "about": causes.get(one.reason),
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

    def _causes(self: Any, request: HttpRequest, reasons: list[str]) -> dict[str, Cause]:
        """Return what the reasons of versions mean; their titles and notes tell of all columns."""
        found = causes_of(reasons)
        if found and access.has_hidden(request.user, self.dataset):
            return {reason: Cause(one.kind) for reason, one in found.items()}
        return found

    def _definitions(self: Any, found: Sequence[Version], *, is_first_page: bool) -> list[Definition]:
        """Return the changes of the definition between the versions of a page, the newest first."""
        made = Change.objects.filter(dataset=self.dataset, is_rebuild=False, swapped_at__isnull=False)
        if found and not is_first_page:
            made = made.filter(swapped_at__lte=found[0].at)
        if found:  # of the time before it there is nothing to convert
            made = made.filter(swapped_at__gte=found[-1].at)
        columns = {column.pk: column for column in self.columns}
        may_open = "manage" in self.rights
        return [
            Definition(
                words,
                one.swapped_at,
                one.confirmed_by,
                reverse("admin:datasets_change_change", args=[one.pk]) if may_open else "",
            )  # fmt: skip
            for one in made.select_related("confirmed_by").order_by("-swapped_at")[:PAGE]
            if one.swapped_at and (words := _definition_words(one, columns))
        ]

    def _filters(self: Any, pk: int, wanted: Wanted) -> dict[str, Any]:
        return {
            "who": [
                (who, name or "an operator or a program") for who, name in versions.writers_of(self.spec, pk)
            ],
            "kinds": [(kind, words, kind in wanted.kinds) for kind, words in KINDS.items()],
            "causes": [(cause, words, cause in wanted.causes) for cause, words in CAUSE_WORDS.items()],
            "columns": self.columns,
            "wanted": wanted,
        }

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


def _wanted(query: QueryDict) -> tuple[Wanted, str]:
    """Return which versions an address asks for, and why a part of it is left out, or an empty text."""
    moments: dict[str, datetime | None] = {"since": None, "until": None}
    problem = ""
    for name in moments:
        if text := query.get(name, ""):
            try:
                moments[name] = asof.read_moment(text)
            except asof.BadMoment as error:
                problem = error.message
    wanted = Wanted(
        who=_number(query.get("who")),
        kinds=tuple(kind for kind in KINDS if kind in query.getlist("kind")),
        causes=tuple(cause for cause in CAUSES if cause in query.getlist("cause")),
        column=query.get("column", "")[:MOST_DIGITS],
        **moments,
    )
    return wanted, problem


def _more(query: QueryDict, before: int) -> str:
    kept = [(name, value) for name, values in query.lists() if name != "before" for value in values]
    return "?" + urlencode([*kept, ("before", before)])


def _definition_words(change: Change, columns: dict[int, Any]) -> str:
    """Return what a change of the definition did, or "" where it is of a column that is not shown."""
    if change.column_id is None:
        return "The key of the dataset became another one."
    column = columns.get(change.column_id)
    if column is None:
        return ""
    kinds = [
        side.get("columns", {}).get(str(change.column_id), {}).get("type", "")
        for side in (change.before, change.after)
    ]
    if kinds[0] == kinds[1] or not all(kinds):
        return f"“{column.label}” got other rules."
    was, is_ = (type_words(kind) for kind in kinds)
    return (
        f"“{column.label}” became “{is_}”; it was “{was}” before. Its versions from then are shown converted."
    )


def _number(text: str | None) -> int | None:
    if text and text.isascii() and text.isdigit() and len(text) < MOST_DIGITS:
        return int(text)
    return None
