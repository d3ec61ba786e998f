"""Whether records changed since a snapshot: history knows, and asking it costs next to nothing."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.db import connection

from core.tenancy import in_public
from datasets.spec import DatasetSpec

if TYPE_CHECKING:
    from django.db.backends.utils import CursorWrapper

LONGEST_TRANSACTION = timedelta(days=1)
CLOCK_MARGIN = timedelta(minutes=5)  # by so much a server's clock may have been set back


def oldest_transaction() -> datetime | None:
    """Return when the oldest transaction began that goes on now; None if a session hides that from us.

    What a snapshot taken after this does not see was written by a transaction that began then or later.
    """
    # With the platform's rights: to a tenant's roles every session is another's, their own too.
    with in_public(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")  # or it would be as it was when first looked at
        cursor.execute(
            "SELECT min(xact_start), bool_or(state IS NULL) FROM pg_stat_activity"
            # Background processes have no user; of a hidden session everything else is NULL.
            " WHERE datname = current_database() AND usesysid IS NOT NULL"
        )
        since, is_hidden = cursor.fetchone()
    return None if is_hidden else since


def unseen_since(oldest: datetime | None, taken_at: datetime) -> datetime:
    """Return a moment before all that a snapshot does not see.

    :param oldest: when the oldest transaction began that went on when it was taken, if that is known.
    """
    return (oldest or taken_at - LONGEST_TRANSACTION) - CLOCK_MARGIN


def has_unseen(
    cursor: CursorWrapper, spec: DatasetSpec, *, snapshot: str, taken_at: datetime, oldest: datetime | None
) -> bool:
    """Return whether history, as `cursor` sees it, has an entry the snapshot does not see. Never a wrong no.

    Every change leaves an entry with its transaction's number. Its date keeps the search to the last pages of
    history: entries the snapshot does not see are not older than `oldest`, the beginning of the oldest transaction
    when it was taken. One dated after `taken_at` counts whatever its number: a restored database counts anew.
    """
    # By the index: without statistics of the dates the planner would rather read the table.
    cursor.execute("SET LOCAL enable_seqscan = off")
    cursor.execute(
        f"SELECT EXISTS (SELECT FROM {spec.history_table} WHERE history_date >= %s"
        " AND (history_date > %s OR NOT pg_visible_in_snapshot(history_xid, %s::pg_snapshot)))",
        [unseen_since(oldest, taken_at), taken_at, snapshot],
    )
    found = bool(cursor.fetchone()[0])
    cursor.execute("SET LOCAL enable_seqscan = DEFAULT")
    return found
