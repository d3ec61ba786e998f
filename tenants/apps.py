from __future__ import annotations

from typing import ClassVar

from django.apps import AppConfig

from jobs.kinds import JobKind


class TenantsConfig(AppConfig):
    name = "tenants"
    verbose_name = "Tenants"
    quota_limits = "tenants.quotas.limits_of"
    read_only_reason = "tenants.standing.read_only_reason"
    # What each page needs; tests/test_pages_need_rights.py says how it is written.
    page_rights: ClassVar[dict[str, str]] = {
        "tenants_enter": "open",  # with the link of a grant alone
        "tenants_entries": "perm:accounts.change_user / nobody",
        "tenants_entry_end": "nobody / perm:accounts.change_user",
    }
    job_kinds = {
        "tenants.provision": JobKind(
            run="tenants.tasks.provision", ended="tenants.tasks.provision_ended", title="Provision a tenant"
        )
    }
