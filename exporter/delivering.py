"""Sending a delivery: a mail to people, or a signed request to a program."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import datetime
from smtplib import SMTPException
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage, MailerDoesNotExist
from django.urls import reverse
from django_tenants.utils import get_tenant_model

from core.errors import RowhouseError
from core.sealing import unseal
from core.tenancy import current_tenant, in_public
from core.webhooks import SIGNATURE, NotDelivered, post, sign, target_of
from core.words import count
from exporter.models import SEALED_FOR, Delivery, ExportRun, NoticeEvent

logger = logging.getLogger(__name__)

# Between the tries, in seconds: a receiver that is down for lunch still hears of it.
RESTS = (10, 60, 300, 1800, 7200)
MOST_TRIES = len(RESTS) + 1
MOST_FILES = 1000  # in the body of a request
MOST_ERROR = 500
TITLES = {
    NoticeEvent.SUCCEEDED: "Export done",
    NoticeEvent.FAILED: "Export failed",
    NoticeEvent.MISSED: "Export missed",
    NoticeEvent.TEST: "Test of a notice",
}


def deliver(delivery_pk: int, *, now: Callable[[], datetime]) -> int | None:
    """Try once; returns None when that is the end of it, else how many tries there have been.

    One that is sent already, or whose notice is gone, is at its end. Must run in a transaction.
    """
    delivery = (
        Delivery.objects.select_for_update(of=("self",))
        .select_related("notice", "run")
        .filter(pk=delivery_pk, state=Delivery.State.WAITING)
        .first()
    )
    if delivery is None:
        return None
    delivery.tries += 1
    try:
        _send(delivery, now())
    except NotSent as error:
        is_last = delivery.tries >= MOST_TRIES or error.is_final
        delivery.state = Delivery.State.FAILED if is_last else Delivery.State.WAITING
        delivery.error = str(error)[:MOST_ERROR]
        delivery.save(update_fields=["state", "tries", "error"])
        return None if is_last else delivery.tries
    delivery.state, delivery.error, delivery.sent_at = Delivery.State.SENT, "", now()
    delivery.save(update_fields=["state", "tries", "error", "sent_at"])
    return None


def give_up(delivery_pk: int, reason: str) -> None:
    """Note that a delivery that waits will not be sent."""
    Delivery.objects.filter(pk=delivery_pk, state=Delivery.State.WAITING).update(
        state=Delivery.State.FAILED, error=reason[:MOST_ERROR]
    )


class NotSent(Exception):
    """A try has failed; the sentence says why. `is_final`: another one would too."""

    def __init__(self, message: str, *, is_final: bool = False) -> None:
        super().__init__(message)
        self.is_final = is_final


def _send(delivery: Delivery, at: datetime) -> None:
    if not delivery.notice.is_on and delivery.event != NoticeEvent.TEST:
        raise NotSent("The notice was switched off before this was sent.", is_final=True)
    if delivery.channel == Delivery.Channel.MAIL:
        _send_mail(delivery)
    else:
        _send_request(delivery, at)


# ---- requests


def _send_request(delivery: Delivery, at: datetime) -> None:
    notice = delivery.notice
    body = json.dumps(body_of(delivery), ensure_ascii=False).encode()
    try:
        target = target_of(notice.url, private=settings.ROWHOUSE_WEBHOOK_PRIVATE_HOSTS)
        signature = sign(unseal(notice.sealed_secret, purpose=SEALED_FOR), body, int(at.timestamp()))
        post(target, body, {SIGNATURE: signature, "User-Agent": "Rowhouse"})
    except RowhouseError as refused:
        raise NotSent(refused.message) from refused
    except NotDelivered as error:
        raise NotSent(str(error)) from error


def body_of(delivery: Delivery) -> dict[str, Any]:
    """Return what a request says, as JSON holds it. `id` is the same at each try of one delivery."""
    tenant = current_tenant().slug
    return {
        "id": f"{tenant}/{delivery.pk}",
        "event": f"export.{delivery.event.lower()}",
        "tenant": tenant,
        "notice": delivery.notice.name,
        "run": None if delivery.run is None else _run_told(delivery.run),
    }


def _run_told(run: ExportRun) -> dict[str, Any]:
    files = run.files.order_by("dataset_slug")
    return {
        "id": run.pk,
        "url": page_of(run),
        "trigger": run.trigger,
        "state": run.state,
        "slot": _time(run.slot),
        "missed": run.missed,
        "started_at": _time(run.started_at),
        "finished_at": _time(run.finished_at),
        "error_code": run.error_code,
        "error": run.error,
        "n_files": files.count(),
        "files": [
            {
                "dataset": file.dataset_slug,
                "key": file.key,
                "format": file.format,
                "content": file.content,
                "mode": file.mode,
                "rows": file.rows,
                "bytes": file.bytes,
                "sha256": file.sha256,
            }
            for file in files[:MOST_FILES]
        ],
        "unchanged": [one.get("slug") for one in run.skipped],
    }


def _time(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


# ---- mail


def _send_mail(delivery: Delivery) -> None:
    subject, text = mail_of(delivery)
    message = EmailMessage(subject, text, settings.DEFAULT_FROM_EMAIL, delivery.notice.emails)
    try:
        message.send(using="default")
    except MailerDoesNotExist:
        raise NotSent("This platform has no mail server. Ask an operator to set one.") from None
    except (OSError, SMTPException) as error:
        logger.warning("A notice could not be mailed (%s)", type(error).__name__)
        raise NotSent(f"The platform's mail server did not take it ({type(error).__name__}).") from error


def mail_of(delivery: Delivery) -> tuple[str, str]:
    """Return the subject and the text of a mail."""
    event, run = NoticeEvent(delivery.event), delivery.run
    subject = f"[{current_tenant().slug}] {TITLES[event]}"
    if run is None:
        return subject, f"This is a test of the notice “{delivery.notice}”. Nothing was exported for it."
    subject += f": {run.named_at:%d %B %Y, %H:%M} UTC"
    lines = [_sentence(event, run), *_since(delivery, run), f"The run: {page_of(run)}"]
    lines.append(
        f"You get this because you are in the notice “{delivery.notice}” of {current_tenant().slug}."
    )
    return subject, "\n\n".join(lines)


def _sentence(event: NoticeEvent, run: ExportRun) -> str:
    if event == NoticeEvent.FAILED:
        return f"An export failed, and no file of it was kept. {run.error}"
    if event == NoticeEvent.MISSED:
        return run.error or f"{count(max(run.missed, 1), 'export')} of the schedule did not take place."
    files = list(run.files.order_by("dataset_title"))
    rows = sum(file.rows for file in files)
    skipped = f" {count(len(run.skipped), 'dataset')} had not changed." if run.skipped else ""
    return f"{count(len(files), 'file')} with {count(rows, 'row')} were stored.{skipped}"


def _since(delivery: Delivery, run: ExportRun) -> list[str]:
    """Say how many runs ended like this one since the last mail: people were not told of each."""
    before = delivery.notice.deliveries.filter(
        channel=Delivery.Channel.MAIL, event=delivery.event, run__isnull=False
    )
    last = before.filter(pk__lt=delivery.pk).order_by("-pk").first()
    if last is None or delivery.event == NoticeEvent.SUCCEEDED:
        return []
    runs = ExportRun.objects.filter(
        state=delivery.event, finished_at__gt=last.created_at, finished_at__lt=delivery.created_at
    ).exclude(pk__in=[run.pk, last.run_id])
    more = runs.count()
    return [f"{count(more, 'further run')} ended like this since the last mail."] if more else []


def page_of(run: ExportRun) -> str:
    """Return the address of a run's page."""
    slug = current_tenant().slug
    with in_public():
        tenant = get_tenant_model().objects.filter(slug=slug).first()
        domain = tenant.get_primary_domain() if tenant else None
    path = reverse("admin:exporter_exportrun_change", args=[run.pk], urlconf=settings.ROOT_URLCONF)
    scheme = "https" if settings.IS_PRODUCTION else "http"
    return f"{scheme}://{domain.domain}{path}" if domain else path
