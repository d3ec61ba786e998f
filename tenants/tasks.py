from __future__ import annotations

from contextlib import suppress

from core.clock import now
from jobs.kinds import Ended, Slice, Step
from tenants import (
    deleting,
    entering,
    fanout,
    inviting,
    provisioning,
    services,
    spares,
    streaming,
    template,
)
from tenants.backup import services as backups
from tenants.backup.models import TenantBackup
from tenants.migrating import SchemaBusy
from tenants.models import Tenant


def provision(work: Slice) -> Step:
    tenant = Tenant.objects.get(pk=work.payload["tenant"])
    with work.long_statement():
        services.provision_tenant(tenant=tenant)
    return Step(done=True)


def provision_ended(work: Ended) -> None:
    services.fail_provisioning(tenant=Tenant.objects.get(pk=work.payload["tenant"]), error=work.message)


def delete(work: Slice) -> Step:
    """Delete a tenant step by step; the payload is {"tenant": pk, "at_once": bool, "from": the first step}."""
    tenant = Tenant.objects.get(pk=work.payload["tenant"])
    step = work.cursor.get("next") or work.payload.get("from", "begin")
    at_once = bool(work.payload["at_once"])
    if step == "begin":
        if not deleting.has_schema(tenant):
            return Step(done=False, cursor={"next": "grace"})
        backup = deleting.begin_final_backup(tenant, job_id=work.job_id)
        return Step(done=False, cursor={"next": "take", "backup": backup.pk})
    if step in {"take", "try"}:
        backup = TenantBackup.objects.select_related("tenant").get(pk=work.cursor["backup"])
        deleting.require_deleting(tenant)
        with work.long_statement() as tell:
            if step == "take":
                backups.run_backup(backup=backup, attempt=work.attempt, progress=tell)
                return Step(done=False, cursor={"next": "try", "backup": backup.pk})
            deleting.try_final_backup(backup)
        return Step(done=False, cursor={"next": "grace"})
    if step == "grace":
        deleting.begin_grace(tenant, at_once=at_once)
        return Step(done=not at_once, cursor={"next": "purge"})
    if step == "purge":
        with work.long_statement():
            deleting.purge_tenant(tenant=tenant, now=now(), by="deletion")
        return Step(done=False, cursor={"next": "files"})
    removed = 1
    while removed and work.time_left():
        removed = deleting.remove_files(tenant)
    return Step(done=not removed, cursor={"next": "files"})


def delete_ended(work: Ended) -> None:
    tenant = Tenant.objects.get(pk=work.payload["tenant"])
    for backup in TenantBackup.objects.filter(job_id=work.job_id):
        backups.fail_backup(backup=backup, code=work.code, message=work.message)
    if work.outcome == "failed":
        deleting.note_stopped(tenant=tenant, message=work.message)


def hourly(work: Slice) -> Step:
    """Once an hour: ask for what is due, and remove what is past its time."""
    backups.request_due_backups(now=now())
    backups.request_due_drill(now=now())
    backups.prune_backups(now=now(), by="schedule")
    deleting.purge_due(now=now())
    return Step(done=True)


def invite(work: Slice) -> Step:
    """Mail the owner of a tenant an invitation."""
    inviting.send_invitation(tenant=Tenant.objects.get(pk=work.payload["tenant"]))
    return Step(done=True)


# A job that has looked so often makes room for another: what it has worked would add up to the limit of one job.
MOST_LOOKS = 20_000


def stream(work: Slice) -> Step:
    """Send the next events out; it goes on for as long as they are to be sent, and rests between two looks."""
    with work.long_statement():
        sent = streaming.send_next(work.payload["stream"])
    if sent is None:
        return Step(done=True)
    is_over = work.step >= MOST_LOOKS and not sent.events
    return Step(done=is_over, processed=sent.events, rest_seconds=sent.rest_seconds)


def tell_of_entry(work: Slice) -> Step:
    """Mail the owners of a tenant that an operator is inside."""
    with work.long_statement():
        entering.tell_owners_of(work.payload["entry"])
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
    """See to what nobody else does: tenants that were asked for and forgotten, what older pods made, spares."""
    provisioning.pick_up_forgotten()
    with suppress(SchemaBusy):  # ten minutes later again
        template.take_in_strays(fanout.tenants_to_migrate())
    if spares.are_few():
        spares.refill()
