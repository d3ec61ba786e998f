"""The token itself, and how far background work is."""

from __future__ import annotations

from typing import Any

from django.db.models import Q
from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.tokens.models import Scope
from core.clock import now
from exporter.models import ExportRun
from jobs.models import TenantShare
from jobs.pages.shown import as_json
from rowhouse.api import told
from rowhouse.api.authentication import Caller
from rowhouse.api.base import ApiView, number_or_404
from rowhouse.api.imports import imports_of
from rowhouse.work import subjects
from rowhouse.work.pages import jobs_of


@extend_schema(tags=["Token"])
class Token(ApiView):
    """The token of this very request."""

    @extend_schema(operation_id="get_token", responses=told.TokenTold)
    def get(self, request: Request) -> Response:
        """Show what the token may do, for whom and until when."""
        caller = self.caller(request)
        slugs = None
        if caller.token.datasets is not None:
            slugs = list(caller.datasets().order_by("slug").values_list("slug", flat=True))
        return Response(
            {
                "name": caller.token.name,
                "person": caller.user.email,
                "scopes": caller.token.scopes,
                "datasets": slugs,
                "expires_at": caller.token.expiry,
            }
        )


@extend_schema(tags=["Jobs"])
class OneJob(ApiView):
    """A background job: a preview, a merge, an export."""

    scopes = (Scope.IMPORT, Scope.EXPORT)

    @extend_schema(operation_id="get_job", responses=told.JobTold)
    def get(self, request: Request, pk: int) -> Response:
        """Show how far a job is."""
        caller = self.caller(request)
        found: list[Any] = jobs_of(caller.user, Q(kind__in=_kinds(caller), pk=number_or_404(pk)))
        if not found or not _is_within(caller, found[0]):
            raise Http404
        [job] = found
        about = subjects.subjects(caller.user, [job])[job.pk]
        is_paused = job.share_state == TenantShare.State.PAUSED
        shown = as_json(job, now(), is_paused=is_paused, may_read_reason=about.may_read_reason)
        return Response({**shown, "about": about.text})


def _kinds(caller: Caller) -> list[str]:
    """Return the kinds of jobs that a token's scopes are about."""
    imports = subjects.IMPORTS if caller.token.has_scope(Scope.IMPORT) else ()
    return [*imports, *(subjects.EXPORTS if caller.token.has_scope(Scope.EXPORT) else ())]


def _is_within(caller: Caller, job: Any) -> bool:
    """Return whether all that a job is about is within the token's datasets."""
    datasets = caller.token.datasets
    if datasets is None:
        return True
    if "import" in job.payload:
        return imports_of(caller).filter(pk=job.payload["import"]).exists()
    run = ExportRun.objects.filter(pk=job.payload.get("run")).first()
    chosen = None if run is None else run.chosen
    return chosen is not None and set(chosen) <= set(datasets)
