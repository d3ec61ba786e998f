"""The two admin sites: one for a tenant's people, one for operators. Nothing is registered on both."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.paginator import InvalidPage
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver
from unfold.sites import UnfoldAdminSite

from audit.services import record

SECOND_FACTOR_SHOWN = "second_factor_shown"  # in an operator's session


class RowhouseSite(UnfoldAdminSite):
    """What both sites share: the stock pages that are not ours to offer are left out or made safe."""

    def get_urls(self) -> list[URLResolver | URLPattern]:
        # It leads from a content type to a page on the site; none of our models has one.
        return [one for one in super().get_urls() if getattr(one, "name", "") != "view_on_site"]

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        # The theme would write its colours into a style element of each page; ours are in colors.css.
        return {**super().each_context(request), "colors": None}

    def password_change(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        person: Any = request.user
        with transaction.atomic():
            before = person.password
            answer: HttpResponse = super().password_change(request, extra_context)
            if person.password != before:
                record("accounts.user.password_changed", actor=person, target=person)
        return answer

    def search(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not request.GET.get("page", "1").isdecimal():
            raise Http404
        try:
            return super().search(request, extra_context)  # type: ignore[no-any-return]
        except InvalidPage:
            raise Http404 from None


class TenantSite(RowhouseSite):
    """The admin a tenant's people work in, on the tenant's own hosts."""

    index_title = "Dashboard"
    index_template = "rowhouse/tenant_index.html"
    enable_nav_sidebar = True


class OperatorSite(RowhouseSite):
    """The admin of the people who run the platform, on the platform's own host."""

    settings_name = "UNFOLD_OPERATOR"
    index_title = "Platform"
    index_template = "rowhouse/operator_index.html"

    def has_permission(self, request: HttpRequest) -> bool:
        # An operator, not whoever has the attributes of one; and where a second factor is demanded, one who showed it.
        user: Any = request.user
        is_operator = isinstance(user, apps.get_model("operators", "Operator")) and bool(user.is_active)
        is_enough = not settings.ROWHOUSE_OPERATOR_SECOND_FACTOR or bool(
            request.session.get(SECOND_FACTOR_SHOWN)
        )
        return is_operator and is_enough


tenant_site = TenantSite(name="admin")
operator_site = OperatorSite(name="operator")
