"""The page that maps a file's labels to columns."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods

from datasets.access import visible_columns
from datasets.columntypes.base import Reading
from importer import saved_mappings, services
from importer.admin.places import job_or_404, page, to
from importer.dialect import DELIMITERS
from importer.dialect_form import DialectForm
from importer.mapping import write_mapping
from importer.mapping_forms import MappingForm, NamedForm, SaveForm
from importer.matching import matches_of
from importer.models import ImportJob, State
from importer.parts import in_use
from importer.recipe_form import LabelForm
from importer.rights import require_import_of
from importer.samples import SHOWN_ROWS, Result, results
from importer.specs import spec_of


@require_http_methods(["GET", "POST"])
def mapping(request: HttpRequest, pk: int, site: AdminSite) -> HttpResponse:
    """Where each label of the file goes, what becomes of its cells, and how the file is read."""
    job = job_or_404(request, pk)
    require_import_of(request.user, job)
    if request.method == "GET" and request.GET.get("format") == "json":
        return _as_json(job)
    if request.POST.get("do") in ("use", "delete"):
        return _named(request, job, site)
    data = request.POST if request.method == "POST" else None
    asked = request.GET if data is None else data
    forms = _Forms(job, request.user, data, _number(asked.get("go") or asked.get("page")) or 1)
    if data is None:
        return _page(request, site, forms)
    if data.get("do") == "look" or data.get("go"):
        is_good = forms.labels.is_valid()
        if not data.get("go"):
            forms.labels.turn_to_error()
        return _page(request, site, forms, status=200 if is_good else 422)
    if not _save(request, forms):
        forms.labels.turn_to_error()
        return _page(request, site, forms, status=422)
    return to(job)


class _Forms:
    """Everything that can be filled in on the page."""

    def __init__(self, job: ImportJob, user: Any, data: Any = None, page: int = 1) -> None:
        self.job = job
        self.dialect = DialectForm(data, job=job)
        visible = None if job.target else {one.name for one in visible_columns(user, job.dataset)}
        self.labels = MappingForm(job, data, page, visible)
        self.save = SaveForm(data, initial={"seen": job.previews})
        self.named = NamedForm(job=job)


def _save(request: HttpRequest, forms: _Forms) -> bool:
    """Preview again with what was filled in; False when something of it cannot be used."""
    job, by = forms.job, request.user
    if not (forms.dialect.is_valid() and forms.save.is_valid()):
        return False
    seen, name = forms.save.cleaned_data["seen"], forms.save.cleaned_data["save_as"]
    # The labels on the page are those of the old reading: a new reading is previewed before they count.
    if forms.dialect.is_said_anew() or not job.mapping:
        services.set_mapping(job=job, by=by, overrides=forms.dialect.overrides(), seen=seen)
        return True
    if not forms.labels.is_valid():
        return False
    matches = [match.to_dict() for match in forms.labels.result()]
    services.set_mapping(job=job, by=by, matches=matches, seen=seen)
    if name and not job.target:
        job.refresh_from_db()
        version = saved_mappings.save_as(job=job, name=name, by=by)
        messages.info(request, f"The mapping is kept as “{name}”, version {version.number}.")
    return True


def _named(request: HttpRequest, job: ImportJob, site: AdminSite) -> HttpResponse:
    forms = _Forms(job, request.user)
    forms.named = NamedForm(request.POST, job=job)
    if not forms.named.is_valid():
        return _page(request, site, forms, status=422)
    name = forms.named.cleaned_data["name"]
    if request.POST["do"] == "delete":
        saved_mappings.delete(dataset=job.dataset, name=name, by=request.user)
        messages.info(request, f"The saved mapping “{name}” is deleted. This import keeps its own.")
        return redirect(request.path)
    services.set_mapping(job=job, by=request.user, name=name)
    messages.info(request, f"The mapping “{name}” is used.")
    return to(job)


def _as_json(job: ImportJob) -> JsonResponse:
    """Return the mapping as `import_file --mapping` takes it."""
    written = write_mapping(matches_of(job), spec_of(job).columns)
    answer = JsonResponse(written, json_dumps_params={"ensure_ascii": False, "indent": 2})
    answer["Content-Disposition"] = f'attachment; filename="mapping of import {job.pk}.json"'
    return answer


def _page(request: HttpRequest, site: AdminSite, forms: _Forms, status: int = 200) -> HttpResponse:
    job = forms.job
    context = {"job": job, "forms": forms, **_context(forms)}
    return page(request, site, "mapping", f"Match columns of {job.file_name}", context, status=status)


def _context(forms: _Forms) -> dict[str, Any]:
    job, labels = forms.job, forms.labels
    rows = labels.rows
    is_good = labels.data is not None and not labels.has_errors and labels.is_valid()
    matches = labels.result() if is_good else labels.matches
    here = {form.match.position for form in rows}
    shown = [match for match in matches if match.position in here]
    made = results(in_use(job, shown), labels.spec, labels.samples, len(labels.labels))
    by_place = {(match.position, match.column): found for match, found in zip(shown, made, strict=True)}
    used = {match.column for match in matches if match.column}
    columns = labels.columns
    return {
        "rows": [_row(form, by_place) for form in rows],
        "constants": labels.constants,
        "missing": [column.label for column in columns if column.must_be_given and column.name not in used],
        "free": [column.label for column in columns if column.name not in used and not column.must_be_given],
        "label_names": labels.names,
        "doubts": job.head.get("doubts", []),
        "notes": job.sheet.get("notes", []),
        "dialect": job.dialect,
        "delimiter": DELIMITERS.get(str(job.dialect.get("delimiter")), job.dialect.get("delimiter")),
        "version": job.mapping_version,
        "is_locked": job.state not in (State.PREVIEW_SUCCEEDED, State.PREVIEW_FAILED) or job.is_undo,
    }


def _row(form: LabelForm, made: dict[tuple[int, str | None], list[Result]]) -> dict[str, Any]:
    match, labels = form.match, form.form
    column = form.column
    samples = labels.samples[:SHOWN_ROWS]
    return {
        "form": form,
        "match": match,
        "samples": [row[match.position] for row in samples if match.position < len(row)],
        "results": made.get((match.position, column), []),
        "guesses": [column.label for column in labels.columns if column.name in match.candidates],
        "reading": _reading_words(match.reading) if column else "",
        "is_skipped": not column,
        "is_chosen": column != match.column,
        "steps": [form[name] for name in form.fields if name not in ("column", "more")],
    }


def _reading_words(reading: Reading) -> str:
    """Return how a column is read, where that is not the plain way."""
    words = []
    if (reading.decimal_mark, reading.group_mark) != (".", ""):
        words.append(f"numbers as 1{reading.group_mark}234{reading.decimal_mark}5")
    if reading.date_order != "YMD":
        words.append("dates as " + ("31/12/2026" if reading.date_order == "DMY" else "12/31/2026"))
    return ", ".join(words)


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 6 else None
