from __future__ import annotations

from typing import ClassVar

from django.apps import AppConfig

from jobs.kinds import JobKind


class AuditConfig(AppConfig):
    name = "audit"
    verbose_name = "Audit"
    # What each page needs; tests/test_pages_need_rights.py says how it is written.
    page_rights: ClassVar[dict[str, str]] = {
        "audit_event_changelist": "perm:audit.view_event",
        "audit_event_add": "nobody",
        "audit_event_change": "perm:audit.view_event / nobody",
        "audit_event_history": "perm:audit.view_event",
        "audit_event_delete": "nobody",
    }
    role_rights = {"owner": ("audit.view_event",)}
    job_kinds: ClassVar = {
        # Sealing is not what a tenant that is read-only may not do: it changes nothing people see.
        "audit.seal": JobKind(run="audit.tasks.seal", title="Seal of the log", writes=False),
    }
    hourly_jobs: ClassVar = ("audit.seal",)
    chores: ClassVar = ("audit.chores.seal_platform",)
    stored_keys = "audit.anchors.stored_keys"

    def ready(self) -> None:
        from audit import signals  # noqa: F401, PLC0415 -- connects the receivers once models are loaded
