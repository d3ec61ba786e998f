"""What of a dataset changed since an earlier file: which file that is, and the SQL of the changes.

Changes are told by key: a record whose key became another is a deletion and a creation, one that was deleted and made
anew is a change, and what was changed and changed back is nothing. So a full file with the changes of all later ones
applied in order is the dataset, whatever happened in between. A dataset without a key has nothing to tell its records
by, and gets full files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from django.db import connection

from datasets.columntypes import type_of
from datasets.models import Dataset, Erasure
from datasets.pruning import removed_before
from datasets.spec import ColumnSpec, DatasetSpec
from datasets.sqltext import quoted
from datasets.unseen import CLOCK_MARGIN
from exporter.form import FileForm
from exporter.manifest import change_label
from exporter.models import Content, ExportFile, ExportSettings, Fault
from exporter.snapshot import ALIAS, Snapshot
from exporter.writers.base import Column, Table, table_of

# The first column of a file of changes. No column of a dataset has this number, so none has its name.
CHANGE = ColumnSpec(pk=0, label="_change", type="text")


@dataclass(frozen=True, slots=True)
class Increment:
    """The changes since a file: `source` is an item of FROM named `r` with CHANGE and the columns of the form.

    It has one row for each key. Created and changed records have all of their values, deleted ones their key alone.
    """

    base: ExportFile
    source: str
    order: str


def increment_of(
    source: Snapshot, dataset: Dataset, settings: ExportSettings, form: FileForm
) -> Increment | None:
    """Return what the next file of a dataset holds where changes alone will do; None: it has to be a full one.

    The files it goes on from stay until the transaction ends.
    """
    spec = dataset.spec()
    if settings.content != Content.INCREMENTAL or not _tells_records(spec, form):
        return None
    # As the snapshot sees it: a file of a later snapshot may be stored by now, and is none to go on from.
    # One in another form, that somebody asked for in between, is no matter.
    seen = ExportFile.objects.using(ALIAS).filter(dataset=dataset.pk, form=form.to_json())
    base_pk = seen.order_by("-created_at", "-pk").values_list("pk", flat=True).first()
    if base_pk is None:
        return None
    base = ExportFile.objects.select_related("run").get(pk=base_pk)
    if not _fits(base, dataset, settings) or not _holds(chain := chain_of(base)):
        return None
    if len(chain) > settings.full_after or not _reaches_back(source, dataset, base):
        return None
    order = ", ".join(quoted([name], "r.") for name in spec.key)
    return Increment(base, f"({_changes_sql(source, spec, form, base)}) AS r", order)


def table_of_changes(increment: Increment, spec: DatasetSpec, form: FileForm) -> Table:
    """Return the rows of a file of changes, in the key's order."""
    every = table_of(spec, form)
    columns = (Column(change_label(form), CHANGE), *every.columns)
    return replace(every, columns=columns, source=increment.source, order=increment.order)


def chain_of(file: ExportFile) -> list[ExportFile]:
    """Return the files a file takes to be the dataset: a full one first, itself last."""
    chain = [file]
    while chain[0].base_id is not None:
        chain.insert(0, ExportFile.objects.select_related("run").get(pk=chain[0].base_id))
    return chain


def newest_entry(source: Snapshot, dataset: Dataset) -> int:
    """Return the number of the newest entry of a dataset's history that the snapshot sees; 0: there is none."""
    with source.cursor() as cursor:
        cursor.execute(f"SELECT coalesce(max(history_id), 0) FROM {dataset.spec().history_table}")
        return int(cursor.fetchone()[0])


def _tells_records(spec: DatasetSpec, form: FileForm) -> bool:
    written = {column.column for column in form.columns}
    return bool(spec.key) and all(column.pk in written for column in spec.key_columns)


def _fits(base: ExportFile, dataset: Dataset, settings: ExportSettings) -> bool:
    return (
        base.definition_version == dataset.definition_version
        and base.destination_id == settings.destination_id
        and bool(base.run.snapshot)
    )


def _holds(chain: Sequence[ExportFile]) -> bool:
    """Keep the files of a chain until the transaction ends; False: one of them is pruned or faulty."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT id FROM {ExportFile._meta.db_table} WHERE id = ANY(%s) AND deleted_at IS NULL AND fault = %s"
            " ORDER BY id FOR SHARE",
            [[file.pk for file in chain], Fault.NONE],
        )
        return len(cursor.fetchall()) == len(chain)


def _reaches_back(source: Snapshot, dataset: Dataset, base: ExportFile) -> bool:
    """Return whether history still has all that was written since the base, and what was there before."""
    spec, since = dataset.spec(), _unseen_since(base)
    table = spec.history_table
    gone = removed_before(dataset, source.at, using=ALIAS)
    if gone is not None and (since is None or since < gone):
        return False
    # The versions of erased records say nothing, not even by which key their deletion could be told.
    erased = Erasure.objects.using(ALIAS).filter(
        records__dataset_number=dataset.pk, confirmed_at__isnull=False
    )
    if erased.exclude(ended_at__lte=base.created_at).exists():
        return False
    with source.cursor() as cursor:
        cursor.execute(
            f"SELECT %s = 0 OR EXISTS (SELECT FROM {table} WHERE history_id = %s)", [base.history_id] * 2
        )
        if not cursor.fetchone()[0]:
            return False
        _prefer_indexes(cursor, base)
        cursor.execute(
            f"WITH {_touched_sql(source, spec, base)} SELECT EXISTS (SELECT FROM touched c WHERE c.kind <> '+'"
            f" AND NOT EXISTS (SELECT FROM {table} b WHERE b.id = c.id AND {_seen(source, base, 'b')}))"
        )
        is_short: bool = cursor.fetchone()[0]
        cursor.execute("SET LOCAL enable_seqscan = DEFAULT")
    return not is_short


def _changes_sql(source: Snapshot, spec: DatasetSpec, form: FileForm, base: ExportFile) -> str:
    columns = form.specs(spec)
    cells = ", ".join(
        f"coalesce({new}, {old}) AS {name}" if one.name in spec.key else f"{new} AS {name}"
        for one in columns
        for name, new, old in [[quoted([one.name], prefix) for prefix in ("", "n.", "o.")]]
    )
    # By what the file would say: what it does not hold is no change of it.
    new, old = (
        ", ".join(type_of(one).text_sql(quoted([one.name], prefix)) for one in columns)
        for prefix in ("n.", "o.")
    )
    same_key = " AND ".join(f"{quoted([name], 'n.')} = {quoted([name], 'o.')}" for name in spec.key)
    # "+ 0": by the index of all earlier entries each record would cost the whole table.
    before = (
        f"SELECT b.* FROM {spec.history_table} b WHERE b.id = c.id AND {_seen(source, base, 'b')}"
        " ORDER BY b.history_id + 0 DESC LIMIT 1"
    )
    return (
        f"WITH {_touched_sql(source, spec, base)},"
        f" o AS (SELECT b.* FROM touched c CROSS JOIN LATERAL ({before}) b WHERE b.history_type <> '-'),"
        f" n AS (SELECT t.* FROM touched c JOIN {spec.table} t ON t.id = c.id)"
        " SELECT CASE WHEN o.id IS NULL THEN 'created' WHEN n.id IS NULL THEN 'deleted' ELSE 'changed' END"
        f" AS {CHANGE.name}, {cells} FROM n FULL JOIN o ON {same_key}"
        f" WHERE n.id IS NULL OR o.id IS NULL OR ({new}, 0) IS DISTINCT FROM ({old}, 0)"
    )


def _touched_sql(source: Snapshot, spec: DatasetSpec, base: ExportFile) -> str:
    """Return a table expression of the records written since the base, each with the kind of the first entry."""
    since = _unseen_since(base)
    with source.cursor() as cursor:
        # The date keeps the search to some pages of the index; where nobody knows it, all of history is read.
        dated = cursor.mogrify(" AND history_date >= %s", [since]).decode() if since else ""
    return (
        "touched AS MATERIALIZED (SELECT DISTINCT ON (id) id, history_type AS kind"
        f" FROM {spec.history_table} h WHERE NOT {_seen(source, base, 'h')}{dated} ORDER BY id, history_id)"
    )


def _unseen_since(base: ExportFile) -> datetime | None:
    """Return a moment before all that the base's snapshot does not see; None: nobody knows."""
    return None if base.run.oldest_at is None else base.run.oldest_at - CLOCK_MARGIN


def _seen(source: Snapshot, base: ExportFile, alias: str) -> str:
    """Return the condition that the base's snapshot saw an entry of history."""
    # The date too: a restored database counts its transactions anew.
    condition = (
        f"({alias}.history_date <= %s AND pg_visible_in_snapshot({alias}.history_xid, %s::pg_snapshot))"
    )
    with source.cursor() as cursor:
        made: bytes = cursor.mogrify(condition, [base.created_at, base.run.snapshot])
    return made.decode()


def _prefer_indexes(cursor: object, base: ExportFile) -> None:
    # Without statistics of the dates the planner would rather read all of history.
    if _unseen_since(base):
        cursor.execute("SET LOCAL enable_seqscan = off")  # type: ignore[attr-defined]
