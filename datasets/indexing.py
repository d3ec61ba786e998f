"""Indexes that people ask for, so that a column sorts or is searched fast: ask, build, remove.

They are built by a job, CONCURRENTLY: nobody waits for them but the job. A statement that may not run inside a
transaction needs a connection of its own, beside the job's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg2
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, connection, transaction

from accounts.models import User
from audit.services import record
from core.backend.passwords import connect_aside
from core.errors import RowhouseError
from core.tenancy import as_owner, current_tenant
from datasets import access, ddl
from datasets.liststate import holds_words
from datasets.models import Dataset, RecordIndex
from datasets.spec import ColumnSpec, DatasetSpec
from jobs import services as jobs

EXTENSION_SCHEMA = "ext"
# An entry of a B-tree has at most 2,704 bytes, and a character up to four: longer texts could not be saved any more.
MOST_SORTED_CHARACTERS = 600
OFFER_FROM = 50_000  # records; fewer are sorted and searched in no time
SORT_BYTES = 30  # of one record in an index, about; for the words of an offer alone
SEARCH_BYTES = 100
BUILD_SECONDS = 4 * 60 * 60
_STATE = RecordIndex.State
_KIND = RecordIndex.Kind


class NotIndexable(RowhouseError):
    """This column cannot have such an index, or has one."""

    code = "not-indexable"


class IndexBusy(RowhouseError):
    """Indexes of this dataset are being built."""

    code = "index-busy"


@dataclass(frozen=True, slots=True)
class Built:
    """What the database says of an index: its bytes, and of one being built how far it is, in percent."""

    bytes: int
    percent: int | None


def searched_columns(columns: Sequence[ColumnSpec]) -> list[ColumnSpec]:
    """Return the columns whose texts a search reads."""
    return [column for column in columns if holds_words(column) or column.type == "choice"]


def counted_columns(columns: Sequence[ColumnSpec]) -> list[ColumnSpec]:
    """Return the columns whose numbers a search compares."""
    return [column for column in columns if column.type in ("integer", "decimal")]


def why_not_sorted(column: ColumnSpec) -> str:
    """Return why a column can have no index to sort by, or an empty text."""
    if column.type == "json":
        return "Values of this kind have no order."
    if holds_words(column):
        limit = column.options.max_length
        if limit is None or limit > MOST_SORTED_CHARACTERS:
            return f"Only texts limited to {MOST_SORTED_CHARACTERS} characters can be indexed for sorting."
    return ""


def led_by(table: str) -> set[str]:
    """Return the columns that a usable index of a table begins with. One query."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT a.attname FROM pg_catalog.pg_index i JOIN pg_catalog.pg_attribute a"
            " ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]"
            " WHERE i.indrelid = to_regclass(%s) AND i.indisvalid AND i.indpred IS NULL",
            [f'"{table}"'],
        )
        return {name for (name,) in cursor.fetchall()}


# ---- asking


@transaction.atomic
def request_sort_index(*, dataset: Dataset, column: ColumnSpec, by: User) -> RecordIndex:
    """Ask for an index that has a column's order.

    :raises PermissionDenied: `by` may not change the dataset.
    :raises NotIndexable: the column's values are too long, or an index begins with it already.
    :raises IndexBusy: others of this dataset are being built.
    """
    _require(by, dataset)
    if reason := why_not_sorted(column):
        raise NotIndexable(f"“{column.label}” cannot be indexed. {reason}")
    if column.name in led_by(dataset.spec().table):
        raise NotIndexable(f"“{column.label}” has an index already.")
    [made] = _request(dataset, [(column, _KIND.SORT)], by)
    return made


@transaction.atomic
def make_search_fast(*, dataset: Dataset, by: User) -> list[RecordIndex]:
    """Ask for the indexes that a search of the dataset needs and does not have.

    :raises PermissionDenied: `by` may not change the dataset.
    :raises NotIndexable: it has them all, or the server does not offer pg_trgm.
    :raises IndexBusy: others of this dataset are being built.
    """
    _require(by, dataset)
    if not has_trigrams():
        raise NotIndexable(
            "The database server does not offer the extension pg_trgm. Ask who runs it to install it."
        )
    wanted = missing_for_search(dataset.spec())
    if not wanted:
        raise NotIndexable("Search is fast here already.")
    return _request(dataset, wanted, by)


def missing_for_search(spec: DatasetSpec) -> list[tuple[ColumnSpec, str]]:
    """Return the columns a search reads whole, with the kind of index each lacks. Two queries."""
    kept = set(
        RecordIndex.objects.filter(dataset_id=spec.pk)
        .exclude(state=_STATE.FAILED)
        .values_list("column_id", "kind")
    )
    led = led_by(spec.table)
    texts = [(one, _KIND.SEARCH.value) for one in searched_columns(spec.columns)]
    numbers = [(one, _KIND.SORT.value) for one in counted_columns(spec.columns) if one.name not in led]
    return [(column, kind) for column, kind in (*texts, *numbers) if (column.pk, kind) not in kept]


def has_trigrams() -> bool:
    """Return whether the server has, or could have, pg_trgm."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_catalog.pg_available_extensions WHERE name = 'pg_trgm')"
        )
        return bool(cursor.fetchone()[0])


def _require(by: User, dataset: Dataset) -> None:
    if not access.may(by, "manage", dataset):
        raise PermissionDenied("Only who may change the dataset may make or remove its indexes.")


def _request(dataset: Dataset, wanted: Sequence[tuple[ColumnSpec, str]], by: User) -> list[RecordIndex]:
    RecordIndex.objects.filter(dataset=dataset, state=_STATE.FAILED).filter(
        column_id__in=[column.pk for column, _ in wanted]
    ).delete()
    try:
        with transaction.atomic():
            made = [
                RecordIndex.objects.create(dataset=dataset, column_id=column.pk, kind=kind, created_by=by)
                for column, kind in wanted
            ]
    except IntegrityError:
        raise IndexBusy("This index was asked for already. Wait until it is there.") from None
    try:
        job = jobs.submit(
            "datasets.index",
            target=f"indexes of dataset {dataset.pk}",
            payload={"dataset": dataset.pk, "indexes": [one.pk for one in made]},
        )
    except jobs.TargetBusy:
        raise IndexBusy("Indexes of this dataset are being built. Wait until they are there.") from None
    RecordIndex.objects.filter(pk__in=[one.pk for one in made]).update(job_id=job.pk)
    record("datasets.index.requested", actor=by, target=dataset, columns=[one.column_id for one in made])
    return made


@transaction.atomic
def remove_index(*, index: RecordIndex, by: User | None) -> None:
    """Remove an index. The records are as they were; sorting or searching them takes longer again.

    :raises PermissionDenied: `by` may not change the dataset.
    :raises IndexBusy: it is being built.
    :raises DatasetBusy: somebody is reading or writing the records for longer than we wait.
    """
    if by is not None:
        _require(by, index.dataset)
    gone = RecordIndex.objects.filter(pk=index.pk).exclude(state=_STATE.BUILDING).delete()[0]
    if not gone:
        raise IndexBusy("This index is being built, or gone already. Cancel its job, or wait.")
    _drop(index)
    record("datasets.index.removed", actor=by, target=index.dataset, column=index.column_id, kind=index.kind)


@as_owner()
def _drop(index: RecordIndex) -> None:
    with ddl.short_wait(), connection.cursor() as cursor:
        cursor.execute(f'DROP INDEX IF EXISTS "{index.index_name}"')


def forget_indexes(dataset: Dataset, columns: Sequence[int] | None = None) -> int:
    """Drop the indexes of a dataset, or of some columns of it, whose type is about to change; return how many."""
    found = RecordIndex.objects.filter(dataset=dataset)
    if columns is not None:
        found = found.filter(column_id__in=columns)
    indexes = list(found)
    for index in indexes:
        _drop(index)
        index.delete()
    return len(indexes)


# ---- building


def build(index: RecordIndex) -> None:
    """Build an index from a connection of its own, and note that it is there. May be done again after a death.

    :raises NotIndexable: a value is too long for it.
    """
    schema = current_tenant().schema
    spec = index.dataset.spec()
    column = next((one for one in spec.columns if one.pk == index.column_id), None)
    if column is None:
        index.delete()
        return
    with _aside() as cursor:
        if index.kind == _KIND.SEARCH:
            trigrams = _trigram_schema(cursor)
            what = f'USING gin (upper("{column.name}") "{trigrams}".gin_trgm_ops)'
        else:
            what = f'("{column.name}", "id")'
        # What a worker that died left behind is no index, and would be kept up to date all the same.
        cursor.execute(f'DROP INDEX CONCURRENTLY IF EXISTS "{schema}"."{index.index_name}"')
        try:
            cursor.execute(
                f'CREATE INDEX CONCURRENTLY "{index.index_name}" ON "{schema}"."{spec.table}" {what}'
            )
        except psycopg2.errors.ProgramLimitExceeded as error:
            raise NotIndexable(f"A value of “{column.label}” is too long for an index.") from error
        cursor.execute(f'ANALYZE "{schema}"."{spec.table}" ("{column.name}")')
    if RecordIndex.objects.filter(pk=index.pk, state=_STATE.BUILDING).update(state=_STATE.READY):
        record("datasets.index.built", target=index.dataset, column=index.column_id, kind=index.kind)


@contextmanager
def _aside() -> Iterator[Any]:
    link = connect_aside({**connection.get_connection_params(), "connect_timeout": 5})
    try:
        link.autocommit = True
        with link.cursor() as cursor:
            cursor.execute(f"SET statement_timeout = '{BUILD_SECONDS}s'")
            cursor.execute("SET client_connection_check_interval = '5s'")
            yield cursor
    finally:
        link.close()


def _trigram_schema(cursor: Any) -> str:
    """Return the schema of pg_trgm, which is installed if it is not there.

    Never into a tenant's schema, which may be dropped, nor into `public`, which is in no tenant's path.
    """
    found = (
        "SELECT n.nspname FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace"
        " WHERE e.extname = 'pg_trgm'"
    )
    cursor.execute(found)
    row = cursor.fetchone()
    if row is None:
        try:
            cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {EXTENSION_SCHEMA}")
            cursor.execute(f"CREATE EXTENSION IF NOT EXISTS pg_trgm SCHEMA {EXTENSION_SCHEMA}")
        except psycopg2.errors.InsufficientPrivilege as error:
            raise NotIndexable(
                "The extension pg_trgm is not installed, and this database user may not install it. Ask who runs the"
                f" server for: CREATE SCHEMA {EXTENSION_SCHEMA}; CREATE EXTENSION pg_trgm SCHEMA {EXTENSION_SCHEMA}"
            ) from error
        cursor.execute(found)
        row = cursor.fetchone()
    # Indexes name its operators, and their owners are the roles of tenants.
    cursor.execute("SELECT has_schema_privilege('public', %s, 'USAGE')", row)
    if not cursor.fetchone()[0]:
        cursor.execute(f"GRANT USAGE ON SCHEMA {row[0]} TO PUBLIC")
    return str(row[0])


def give_up(indexes: Sequence[int], message: str) -> None:
    """Note that indexes will not be built, and drop what is left of them."""
    for index in RecordIndex.objects.filter(pk__in=indexes, state=_STATE.BUILDING):
        _drop(index)
        RecordIndex.objects.filter(pk=index.pk, state=_STATE.BUILDING).update(
            state=_STATE.FAILED, error=message
        )


# ---- looking


def sizes(indexes: Sequence[RecordIndex]) -> dict[int, Built | None]:
    """Return what the database says of each index; None: it is not there. One query."""
    if not indexes:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name, pg_catalog.pg_relation_size(c.oid),"
            " CASE WHEN p.blocks_total > 0 THEN (100 * p.blocks_done / p.blocks_total)::int END"
            " FROM unnest(%s) AS name JOIN pg_catalog.pg_class c ON c.oid = to_regclass(name)"
            " LEFT JOIN pg_catalog.pg_stat_progress_create_index p ON p.index_relid = c.oid",
            [[one.index_name for one in indexes]],
        )
        found = {name: Built(size, percent) for name, size, percent in cursor.fetchall()}
    return {one.pk: found.get(one.index_name) for one in indexes}
