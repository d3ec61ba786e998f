"""Prove that nobody has edited the log of events."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser

from accounts.command import active_tenant
from audit.anchors import write_anchor
from audit.models import Event
from audit.sealing import seal_events
from audit.verifying import Return, Verdict, verify
from core.command import DONE, FAILED, NotAllowed, Result, RowhouseCommand
from core.tenancy import in_tenant
from core.words import count
from tenants.models import Tenant

RESTORED = ("tenants.tenant.restored", "tenants.tenant.restored-in-place")


class Command(RowhouseCommand):
    help = "Prove the log of a tenant, or of the platform, against its seals and anchors; exits 1 if something differs."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", metavar="SLUG", help="whose log")
        parser.add_argument("--platform", action="store_true", help="the platform's own log")
        parser.add_argument(
            "--seal", action="store_true", help="first seal and anchor the events of the last hour"
        )

    def run(self, **options: Any) -> Result:
        slug: str | None = options["tenant"]
        if (slug is None) != options["platform"]:
            raise NotAllowed("Say whose log: --tenant SLUG, or --platform.")
        if slug is None:
            verdict = _look(options["seal"], [], [])
        else:
            returns, origins = _restored(slug)
            with in_tenant(active_tenant(slug)):
                verdict = _look(options["seal"], returns, origins)
        lines = [one.sentence for one in verdict.findings]
        lines.append(
            f"{count(verdict.events, 'event')}, {verdict.unsealed} of them not sealed yet,"
            f" {count(verdict.seals, 'seal')} and {count(verdict.anchors, 'anchor')} looked at:"
            f" {count(len(verdict.findings), 'finding')}."
        )
        data = {
            "tenant": slug,
            "events": verdict.events,
            "unsealed": verdict.unsealed,
            "seals": verdict.seals,
            "anchors": verdict.anchors,
            "findings": [asdict(one) for one in verdict.findings],
        }
        return Result(data, lines, FAILED if verdict.findings else DONE)


def _look(seal_first: bool, returns: list[Return], origins: list[str]) -> Verdict:
    if seal_first and seal_events():
        write_anchor()
    return verify(returns=returns, origins=origins)


def _restored(slug: str) -> tuple[list[Return], list[str]]:
    """Return when a tenant was put back to a backup, and whose backups those were."""
    tenant = Tenant.objects.filter(slug=slug).first()
    events = Event.objects.filter(
        name__in=RESTORED, target_type=Tenant._meta.label_lower, target_id=str(tenant.pk if tenant else "")
    )
    returns = [Return(datetime.fromisoformat(one.data["taken_at"]), one.at) for one in events]
    return returns, [str(one.data.get("backup_of", "")) for one in events]
