from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import ClassVar

from django.apps import AppConfig, apps
from django.conf import settings
from django.contrib.admin.apps import SimpleAdminConfig

OURS = ("accounts", "tenants", "datasets", "importer", "exporter", "rowhouse")


class RowhouseConfig(AppConfig):
    name = "rowhouse"
    verbose_name = "Rowhouse"
    default = True  # of the two in this module
    # What each page needs that no app of ours declares; tests/test_pages_need_rights.py says how it is written.
    page_rights: ClassVar[dict[str, str]] = {
        "": "open",  # it leads to the dashboard, and that to the sign-in
        "index": "person",
        "login": "open",
        "logout": "nobody / person",
        "password_change": "person",
        "password_change_done": "person / nobody",
        "jsi18n": "person / nobody",
        "search": "person",
        "autocomplete": "nobody",  # no field of ours completes: every question is refused
        "app_list": "person",
        "jobs_job_changelist": "person / nobody",
        "jobs_job_live": "nobody",  # it refreshes what its query names, and without one there is nothing
        "jobs_job_change": "here:view | here:import / nobody",
        "jobs_job_status": "here:view | here:import / nobody",
        "jobs_job_cancel": "nobody / here:import",
    }


class AdminConfig(SimpleAdminConfig):
    """Django's admin with the pages of our own apps, and of those a developer asked for, alone.

    Libraries' pages are not wanted: django-q2's lets whoever edits a schedule run any code, and all of them
    would show one tenant's people the platform's rows.
    """

    default = False

    def ready(self) -> None:
        super().ready()
        for app in (*OURS, *_extra()):
            if find_spec(f"{app}.admin"):
                import_module(f"{app}.admin")


def _extra() -> list[str]:
    """Return the names of the apps of ROWHOUSE_EXTRA_APPS, which may name their configs instead."""
    names = [config.name for config in apps.get_app_configs()]
    return [name for name in names if any(f"{said}.".startswith(f"{name}.") for said in settings.EXTRA_APPS)]
