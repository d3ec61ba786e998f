"""The two admin sites: one for a tenant's people, one for operators. Nothing is registered on both."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.http import HttpRequest
from unfold.sites import UnfoldAdminSite


class TenantSite(UnfoldAdminSite):
    """The admin a tenant's people work in, on the tenant's own hosts."""

    index_title = "Dashboard"
    index_template = "rowhouse/tenant_index.html"
    enable_nav_sidebar = True


class OperatorSite(UnfoldAdminSite):
    """The admin of the people who run the platform, on the platform's own host."""

    settings_name = "UNFOLD_OPERATOR"
    index_title = "Platform"
    index_template = "rowhouse/operator_index.html"

    def has_permission(self, request: HttpRequest) -> bool:
        # An operator, not whoever has the attributes of one.
        user: Any = request.user
        return isinstance(user, apps.get_model("operators", "Operator")) and bool(user.is_active)


tenant_site = TenantSite(name="admin")
operator_site = OperatorSite(name="operator")
