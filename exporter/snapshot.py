"""A second connection that sees one unchanging state of the tenant's data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from psycopg2.extensions import ISOLATION_LEVEL_REPEATABLE_READ

from core.tenancy import bind_connection
from datasets.models import Dataset
from exporter.sql import FIXED_SETTINGS

if TYPE_CHECKING:
    from django.db.backends.utils import CursorWrapper

ALIAS = "exporter_snapshot"
LOCK_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An open read-only transaction: `name` is PostgreSQL's own text for what it sees, `at` its clock.

    `unseen_since`: what it does not see was written by transactions that began then or later; None: nobody knows.
    """

    name: str
    at: datetime
    unseen_since: datetime | None
    datasets: dict[int, Dataset]  # those that exist, by primary key, as the snapshot sees them

    def cursor(self) -> CursorWrapper:
        return connections[ALIAS].cursor()


@contextmanager
def snapshot(dataset_pks: Iterable[int]) -> Iterator[Snapshot]:
    """Open a snapshot of the current tenant that holds the tables of these datasets against any change of form.

    Records may change meanwhile; the snapshot does not see it. Do not nest.
    """
    connection = connections[DEFAULT_DB_ALIAS].copy(ALIAS)
    connection.settings_dict["OPTIONS"]["isolation_level"] = ISOLATION_LEVEL_REPEATABLE_READ
    bind_connection(connection)
    connections[ALIAS] = connection
    try:
        unseen_since = _oldest_transaction()
        with transaction.atomic(using=ALIAS):
            yield _opened(sorted(dataset_pks), unseen_since)
    finally:
        del connections[ALIAS]
        connection.close()


def _oldest_transaction() -> datetime | None:
    """Return when the oldest open transaction began; None where a session hides it from us.

    Asked before the snapshot is taken: whatever is going on then began by now, or is yet to begin.
    """
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(
            # An hour for a clock that is set back, and for those that have begun and not said so yet.
            "SELECT least(min(xact_start), clock_timestamp()) - interval '1 hour', bool_or(state IS NULL)"
            # Background processes have no user; of a hidden session everything else is NULL.
            " FROM pg_stat_activity WHERE datname = current_database() AND usesysid IS NOT NULL"
        )
        since, is_hidden = cursor.fetchone()
    return None if is_hidden else since


def _opened(dataset_pks: list[int], unseen_since: datetime | None) -> Snapshot:
    existing = Dataset.objects.filter(pk__in=dataset_pks).values_list("pk", flat=True).order_by("pk")
    tables = ", ".join(f'"ds_{pk}"' for pk in existing)
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("SET TRANSACTION READ ONLY")
        cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
        cursor.execute("SET LOCAL statement_timeout = 0")
        for setting in FIXED_SETTINGS:
            cursor.execute(setting)
        if tables:
            # Before the first query, which fixes what the transaction sees: a table changed in between
            # would otherwise be read as empty or through a definition it no longer has.
            cursor.execute(f"LOCK TABLE {tables} IN ACCESS SHARE MODE")
        cursor.execute("SELECT pg_current_snapshot()::text, statement_timestamp()")
        name, at = cursor.fetchone()
    seen = Dataset.objects.using(ALIAS).filter(pk__in=dataset_pks)
    return Snapshot(name, at, unseen_since, {dataset.pk: dataset for dataset in seen})
