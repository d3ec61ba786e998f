from __future__ import annotations

from typing import ClassVar

from django.apps import AppConfig

from jobs.kinds import JobKind


class TenantsConfig(AppConfig):
    name = "tenants"
    verbose_name = "Tenants"
    quota_limits = "tenants.quotas.limits_of"
    erased_places: ClassVar[dict[str, str]] = {"backups": "tenants.backup.erasing.backups"}
    read_only_reason = "tenants.standing.read_only_reason"
    # What each page needs; tests/test_pages_need_rights.py says how it is written.
    page_rights: ClassVar[dict[str, str]] = {
        "tenants_enter": "open",  # with the link of a grant alone
        "tenants_entries": "perm:accounts.change_user / nobody",
        "tenants_entry_end": "nobody / perm:accounts.change_user",
    }
    page_paces: ClassVar[dict[str, str]] = {
        "POST tenants_tenant_back_up": "backup",
        "POST tenants_tenantbackup_verify": "backup",
    }
    job_kinds = {
        "tenants.provision": JobKind(
            run="tenants.tasks.provision", ended="tenants.tasks.provision_ended", title="Provision a tenant"
        ),
        "tenants.delete": JobKind(
            run="tenants.tasks.delete",
            ended="tenants.tasks.delete_ended",
            title="Deletion of a tenant",
            is_long=True,
        ),
        "tenants.backup": JobKind(
            run="tenants.backup.tasks.back_up",
            ended="tenants.backup.tasks.backup_ended",
            title="Backup of a tenant",
            is_long=True,
        ),
        "tenants.verify_backup": JobKind(
            run="tenants.backup.tasks.verify",
            ended="tenants.backup.tasks.verify_ended",
            title="Restore of a backup on trial",
            is_long=True,
        ),
        "tenants.drop_schema": JobKind(
            run="tenants.backup.tasks.drop_left_schema", title="Dropping what a restore replaced"
        ),
        "tenants.look_after": JobKind(run="tenants.tasks.hourly", title="Backups and deletions that are due"),
        "tenants.spares": JobKind(run="tenants.tasks.refill_spares", title="Make spare schemas"),
        # It works in the tenant, or outside of all for the platform's own log.
        "audit.stream": JobKind(run="tenants.tasks.stream", title="Sending events out", writes=False),
        "tenants.tell_of_entry": JobKind(
            run="tenants.tasks.tell_of_entry", title="Telling a tenant's owners of an operator's entry"
        ),
        "tenants.invite": JobKind(run="tenants.tasks.invite", title="Invite a tenant's owner"),
    }
    chores = (
        "tenants.tasks.look_after",
        "tenants.backup.services.look_after_backups",
        "tenants.streaming.keep_streaming",
    )
