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


DEFINITION = "here:view | here:manage | perm:datasets.view_dataset"


class DatasetsConfig(AppConfig):
    name = "datasets"
    verbose_name = "Datasets"
    space_used = "datasets.space.used"
    # What each role may do with every dataset of its tenant; more is granted dataset by dataset.
    role_rights: ClassVar[dict[str, tuple[str, ...]]] = {
        "owner": (
            "datasets.view_dataset",
            "datasets.add_dataset",
            "datasets.change_dataset",
            "datasets.delete_dataset",
            "datasets.erase_values",
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
        "datasets.index": JobKind(
            run="datasets.tasks.build_indexes",
            ended="datasets.tasks.build_ended",
            title="Indexes of a dataset",
            is_long=True,
        ),
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
            run="datasets.tasks.tidy_change",
            title="Tidying up after a change of a definition",
            writes=False,
        ),
        "datasets.preview_erasure": JobKind(
            run="datasets.tasks.preview_erasure",
            ended="datasets.tasks.erasure_ended",
            retried="datasets.tasks.erasure_again",
            title="Preview of an erasure",
            is_long=True,
        ),
        "datasets.erase": JobKind(
            run="datasets.tasks.erase",
            ended="datasets.tasks.erasure_ended",
            retried="datasets.tasks.erasure_again",
            title="Erasure",
            is_long=True,
        ),
        "datasets.prune_history": JobKind(run="datasets.tasks.prune_history", title="Clean-up of history"),
        "datasets.forget_former_values": JobKind(
            run="datasets.tasks.forget_former_values", title="Forgetting values from before changes"
        ),
    }
    quota_used: ClassVar = {"rows": "datasets.quotas.rows", "datasets": "datasets.quotas.datasets"}
    hourly_jobs: ClassVar = ("datasets.forget_former_values", "datasets.prune_history")
    # Where values of a person may stand (core.erasing), in this order, after those of other apps.
    erased_places: ClassVar[dict[str, str]] = {
        "bulk changes": "datasets.erasing_records.open_changes",
        "records": "datasets.erasing_records.find_records",
        "versions": "datasets.erasing_records.erase_records",
        "kept texts": "datasets.erasing_records.texts",
        "background work": "datasets.erasing_records.background_work",
        "elsewhere": "datasets.erasing_records.look_again",
    }
    # Texts of ours that may hold values of records; a star marks the cells of a row.
    erased_texts: ClassVar[dict[str, str]] = {
        "datasets.FailingRecord": "name value rule",
        "datasets.Change": "samples* log error",
        "datasets.ChangeSet": "title note operation query problems notice error",
        "datasets.SavedView": "name pairs",
        "datasets.RecordIndex": "error",
        "admin.LogEntry": "object_repr change_message",
    }
    # What each page needs; tests/test_pages_need_rights.py says how it is written, and knows no other page.
    page_rights: ClassVar[dict[str, str]] = {
        "datasets_dataset_changelist": "some:view | some:manage | perm:datasets.view_dataset",
        "datasets_dataset_add": "perm:datasets.add_dataset",
        "datasets_dataset_change": DEFINITION + " / here:manage",
        "datasets_dataset_history": DEFINITION,
        "datasets_dataset_simple_history": DEFINITION + " / nobody",
        "datasets_dataset_delete": "perm:datasets.delete_dataset",
        "datasets_dataset_rights": "here:manage",
        "datasets_dataset_rights_columns": "here:manage",
        "datasets_dataset_rights_matrix": "here:manage",
        "datasets_dataset_rights_everywhere": "perm:datasets.change_dataset",
        "datasets_dataset_columns": "here:manage",
        "datasets_dataset_retire_column": "here:manage",
        "datasets_dataset_bring_back_column": "nobody / here:manage",
        "datasets_dataset_purge_column": "here:manage",
        "datasets_dataset_keep_column": "nobody / here:manage",
        "datasets_dataset_definition_history": DEFINITION + " / nobody",
        "datasets_dataset_workbook": DEFINITION + " / nobody",
        "datasets_dataset_schema": DEFINITION + " / nobody",
        "datasets_dataset_compare": "here:manage",
        "datasets_dataset_begin": "perm:datasets.add_dataset",
        "datasets_dataset_from_template": "perm:datasets.add_dataset",
        "datasets_dataset_save_as_template": "perm:datasets.add_dataset",
        "datasets_dataset_delete_template": "nobody / perm:datasets.add_dataset",
        "datasets_change_changelist": "some:manage",
        "datasets_change_add": "nobody",
        "datasets_change_history": "here:manage",
        "datasets_change_delete": "nobody",
        "datasets_change_ask_column": "here:manage",
        "datasets_change_ask_key": "here:manage",
        "datasets_change_change": "here:manage / nobody",
        "datasets_change_progress": "here:manage / nobody",
        "datasets_change_failing_records": "here:manage / nobody",
        "datasets_change_confirm": "nobody / here:manage",
        "datasets_change_cancel": "nobody / here:manage",
        "datasets_change_revert": "nobody / here:manage",
        "datasets_changeset_changelist": "person",
        "datasets_changeset_add": "nobody",
        "datasets_changeset_history": "here:view",
        "datasets_changeset_delete": "nobody",
        "datasets_changeset_change": "here:view",
        "datasets_changeset_progress": "here:view / nobody",
        "datasets_changeset_confirm": "nobody / here:view & here:change",
        "datasets_changeset_cancel": "nobody / here:view & here:change",
        "datasets_changeset_undo": "nobody / here:view & here:change",
        "datasets_erasure_changelist": "perm:datasets.erase_values",
        "datasets_erasure_add": "nobody",
        "datasets_erasure_history": "perm:datasets.erase_values",
        "datasets_erasure_delete": "nobody",
        "datasets_erasure_ask": "perm:datasets.erase_values",
        "datasets_erasure_change": "perm:datasets.erase_values / nobody",
        "datasets_erasure_progress": "perm:datasets.erase_values / nobody",
        "datasets_erasure_confirm": "nobody / perm:datasets.erase_values",
        "datasets_erasure_approve": "nobody / perm:datasets.erase_values",
        "datasets_erasure_cancel": "nobody / perm:datasets.erase_values",
        "datasets_erasure_resume": "nobody / perm:datasets.erase_values",
        "datasets_row_changelist": "here:view",
        "datasets_row_views": "nobody / here:view",
        "datasets_row_indexes": "here:view & here:manage",
        "datasets_row_cells": "nobody / here:view & here:change",
        "datasets_row_revert": "nobody / here:view & here:change",
        "datasets_row_keys": "here:view",
        "datasets_row_by_key": "here:view",
        "datasets_row_add": "here:view & here:add",
        "datasets_row_change": "here:view / here:view & here:change",
        "datasets_row_delete": "here:view & here:delete",
        "datasets_row_history": "here:view",
        "datasets_row_simple_history": "here:view / here:view & here:change",
        "datasets_row_as_of": "here:view / nobody",
        "datasets_row_differences": "here:view / nobody",
    }
    page_paces: ClassVar[dict[str, str]] = {
        "POST datasets_changeset_confirm": "confirm",
        "POST datasets_changeset_undo": "undo",
        "POST datasets_change_confirm": "confirm",
        "POST datasets_change_revert": "undo",
        "POST datasets_row_revert": "undo",
        "POST datasets_row_simple_history": "undo",
        "GET datasets_change_failing_records": "download",
        "GET datasets_dataset_workbook": "download",
    }

    def ready(self) -> None:
        from datasets import ctcache, receivers  # noqa: F401, PLC0415 -- needs loaded apps, and connects

        ctcache.install()
