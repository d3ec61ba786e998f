"""From a request's host to its tenant; nothing else decides it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render
from django.urls import Resolver404, resolve, set_urlconf

from core import logging
from core.backend.places import Role
from core.problems import is_for_programs, problem
from core.standing import TenantReadOnly
from core.tenancy import TenantRef, bind_tenant, in_tenant, leave_tenant
from tenants.models import Tenant
from tenants.names import normal_host
from tenants.routing import route_of
from tenants.standing import read_only_sentence

# What may be sent to a tenant that is read-only.
COMING_AND_GOING = {
    "admin:login", "admin:logout", "admin:tenants_enter", "admin:tenants_entry_end", "mfa_authenticate",
    "accounts_single_sign_on",
}  # fmt: skip


class TenantMiddleware:
    """Bind the request to the tenant of its host, and unbind it whatever happens.

    Only ACTIVE tenants are routed: a row without a schema must not show another schema's tables. An unknown,
    deleted or unfinished tenant gives the same 404 as a host that never was. A tenant that is read-only is shown
    and not written to.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        leave_tenant()
        if (
            "\0" in request.path_info
        ):  # no text in the database holds one, and asking for it is an error there
            return _notice(request, "Nothing here", "There is no such page. Check its address.", 404)
        host = normal_host(request.META.get("HTTP_HOST", ""))
        if host in settings.ROWHOUSE_PUBLIC_HOSTS:
            logging.bind_request("-")
            set_urlconf(settings.PUBLIC_SCHEMA_URLCONF)
            request.urlconf = settings.PUBLIC_SCHEMA_URLCONF
            return self._answer(request, None)
        tenant = route_of(host)
        logging.bind_request(tenant.slug if tenant else "-")
        if tenant is None:
            return _notice(
                request, "Nothing here", "No Rowhouse answers at this address. Check its spelling.", 404
            )
        if tenant.state == Tenant.State.SUSPENDED:
            sentence = f"{tenant.name} is suspended for now. Its owner can ask the operator why."
            if is_for_programs(request):  # which would try a 503 again and again
                return problem(403, "tenant-suspended", sentence)
            return _notice(request, "Suspended", sentence, 503)
        if tenant.is_read_only and _writes(request):
            sentence = read_only_sentence(tenant.name, tenant.read_only_reason)
            if is_for_programs(request):
                return problem(TenantReadOnly.status, TenantReadOnly.code, sentence)
            context = {
                "message": sentence,
                "code": TenantReadOnly.code,
                "back": request.path,
            }
            return render(request, "core/refused.html", context, status=TenantReadOnly.status)
        request.tenant = tenant  # type: ignore[attr-defined] # as django-tenants names it
        return self._answer(request, tenant.ref)

    def _answer(self, request: HttpRequest, tenant: TenantRef | None) -> HttpResponseBase:
        try:
            if tenant is not None:
                bind_tenant(tenant)
            response = self.get_response(request)
        finally:
            leave_tenant()
        if tenant is not None and isinstance(response, StreamingHttpResponse) and not response.is_async:
            response.streaming_content = _bound(tenant, response.streaming_content)  # type: ignore[arg-type]
        return response


def _writes(request: HttpRequest) -> bool:
    """Return whether a request may change something of the tenant: all that is sent, but for coming and going."""
    if request.method in {"GET", "HEAD", "OPTIONS"}:
        return False
    try:
        return resolve(request.path_info, settings.ROOT_URLCONF).view_name not in COMING_AND_GOING
    except Resolver404:
        return True


def _bound(tenant: TenantRef, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a streamed body, inside the tenant while each chunk is made and outside while it is sent.

    The server may answer other requests of the thread between two chunks.
    """
    iterator = iter(chunks)
    while True:
        with in_tenant(tenant, role=Role.MEMBER):
            try:
                chunk = next(iterator)
            except StopIteration:
                return
        yield chunk


def _notice(request: HttpRequest, title: str, message: str, status: int) -> HttpResponse:
    if is_for_programs(request):
        return problem(status, "not-found", message)
    return render(request, "core/notice.html", {"title": title, "message": message}, status=status)
