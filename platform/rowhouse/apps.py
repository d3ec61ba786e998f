from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any, ClassVar

from django.apps import AppConfig, apps
from django.conf import settings
from django.contrib.admin.apps import SimpleAdminConfig
from django.contrib.admin.checks import check_admin_app, check_dependencies
from django.core import checks

from core import tracing
from jobs.kinds import JobKind
from rowhouse.observing import reporting

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
        "audit_event_download": "perm:audit.view_event / nobody",
        "audit_event_stream": "perm:accounts.change_user",
        "rowhouse_review": "perm:accounts.change_user / nobody",
        "rowhouse_review_done": "nobody / perm:accounts.change_user",
        "rowhouse_review_download": "perm:accounts.change_user / nobody",
        "rowhouse_restore": "here:view & here:import & here:delete & here:export",
    }
    page_paces: ClassVar[dict[str, str]] = {"POST rowhouse_restore": "restore"}
    job_kinds: ClassVar = {
        "rowhouse.restore": JobKind(
            run="rowhouse.tasks.restore",
            ended="rowhouse.tasks.restore_ended",
            retried="rowhouse.tasks.restore_retried",
            title="Restore",
        ),
        "rowhouse.measure": JobKind(
            run="rowhouse.measuring.measure", title="Measuring a tenant", writes=False
        ),
    }
    hourly_jobs: ClassVar = ("rowhouse.measure",)

    def ready(self) -> None:
        tracing.check()
        reporting.begin()


class AdminConfig(SimpleAdminConfig):
    """Django's admin with the pages of our own apps, and of those a developer asked for, alone.

    Libraries' pages are not wanted: django-q2's lets whoever edits a schedule run any code, and all of them
    would show one tenant's people the platform's rows.
    """

    default = False

    def ready(self) -> None:
        # Not super(): it checks the pages there are by then, and ours are loaded with the URLs.
        checks.register(check_dependencies, checks.Tags.admin)
        checks.register(_check_pages, checks.Tags.admin)
        for app in _extra():
            _load(app)


def load_pages() -> None:
    """Register the pages of our apps. Commands have none, and would pay for them at each start."""
    for app in OURS:
        _load(app)


def _load(app: str) -> None:
    if find_spec(f"{app}.admin"):
        import_module(f"{app}.admin")


def _check_pages(**given: Any) -> list[checks.CheckMessage]:
    load_pages()
    return check_admin_app(**given)


def _extra() -> list[str]:
    """Return the names of the apps of ROWHOUSE_EXTRA_APPS, which may name their configs instead."""
    names = [config.name for config in apps.get_app_configs()]
    return [name for name in names if any(f"{said}.".startswith(f"{name}.") for said in settings.EXTRA_APPS)]
