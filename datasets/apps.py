"""Datasets as a Django app."""

from __future__ import annotations

from typing import ClassVar

from django.apps import AppConfig

from jobs.kinds import JobKind

ALL_ROWS = (
    "datasets.view_rows",
    "datasets.add_rows",
    "datasets.change_rows",
    "datasets.delete_rows",
    "datasets.import_rows",
    "datasets.export_rows",
)


class DatasetsConfig(AppConfig):
    name = "datasets"
    verbose_name = "Datasets"
    # What each role may do with every dataset of its tenant; more is granted dataset by dataset.
    role_rights: ClassVar[dict[str, tuple[str, ...]]] = {
        "owner": (
            "datasets.view_dataset",
            "datasets.add_dataset",
            "datasets.change_dataset",
            "datasets.delete_dataset",
            *ALL_ROWS,
        ),
        "editor": ("datasets.view_dataset", *ALL_ROWS),
        "viewer": ("datasets.view_dataset", "datasets.view_rows"),
    }

    job_kinds: ClassVar[dict[str, JobKind]] = {
        "datasets.plan_changes": JobKind(
            run="datasets.tasks.plan_changes",
            ended="datasets.tasks.changes_ended",
            title="Preview of a bulk change",
            is_long=True,
        ),
        "datasets.apply_changes": JobKind(
            run="datasets.tasks.apply_changes",
            ended="datasets.tasks.changes_ended",
            title="Bulk change",
            is_long=True,
        ),
    }

    def ready(self) -> None:
        from datasets import ctcache  # noqa: PLC0415 -- needs loaded apps

        ctcache.install()
