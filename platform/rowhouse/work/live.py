"""Polls of the page of background work: one query each, for as long as its pass is fresh.

The page hands out a pass: which jobs of it this person may watch, signed, for one user, one session and one
tenant, good for a minute. `Polls` answers it before any other middleware with one query, which looks again
whether the host is the tenant's and the tenant is served, the session is still there and the user active.
So signing out, being deactivated and a suspension count at once; a right on a dataset that was taken away
counts when the pass is renewed, within the minute, by the whole page's own checks (`pages.live`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session
from django.core import signing
from django.db import ProgrammingError, connection
from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import render
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.http import urlencode

from core import logging
from core.clock import now
from core.tenancy import TenantRef, leave_tenant
from jobs.models import Job, TenantShare
from jobs.pages.shown import Shown, shown
from rowhouse.work.subjects import UNITS
from tenants.names import normal_host

PATH = "/admin/jobs/job/live/"
SALT = "rowhouse.work.live"
PASS_SECONDS = 60
LIVE_SECONDS = 2
STOP_POLLING = 286  # what htmx understands by it

# The tenant's tables by their schema's name, so that one statement in `public` sees both sides.
WATCHED = """
SELECT j.*, COALESCE(s.state, '') AS share_state
  FROM tenants_domain d JOIN tenants_tenant t ON t.id = d.tenant_id AND t.state = 'ACTIVE'
  JOIN jobs_job j ON j.schema = t.schema_name LEFT JOIN jobs_tenantshare s ON s.schema = t.schema_name
 WHERE d.domain = %(host)s AND t.schema_name = %(schema)s AND j.id = ANY(%(jobs)s)
   AND EXISTS (SELECT 1 FROM {schema}.{sessions}
                WHERE session_key = %(session)s AND expire_date > statement_timestamp())
   AND EXISTS (SELECT 1 FROM {schema}.{users} WHERE id = %(user)s AND is_active
                  AND (entry_ends_at IS NULL OR entry_ends_at > statement_timestamp()))
 ORDER BY j.id DESC"""


@dataclass(frozen=True, slots=True)
class Pass:
    """What a page may be told without asking again. `hushed`: jobs whose reason this person may not read."""

    schema: str
    slug: str
    user: int
    session: str
    jobs: list[int]
    hushed: list[int]


def write_pass(
    *, tenant: TenantRef, user: int, session: str, jobs: Iterable[int], hushed: Iterable[int]
) -> str:
    """Return the pass as it stands in the polling address. The session's key itself is not in it."""
    fields = [tenant.schema, tenant.slug, user, _print(session), sorted(jobs), sorted(hushed)]
    return signing.dumps(fields, salt=SALT, compress=True)


def read_pass(text: str, *, max_age: int | None) -> Pass | None:
    """Return a pass of ours, at most so many seconds old, or None."""
    try:
        return Pass(*signing.loads(text, salt=SALT, max_age=max_age))
    except signing.BadSignature:
        return None


def _print(session: str) -> str:
    return salted_hmac(SALT, session, algorithm="sha256").hexdigest()[:32]


class Polls:
    """Middleware, before the tenants': answers the polls with a fresh pass, and leaves all else alone."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info == PATH and request.method == "GET" and (answer := answer_poll(request)):
            return answer
        return self.get_response(request)


def answer_poll(request: HttpRequest) -> HttpResponse | None:
    """Answer with one query, or return None: then the page's own view decides."""
    held = read_pass(request.GET.get("pass", ""), max_age=PASS_SECONDS)
    session = request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")
    if held is None or not constant_time_compare(held.session, _print(session)):
        return None
    leave_tenant()
    jobs = _watched(held, session=session, host=normal_host(request.META.get("HTTP_HOST", "")))
    if not jobs:
        return None
    logging.bind_request(held.slug)
    request.answered_by = "admin:jobs_job_live"  # type: ignore[attr-defined] # for figures: no view was looked for
    return live_answer(request, jobs, hushed=held.hushed, address=request.get_full_path())


def _watched(held: Pass, *, session: str, host: str) -> list[Any]:
    quote = connection.ops.quote_name
    statement = WATCHED.format(
        schema=quote(TenantRef(held.schema, held.slug).schema),
        sessions=quote(Session._meta.db_table),
        users=quote(get_user_model()._meta.db_table),
    )
    values = {"host": host, "schema": held.schema, "jobs": held.jobs, "session": session, "user": held.user}
    try:
        return list(Job.objects.raw(statement, values))
    except ProgrammingError:  # the schema is gone: its tenant was deleted a moment ago
        return []


def row_of(job: Job, *, is_paused: bool, may_read_reason: bool) -> Shown:
    """Return a job as the tenant's pages show it."""
    unit = UNITS.get(job.kind, "")
    return shown(job, now(), is_paused=is_paused, unit=unit, may_read_reason=may_read_reason)


def live_answer(
    request: HttpRequest, jobs: Iterable[Any], *, hushed: Iterable[int], address: str
) -> HttpResponse:
    """Return the changed cells of these jobs, and whether to ask again."""
    rows = [
        row_of(
            job,
            is_paused=job.share_state == TenantShare.State.PAUSED,
            may_read_reason=job.pk not in set(hushed),
        )
        for job in jobs
    ]
    goes_on = any(row.is_active for row in rows)
    said, before = summary(rows), request.GET.get("said", "")
    context = {
        "rows": rows,
        # Said only when it has changed: a screen reader would read it out every two seconds.
        "said": "" if said == before else said,
        "live_url": with_said(address, said) if goes_on else "",
        "live_seconds": LIVE_SECONDS,
    }
    answer = render(request, "jobs/live.html", context, status=200 if goes_on else STOP_POLLING)
    answer["Cache-Control"] = "no-store"
    answer["X-Content-Type-Options"] = "nosniff"
    answer["Content-Security-Policy"] = "default-src 'none'; frame-ancestors 'none'"
    return answer


def summary(rows: Iterable[Shown]) -> str:
    """Return one sentence on how the watched jobs stand.

    >>> summary([])
    'Nothing is running.'
    """
    counts: dict[str, int] = {}
    for row in rows:
        words = row.words.split(" until ")[0].lower().replace("waits", "for later")
        counts[words] = counts.get(words, 0) + 1
    told = [f"{count} {words}" for words, count in sorted(counts.items())]
    return f"Background work: {', '.join(told)}." if told else "Nothing is running."


def with_said(address: str, said: str) -> str:
    """Return the polling address with what the page has been told, in place of what it was told before."""
    parts = urlsplit(address)
    query = {**QueryDict(parts.query).dict(), "said": said}
    return f"{parts.path}?{urlencode(query)}"
