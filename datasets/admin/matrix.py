"""Effective rights as a table: who may do what, each right with where it comes from; of a dataset or of all."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.http import urlencode

from audit.services import record
from datasets import access
from datasets.admin.rights import TITLES, managed
from datasets.effective import KINDS, Row, effective_rights
from datasets.models import Dataset

ON_A_PAGE = 50
KIND_WORDS = {
    "superuser": "superuser",
    "role": "a role, for every dataset",
    "permission": "a permission of his own, for every dataset",
    "grant": "granted on the dataset",
}
FILTERS = ("q", "right", "kind", "dataset", "show")


def matrix_view(request: HttpRequest, dataset_id: int, site: AdminSite) -> HttpResponse:
    """Show who may do what with one dataset, to those who manage it."""
    dataset = managed(request, dataset_id)
    return _page(request, site, [dataset], dataset)


def tenant_matrix_view(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """Show who may do what with every dataset, to those who may change every one.

    :raises PermissionDenied: the user may not.
    """
    if not request.user.has_perm(access.CHANGES_ALL):
        raise PermissionDenied("Only who may change every dataset may see everybody's rights.")
    return _page(request, site, list(Dataset.objects.order_by("title", "pk")), None)


def _page(
    request: HttpRequest, site: AdminSite, datasets: Sequence[Dataset], dataset: Dataset | None
) -> HttpResponse:
    asked = {name: request.GET.get(name, "") for name in FILTERS}
    chosen = [one for one in datasets if asked["dataset"] in ("", str(one.pk))]
    rows = _matching(effective_rights(chosen), asked)
    if request.GET.get("format") == "csv":
        return _as_csv(request, rows, dataset)
    number = _number(request.GET.get("page"))
    shown = list(islice(rows, (number - 1) * ON_A_PAGE, number * ON_A_PAGE + 1))
    kept: dict[str, str] = {name: value for name, value in asked.items() if value}
    context = {
        **site.each_context(request),
        "title": f"Who may what: {dataset.title}" if dataset else "Who may what with every dataset",
        "opts": Dataset._meta,
        "dataset": dataset,
        "datasets": datasets,
        "part": "matrix",
        "rows": shown[:ON_A_PAGE],
        "titles": TITLES.items(),
        "kinds": KIND_WORDS.items(),
        "asked": asked,
        "is_filtered": bool(kept),
        "page": number,
        "before": f"?{urlencode({**kept, 'page': str(number - 1)})}" if number > 1 else "",
        "after": f"?{urlencode({**kept, 'page': str(number + 1)})}" if len(shown) > ON_A_PAGE else "",
        "csv_url": f"?{urlencode({**kept, 'format': 'csv'})}",
    }
    return render(request, "datasets/rights_matrix.html", context)


def _matching(rows: Iterable[Row], asked: dict[str, str]) -> Iterator[Row]:
    words = asked["q"].casefold().split()
    right = asked["right"] if asked["right"] in access.RIGHTS else ""
    kind = asked["kind"] if asked["kind"] in KINDS else ""
    for row in rows:
        text = f"{row.user.email} {row.user.get_full_name()} {row.dataset.title}".casefold()
        sources = [one for name, found in row.rights if right in ("", name) for one in found]
        is_wanted = asked["show"] == "all" and not (right or kind)
        is_held = any(kind in ("", one.kind) for one in sources)
        if (is_wanted or is_held) and all(word in text for word in words):
            yield row


def _as_csv(request: HttpRequest, rows: Iterable[Row], dataset: Dataset | None) -> HttpResponse:
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(["dataset", "person", "e-mail address", *TITLES, "columns"])
    for row in rows:
        cells = ["; ".join(source.words for source in found) for _, found in row.rights]
        columns = "; ".join(f"{one.label}: {one.how} {one.words}" for one in row.kept)
        names = [row.dataset.title, row.user.get_full_name(), row.user.email]
        writer.writerow([_harmless(cell) for cell in (*names, *cells, columns)])
    record("datasets.rights.downloaded", actor=request.user, target=dataset)
    name = f"rights of {dataset.slug}" if dataset else "rights"
    answer = HttpResponse(file.getvalue(), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return answer


def _harmless(cell: str) -> str:
    # Read by people in a spreadsheet, which would take a name for a formula.
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def _number(text: Any) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and 0 < len(text) < 6 and int(text) else 1
