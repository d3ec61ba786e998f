from __future__ import annotations

from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser

from core.command import NotAllowed, Result, RowhouseCommand
from core.words import count
from tenants.backup.erasing import to_repeat
from tenants.backup.restoring import restore_as, restore_in_place
from tenants.backup.services import find_backup
from tenants.models import Domain
from tenants.services import get_tenant


class Command(RowhouseCommand):
    help = (
        "Restore one tenant from a backup: as a new tenant, or with --replace in the place of what it is now."
    )

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("backup", metavar="BACKUP", help="a file, or the number of a stored backup")
        parser.add_argument("--as", required=True, dest="slug", metavar="SLUG", help="the tenant it becomes")
        parser.add_argument(
            "--name", default="", help="what people call the new tenant; by default as before"
        )
        parser.add_argument("--domain", default="", help="its first domain; by default <slug>.<base domain>")
        parser.add_argument(
            "--replace",
            action="store_true",
            help="put the tenant back to this backup; what it is now is dropped",
        )

    def run(self, **options: Any) -> Result:
        found = find_backup(options["backup"])
        if options["replace"]:
            if options["name"] or options["domain"]:
                raise NotAllowed(
                    "A tenant that is put back keeps its name and domains: leave those options out."
                )
            restored = restore_in_place(found=found, tenant=get_tenant(options["slug"]), by="command line")
        else:
            restored = restore_as(
                found=found, slug=options["slug"], name=options["name"], domain=options["domain"],
                by="command line",
            )  # fmt: skip
        tenant, contents = restored.tenant, restored.contents
        tenant.refresh_from_db()
        domain = Domain.objects.get(tenant=tenant, is_primary=True).domain
        lines = [
            f"{tenant.name} is as of {contents.about['taken_at']}: {count(contents.rows, 'row')}, at {domain}."
        ]
        if restored.missing:
            lines.append(f"{count(len(restored.missing), 'file')} of the time are not in the storage.")
        if restored.later:
            lines.append(
                f"{count(len(restored.later), 'file')} were stored since; nothing speaks of them any more:"
            )
            lines.extend(restored.later)
        erased = to_repeat(
            contents.about["tenant"]["schema"], datetime.fromisoformat(contents.about["taken_at"])
        )
        is_same = contents.about["tenant"]["schema"] == tenant.schema_name
        for one in erased:
            how = f"--repeat {one['uid']} --values FILE" if is_same else "--values FILE, with its scope"
            lines.append(
                f"Erasure {one['number']} of {one['at']} was done after this backup was taken, and must be repeated:"
                f" rowhouse erase_person --tenant {tenant.slug} {how}"
            )
        return Result(
            {
                "tenant": tenant.slug,
                "schema": tenant.schema_name,
                "state": tenant.state,
                "domain": domain,
                "taken_at": contents.about["taken_at"],
                "rows": contents.rows,
                "tables": len(contents.tables),
                "missing_files": restored.missing,
                "later_files": restored.later,
                "erasures_to_repeat": erased,
            },
            lines,
        )
