"""Sessions of a tenant's people: where somebody is signed in, since when, and ending it.

Django's sessions say nothing of themselves; beside each stands a row of allauth's with device and address. It is
written at sign-in and again at most every SEEN_SECONDS, so that a page costs no statement for it.
"""

from __future__ import annotations

from typing import Any

from allauth.usersessions.models import UserSession
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now
from django.dispatch import receiver
from django.http import HttpRequest

from accounts.models import User
from audit.services import record
from core.clock import now

SEEN = "seen_at"
SEEN_SECONDS = 300
AGENT_LETTERS = 200


def open_sessions(user: User) -> QuerySet[UserSession]:
    """Return where somebody is signed in, the latest seen first."""
    alive = Session.objects.filter(expire_date__gt=Now()).values("session_key")
    found: QuerySet[UserSession] = UserSession.objects.filter(user=user, session_key__in=alive)
    return found.order_by("-last_seen_at", "-pk")


@transaction.atomic
def end_session(*, session: UserSession, by: object) -> None:
    """End one session: its next request is nobody's. Ending one that has ended is nothing."""
    Session.objects.filter(session_key=session.session_key).delete()
    ended, _ = UserSession.objects.filter(pk=session.pk).delete()
    if ended:
        record("accounts.session.ended", actor=by, target=session.user, device=session.user_agent)


@transaction.atomic
def end_sessions(*, user: User, by: object) -> int:
    """End all sessions of somebody, those too that nobody has a list of, and return how many were listed.

    Whoever calls it for his own request signs in again, or keeps the session by `keep_session`.
    """
    User.objects.filter(pk=user.pk).update(session_round=F("session_round") + 1)
    user.refresh_from_db(fields=["session_round"])
    listed = UserSession.objects.filter(user=user)
    keys = list(listed.values_list("session_key", flat=True))
    Session.objects.filter(session_key__in=keys).delete()
    listed.delete()
    record("accounts.sessions.ended", actor=by, target=user, sessions=len(keys))
    return len(keys)


def note_seen(request: HttpRequest, user: User) -> None:
    """Write down that a session was used, if that was not done within SEEN_SECONDS."""
    at = int(now().timestamp())
    if at - request.session.get(SEEN, 0) < SEEN_SECONDS:
        return
    request.session[SEEN] = at
    address = request.META.get("REMOTE_ADDR")
    if not address:  # no browser's: a program's of our own
        return
    if not request.session.session_key:
        request.session.save()
    UserSession.objects.update_or_create(
        session_key=request.session.session_key,
        defaults={
            "user": user,
            "ip": address,
            "user_agent": request.META.get("HTTP_USER_AGENT", "")[:AGENT_LETTERS],
            "last_seen_at": now(),
        },
    )


@receiver(user_logged_in)
def begin(sender: Any, request: HttpRequest, user: object, **_kwargs: Any) -> None:
    """Write down where a session begins."""
    if isinstance(user, User):
        request.session.pop(SEEN, None)
        note_seen(request, user)


def keep_session(request: HttpRequest, user: User) -> None:
    """Let this request's session go on, under a new key, after all of the person's were ended."""
    update_session_auth_hash(request, user)
    request.session.pop(SEEN, None)
    note_seen(request, user)
