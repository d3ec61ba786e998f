from __future__ import annotations

from django.apps import AppConfig

from jobs.kinds import JobKind


class TenantsConfig(AppConfig):
    name = "tenants"
    verbose_name = "Tenants"
    job_kinds = {
        "tenants.provision": JobKind(
            run="tenants.tasks.provision", ended="tenants.tasks.provision_ended", title="Provision a tenant"
        ),
        "tenants.spares": JobKind(run="tenants.tasks.refill_spares", title="Make spare schemas"),
        "tenants.invite": JobKind(run="tenants.tasks.invite", title="Invite a tenant's owner"),
    }
    chores = ("tenants.tasks.look_after",)
