"""Who changes records, and why: set for one transaction, read by the history trigger."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction

from core.backend.cursors import Statements

_ACTOR = Statements("SET LOCAL rowhouse.user_id = %s; SET LOCAL rowhouse.reason = %s")


@contextmanager
def actor(user_id: int | None, reason: str) -> Iterator[None]:
    """Run the block in a transaction whose changes history ascribes to a user and a reason.

    `SET LOCAL` and not set_config(): a tenant's role may not call that. It ends with the
    transaction, so the block always opens one; inside another it ends with the outer one, and the former
    actor is put back.
    """
    with transaction.atomic():
        before = _current()
        _set("" if user_id is None else str(int(user_id)), reason)
        yield
        _set(*before)


@contextmanager
def only_changes() -> Iterator[None]:
    """Tell history that every UPDATE of the block changes each row it touches, so that it need not compare them.

    A merge has compared them already. Must be inside a transaction.
    """
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL rowhouse.all_differ = 'yes'")
    yield
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL rowhouse.all_differ = ''")


def _current() -> tuple[str, str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(current_setting('rowhouse.user_id', true), ''),"
            " coalesce(current_setting('rowhouse.reason', true), '')"
        )
        user_id, reason = cursor.fetchone()
        return user_id, reason


def _set(user_id: str, reason: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_ACTOR, [user_id, reason[:500]])
