"""How the sending of events stands, of all tenants and of the platform; and going on with one that was given up."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from accounts.command import active_tenant
from core.command import Result, RowhouseCommand
from core.tenancy import in_tenant
from tenants.operating_models import EventStream
from tenants.streaming import PLATFORM, lag_of, resume_stream


class Command(RowhouseCommand):
    help = "List where events are sent to and how far that is; or go on with one that was given up."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--resume",
            metavar="SLUG",
            help="go on with the sending of this tenant's events, or of `platform`",
        )

    def run(self, *, resume: str | None = None, **_options: Any) -> Result:
        """List the streams, after going on with one if asked to.

        :raises TenantNotWorkable: there is no such active tenant.
        :raises NoStream: its events are sent nowhere.
        """
        if resume is not None:
            place = nullcontext() if resume == PLATFORM else in_tenant(active_tenant(resume))
            with place:
                resume_stream(by="command line")
        told = [_told(one) for one in EventStream.objects.select_related("tenant").order_by("tenant__slug")]
        lines = [
            f"{one['tenant']}: {one['state']}; {one['sent']} sent, {one['behind_seconds']:.0f} s behind, to {one['to']}"
            for one in told
        ]
        return Result({"streams": told}, lines or ["No events are sent anywhere."])


def _told(stream: EventStream) -> dict[str, Any]:
    lag = lag_of(stream)
    return {
        "tenant": stream.tenant.slug if stream.tenant else PLATFORM,
        "to": stream.url if stream.tenant else settings.ROWHOUSE_SYSLOG,
        "state": lag.words,
        "is_bad": lag.is_bad,
        "sent": stream.sent,
        "behind_seconds": lag.seconds,
        "error": stream.error,
    }
