"""What the platform's own hosts answer: the operator site."""

from django.urls import path
from django.views.generic import RedirectView

from accounts.operators import sign_in as operator_sign_in
from accounts.sites import operator_site
from rowhouse.apps import load_pages
from tenants import serving

load_pages()
handler500 = "core.httperrors.server_error"
urlpatterns = [
    *serving.urls(),
    # What stands before the site's own is found before it.
    path("operator/", ([*operator_sign_in.urls(), *operator_site.get_urls()], "admin", operator_site.name)),
    path("", RedirectView.as_view(pattern_name="operator:index")),
]
