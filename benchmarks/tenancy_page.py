"""A page of twenty queries, and the URLs of a site that has nothing else: what `tenancy_isolation` measures."""

from __future__ import annotations

from django.contrib.auth.models import Permission
from django.http import HttpRequest, HttpResponse
from django.urls import path

from accounts.models import User
from datasets.models import Dataset

QUERIES = 20


def page(request: HttpRequest) -> HttpResponse:
    """Ask the ORM twenty times: single rows by an index, short lists, a list that is empty."""
    found = 0
    for number in range(QUERIES // 4):
        found += len(Permission.objects.order_by("pk")[number : number + 10])
        found += len(User.objects.filter(is_active=True)[:5])
        found += len(Dataset.objects.order_by("title")[:10])
        found += User.objects.filter(pk=number).exists()
    return HttpResponse(str(found))


urlpatterns = [path("page", page)]
