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
WRITERS_LOCKS = ("RowExclusiveLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock")


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


def last_number(spec: DatasetSpec) -> int | None:
    """Return the number that the dataset's history gave last, or None while anybody else writes to the dataset.

    What a snapshot taken after this does not see has a higher number. For whoever writes takes a number only after
    the tables' locks, keeps these to the transaction's end, and is seen by every snapshot after that: who has
    taken one by now and is not seen then, writes now. Nobody keeps numbers for later (the sequence has no cache).
    """
    with connection.cursor() as cursor:
        number = current_number(spec)
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE relation IN (%s::regclass, %s::regclass)"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            " AND pid <> pg_backend_pid() AND mode = ANY(%s))",
            [spec.table, spec.history_table, list(WRITERS_LOCKS)],
        )
        is_written = cursor.fetchone()[0]
    return None if is_written else number


def current_number(spec: DatasetSpec) -> int:
    """Return the highest number that anybody has taken for an entry of the dataset's history, committed or not."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence(%s, 'history_id')::regclass), 0)",
            [spec.history_table],
        )
        return int(cursor.fetchone()[0])


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
