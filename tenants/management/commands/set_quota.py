from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from core.command import NotAllowed, Result, RowhouseCommand
from core.quotas import Resource
from tenants.quotas import MEGABYTE, BadLimit, limits_of, set_quota, uses_of
from tenants.services import get_tenant

DEFAULT = "default"
OPTIONS = {
    Resource.ROWS: "rows",
    Resource.BYTES: "megabytes",
    Resource.DATASETS: "datasets",
    Resource.JOBS: "jobs",
    Resource.USERS: "users",
}


class Command(RowhouseCommand):
    help = "Say how much a tenant may have."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", metavar="SLUG")
        for option, what in (
            ("--rows", "records"),
            ("--megabytes", "space of records and files, in MB"),
            ("--datasets", "datasets"),
            ("--jobs", "jobs that wait or run"),
            ("--users", "active users"),
        ):
            parser.add_argument(option, metavar="N", help=f"{what}; 0: no limit; default: the platform's")

    def run(self, **options: Any) -> Result:
        tenant = get_tenant(options["slug"])
        given = {
            one: _limit(one, options[name]) for one, name in OPTIONS.items() if options[name] is not None
        }
        if not given:
            raise NotAllowed("Say what to set: --rows, --megabytes, --datasets, --jobs or --users.")
        set_quota(tenant=tenant, limits=given, by="command line")
        limits = limits_of(tenant.schema_name)
        used = {use.resource: use for use in uses_of(tenant)}
        data = {
            one.value: {"limit": limit, "used": used[one].used if one in used else None}
            for one, limit in limits.items()
        }
        lines = [
            f"{one.value}: {used[one].said}" if one in used else f"{one.value}: no limit" for one in limits
        ]
        return Result({"tenant": tenant.slug, "limits": data}, lines)


def _limit(resource: Resource, said: str) -> int | None:
    if said == DEFAULT:
        return None
    if not said.isdecimal():
        raise BadLimit(f"{said!r} is no limit. Give a number, 0 (no limit) or `{DEFAULT}`.")
    return int(said) * (MEGABYTE if resource is Resource.BYTES else 1)
