from __future__ import annotations

from django.apps import AppConfig

from jobs.kinds import JobKind


class TenantsConfig(AppConfig):
    name = "tenants"
    verbose_name = "Tenants"
    read_only_reason = "tenants.standing.read_only_reason"
    job_kinds = {
        "tenants.provision": JobKind(
            run="tenants.tasks.provision", ended="tenants.tasks.provision_ended", title="Provision a tenant"
        )
    }
