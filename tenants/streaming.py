"""Sending events out as they are written: a tenant's to its webhook, the platform's own to a syslog server.

A job of its own reads the log on from the stream's place (`audit.reading`) and notes a batch as sent when the receiver
has taken it: what breaks in between is sent again, with the same `uid`. Whoever writes events knows nothing of it and
waits for nobody. A receiver that takes none is tried again after rests that grow, and given up after
ROWHOUSE_STREAM_DAYS; then nothing is lost either, and an owner has it go on from where it stopped.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from accounts.models import User
from audit.gaps import Place, place_of
from audit.models import Event
from audit.reading import end_of_log, next_batch, put_back
from audit.services import record
from audit.telling import told
from core import syslog
from core.clock import now
from core.errors import BadFields, RowhouseError
from core.sealing import is_current, seal, unseal
from core.tenancy import TenantRef, current_tenant, in_public, in_tenant, tenant_or_none
from core.webhooks import SIGNATURE, NotDelivered, post, sign, target_of
from core.words import count
from jobs import services as jobs
from jobs import within
from jobs.models import Job
from tenants.models import Tenant
from tenants.operating_models import EventStream
from tenants.telling import tell_owners

logger = logging.getLogger(__name__)

KIND = "audit.stream"
JOB_TARGET = "events"
SEALED_FOR = "audit.stream"
MOST_EVENTS = 200  # of one request, or one connection
LOOK_SECONDS = 30.0  # between two looks where nothing waits
# Between the tries, in seconds.
RESTS = (10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
MOST_ERROR = 500
CHANGES_STREAM = "accounts.change_user"  # whoever may let people in says where the log goes
PLATFORM = "platform"


class BadStream(BadFields):
    """Events cannot be sent there."""

    code = "bad-event-stream"


class StreamChanged(RowhouseError):
    """Somebody else changed where events go since it was looked at."""

    code = "event-stream-changed"


class NoStream(RowhouseError):
    """Events are sent nowhere, or sending them goes on already."""

    code = "no-event-stream"


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one look: how many events were sent, and after how many seconds to look again."""

    events: int
    rest_seconds: float


# ---- what an owner says


def stream_of(tenant: TenantRef | None) -> EventStream | None:
    """Return the stream of a tenant, or of the platform for None."""
    with in_public():
        found = EventStream.objects.filter(tenant__schema_name=tenant.schema if tenant else None)
        if tenant is None:
            found = EventStream.objects.filter(tenant=None)
        return found.select_related("tenant").first()


@transaction.atomic
def set_stream(
    *, url: str, is_on: bool = True, from_beginning: bool = False, seen: int = 0, by: User | None
) -> str:
    """Send the current tenant's events to a webhook from now on; returns the secret of a new one, shown once, else "".

    :param from_beginning: of a new one: also what was written before.
    :param seen: the version it was looked at; 0: there was none.
    :raises PermissionDenied: the person may not.
    :raises StreamChanged: it is at another version.
    :raises BadStream: no request can go to this address.
    """
    _require(by)
    url = url.strip()
    _require_address(url)
    held = _held(seen)
    secret = ""
    if held is None:
        secret = _new_secret()
        begins = _beginning(Place(0) if from_beginning else end_of_log())
        sealed, schema = seal(secret, purpose=SEALED_FOR), current_tenant().schema
        with in_public():
            tenant = Tenant.objects.get(schema_name=schema)
            made, is_new = EventStream.objects.get_or_create(
                tenant=tenant,
                defaults={"url": url, "is_on": is_on, "sealed_secret": sealed, **begins},
            )
        if not is_new:
            raise _changed()
        before: dict[str, Any] | None = None
    else:
        before = {"url": held.url, "is_on": held.is_on}
        with in_public():
            EventStream.objects.filter(pk=held.pk).update(
                url=url,
                is_on=is_on,
                version=F("version") + 1,
                tries=0,
                failing_since_at=None,
                stopped_at=None,
            )
        made = held
    if before != {"url": url, "is_on": is_on}:
        record("audit.stream.changed", actor=by, before=before, after={"url": url, "is_on": is_on})
    if is_on:
        _submit(made.pk)
    return secret


@transaction.atomic
def renew_secret(*, seen: int, by: User | None) -> str:
    """Sign requests with another secret from the next one on; returns it, and it is never shown again.

    :raises PermissionDenied: the person may not.
    :raises NoStream: there is none.
    :raises StreamChanged: it is at another version.
    """
    _require(by)
    held, secret = _there(_held(seen)), _new_secret()
    sealed = seal(secret, purpose=SEALED_FOR)
    with in_public():
        EventStream.objects.filter(pk=held.pk).update(sealed_secret=sealed, version=F("version") + 1)
    record("audit.stream.secret_renewed", actor=by)
    return secret


@transaction.atomic
def remove_stream(*, seen: int, by: User | None) -> None:
    """Send events out no more, and forget how far that was.

    :raises PermissionDenied: the person may not.
    :raises NoStream: there is none.
    :raises StreamChanged: it is at another version.
    """
    _require(by)
    held = _there(_held(seen))
    with in_public():
        EventStream.objects.filter(pk=held.pk).delete()
    record("audit.stream.removed", actor=by, before={"url": held.url})


@transaction.atomic
def resume_stream(*, by: object) -> None:
    """Go on from where sending was given up, or try at once: of the current tenant, or of the platform.

    :raises PermissionDenied: the person may not.
    :raises NoStream: there is none, or it was switched off.
    """
    if isinstance(by, User):
        _require(by)
    stream = stream_of(tenant_or_none())
    if stream is None or not stream.is_on:
        raise NoStream("Events are sent nowhere from here. Enter an address first.")
    with in_public():
        EventStream.objects.filter(pk=stream.pk).update(
            stopped_at=None, tries=0, failing_since_at=None, version=F("version") + 1
        )
    record("audit.stream.resumed", actor=by)
    _submit(stream.pk, at_once=True)


def _beginning(place: Place) -> dict[str, Any]:
    last = Event.objects.filter(pk=place.upto).values_list("uid", "at").first() or (None, None)
    return {"upto": place.upto, "gaps": place.plain(), "upto_uid": last[0], "upto_at": last[1]}


def _require(by: User | None) -> None:
    if by is not None and not by.has_perm(CHANGES_STREAM):
        raise PermissionDenied("Only an owner says where events are sent.")


def _require_address(url: str) -> None:
    try:
        target_of(url, private=settings.ROWHOUSE_WEBHOOK_PRIVATE_HOSTS)
    except RowhouseError as refused:
        raise BadStream({"url": refused.message}) from refused


def _held(seen: int) -> EventStream | None:
    schema = current_tenant().schema
    with in_public():
        held = EventStream.objects.select_for_update().filter(tenant__schema_name=schema).first()
    if (held.version if held else 0) != seen:
        raise _changed()
    return held


def _there(held: EventStream | None) -> EventStream:
    if held is None:
        raise NoStream("Events are sent nowhere from here. Enter an address first.")
    return held


def _changed() -> StreamChanged:
    return StreamChanged(
        "Somebody changed where events are sent since you opened it, and nothing of yours was stored. Look at it again."
    )


def _new_secret() -> str:
    return f"rhsec_{secrets.token_urlsafe(32)}"


def reseal_secret() -> bool | None:
    """Seal the current tenant's secret under the first of the platform's keys; None: it was, or there is none.

    :raises NotOpened: it opens under none of them.
    """
    schema = current_tenant().schema
    with in_public():
        held = EventStream.objects.select_for_update().filter(tenant__schema_name=schema).first()
    if held is None or is_current(held.sealed_secret, purpose=SEALED_FOR):
        return None
    sealed = seal(unseal(held.sealed_secret, purpose=SEALED_FOR), purpose=SEALED_FOR)
    with in_public():
        EventStream.objects.filter(pk=held.pk).update(sealed_secret=sealed)
    return True


# ---- background work


def _submit(stream: int, *, at_once: bool = False) -> None:
    """Have the current tenant's, or the platform's, stream looked after; one that is there already goes on."""
    try:
        with within.work():  # it takes no room of the tenant's: it stays for as long as there is a stream
            jobs.submit(KIND, target=JOB_TARGET, payload={"stream": stream})
    except jobs.TargetBusy:
        if at_once:
            schema = _schema()
            with in_public():
                Job.objects.active().filter(schema=schema, kind=KIND, state="QUEUED").update(not_before=Now())


def _schema() -> str:
    tenant = tenant_or_none()
    return tenant.schema if tenant else "public"


def keep_streaming() -> None:
    """See to it that each stream has its job: quick, in `public`, and safe beside others who do it too."""
    if settings.ROWHOUSE_SYSLOG and not EventStream.objects.filter(tenant=None).exists():
        EventStream.objects.get_or_create(tenant=None, defaults=_beginning(end_of_log()))
    busy = set(Job.objects.active().filter(kind=KIND).values_list("schema", flat=True))
    for stream in EventStream.objects.filter(is_on=True, stopped_at=None).select_related("tenant"):
        if stream.tenant is None:
            if settings.ROWHOUSE_SYSLOG and "public" not in busy:
                _submit(stream.pk)
        elif stream.tenant.schema_name not in busy and stream.tenant.state == Tenant.State.ACTIVE:
            with in_tenant(stream.tenant.ref):
                _submit(stream.pk)


def send_next(stream_pk: int) -> Sent | None:
    """Send the next events of a stream, in its tenant or outside of all; None: there is nothing to be done any more.

    Where another has changed the stream meanwhile, what was sent is not noted and is sent again.
    """
    with in_public():
        stream = EventStream.objects.select_related("tenant").filter(pk=stream_pk).first()
    is_ours = stream is not None and (stream.tenant.schema_name if stream.tenant else "public") == _schema()
    if stream is None or not is_ours or not stream.is_on or stream.stopped_at is not None:
        return None
    if stream.tenant is None and not settings.ROWHOUSE_SYSLOG:
        return None
    place = place_of(stream.upto, stream.gaps)
    place = put_back(place, stream.upto_uid, stream.upto_at) or place
    batch = next_batch(place, most=MOST_EVENTS)
    if not batch.events:
        _note(stream, looked_at=Now(), waiting_since_at=None)
        return Sent(0, LOOK_SECONDS)
    try:
        _send(stream, batch.events)
    except _NotSent as error:
        return _failed(stream, str(error), batch.events[0].at)
    last = max(batch.events, key=lambda event: event.pk)
    ahead = last.pk >= place.upto
    waiting = None if batch.is_last else last.at
    _note(
        stream, upto=batch.place.upto, gaps=batch.place.plain(), sent=F("sent") + len(batch.events), sent_at=Now(),
        upto_uid=last.uid if ahead else stream.upto_uid, upto_at=last.at if ahead else stream.upto_at,
        looked_at=Now(), waiting_since_at=waiting, tries=0, failing_since_at=None, error="",
    )  # fmt: skip
    return Sent(len(batch.events), LOOK_SECONDS if batch.is_last else 0.0)


def _note(stream: EventStream, **values: Any) -> bool:
    with in_public():
        noted = EventStream.objects.filter(pk=stream.pk, version=stream.version, is_on=True, upto=stream.upto)
        return bool(noted.update(**values))


class _NotSent(Exception):
    """A receiver did not take a batch; the sentence says why."""


def _send(stream: EventStream, events: Sequence[Event]) -> None:
    if stream.tenant is None:
        _send_to_syslog(events)
    else:
        _send_to_webhook(stream, events)


def _send_to_webhook(stream: EventStream, events: Sequence[Event]) -> None:
    tenant = current_tenant().slug
    body = json.dumps(
        {
            "id": f"{tenant}/{events[0].pk}-{events[-1].pk}",
            "tenant": tenant,
            "events": [told(event) for event in events],
        },
        ensure_ascii=False,
    ).encode()
    try:
        target = target_of(stream.url, private=settings.ROWHOUSE_WEBHOOK_PRIVATE_HOSTS)
        secret = unseal(stream.sealed_secret, purpose=SEALED_FOR)
        post(
            target,
            body,
            {SIGNATURE: sign(secret, body, int(now().timestamp())), "User-Agent": "Rowhouse"},
        )
    except RowhouseError as refused:
        raise _NotSent(refused.message) from refused
    except NotDelivered as error:
        raise _NotSent(str(error)) from error


def _send_to_syslog(events: Sequence[Event]) -> None:
    messages = [
        syslog.message(
            at=event.at,
            host=settings.ROWHOUSE_BASE_DOMAIN,
            name=event.name,
            facts={
                "uid": str(event.uid), "number": str(event.pk), "name": event.name, "actor": event.actor_label,
                "target": event.target_label, "address": event.address or "", "cause": event.cause,
            },
            text=json.dumps(told(event), ensure_ascii=False),
        )
        for event in events
    ]  # fmt: skip
    try:
        syslog.send(
            syslog.server_of(settings.ROWHOUSE_SYSLOG), messages, authorities=settings.ROWHOUSE_SYSLOG_CA
        )
    except RowhouseError as refused:
        raise _NotSent(refused.message) from refused
    except syslog.NotTaken as error:
        raise _NotSent(str(error)) from error


def _failed(stream: EventStream, error: str, waiting_since: datetime) -> Sent | None:
    at = now()
    since = stream.failing_since_at or at
    is_over = at - since >= timedelta(days=settings.ROWHOUSE_STREAM_DAYS)
    noted = _note(
        stream, tries=F("tries") + 1, failing_since_at=since, error=error[:MOST_ERROR], looked_at=Now(),
        waiting_since_at=waiting_since, stopped_at=at if is_over else None,
    )  # fmt: skip
    if not is_over or not noted:
        return Sent(0, RESTS[min(stream.tries, len(RESTS) - 1)])
    days = count(settings.ROWHOUSE_STREAM_DAYS, "day")
    record(
        "audit.stream.stopped",
        actor="the platform",
        url=stream.url,
        error=error[:MOST_ERROR],
        since=since.isoformat(),
    )
    logger.error("Sending events of %s was given up after %s: %s", stream.tenant or PLATFORM, days, error)
    if stream.tenant is not None:
        tell_owners(
            f"[{stream.tenant.slug}] Events are not sent out any more",
            f"Events of {stream.tenant.name} were to be sent to {stream.url}, which has taken none for {days}: {error}"
            "\n\nNothing is lost. When it takes them again, open Events → Sending out and choose “Go on”.",
        )
    return None


# ---- how it stands


@dataclass(frozen=True, slots=True)
class Lag:
    """How long the first event that was not sent yet has waited, in seconds; `words` say how the stream stands."""

    seconds: float
    words: str
    is_bad: bool


# Nobody has looked for so long: then it is not known whether something waits.
UNHEARD_SECONDS = 300.0


def lag_of(stream: EventStream) -> Lag:
    """Return how a stream stands."""
    at = now()
    unheard = (at - stream.looked_at).total_seconds()
    since = stream.waiting_since_at or (stream.looked_at if unheard > UNHEARD_SECONDS else None)
    seconds = max(0.0, (at - since).total_seconds()) if since else 0.0
    if not stream.is_on:
        return Lag(0.0, "switched off", is_bad=False)
    if stream.stopped_at:
        return Lag(seconds, f"given up on {stream.stopped_at:%Y-%m-%d %H:%M} UTC", is_bad=True)
    if stream.tries:
        return Lag(seconds, f"tried {count(stream.tries, 'time')} without success", is_bad=True)
    if since and not stream.waiting_since_at:
        return Lag(seconds, "no worker has looked for a while", is_bad=True)
    return Lag(seconds, "sending" if since else "all events are sent", is_bad=False)
