"""Exports as a Django app."""

from __future__ import annotations

from typing import ClassVar

from django.apps import AppConfig

from jobs.kinds import JobKind

# Runs tell no more than their datasets' files, and those are shown to who may export them.
SEES_EXPORTS = "some:export | perm:exporter.view_exportrun"


class ExporterConfig(AppConfig):
    name = "exporter"
    verbose_name = "Exports"
    space_used = "exporter.space.used"
    stored_keys = "exporter.space.stored_keys"
    moved_prefix = "exporter.moving.move_prefix"
    stored_files: ClassVar = {"exporter.ExportFile": ("key", "sha256")}

    # What each page needs; tests/test_pages_need_rights.py says how it is written.
    page_rights: ClassVar[dict[str, str]] = {
        "exporter_exportfile_changelist": SEES_EXPORTS,
        "exporter_exportfile_add": "nobody",
        "exporter_exportfile_change": "here:export / nobody",
        "exporter_exportfile_history": "here:export",
        "exporter_exportfile_delete": "nobody",
        "exporter_exportfile_view": "here:view & here:export",
        "exporter_exportfile_differences": "here:view & here:export",
        "exporter_exportfile_download": "here:export / nobody",
        "exporter_exportfile_file": "here:export / nobody",
        "exporter_exportfile_space": "perm:datasets.change_dataset",
        "exporter_exportrun_changelist": SEES_EXPORTS,
        "exporter_exportrun_add": "nobody",
        "exporter_exportrun_change": SEES_EXPORTS + " / nobody",
        "exporter_exportrun_history": SEES_EXPORTS,
        "exporter_exportrun_delete": "nobody",
        "exporter_exportrun_now": SEES_EXPORTS,
        "exporter_exportrun_cancel": "nobody / perm:datasets.change_dataset",
        "exporter_destination_changelist": "perm:exporter.view_destination",
        "exporter_destination_add": "perm:exporter.add_destination",
        "exporter_destination_change": "perm:exporter.view_destination / perm:exporter.change_destination",
        "exporter_destination_test": "nobody / perm:exporter.change_destination",
        "exporter_destination_delete": "nobody / perm:exporter.delete_destination",
        "exporter_exportnotice_changelist": "perm:exporter.view_exportnotice",
        "exporter_exportnotice_add": "perm:exporter.add_exportnotice",
        "exporter_exportnotice_change": "perm:exporter.view_exportnotice / perm:exporter.change_exportnotice",
        "exporter_exportnotice_delete": "perm:exporter.delete_exportnotice",
        "exporter_exportnotice_test": "nobody / perm:exporter.change_exportnotice",
        "exporter_exportnotice_secret": "nobody / perm:exporter.change_exportnotice",
        "exporter_exportnotice_again": "nobody / perm:exporter.change_exportnotice",
        "exporter_exportsettings_changelist": SEES_EXPORTS + " / nobody",
        "exporter_exportsettings_tenant": "perm:exporter.change_exportsettings",
        "exporter_exportsettings_dataset": "here:manage & here:export",
        "exporter_exportsettings_example": "some:manage | perm:exporter.change_exportsettings / nobody",
    }
    page_paces: ClassVar[dict[str, str]] = {
        "POST exporter_exportrun_now": "export",
        "POST exporter_exportfile_view": "download",
        "GET exporter_exportfile_download": "download",
        "POST exporter_destination_test": "try",
        "POST exporter_exportnotice_test": "try",
        "POST exporter_exportnotice_again": "try",
    }
    job_kinds: ClassVar = {
        "exporter.run": JobKind(
            run="exporter.tasks.run",
            ended="exporter.tasks.run_ended",
            retried="exporter.tasks.run_retried",
            title="Export",
            writes=False,
        ),
        "exporter.notify": JobKind(
            run="exporter.tasks.notify",
            ended="exporter.tasks.notify_ended",
            title="Notice of an export",
            writes=False,
        ),
    }
    slot_jobs: ClassVar = ("exporter.run",)
    # The pages. Which files a person sees on them follows from the export right in each dataset.
    erased_places: ClassVar[dict[str, str]] = {"export files": "exporter.erasing.export_files"}
    # Texts that may hold values of records.
    erased_texts: ClassVar[dict[str, str]] = {"exporter.ExportRun": "error", "exporter.Delivery": "error"}
    role_rights: ClassVar[dict[str, tuple[str, ...]]] = {
        "owner": (
            "exporter.view_exportrun",
            "exporter.view_exportfile",
            "exporter.view_destination",
            "exporter.add_destination",
            "exporter.change_destination",
            "exporter.delete_destination",
            "exporter.change_exportsettings",
            "exporter.view_exportnotice",
            "exporter.add_exportnotice",
            "exporter.change_exportnotice",
            "exporter.delete_exportnotice",
        ),
        "editor": ("exporter.view_exportrun", "exporter.view_exportfile"),
    }

    def ready(self) -> None:
        from exporter import notices, receivers  # noqa: F401, PLC0415 -- connects their receivers once models are loaded
