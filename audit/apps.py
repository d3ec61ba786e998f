from __future__ import annotations

from django.apps import AppConfig


class AuditConfig(AppConfig):
    name = "audit"
    verbose_name = "Audit"
    role_rights = {"owner": ("audit.view_event",)}

    def ready(self) -> None:
        from audit import signals  # noqa: F401, PLC0415 -- connects the receivers once models are loaded
