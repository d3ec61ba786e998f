from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from django.apps import AppConfig
from django.contrib.admin.apps import SimpleAdminConfig

OURS = ("accounts", "tenants", "datasets", "importer", "exporter", "rowhouse")


class RowhouseConfig(AppConfig):
    name = "rowhouse"
    verbose_name = "Rowhouse"


class AdminConfig(SimpleAdminConfig):
    """Django's admin with our own apps' pages alone.

    Libraries' pages are not wanted: django-q2's lets whoever edits a schedule run any code, and all of them
    would show one tenant's people the platform's rows.
    """

    default = False

    def ready(self) -> None:
        super().ready()
        for app in OURS:
            if find_spec(f"{app}.admin"):
                import_module(f"{app}.admin")
