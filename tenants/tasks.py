from __future__ import annotations

from jobs.kinds import Ended, Slice, Step
from tenants import services
from tenants.models import Tenant


def provision(work: Slice) -> Step:
    tenant = Tenant.objects.get(pk=work.payload["tenant"])
    with work.long_statement():
        services.provision_tenant(tenant=tenant)
    return Step(done=True)


def provision_ended(work: Ended) -> None:
    services.fail_provisioning(tenant=Tenant.objects.get(pk=work.payload["tenant"]), error=work.message)
