"""A dataset as it was at a moment, read from its history.

As of a moment, a record is what its newest version says among those written by statements that had begun by then, in
the order of their numbers, which is the order in which they held the record. It was there unless that version is a
deletion. Only what is committed counts: while a transaction is open nobody sees what it wrote, and once it is
committed its statements count from when each of them began. So a moment that lies before everything that is being
written now never changes any more; a later one may (`is_being_written`).

Columns are those of today, in their types of today: a change of a type converts the versions as well, so that there is
only one form to read them in. Columns that were added later say nothing of that moment and are left out.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, models
from django.db.models import F, Min, OuterRef, QuerySet, Subquery
from django.db.models.base import ModelBase
from django.db.models.expressions import RawSQL
from django.utils import timezone

from core.clock import now as clock
from core.errors import RowhouseError
from datasets import pruning
from datasets.erasure_models import ErasureRecord
from datasets.fields import model_field
from datasets.models import Column, Dataset
from datasets.rows import ROW_APPS, ModelCache, RowBase
from datasets.spec import ColumnSpec, DatasetSpec

CACHE_SIZE = 64  # of classes; they are looked at far less often than the records as they are
MOST_CHARACTERS = 40


class MomentUnknown(RowhouseError):
    """History does not tell what was at a moment: it lies ahead, before the dataset, or before what is kept."""

    code = "moment-unknown"
    status = 422


class BadMoment(RowhouseError):
    """What was written is no moment."""

    code = "bad-moment"
    status = 422


def read_moment(text: str) -> datetime:
    """Return a moment as a person or a page writes it; without a zone it is one of the server's, which is UTC.

    :raises BadMoment: it cannot be read.
    """
    try:
        at = datetime.fromisoformat(text.strip()[:MOST_CHARACTERS])
        return (at if at.tzinfo else timezone.make_aware(at)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadMoment("Write a moment like 2026-08-26 14:00 or 2026-08-26 14:00:05.") from None


def known_since(dataset: Dataset) -> datetime:
    """Return the first moment that history tells of: older versions are gone, or the dataset was not there."""
    gone = pruning.removed_before(dataset, clock())
    return dataset.created_at if gone is None else max(dataset.created_at, gone)


def whole_second(at: datetime) -> datetime:
    """Return the first whole second not before a moment: what is shown can be chosen."""
    return at.replace(microsecond=0) + timedelta(seconds=bool(at.microsecond))


def in_words(at: datetime) -> str:
    """Return a moment as people read it, with as much of a second as it has."""
    at = at.astimezone(UTC)
    return f"{at:%Y-%m-%d %H:%M:%S}{f'.{at:%f}' if at.microsecond else ''} UTC"


def require_known(dataset: Dataset, *moments: datetime) -> datetime:
    """Go on only if history tells of each of these moments; return the first one it tells of.

    :raises MomentUnknown: it does not.
    """
    since = known_since(dataset)
    for at in moments:
        if at > clock():
            raise MomentUnknown(
                f"{in_words(at)} lies ahead, and nobody knows what will be. Choose a moment from {first_words(since)}"
                " to now."
            )
        if at < since:
            what = "exists" if since == dataset.created_at else "has a history"
            why = "" if since == dataset.created_at else " What was before is removed after its time."
            raise MomentUnknown(
                f"“{dataset.title}” {what} since {first_words(since)}.{why} Choose a moment from then to now."
            )
    return since


def first_words(since: datetime) -> str:
    """Return the first moment that can be chosen, to the second."""
    return in_words(whole_second(since))


def columns_since(dataset: Dataset, at: datetime) -> frozenset[int]:
    """Return the columns, by primary key, that were added after a moment. One query."""
    began = Column.history.filter(dataset_id=dataset.pk).values("id").annotate(at=Min("history_date"))
    return frozenset(began.filter(at__gt=at).order_by().values_list("id", flat=True))


def spec_of_then(
    dataset: Dataset, spec: DatasetSpec, at: datetime
) -> tuple[DatasetSpec, tuple[ColumnSpec, ...]]:
    """Return `spec` without the columns that were added after a moment, and those columns.

    What is part of the key stays: records are called by it. `spec` is the dataset's, or what one person sees of it.
    """
    later = columns_since(dataset, at)
    left = tuple(one for one in spec.columns if one.pk in later and one.name not in spec.key)
    kept = tuple(one for one in spec.columns if one not in left)
    return replace(spec, columns=kept), left


def build_model_of_then(spec: DatasetSpec) -> type[RowBase]:
    """Return a class over the versions of a dataset that reads like its records: the primary key is the record's."""
    fields: dict[str, Any] = {"id": models.BigAutoField(primary_key=True)}
    fields |= {column.name: model_field(column) for column in spec.columns}
    fields |= {
        "history_id": models.BigIntegerField(),
        "history_date": models.DateTimeField(),
        "history_type": models.CharField(max_length=1),
    }
    options = {
        "app_label": "datasets",
        "apps": ROW_APPS,
        "db_table": spec.history_table,
        "default_permissions": (),
        "verbose_name": "record",
        "verbose_name_plural": spec.title,
    }
    attributes = {"__module__": __name__, "Meta": type("Meta", (), options), "spec": spec, **fields}
    # The name of the class of its records, so that addresses made from it are theirs.
    model: type[RowBase] = ModelBase(f"Ds{spec.pk}", (RowBase,), attributes)  # type: ignore[assignment]
    return model


MODELS_OF_THEN = ModelCache(CACHE_SIZE, build_model_of_then)


def records_as_of(spec: DatasetSpec, at: datetime, *, all_of_them: bool = False) -> QuerySet[Any]:
    """Return the records as of a moment, as a queryset that is filtered and sorted like that of the records.

    Without `all_of_them` it is made for a page in the order of the records' numbers: history is walked by the index
    of numbers, and of each version met it is asked whether it is the newest by then, which ends with the page. The
    condition is a comparison with a subquery, which the planner can neither turn into a join of all versions nor take
    for rare. With it, the newest versions of all records are gathered first, which is what counting, writing and
    sorting all of them takes.
    """
    model = MODELS_OF_THEN.get(spec)
    # The versions of a record that was erased say nothing: it is shown as if it had never been there.
    # NOT IN is read once and hashed; an anti-join would be another plan.
    erased = ErasureRecord.objects.filter(dataset_number=spec.pk, is_gone=True).values("record_id")
    written = model.objects.filter(history_date__lte=at)
    if all_of_them:
        newest: Any = RawSQL(  # noqa: S611 -- of a generated name
            f'SELECT DISTINCT ON (id) history_id FROM "{spec.history_table}" WHERE history_date <= %s'
            " ORDER BY id, history_id DESC",
            [at],
        )
        return written.exclude(history_type="-").exclude(id__in=erased).filter(history_id__in=newest)
    # The sum keeps the planner from walking back through all of history by its primary key.
    own = written.filter(id=OuterRef("id")).order_by((F("history_id") + 0).desc()).values("history_id")[:1]
    shown = written.exclude(history_type="-").exclude(id__in=erased)
    return shown.filter(history_id__gte=Subquery(own))


def is_being_written(spec: DatasetSpec) -> bool:
    """Return whether somebody is writing records at this moment: as of a moment of just now may still change."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype = 'relation' AND mode = 'RowExclusiveLock'"
            " AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())"
            " AND relation = to_regclass(%s) AND pid <> pg_backend_pid())",
            [spec.table],
        )
        return bool(cursor.fetchone()[0])
