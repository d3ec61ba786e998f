"""Deleting a tenant: a last backup that was tried, a time in which it can be called off, then everything goes.

What stays is its row, so that its names are never given out again, and for a while its backups.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models.functions import Now

from audit.services import record
from core import storage
from core.clock import now as clock
from core.errors import RowhouseError
from core.tenancy import in_tenant
from jobs import services as jobs
from jobs.models import Job
from tenants.backup import services as backups
from tenants.backup.models import TenantBackup
from tenants.models import Tenant
from tenants.routing import forget_routes
from tenants.services import WrongState
from tenants.template import drop_schema

State = Tenant.State
FILES_PER_CALL = 1000


class FinalBackupBad(RowhouseError):
    """The last backup of a tenant that is to be deleted did not come back as it was."""

    code = "final-backup-bad"


@transaction.atomic
def delete_tenant(*, tenant: Tenant, by: object = None, at_once: bool = False) -> Job:
    """Begin the deletion of a suspended tenant; a worker takes its last backup and tries it. Returns its job.

    Its data goes when the time of grace is over, `at_once` as soon as the backup is good. A deletion that stopped
    (the storage was full) begins again by this too.

    :raises WrongState: it is neither suspended, failed nor being deleted.
    :raises TargetBusy: its deletion goes on already.
    """
    moved = any(tenant.move(old=old, new=State.DELETING) for old in (State.SUSPENDED, State.FAILED))
    if not moved and tenant.state != State.DELETING:
        raise WrongState(
            f"{tenant.slug!r} is {tenant.get_state_display()}."
            f" Suspend it first: `rowhouse suspend_tenant {tenant.slug}`."
        )
    forget_routes()
    Tenant.objects.filter(pk=tenant.pk).update(error="")
    job = jobs.submit(
        "tenants.delete", target=tenant.schema_name, payload={"tenant": tenant.pk, "at_once": at_once}
    )
    record("tenants.tenant.deletion-requested", actor=by, target=tenant, at_once=at_once)
    return job


@transaction.atomic
def call_off_deletion(*, tenant: Tenant, by: object = None) -> None:
    """Let a tenant that is being deleted be a suspended one again, with all it had.

    :raises WrongState: it is not being deleted, or its data is gone.
    """
    called_off = Tenant.objects.filter(pk=tenant.pk, state=State.DELETING).update(
        state=State.SUSPENDED, state_at=Now(), purge_after=None, error=""
    )
    if not called_off:
        raise WrongState(
            f"{tenant.slug!r} is {tenant.get_state_display()}; there is no deletion to call off."
        )
    tenant.refresh_from_db()
    for job in Job.objects.active().filter(kind="tenants.delete", target=tenant.schema_name):
        jobs.cancel(job.pk)
    record("tenants.tenant.deletion-called-off", actor=by, target=tenant)


# ---- the steps of the job, each of which may run twice


def has_schema(tenant: Tenant) -> bool:
    """Return whether a tenant has a schema with tables in it: one that was never set up has nothing to back up."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_namespace n JOIN pg_depend d ON d.refobjid = n.oid"
            " AND d.refclassid = 'pg_namespace'::regclass AND d.classid = 'pg_class'::regclass"
            " WHERE n.nspname = %s)",
            [tenant.schema_name],
        )
        return bool(cursor.fetchone()[0])


def require_deleting(tenant: Tenant) -> None:
    """Go on only while the deletion was not called off.

    :raises WrongState: it was.
    """
    tenant.refresh_from_db()
    if tenant.state != State.DELETING:
        raise WrongState(f"The deletion of {tenant.slug!r} was called off.")


def begin_final_backup(tenant: Tenant, *, job_id: int) -> TenantBackup:
    """Return the row of the last backup of this deletion, made at the first try."""
    require_deleting(tenant)
    backup, _ = TenantBackup.objects.get_or_create(
        tenant=tenant, trigger=TenantBackup.Trigger.FINAL, job_id=job_id, defaults={"asked_by": "deletion"}
    )
    return backup


def try_final_backup(backup: TenantBackup) -> None:
    """Restore the last backup on trial.

    :raises FinalBackupBad: something differed; the tenant's data stays.
    """
    verified = backups.verify_backup(found=backups.of_row(backup), by="deletion")
    if verified.findings:
        raise FinalBackupBad(
            f"The last backup did not come back as it was: {verified.findings[0]} Nothing was deleted."
        )


@transaction.atomic
def begin_grace(tenant: Tenant, *, at_once: bool) -> datetime:
    """Write down when the data goes, and return it.

    :raises WrongState: the deletion was called off.
    """
    days = 0 if at_once else settings.ROWHOUSE_DELETE_GRACE_DAYS
    purge_after = clock() + timedelta(days=days)
    if not Tenant.objects.filter(pk=tenant.pk, state=State.DELETING).update(purge_after=purge_after):
        raise WrongState(f"The deletion of {tenant.slug!r} was called off.")
    record("tenants.tenant.deletion-scheduled", target=tenant, purge_after=purge_after.isoformat())
    return purge_after


@transaction.atomic
def purge_tenant(*, tenant: Tenant, now: datetime, by: object = None) -> None:
    """Drop the schema, roles and jobs of a tenant whose time of grace is over. Its row stays and keeps its names.

    :raises WrongState: the deletion was called off, or it is too early.
    """
    gone = Tenant.objects.filter(pk=tenant.pk, state=State.DELETING, purge_after__lte=now).update(
        state=State.DELETED, state_at=Now(), error=""
    )
    if not gone:
        raise WrongState(f"{tenant.slug!r} is not to be deleted now: it was called off, or it is too early.")
    with connection.cursor() as cursor:
        # A table with checks still to be made cannot be dropped.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        drop_schema(cursor, tenant.schema_name)
    jobs.forget_tenant(tenant.schema_name)  # after the schema: a running slice takes its locks in this order
    record("tenants.tenant.deleted", actor=by, target=tenant)
    tenant.refresh_from_db()


def remove_files(tenant: Tenant, *, most: int = FILES_PER_CALL) -> int:
    """Remove some of a deleted tenant's files from the platform's storage; returns how many, 0 when none are left.

    Its backups lie elsewhere and stay for their time; files in buckets of its own are its own.
    """
    if tenant.state != State.DELETED:
        raise WrongState(f"{tenant.slug!r} was not deleted; its files stay.")
    with in_tenant(tenant.ref):
        keys: list[str] = []
        for key, _ in storage.list_keys():
            keys.append(key)
            if len(keys) == most:
                break
        storage.delete_many(keys)
        if not keys:
            storage.remove_unfinished(before=clock())
    return len(keys)


def note_stopped(*, tenant: Tenant, message: str) -> None:
    """Note why a deletion does not go on; asked for again, it does."""
    if Tenant.objects.filter(pk=tenant.pk, state=State.DELETING).update(error=message):
        record("tenants.tenant.deletion-stopped", target=tenant, error=message[:500])


def purge_due(*, now: datetime) -> int:
    """Have workers drop what tenants had whose time of grace is over; returns how many that made."""
    made = 0
    for tenant in Tenant.objects.filter(state=State.DELETING, purge_after__lte=now):
        payload: dict[str, Any] = {"tenant": tenant.pk, "at_once": True, "from": "purge"}
        try:
            with transaction.atomic():
                jobs.submit("tenants.delete", target=tenant.schema_name, payload=payload)
        except jobs.TargetBusy:
            continue
        made += 1
    return made
