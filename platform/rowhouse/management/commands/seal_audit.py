"""Seal the logs of events and anchor their newest seals, now."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from accounts.command import active_tenant
from audit.anchors import write_anchor
from audit.sealing import seal_events
from core.command import Result, RowhouseCommand
from core.tenancy import in_tenant
from core.words import count
from tenants.models import Tenant


class Command(RowhouseCommand):
    help = (
        "Seal and anchor the events since the last seal: the platform's and every active tenant's, as workers do"
        " once an hour, or those of the tenants named."
    )

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", nargs="*", metavar="SLUG", help="whose logs; none: all there are")

    def run(self, **options: Any) -> Result:
        named: list[str] = options["slug"]
        slugs = named or list(
            Tenant.objects.filter(state=Tenant.State.ACTIVE).order_by("slug").values_list("slug", flat=True)
        )
        done: dict[str | None, int] = {} if named else {None: _seal()}
        for slug in slugs:
            with in_tenant(active_tenant(slug)):
                done[slug] = _seal()
        sealed = sum(done.values())
        logs = [{"tenant": slug, "sealed": number} for slug, number in done.items()]
        return Result({"logs": logs}, [f"{count(sealed, 'event')} sealed in {count(len(done), 'log')}."])


def _seal() -> int:
    """Seal the log at hand, and anchor its newest seal also where nothing is new: who sealed may have died then."""
    sealed = seal_events(most=1000)
    write_anchor()
    return sealed
