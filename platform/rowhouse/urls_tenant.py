"""What a tenant's hosts answer: the tenant's admin, and nothing of the platform's."""

from django.urls import include, path
from django.urls.resolvers import RoutePattern
from django.views.generic import RedirectView

from accounts import factor_pages, invitation_pages, reset_pages, sign_in, sign_in_pages
from accounts.single_sign_on import sign_in_pages as provider_sign_in_pages
from accounts.sites import tenant_site
from datasets.urlnames import RowsURLResolver
from rowhouse import restoring_pages
from rowhouse.api import urls as api
from rowhouse.apps import load_pages
from rowhouse.review import pages as review_pages
from tenants import views as entry_pages

load_pages()
handler500 = "core.httperrors.server_error"
urlpatterns = [
    *api.urlpatterns,
    path("", RedirectView.as_view(pattern_name="admin:index")),
    *invitation_pages.urls(),
    *factor_pages.urls(),
    *reset_pages.urls(),
    *sign_in_pages.urls(),
    *provider_sign_in_pages.urls(),
    # The namespaced resolver's own pattern is empty: with a prefix, Django's reverse() would bypass it.
    RowsURLResolver(
        RoutePattern(""),
        [
            path(
                "admin/",
                include(
                    [
                        *sign_in.urls(),  # before the site's own
                        *sign_in_pages.admin_urls(),
                        *restoring_pages.urls(),
                        *review_pages.urls(),
                        *entry_pages.urls(),
                        *tenant_site.get_urls(),
                    ]
                ),
            )
        ],
        app_name="admin",
        namespace="admin",
    ),
    *sign_in.names_of_allauth(),  # last: what answers there has its name from above
]
