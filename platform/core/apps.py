"""The platform's base as a Django app: one small table of counts, and what must be set up once per process."""

from __future__ import annotations

from typing import ClassVar

from django.apps import AppConfig
from django.core import checks
from django.core.signals import request_finished
from django.db.models.signals import post_delete

from core import logging
from core.checks import check_hosts_apart, check_pages_hardened


class CoreConfig(AppConfig):
    name = "core"
    verbose_name = "Platform"
    quota_used: ClassVar = {"bytes": "core.space.used_bytes"}
    chores: ClassVar = ("core.limits.forget_past",)

    def ready(self) -> None:
        # django-tenants listens to every model's deletion without a sender, so that no queryset can be
        # deleted fast (10,000 rows take 80 times as long). Schemas are dropped by our own service alone.
        from django_tenants.signals import tenant_delete_callback  # noqa: PLC0415 -- needs loaded apps

        post_delete.disconnect(tenant_delete_callback)
        checks.register(check_hosts_apart, checks.Tags.security)
        checks.register(check_pages_hardened, checks.Tags.security)
        request_finished.connect(logging.forget_request)
