"""The page of space: what everything takes, how it grew, and what retention would remove."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any, cast

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.defaultfilters import filesizeformat
from django.views.decorators.http import require_http_methods

from accounts.models import User
from accounts.sites import tenant_site
from core import space
from core.clock import now
from core.quotas import uses as uses_of_limits
from core.space import Use
from core.words import count
from datasets.models import Dataset
from exporter.forms import RetentionForm
from exporter.pruning import past_their_time, policies, prune_exports
from exporter.space import Trend, quota_bytes, trend

FILES_SHOWN = 50
CHART_WIDTH, CHART_HEIGHT = 600, 140


@dataclass(frozen=True, slots=True)
class Row:
    """A dataset's line of the table: bytes by kind, in the order of the heads."""

    title: str
    bytes: list[int]

    @property
    def total(self) -> int:
        return sum(self.bytes)


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle of the chart, in its own units; `kind` counts from 0."""

    x: float
    y: float
    width: float
    height: float
    kind: int
    title: str


@require_http_methods(["GET", "HEAD", "POST"])
def space_page(request: HttpRequest) -> HttpResponse:
    """Show the space of the tenant; a POST removes what its settings let go now."""
    user = cast("User", request.user)
    if not user.has_perm("datasets.change_dataset"):
        raise PermissionDenied("What everything takes is shown to owners. Ask one of them.")
    if request.method == "POST":
        gone = prune_exports(now=now(), by=user)
        size = filesizeformat(sum(file.bytes for file in gone))
        messages.success(request, f"{count(len(gone), 'file')} removed, {size}.")
        return redirect("admin:exporter_exportfile_space")
    uses = space.used()
    found = trend(uses, today=now().date())
    quota = quota_bytes()
    total = sum(use.bytes for use in uses)
    context = {
        **tenant_site.each_context(request),
        "title": "Space and retention",
        "total": total,
        "quota": quota,
        "percent": min(100, round(100 * total / quota)) if quota else 0,
        "is_over": bool(quota) and total > quota,
        "limits": uses_of_limits(),
        **_table(uses),
        "trend": found,
        "bars": _bars(found),
        "chart": (CHART_WIDTH, CHART_HEIGHT),
        "highest": found.most,
        **_retention(request),
    }
    return render(request, "exporter/space.html", context)


def _table(uses: list[Use]) -> dict[str, Any]:
    kinds = sorted({use.kind for use in uses})
    titles = dict(Dataset.objects.values_list("slug", "title"))
    sizes: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for use in uses:
        sizes[use.dataset][use.kind] = sizes[use.dataset].get(use.kind, 0) + use.bytes
    rows = [Row(_title(slug, titles), [of.get(kind, 0) for kind in kinds]) for slug, of in sizes.items()]
    rows.sort(key=lambda row: (-row.total, row.title))
    return {"kinds": kinds, "rows": [row for row in rows if row.total]}


def _title(slug: str, titles: dict[str, str]) -> str:
    return titles.get(slug, f"{slug} (deleted)") if slug else "Of no single dataset"


def _bars(found: Trend) -> list[Bar]:
    bars: list[Bar] = []
    if not found.most:
        return bars
    step = CHART_WIDTH / max(len(found.days), 10)
    for number, day in enumerate(found.days):
        top = float(CHART_HEIGHT)
        for kind, size in enumerate(day.bytes):
            height = CHART_HEIGHT * size / found.most
            top -= height
            title = f"{day.day:%d %B}: {found.kinds[kind]} {filesizeformat(size)}"
            bars.append(Bar(number * step, top, step * 0.8, height, kind % 6, title))
    return bars


def _retention(request: HttpRequest) -> dict[str, Any]:
    is_tried = "try" in request.GET
    form = RetentionForm(request.GET if is_tried else None)
    keep = form.policy() if is_tried and form.is_valid() else policies()
    gone = past_their_time(now=now(), keep=keep) if not is_tried or form.is_valid() else []
    by_title: defaultdict[str, list[int]] = defaultdict(list)
    for file in gone:
        by_title[file.dataset_title].append(file.bytes)
    return {
        "form": form,
        "is_tried": is_tried,
        "gone": gone[:FILES_SHOWN],
        "gone_files": len(gone),
        "gone_bytes": sum(file.bytes for file in gone),
        "gone_by_dataset": [(title, len(sizes), sum(sizes)) for title, sizes in sorted(by_title.items())],
        "more": max(0, len(gone) - FILES_SHOWN),
    }
