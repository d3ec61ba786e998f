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

    job_kinds: ClassVar = {
        "datasets.purge": JobKind(run="datasets.tasks.purge", title="Purge of a retired column"),
        "datasets.check_change": JobKind(
            run="datasets.tasks.check_change",
            ended="datasets.tasks.change_ended",
            retried="datasets.tasks.not_again",
            title="Check of a change of a definition",
            is_long=True,
        ),
        "datasets.change": JobKind(
            run="datasets.tasks.change_definition",
            ended="datasets.tasks.change_ended",
            retried="datasets.tasks.not_again",
            title="Change of a definition",
            is_long=True,
        ),
        "datasets.tidy_change": JobKind(
            run="datasets.tasks.tidy_change", title="Tidying up after a change of a definition"
        ),
        "datasets.forget_former_values": JobKind(
            run="datasets.tasks.forget_former_values", title="Forgetting values from before changes"
        ),
    }
    hourly_jobs: ClassVar = ("datasets.forget_former_values",)

    def ready(self) -> None:
        from datasets import ctcache  # noqa: PLC0415 -- needs loaded apps

        ctcache.install()
