"""The pages of the log on both sites: the list with its search, an event, the download; a tenant's with its stream."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render
from django.urls import NoReverseMatch, URLPattern, URLResolver, path, reverse
from django.views.decorators.http import require_http_methods
from unfold.admin import ModelAdmin

from accounts.operator_admin import WithoutLog
from audit import looking
from audit.diffing import lines_of
from audit.looking import Wish
from audit.models import Event
from audit.names import AREAS, EVENTS, words_of
from audit.proof import Standing, proof_of
from audit.services import record
from core.clock import now
from core.readonly import ReadOnly
from core.tenancy import tenant_or_none
from rowhouse.events.asking import asked_of, number_of, query_of, wish_of
from rowhouse.events.downloading import FORMS, body_of
from rowhouse.events.stream import stream_page, summary_of

PROOFS = {
    Standing.SEALED: "It is what was written: seal {seal} of {at:%Y-%m-%d %H:%M} UTC holds it.",
    Standing.WAITING: "It is signed, and waits for the next seal, within the hour.",
    Standing.UNSIGNED: "It was written before events were signed, and waits for its seal.",
    Standing.DIFFERS: "It is not what was written. Ask who runs the platform to run verify_audit.",
}


class EventAdmin(ReadOnly, ModelAdmin):
    """The log of who did what, newest first, to read."""

    def get_urls(self) -> list[URLPattern | URLResolver]:
        wrap = self.admin_site.admin_view
        ours: list[URLPattern | URLResolver] = [
            path("download/", wrap(self.download_view), name="audit_event_download")
        ]
        return [*ours, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        self._require(request)
        wish = wish_of(request.GET.dict())
        found = looking.look(wish, before=number_of(request.GET.get("before", "")))
        context = {
            **self.admin_site.each_context(request),
            "title": "Events",
            "opts": Event._meta,
            "here": self._address("changelist"),
            "download": self._address("download"),
            "rows": [self._row(event) for event in found.events],
            "asked": asked_of(wish),
            "is_asked": not wish.is_any,
            "is_later": bool(request.GET.get("before")),
            "person": _person(wish, found.events),
            "areas": AREAS,
            "names": _names(),
            "newest_url": query_of(wish),
            "older_url": query_of(wish, before=found.older) if found.older is not None else "",
            "is_cut": found.is_cut,
            "looked_at": looking.LOOKED_AT,
            "downloads": {form: self._address("download") + query_of(wish, form=form) for form in FORMS},
            "stream": summary_of(request, tenant_or_none()),
        }
        return render(request, "rowhouse/events.html", context)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        self._require(request)
        if request.method not in ("GET", "HEAD"):
            raise PermissionDenied("Events are never changed.")
        event = Event.objects.filter(pk=number_of(object_id) or 0).first()
        if event is None:
            raise Http404
        proof = proof_of(event)
        here = self._address("changelist")
        target = bool(event.target_type and event.target_id)
        context = {
            **self.admin_site.each_context(request),
            "title": words_of(event.name),
            "opts": Event._meta,
            "here": here,
            "event": event,
            "words": words_of(event.name),
            "lines": lines_of(event.data) if isinstance(event.data, dict) else (),
            "proof": PROOFS[proof.standing].format(seal=proof.seal, at=proof.at or now()),
            "is_wrong": proof.standing == Standing.DIFFERS,
            "target_url": address_of_target(request, self.admin_site, event) if target else "",
            "alike": {
                "of_target": here + query_of(Wish(target_type=event.target_type, target_id=event.target_id))
                if target
                else "",
                "of_actor": here + query_of(Wish(actor_id=event.actor_id)) if event.actor_id else "",
                "of_cause": here + query_of(Wish(cause=event.cause)) if event.cause else "",
                "of_name": here + query_of(Wish(name=event.name)),
                "of_address": here + query_of(Wish(address=event.address)) if event.address else "",
            },
        }
        return render(request, "rowhouse/event.html", context)

    def download_view(self, request: HttpRequest) -> HttpResponseBase:
        """Send all events that fit as a file, and record that somebody took it."""
        self._require(request)
        form = request.GET.get("form", "csv")
        if request.method != "GET" or form not in FORMS:
            raise Http404
        wish = wish_of(request.GET.dict())
        most = looking.newest()  # what comes while it is sent is no part of it
        record("audit.events.exported", actor=request.user, form=form, upto=most, filters=asked_of(wish))
        answer = StreamingHttpResponse(body_of(form, wish, most=most), content_type=FORMS[form][0])
        tenant = tenant_or_none()
        name = f"events_{tenant.slug if tenant else 'platform'}_{now():%Y%m%dT%H%M%SZ}.{form}"
        answer["Content-Disposition"] = f'attachment; filename="{name}"'
        return answer

    def _require(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied("The log is shown to owners. Ask one of them.")

    def _address(self, page: str) -> str:
        return reverse(f"{self.admin_site.name}:audit_event_{page}")

    def _row(self, event: Event) -> dict[str, Any]:
        return {
            "event": event,
            "words": words_of(event.name),
            "url": reverse(f"{self.admin_site.name}:audit_event_change", args=[event.pk]),
        }


class TenantEventAdmin(EventAdmin):
    """The log of a tenant, which its owners may have sent elsewhere."""

    def get_urls(self) -> list[URLPattern | URLResolver]:
        page = require_http_methods(["GET", "HEAD", "POST"])(stream_page)
        return [
            path("stream/", self.admin_site.admin_view(page), name="audit_event_stream"),
            *super().get_urls(),
        ]


class OperatorEventAdmin(WithoutLog, EventAdmin):
    """What operators did, and what became of tenants."""


def address_of_target(request: HttpRequest, site: AdminSite, event: Event) -> str:
    """Return the page of what an event is about, if there is one that this person may see; else "".

    The page's own admin says so, as it would when it is opened.
    """
    try:
        model = apps.get_model(event.target_type)
    except (LookupError, ValueError):
        return ""
    admin = site._registry.get(model)
    if admin is None:
        return ""
    found = admin.get_object(request, event.target_id)
    if found is None or not admin.has_view_permission(request, found):
        return ""
    try:
        return reverse(
            f"{site.name}:{model._meta.app_label}_{model._meta.model_name}_change", args=[found.pk]
        )
    except NoReverseMatch:
        return ""


def _names() -> dict[str, dict[str, str]]:
    """Return the names of events by the title of their area."""
    return {
        title: {name: words for name, words in EVENTS.items() if name.startswith(f"{area}.")}
        for area, title in AREAS.items()
    }


def _person(wish: Wish, events: list[Event]) -> str:
    """Return whose events these are, where they are one person's."""
    if wish.actor_id is None:
        return ""
    return events[0].actor_label if events else f"person {wish.actor_id}"
