from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from core.command import FAILED, NotAllowed, Result, RowhouseCommand
from jobs import services as jobs
from tenants.deleting import call_off_deletion, delete_tenant
from tenants.models import Tenant
from tenants.services import get_tenant


class Command(RowhouseCommand):
    help = (
        "Delete a suspended tenant: a last backup, a time of grace, then its data goes. Its names stay taken."
    )

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", metavar="SLUG")
        parser.add_argument(
            "--confirm",
            metavar="SLUG",
            help="the slug once more: later nothing but a backup brings the data back",
        )
        parser.add_argument(
            "--now", action="store_true", help="no time of grace: once its last backup is good"
        )
        parser.add_argument("--call-off", action="store_true", help="let it be a suspended tenant again")

    def run(self, **options: Any) -> Result:
        tenant = get_tenant(options["slug"])
        if options["call_off"]:
            call_off_deletion(tenant=tenant, by="command line")
            return Result(_told(tenant), [f"{tenant.name} is suspended again, with all it had."])
        if options["confirm"] != options["slug"]:
            raise NotAllowed(
                f"This deletes all data of the tenant. Add `--confirm {options['slug']}` if that is meant."
            )
        job = delete_tenant(tenant=tenant, by="command line", at_once=options["now"])
        ended = jobs.run_until_done(job.pk)
        tenant.refresh_from_db()
        if ended.state != "DONE":
            return Result(
                _told(tenant), [f"The deletion stopped: {ended.error} Nothing is lost; try again."], FAILED
            )
        if tenant.state == Tenant.State.DELETED:
            return Result(_told(tenant), [f"{tenant.name} is deleted. Its last backup is kept for a while."])
        return Result(
            _told(tenant),
            [
                f"{tenant.name} is backed up. Its data goes after {tenant.purge_after:%Y-%m-%d %H:%M} UTC; until then"
                f" `rowhouse delete_tenant {tenant.slug} --call-off` brings it back."
            ],
        )


def _told(tenant: Tenant) -> dict[str, Any]:
    final = tenant.backups.filter(trigger="FINAL").first()
    return {
        "tenant": tenant.slug,
        "state": tenant.state,
        "purge_after": tenant.purge_after,
        "backup": final.pk if final else None,
    }
