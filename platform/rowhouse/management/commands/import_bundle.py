from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from core.command import NotAllowed, Result, RowhouseCommand
from core.words import count
from rowhouse.bundle.reading import import_bundle
from tenants.models import Domain


class Command(RowhouseCommand):
    help = "Make a new tenant of a bundle, on this installation or another: the same datasets, history and rights."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path", metavar="PATH")
        parser.add_argument("--as", required=True, dest="slug", metavar="SLUG", help="the tenant it becomes")
        parser.add_argument("--name", default="", help="what people call it; by default as before")
        parser.add_argument("--domain", default="", help="its first domain; by default <slug>.<base domain>")

    def run(self, **options: Any) -> Result:
        path = Path(options["path"])
        if not path.is_file():
            raise NotAllowed(f"There is no file {path}.")
        made = import_bundle(
            path=path, slug=options["slug"], name=options["name"], domain=options["domain"], by="command line"
        )
        domain = Domain.objects.get(tenant=made.tenant, is_primary=True).domain
        data = {
            "tenant": made.tenant.slug,
            "schema": made.tenant.schema_name,
            "state": made.tenant.state,
            "domain": domain,
            "records": made.records,
            "versions": made.versions,
            "users": made.users,
            "invitation": made.link,
        }
        rows = sum(made.records.values())
        return Result(
            data,
            [
                f"{made.tenant.name} is active at {domain}: {count(len(made.records), 'dataset')},"
                f" {count(rows, 'record')}, {count(made.users, 'user')} without passwords.",
                f"The owner signs in by {made.link} (shown this once).",
            ],
        )
