from __future__ import annotations

import ctypes
import os
from typing import ClassVar

from django.apps import AppConfig

from jobs.kinds import JobKind

# Before polars is loaded: chunks are small, and two are validated at a time by threads of ours. All threads share
# few stores of free memory, polars' allocator one and the C library two: else each keeps what the largest chunk took.
os.environ.setdefault("POLARS_MAX_THREADS", "1")
os.environ.setdefault("_RJEM_MALLOC_CONF", "narenas:1")
M_ARENA_MAX = -8  # malloc.h of glibc
if "MALLOC_ARENA_MAX" not in os.environ and hasattr(ctypes.CDLL(None), "mallopt"):
    ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)


class ImporterConfig(AppConfig):
    name = "importer"
    verbose_name = "Imports"
    space_used = "importer.space.used"
    stored_keys = "importer.space.stored_keys"
    moved_prefix = "importer.moving.move_prefix"
    stored_files: ClassVar = {
        "importer.ImportJob": ("key", "sha256"),
        "importer.Proposal": ("key", "sha256"),
    }
    erased_places: ClassVar[dict[str, str]] = {
        "uploads": "importer.erasing.uploads",
        "proposals": "importer.erasing.proposals",
    }
    # Texts that may hold values of records; a star marks the cells of a row.
    erased_texts: ClassVar[dict[str, str]] = {
        "importer.ImportJob": "file_name head mapping overrides dialect notice error",
        "importer.ImportIssue": "column value rule",
        "importer.RejectedRow": "cells* problem",
        "importer.RowFix": "cells* before*",
        "importer.SavedMapping": "name columns",
        "importer.MappingVersion": "matches",
        "importer.Proposal": "file_name columns error",
    }
    # What may be seen and done with one import follows from the rights on its dataset (importer.rights).
    role_rights = {
        "owner": ("importer.view_importjob",),
        "editor": ("importer.view_importjob",),
        "viewer": ("importer.view_importjob",),
    }
    # What each page needs; tests/test_pages_need_rights.py says how it is written.
    page_rights: ClassVar[dict[str, str]] = {
        "importer_importjob_new_dataset": "perm:datasets.add_dataset",
        "importer_importjob_proposal": "perm:datasets.add_dataset",
        "importer_importjob_proposal_progress": "perm:datasets.add_dataset / nobody",
        "importer_importjob_changelist": "person",
        "importer_importjob_add": "nobody",
        "importer_importjob_change": "here:view | here:import / nobody",
        "importer_importjob_history": "here:view | here:import",
        "importer_importjob_delete": "nobody",
        "importer_importjob_upload": "some:import",
        "importer_importjob_mapping": "here:import",
        "importer_importjob_progress": "here:view | here:import / nobody",
        "importer_importjob_confirm": "nobody / here:import & here:add",
        "importer_importjob_cancel": "nobody / here:import",
        "importer_importjob_again": "nobody / here:import",
        "importer_importjob_fix": "nobody / here:import",
        "importer_importjob_corrections": "nobody / here:import",
        "importer_importjob_rejected_rows": "here:import / nobody",
        "importer_importjob_file": "here:import / nobody",
        "importer_importjob_undo": "nobody / here:import",
        "importer_importjob_rules": "here:import & here:manage",
    }
    page_paces: ClassVar[dict[str, str]] = {
        "POST importer_importjob_new_dataset": "upload",
        # With a star: the imports into plain models have pages of the same kind, named after their own proxies.
        "POST *import*_upload": "upload",
        "POST *import*_corrections": "upload",
        "POST *import*_again": "upload",
        "POST *import*_mapping": "confirm",
        "POST *import*_confirm": "confirm",
        "POST *import*_undo": "undo",
        "GET *import*_rejected_rows": "download",
        "GET *import*_file": "download",
    }
    job_kinds = {
        "importer.preview": JobKind(
            run="importer.tasks.preview",
            ended="importer.tasks.preview_ended",
            retried="importer.tasks.preview_retried",
            title="Preview of an import",
            is_long=True,
            ends_suspended=True,
        ),
        "importer.merge": JobKind(
            run="importer.tasks.merge",
            ended="importer.tasks.merge_ended",
            retried="importer.tasks.merge_retried",
            title="Import",
            is_long=True,
            ends_suspended=True,
        ),
        "importer.propose": JobKind(
            run="importer.tasks.propose",
            ended="importer.tasks.propose_ended",
            title="Reading a file for a new dataset",
            is_long=True,
            ends_suspended=True,
        ),
        "importer.tidy": JobKind(run="importer.tasks.tidy", title="Tidying up after imports", writes=False),
    }
    quota_used: ClassVar = {"rows": "importer.quotas.rows_on_their_way"}
    hourly_jobs: ClassVar = ("importer.tidy",)

    def ready(self) -> None:
        from importer import causes, signals  # noqa: F401, PLC0415 -- connects the receivers once models are loaded
