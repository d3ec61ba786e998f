"""The pages of a tenant's background work: the list, one job, its end, and its state for scripts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.paginator import Page, Paginator
from django.db.models import CharField, OuterRef, Q, Subquery, Value
from django.db.models.functions import Coalesce
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts.models import User
from core.clock import now
from core.tenancy import current_tenant, in_public
from jobs.kinds import registry
from jobs.models import ACTIVE, Job, JobQuerySet, State, TenantShare
from jobs.pages.shown import as_json, title_of
from rowhouse.work import live as polls
from rowhouse.work import subjects
from rowhouse.work.subjects import Subject

PER_PAGE = 25
ASKED = ("q", "state", "kind")
STATES = {
    "active": ("Running or queued", Q(state__in=ACTIVE)),
    "failed": ("Failed", Q(state=State.FAILED)),
    "done": ("Done", Q(state=State.DONE)),
    "cancelled": ("Cancelled", Q(state=State.CANCELLED)),
}


@require_safe
@never_cache
def work(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """List the tenant's jobs that this person may see, newest first."""
    user = _user(request)
    visible = subjects.visible(user)
    page = _page(visible & _asked(request, user), request.GET.get("page", "1"))
    context = {
        **_rows(request, list(page)),
        "page": page,
        "words": request.GET.get("q", ""),
        "state": request.GET.get("state", ""),
        "kind": request.GET.get("kind", ""),
        "states": [(value, label) for value, (label, _) in STATES.items()],
        "kinds": _kinds(visible),
        "is_asked": any(request.GET.get(name) for name in ASKED),
        "query": urlencode({name: request.GET[name] for name in ASKED if request.GET.get(name)}),
    }
    return _render(request, site, "rowhouse/work.html", "Background work", context)


@require_safe
@never_cache
def one(request: HttpRequest, pk: int, site: AdminSite) -> HttpResponse:
    """Show one job; of another tenant, or of a dataset this person may not see, there is none."""
    job = _job(_user(request), pk)
    context = _rows(request, [job])
    return _render(request, site, "rowhouse/work_one.html", f"Job {pk}: {title_of(job.kind)}", context)


@require_POST
def cancel(request: HttpRequest, pk: int, site: AdminSite) -> HttpResponse:
    """End a job, for whoever may cancel that import or export on its own page."""
    user = _user(request)
    subjects.cancel(user, _job(user, pk))
    messages.info(request, f"Job {pk} will end before its next step.")
    return redirect(reverse("admin:jobs_job_changelist"))


@require_safe
@never_cache
def status(request: HttpRequest, pk: int) -> JsonResponse:
    """Answer a script with how a job stands."""
    user = _user(request)
    if not user.is_active:
        return JsonResponse({"error": "Sign in first.", "code": "not-signed-in"}, status=401)
    try:
        job = _job(user, pk)
    except Http404:
        return JsonResponse({"error": f"There is no job {pk} here.", "code": "job-not-found"}, status=404)
    about = subjects.subjects(user, [job])[pk]
    is_paused = job.share_state == TenantShare.State.PAUSED
    told = as_json(job, now(), is_paused=is_paused, may_read_reason=about.may_read_reason)
    return JsonResponse({**told, "about": about.text, "url": about.url})


@require_safe
@never_cache
def live(request: HttpRequest) -> HttpResponse:
    """Renew the pass of a page that has watched for a minute, with every right looked at again."""
    user = _user(request)
    if not user.is_active:
        answer = HttpResponse(status=401)
        answer["HX-Refresh"] = "true"  # the page reloads, and the site asks who it is
        return answer
    held = polls.read_pass(request.GET.get("pass", ""), max_age=None)
    if held is None or held.schema != current_tenant().schema:
        raise Http404
    jobs = _all(subjects.visible(user) & Q(pk__in=held.jobs))
    if not jobs:
        return HttpResponse(status=polls.STOP_POLLING)
    about = subjects.subjects(user, jobs)
    hushed = [pk for pk, subject in about.items() if not subject.may_read_reason]
    address = _address(request, jobs, about)
    return polls.live_answer(request, jobs, hushed=hushed, address=address or request.path)


# ---- the tenant's own jobs, in `public`


def _own(condition: Q) -> JobQuerySet:
    share = TenantShare.objects.filter(pk=OuterRef("schema")).values("state")
    state = Coalesce(Subquery(share), Value(""), output_field=CharField())
    return Job.objects.filter(schema=current_tenant().schema).filter(condition).annotate(share_state=state)


def _all(condition: Q) -> list[Any]:
    jobs = _own(condition)  # the tenant is asked for before it is left
    with in_public():
        return list(jobs)


def _page(condition: Q, number: str) -> Page[Any]:
    jobs = _own(condition)
    with in_public():
        page = Paginator(jobs.order_by("-pk"), PER_PAGE).get_page(number)
        page.object_list = list(page.object_list)
    return page


def jobs_of(user: User, condition: Q) -> list[Any]:
    """Return the tenant's jobs that a person may see, of those that fit a condition."""
    return _all(subjects.visible(user) & condition)


def _job(user: User, pk: int) -> Any:
    found = _all(subjects.visible(user) & Q(pk=pk))
    if not found:
        raise Http404(f"There is no job {pk} here.")
    return found[0]


def _kinds(visible: Q) -> list[tuple[str, str]]:
    jobs = _own(visible).order_by().values_list("kind", flat=True).distinct()
    with in_public():
        kinds = list(jobs)
    return sorted(((kind, title_of(kind)) for kind in kinds), key=lambda choice: choice[1])


def _asked(request: HttpRequest, user: User) -> Q:
    asked = Q()
    if chosen := STATES.get(request.GET.get("state", "")):
        asked &= chosen[1]
    if kind := request.GET.get("kind", ""):
        asked &= Q(kind=kind)
    if words := request.GET.get("q", "").strip()[:200].replace("\0", ""):
        titles = [name for name in registry() if words.lower() in title_of(name).lower()]
        number = Q(pk=int(words)) if words.isascii() and words.isdigit() and len(words) < 19 else Q()
        asked &= Q(kind__in=titles) | subjects.found(user, words) | number
    return asked


# ---- what the templates get


def _rows(request: HttpRequest, jobs: Sequence[Any]) -> dict[str, Any]:
    about = subjects.subjects(_user(request), jobs)
    rows = [
        polls.row_of(
            job,
            is_paused=job.share_state == TenantShare.State.PAUSED,
            may_read_reason=about[job.pk].may_read_reason,
        )
        for job in jobs
    ]
    active = [job for job in jobs if not job.has_ended]
    said = polls.summary([row for row in rows if row.is_active])
    address = _address(request, active, about)
    return {
        "rows": [{"one": row, "about": about[row.pk]} for row in rows],
        "said": said,
        "is_paused": any(job.share_state == TenantShare.State.PAUSED for job in active),
        "live_url": polls.with_said(address, said) if address else "",
        "live_seconds": polls.LIVE_SECONDS,
    }


def _address(request: HttpRequest, jobs: Sequence[Any], about: dict[int, Subject]) -> str:
    watched = [job.pk for job in jobs if not job.has_ended]
    if not watched:
        return ""
    written = polls.write_pass(
        tenant=current_tenant(),
        user=_user(request).pk,
        session=request.session.session_key or "",
        jobs=watched,
        hushed=[pk for pk in watched if not about[pk].may_read_reason],
    )
    return f"{reverse('admin:jobs_job_live')}?{urlencode({'pass': written})}"


def _user(request: HttpRequest) -> User:
    return cast("User", request.user)


def _render(
    request: HttpRequest, site: AdminSite, template: str, title: str, context: dict[str, Any]
) -> HttpResponse:
    request.current_app = site.name  # as Django's own admin does
    return render(request, template, {**site.each_context(request), "title": title, **context})
