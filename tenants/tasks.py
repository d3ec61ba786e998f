from __future__ import annotations

from jobs.kinds import Ended, Slice, Step
from tenants import inviting, provisioning, services, spares, template
from tenants.models import Tenant


def provision(work: Slice) -> Step:
    tenant = Tenant.objects.get(pk=work.payload["tenant"])
    with work.long_statement():
        services.provision_tenant(tenant=tenant)
    return Step(done=True)


def provision_ended(work: Ended) -> None:
    services.fail_provisioning(tenant=Tenant.objects.get(pk=work.payload["tenant"]), error=work.message)


def invite(work: Slice) -> Step:
    """Mail the owner of a tenant an invitation."""
    inviting.send_invitation(tenant=Tenant.objects.get(pk=work.payload["tenant"]))
    return Step(done=True)


def refill_spares(work: Slice) -> Step:
    """Make one spare a slice; first see to the template, and drop what earlier code left."""
    with work.long_statement():
        if work.step == 0:
            template.drop_older(template.ensure())
            spares.drop_stale()
        elif spares.are_few():
            spares.make_one()
    return Step(done=work.step > 0 and not spares.are_few(), processed=min(work.step, 1))


def look_after() -> None:
    """See to what nobody else does: tenants that were asked for and forgotten, spares that are missing."""
    provisioning.pick_up_forgotten()
    if spares.are_few():
        spares.refill()
