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
from datasets.unseen import oldest_transaction
from exporter.sql import FIXED_SETTINGS

if TYPE_CHECKING:
    from django.db.backends.utils import CursorWrapper

ALIAS = "exporter_snapshot"
LOCK_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An open read-only transaction: `name` is PostgreSQL's own text for what it sees, `at` its clock.

    `oldest_at` is the beginning of the oldest transaction of that moment, or None where it is not known.
    """

    name: str
    at: datetime
    oldest_at: datetime | None
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
        with transaction.atomic(using=ALIAS):
            yield _opened(sorted(dataset_pks), oldest_transaction())
    finally:
        del connections[ALIAS]
        connection.close()


def _opened(dataset_pks: list[int], oldest_at: datetime | None) -> Snapshot:
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
    return Snapshot(name, at, oldest_at, {dataset.pk: dataset for dataset in seen})
