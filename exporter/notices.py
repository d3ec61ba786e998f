"""Notices of exports: who hears of them, and which deliveries the end of a run makes.

A webhook hears of every run its notice is for. Mail goes to people, whom a week of failing hours must not flood:
a failure or a missed hour is mailed when the exports were right before, at most once an hour, and while they go on
failing once a day; a success at most once an hour, and once after a failure that was mailed, so that people know.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.dispatch import receiver

from audit.services import record
from core import clock
from core.errors import BadFields, RowhouseError
from core.sealing import seal
from core.webhooks import target_of
from exporter.models import SEALED_FOR, Delivery, ExportNotice, ExportRun, NoticeEvent
from exporter.signals import run_ended
from jobs import services as jobs

KIND = "exporter.notify"
MOST_EMAILS = 20
MAIL_REST = timedelta(hours=1)
REMINDER = timedelta(days=1)
KEPT = timedelta(days=90)  # deliveries, for people to look at
FIELDS = ("name", "emails", "url", "on_success", "on_failure", "on_missed", "is_on")
MAIL, WEBHOOK = Delivery.Channel.MAIL, Delivery.Channel.WEBHOOK


class BadNotice(BadFields):
    """A notice cannot be as given."""

    code = "bad-notice"


class NoticeChanged(RowhouseError):
    """Somebody else changed the notice since it was looked at."""

    code = "notice-changed"


class NotSentAgain(RowhouseError):
    """A delivery is on its way, or its notice is switched off."""

    code = "not-sent-again"


@transaction.atomic
def create_notice(*, values: Mapping[str, Any], by: Any) -> tuple[ExportNotice, str]:
    """Make a notice; returns it with the secret that signs its requests, which is never shown again.

    :raises PermissionDenied: the person may not.
    :raises BadNotice: a value cannot be.
    """
    _require(by, "add")
    notice, secret = ExportNotice(), _new_secret()
    _fill(notice, values)
    notice.sealed_secret = seal(secret, purpose=SEALED_FOR)
    _save(notice)
    record("exporter.notice.created", actor=by, target=notice, values=_told(notice))
    return notice, secret


@transaction.atomic
def change_notice(*, notice: ExportNotice, values: Mapping[str, Any], seen: int, by: Any) -> None:
    """Change a notice that is at the version `seen`. Nothing is written where nothing differs.

    :raises PermissionDenied: the person may not.
    :raises NoticeChanged: it is at another version.
    :raises BadNotice: a value cannot be.
    """
    _require(by, "change")
    held = _held(notice, seen)
    before = _told(held)
    _fill(held, values)
    if _told(held) != before:
        held.version += 1
        _save(held)
        record("exporter.notice.changed", actor=by, target=held, before=before, after=_told(held))


@transaction.atomic
def renew_secret(*, notice: ExportNotice, seen: int, by: Any) -> str:
    """Give a notice another secret, from the next request on; returns it, and it is never shown again.

    :raises PermissionDenied: the person may not.
    :raises NoticeChanged: it is at another version.
    """
    _require(by, "change")
    held, secret = _held(notice, seen), _new_secret()
    held.sealed_secret = seal(secret, purpose=SEALED_FOR)
    held.version += 1
    held.save()
    record("exporter.notice.secret-renewed", actor=by, target=held)
    return secret


@transaction.atomic
def delete_notice(*, notice: ExportNotice, by: Any) -> None:
    """Delete a notice with what is known of its deliveries; what waits is not sent.

    :raises PermissionDenied: the person may not.
    """
    _require(by, "delete")
    record("exporter.notice.deleted", actor=by, target=notice, values=_told(notice))
    notice.delete()


@transaction.atomic
def send_test(*, notice: ExportNotice, by: Any) -> list[Delivery]:
    """Send a test on each channel of a notice, switched on or off.

    :raises PermissionDenied: the person may not.
    """
    _require(by, "change")
    record("exporter.notice.tested", actor=by, target=notice)
    return [_deliver(notice, None, NoticeEvent.TEST, channel) for channel in _channels(notice)]


@transaction.atomic
def send_again(*, delivery: Delivery, by: Any) -> None:
    """Send a delivery once more, with what is known of its run now.

    :raises PermissionDenied: the person may not.
    :raises NotSentAgain: it is on its way.
    """
    _require(by, "change")
    moved = (
        Delivery.objects.filter(pk=delivery.pk)
        .exclude(state=Delivery.State.WAITING)
        .update(state=Delivery.State.WAITING, error="", tries=0)
    )
    if not moved:
        raise NotSentAgain("This is on its way still. Wait until it has been sent or given up.")
    _submit(delivery)
    record("exporter.delivery.sent-again", actor=by, target=delivery)


def _require(by: Any, what: str) -> None:
    if by is not None and not by.has_perm(f"exporter.{what}_exportnotice"):
        raise PermissionDenied("You may not change who hears of exports. Ask an owner.")


def _held(notice: ExportNotice, seen: int) -> ExportNotice:
    held = ExportNotice.objects.select_for_update().filter(pk=notice.pk).first()
    if held is None or held.version != seen:
        raise NoticeChanged(
            f"Somebody changed or deleted the notice “{notice}” since you opened it, and nothing of yours was"
            " stored. Look at it again, then change what you still want."
        )
    return held


def _new_secret() -> str:
    return f"rhsec_{secrets.token_urlsafe(32)}"


def _told(notice: ExportNotice) -> dict[str, Any]:
    return {name: getattr(notice, name) for name in FIELDS}


def _fill(notice: ExportNotice, values: Mapping[str, Any]) -> None:
    for name in FIELDS:
        if name in values:
            setattr(notice, name, values[name])
    faults: dict[str, str] = {}
    try:
        notice.clean_fields()
    except ValidationError as error:
        faults = {name: " ".join(said) for name, said in error.message_dict.items()}
    if wrong := [one for one in notice.emails if not _is_email(one)]:
        faults["emails"] = f"{wrong[0]!r} is no mail address. Write one on each line."
    elif len(notice.emails) > MOST_EMAILS:
        faults["emails"] = f"A notice goes to {MOST_EMAILS} addresses at most; make another for the others."
    if notice.url:
        try:
            target_of(notice.url, private=settings.ROWHOUSE_WEBHOOK_PRIVATE_HOSTS)
        except RowhouseError as refused:
            faults["url"] = refused.message
    if not notice.emails and not notice.url:
        faults.setdefault("emails", "Enter a mail address, or the address of a webhook, or both.")
    if faults:
        raise BadNotice(faults)


def _is_email(text: Any) -> bool:
    try:
        validate_email(text)
    except ValidationError:
        return False
    return True


def _save(notice: ExportNotice) -> None:
    try:
        with transaction.atomic():
            notice.save()
    except IntegrityError:
        raise BadNotice(
            {"name": f"There is a notice {notice.name!r} already. Choose another name."}
        ) from None


# ---- what the end of a run makes


@receiver(run_ended)
@transaction.atomic
def tell_of(run: ExportRun, **_kwargs: Any) -> None:
    """Make the deliveries of a run that has ended; in the transaction that ends it."""
    event, now = NoticeEvent(run.state), clock.now()
    # Held: two runs that end at once must not both think that theirs is the first mail.
    for notice in ExportNotice.objects.select_for_update().filter(is_on=True).order_by("pk"):
        if notice.url and _is_for(notice, event):
            _deliver(notice, run, event, WEBHOOK)
        if notice.emails and _is_mailed(notice, event, now):
            _deliver(notice, run, event, MAIL)


def _is_for(notice: ExportNotice, event: NoticeEvent) -> bool:
    return {
        NoticeEvent.SUCCEEDED: notice.on_success,
        NoticeEvent.FAILED: notice.on_failure,
        NoticeEvent.MISSED: notice.on_missed,
    }[event]


@dataclass(frozen=True, slots=True)
class Mailed:
    """The last mail of a notice."""

    event: str
    at: datetime


def _is_mailed(notice: ExportNotice, event: NoticeEvent, now: datetime) -> bool:
    mails = notice.deliveries.filter(channel=MAIL).exclude(event=NoticeEvent.TEST)
    found = mails.order_by("-created_at", "-pk").first()
    last = Mailed(found.event, found.created_at) if found else None
    same = mails.filter(event=event).order_by("-created_at").values_list("created_at", flat=True).first()
    return is_to_be_mailed(event, is_wanted=_is_for(notice, event), last=last, same_at=same, now=now)


def is_to_be_mailed(
    event: str, *, is_wanted: bool, last: Mailed | None, same_at: datetime | None, now: datetime
) -> bool:
    """Return whether people get a mail. `last` is the notice's last one, `same_at` when it last told of this event."""
    is_right_again = (
        event == NoticeEvent.SUCCEEDED and last is not None and last.event != NoticeEvent.SUCCEEDED
    )
    if event == NoticeEvent.SUCCEEDED:
        rested = same_at is None or now - same_at >= MAIL_REST
        return rested and (is_wanted or is_right_again)
    if not is_wanted:
        return False
    rest = REMINDER if last is not None and last.event == event else MAIL_REST
    return same_at is None or now - same_at >= rest


def _channels(notice: ExportNotice) -> list[str]:
    return [channel for channel, goes in ((MAIL, notice.emails), (WEBHOOK, notice.url)) if goes]


def _deliver(notice: ExportNotice, run: ExportRun | None, event: NoticeEvent, channel: str) -> Delivery:
    """Return the delivery, which is there once however often a run ends in one way."""
    wanted: dict[str, Any] = {"notice": notice, "run": run, "channel": channel, "event": event}
    if run is None:
        delivery, is_new = Delivery.objects.create(**wanted), True
    else:
        delivery, is_new = Delivery.objects.get_or_create(defaults={}, **wanted)
    if is_new:
        notice.deliveries.filter(created_at__lt=clock.now() - KEPT).delete()
        _submit(delivery)
    return delivery


def _submit(delivery: Delivery) -> None:
    jobs.submit(KIND, target=f"delivery {delivery.pk}", payload={"delivery": delivery.pk})
