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
    job_kinds: ClassVar = {
        "datasets.index": JobKind(
            run="datasets.tasks.build_indexes",
            ended="datasets.tasks.build_ended",
            title="Indexes of a dataset",
            is_long=True,
        ),
    }
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

    def ready(self) -> None:
        from datasets import ctcache, receivers  # noqa: F401, PLC0415 -- needs loaded apps, and connects

        ctcache.install()
