"""The job core as a Django app, in the shared schema alone."""

from __future__ import annotations

from typing import ClassVar

from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "jobs"
    verbose_name = "Background work"
    quota_used: ClassVar = {"jobs": "jobs.looking.active_jobs"}
