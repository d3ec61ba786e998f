"""What the platform's own hosts answer: the operator site."""

from django.urls import path
from django.views.generic import RedirectView

from accounts.sites import operator_site
from rowhouse.apps import load_pages
from tenants import serving

load_pages()
handler500 = "core.httperrors.server_error"
urlpatterns = [
    *serving.urls(),
    path("operator/", operator_site.urls),
    path("", RedirectView.as_view(pattern_name="operator:index")),
]
