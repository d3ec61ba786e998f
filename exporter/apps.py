"""Exports as a Django app."""

from __future__ import annotations

from typing import ClassVar

from django.apps import AppConfig

from jobs.kinds import JobKind


class ExporterConfig(AppConfig):
    name = "exporter"
    verbose_name = "Exports"
    job_kinds: ClassVar = {
        "exporter.run": JobKind(
            run="exporter.tasks.run",
            ended="exporter.tasks.run_ended",
            retried="exporter.tasks.run_retried",
            title="Export",
        ),
    }
    hourly_jobs: ClassVar = ("exporter.run",)
    # The pages. Which files a person sees on them follows from the export right in each dataset.
    role_rights: ClassVar[dict[str, tuple[str, ...]]] = {
        "owner": ("exporter.view_exportrun", "exporter.view_exportfile"),
        "editor": ("exporter.view_exportrun", "exporter.view_exportfile"),
    }
