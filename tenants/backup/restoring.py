"""Restoring one tenant from a backup, as a new tenant or in the place of what it is now, while all others work."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db import connection, transaction
from django.utils.module_loading import import_string

from audit.services import record
from core import space, storage
from core.errors import RowhouseError
from core.tenancy import TenantRef, in_tenant
from jobs import services as jobs
from jobs.kinds import Ended, UnknownKind, ended_of
from tenants import services
from tenants.backup import loading
from tenants.backup.format import Contents, Json
from tenants.backup.loading import Loaded
from tenants.backup.services import Found
from tenants.models import Tenant
from tenants.names import new_schema_name
from tenants.routing import forget_routes
from tenants.template import drop_schema, rename_schema

logger = logging.getLogger(__name__)

State = Tenant.State
RESTORED = "It was going on when the backup was taken that the tenant was restored from. Start it again."


class OtherTenantsBackup(RowhouseError):
    """A backup was to replace a tenant it was not taken of."""

    code = "other-tenants-backup"


class NotRestorable(RowhouseError):
    """The tenant is in no state in which a backup can take its place."""

    code = "wrong-state"


@dataclass(frozen=True, slots=True)
class Restored:
    """A tenant as it was when its backup was taken.

    `missing`: files its rows speak of that are not in the storage. `later`: files that were stored since; nothing
    speaks of them any more.
    """

    tenant: Tenant
    contents: Contents
    missing: list[str]
    later: list[str]


def restore_as(*, found: Found, slug: str, name: str = "", domain: str = "", by: object = None) -> Restored:
    """Make a new tenant of a backup: all of it or, whatever goes wrong, nothing.

    Its files are not copied; what its rows say of them points below the new tenant's own prefix. Secrets were sealed
    for the tenant that was, and must be entered again.

    :raises BackupDamaged: the backup is not what was written.
    :raises BackupSealed: none of the keys opens it.
    :raises BackupTooNew: a later release wrote it.
    :raises BadTenant: a name cannot be used.
    :raises TenantExists: a name is taken, perhaps by a tenant that was deleted.
    """
    contents = loading.check(found.open)
    was = contents.about["tenant"]
    with transaction.atomic():
        tenant = services.request_tenant(
            slug=slug,
            name=name or was["name"],
            owner_email=was["owner_email"],
            domain=domain,
            by=by,
            provision_now=True,
        )
        tenant.move(old=State.REQUESTED, new=State.PROVISIONING)
        loaded = loading.load(found.open, tenant.ref, contents)
        _finish(tenant.ref, loaded, formerly=was["slug"])
        jobs.admit_tenant(tenant.ref)
        if not tenant.move(old=State.PROVISIONING, new=State.ACTIVE):
            raise NotRestorable(f"{tenant.slug!r} was moved by another process. Try again.")
        record("tenants.tenant.restored", actor=by, target=tenant, **_from(contents))
        missing, later = _files(tenant.ref, loaded)
    forget_routes()
    return Restored(tenant, contents, missing, later)


def restore_in_place(*, found: Found, tenant: Tenant, by: object = None) -> Restored:
    """Put a tenant back to what it was when a backup of it was taken.

    It is suspended meanwhile, and everybody is signed out. What it is now is dropped only when the other stands in its
    place; until then any failure leaves it as it is.

    :raises BackupDamaged: the backup is not what was written.
    :raises BackupSealed: none of the keys opens it.
    :raises BackupTooNew: a later release wrote it.
    :raises OtherTenantsBackup: it was taken of another tenant.
    :raises NotRestorable: the tenant is neither active nor suspended.
    """
    contents = loading.check(found.open)
    was = contents.about["tenant"]
    if was["schema"] != tenant.schema_name:
        raise OtherTenantsBackup(
            f"This is a backup of {was['slug']!r} ({was['schema']}) and would replace {tenant.slug!r}"
            f" ({tenant.schema_name}). Restore it under a new name."
        )
    if tenant.state not in (State.ACTIVE, State.SUSPENDED):
        raise NotRestorable(
            f"{tenant.slug!r} is {tenant.get_state_display()}; only an active or suspended tenant is restored in place."
        )
    was_active = tenant.state == State.ACTIVE
    if was_active:
        services.suspend_tenant(tenant=tenant, by=by)
    try:
        left, restored = _replace(found, tenant, contents, by)
    finally:
        if was_active:
            services.resume_tenant(tenant=tenant, by=by)
    if not connection.in_atomic_block:
        jobs.run_until_done(left)
    return restored


@transaction.atomic
def _replace(found: Found, tenant: Tenant, contents: Contents, by: object) -> tuple[int, Restored]:
    """Load beside what is there, then exchange the names; returns the job that drops the former schema."""
    beside = TenantRef(new_schema_name(), tenant.slug)
    loaded = loading.load(found.open, beside, contents)
    former = new_schema_name()
    with connection.cursor() as cursor:
        # A trigger of a constraint that waits for the end would look for its table under the old name.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        _hold(cursor, tenant)
        rename_schema(cursor, tenant.schema_name, former)
        rename_schema(cursor, beside.schema, tenant.schema_name)
    _finish(tenant.ref, loaded, formerly=tenant.slug)
    # Work of the time since would go on in tables that know nothing of it. A slice that runs now cannot commit.
    jobs.forget_jobs(tenant.schema_name)
    drop = jobs.submit("tenants.drop_schema", target=former, payload={"schema": former})
    record("tenants.tenant.restored-in-place", actor=by, target=tenant, **_from(contents))
    return drop.pk, Restored(tenant, contents, *_files(tenant.ref, loaded))


def _hold(cursor: Any, tenant: Tenant) -> None:
    """Hold the tenant's row, so that nobody resumes or deletes it meanwhile."""
    cursor.execute("SELECT state FROM tenants_tenant WHERE id = %s FOR UPDATE", [tenant.pk])
    [[state]] = cursor.fetchall()
    if state != State.SUSPENDED:
        raise NotRestorable(f"{tenant.slug!r} was moved by another process. Try again.")


def _finish(tenant: TenantRef, loaded: Loaded, *, formerly: str) -> None:
    """Bring a loaded schema up to this release, and let apps put right what was true of the former place alone."""
    if loading.is_behind(loaded.contents):
        services.migrate_schema(tenant)
    loading.analyze(tenant, loaded.contents)
    with in_tenant(tenant):
        if formerly != tenant.slug:
            for move in _told("moved_prefix"):
                move(formerly, tenant.slug)
        for job in loaded.contents.about["jobs"]:
            _end(tenant, job)


def _end(tenant: TenantRef, job: Json) -> None:
    """Tell an app that work which was going on has ended: nothing half done comes back to life."""
    try:
        handler = ended_of(job["kind"])
    except UnknownKind:
        return
    if handler is None:
        return
    ended = Ended(job["id"], tenant, job["payload"], "failed", "restored", RESTORED)
    try:
        with transaction.atomic():
            handler(ended)
    except Exception:  # what one app cannot end holds up neither the others nor the tenant
        logger.exception("Could not end %s of a restored tenant", job["kind"])


def _files(tenant: TenantRef, loaded: Loaded) -> tuple[list[str], list[str]]:
    """Return the keys that rows speak of and the storage does not have, and those it has from after the backup."""
    with in_tenant(tenant):
        there = {key for key, _ in storage.list_keys()}
        listed = {one["key"] for one in loaded.files}
        named = {key for key in space.stored_keys() if key in {_renamed(one, tenant.slug) for one in listed}}
        return sorted(named - there), sorted(there - listed)


def _renamed(key: str, slug: str) -> str:
    return f"{slug}/{key.partition('/')[2]}"


def _from(contents: Contents) -> Json:
    about = contents.about
    return {
        "backup_of": about["tenant"]["slug"],
        "taken_at": about["taken_at"],
        "release": about["version"],
        "sha256": contents.sha256,
    }


def _told(attribute: str) -> list[Callable[..., None]]:
    paths = [getattr(config, attribute, "") for config in apps.get_app_configs()]
    return [import_string(path) for path in paths if path]


def drop_left_schema(schema: str) -> None:
    """Drop what a restore has replaced. May run twice; a schema that a tenant has is never touched."""
    if Tenant.objects.filter(schema_name=schema).exists():
        raise NotRestorable(f"The schema {schema} belongs to a tenant and is not dropped.")
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        drop_schema(cursor, schema)
