"""The merge: what the plan says, in one transaction, or nothing."""

from __future__ import annotations

from django.contrib.auth import get_user_model
from django.db import IntegrityError, connection

from audit.actor import actor, only_changes
from core.words import count
from datasets import ddl
from datasets.bulk import first_load
from datasets.changing import has_moved
from datasets.spec import ColumnSpec, DatasetSpec
from importer import plan, recognise, references, rights, services, staging
from importer.models import ImportJob, State
from importer.parts import staged_of
from importer.preview import DefinitionChanged
from importer.refusals import Staged
from importer.rights import NoLongerPermitted
from importer.staging import plan_table, quoted, staging_table, use_memory
from jobs.kinds import Slice, Step

MANY_VERSIONS = 20_000  # fewer are read in no time, and are soon vacuumed


class PlanStale(Exception):
    """The merge met records that are not as the plan saw them."""

    def __init__(self, drift: plan.Drift, notice: str = "") -> None:
        super().__init__(drift)
        self.drift = drift
        self.notice = notice or stale_notice(drift)


def broken(error: IntegrityError) -> PlanStale:
    """Return what to make of a merge that a constraint refused: the records are not those of the plan."""
    return PlanStale(plan.Drift(1), references.BROKEN if references.is_broken(error) else "")


def run(job: ImportJob, work: Slice) -> Step:
    """Do one slice: first the whole merge, then tidying up.

    Delivered twice, the second time finds the job out of IMPORT_IN_PROGRESS and writes nothing.

    :raises NoLongerPermitted: the person who confirmed may not do it any more.
    :raises DefinitionChanged: the dataset's definition is not the one of the preview.
    """
    if work.cursor.get("phase") == "tidy":
        return _tidy(job)
    if job.state != State.IMPORT_IN_PROGRESS:
        return Step(done=True)
    with work.long_statement():
        hold_dataset(job, otherwise="Preview it again.")
        require_confirmer(job, work.payload.get("by"))
        if job.is_same and not recognise.is_still_so(job, job.dataset.spec()):
            return back(job, "Records changed since the preview. It was made again; look at it and confirm.")
        if job.deleted_rows and job.head.get("agreed") != job.deleted_rows:
            return back(job, "Nobody has agreed to the deletions yet. Look at them, then confirm.")
        if not staging.is_kept(job):
            return back(job, "The database restarted and lost the staged rows. The file was read again.")
        try:
            if not job.is_same:
                _merge(job, work.payload.get("by"))
        except PlanStale as stale:
            return back(job, stale.notice, drifted=stale.drift.words())
    services.finish_import(job)
    return Step(done=False, cursor={"phase": "tidy"}, processed=job.changes_in_all)


def hold_dataset(job: ImportJob, *, otherwise: str) -> None:
    """Hold the dataset until the transaction ends, as the preview saw it.

    :param otherwise: what a person is to do when it is another by now.
    :raises DefinitionChanged: its definition is not the one of the preview.
    """
    ddl.lock_dataset(job.dataset.pk)
    job.dataset.refresh_from_db()
    if job.dataset.definition_version != job.definition_version:
        raise DefinitionChanged(f"The dataset's definition changed since the preview. {otherwise}")


def require_confirmer(job: ImportJob, user_id: int | None) -> None:
    """Let a merge go on whose confirmer may still do all that the plan does.

    :raises NoLongerPermitted: a right was taken, or the person is not active any more.
    """
    if user_id is None:
        return
    user = get_user_model().objects.filter(pk=user_id).first()
    if user is None or not user.is_active or rights.missing_right(user, job):
        raise NoLongerPermitted(
            "The person who confirmed this import may no longer do it. Nothing was imported;"
            " somebody with the right to import must upload the file."
        )


def _merge(job: ImportJob, user_id: int | None) -> None:
    staged = staged_of(job, job.dataset.spec())
    try:
        # A savepoint: when the plan is stale the job itself still has to be written.
        with actor(user_id, job.reason):
            hold_writers(staged.spec)
            drift = plan.drift(staged)
            if drift.entries:
                raise PlanStale(drift)
            with ddl.references_at_the_end(staged.spec):
                # In this order: what goes frees the unique values that others take.
                deleted = _delete(staged)
                updated = _update(staged)
                with first_load(staged.spec, job.created_rows) as is_first:
                    created = _insert(staged, is_first=is_first)
            if (created, updated, deleted) != (job.created_rows, job.updated_rows, job.deleted_rows):
                raise PlanStale(plan.Drift(1))
    except IntegrityError as error:
        raise broken(error) from error


def hold_writers(spec: DatasetSpec) -> None:
    # Between the check of the plan and the last write nobody may change a record. Readers go on; whoever
    # edits waits for the merge, which touches only what changes.
    with connection.cursor() as cursor:
        cursor.execute(f"LOCK TABLE {spec.table} IN SHARE ROW EXCLUSIVE MODE")
        # The history trigger is handed every new row at once; what does not fit goes through temporary files.
        use_memory(cursor)


def _delete(staged: Staged) -> int:
    job = staged.job
    if not job.deleted_rows:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(
            f"DELETE FROM {staged.spec.table} t USING {plan_table(job.pk)} d WHERE d.op = '-' AND t.id = d.id"
        )
        return int(cursor.rowcount)


def _insert(staged: Staged, *, is_first: bool) -> int:
    job, spec = staged.job, staged.spec
    if not job.created_rows:
        return 0
    names = [column.name for column in staged.columns]
    is_exact = bool(job.head.get("is_exact"))
    values = ", ".join(_new_value(column, is_exact=is_exact) for column in staged.columns)
    source = f"{staging_table(job.pk)} s"
    if job.created_rows != job.staged_rows:
        source += f" JOIN {plan_table(job.pk)} d USING (rn) WHERE d.op = '+'"
    # In the key's order: its index is then filled from left to right. A first load has none to fill.
    is_ordered = is_first or plan.is_in_key_order(job, spec)
    order = "" if is_ordered else f" ORDER BY {quoted(spec.key or ['rn'], 's.')}"
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {spec.table} ({quoted(names)}) SELECT {values} FROM {source}{order}")
        return int(cursor.rowcount)


def _new_value(column: ColumnSpec, *, is_exact: bool) -> str:
    """Return the SQL of what a new record gets: a cell without a value leaves room for the column's default.

    But for an exact file, which knows of each record whether it has a value.
    """
    own = quoted([column.name], "s.")
    return (
        own if is_exact or column.options.default is None else f"coalesce({own}, {ddl.default_sql(column)})"
    )


def _update(staged: Staged) -> int:
    job, spec = staged.job, staged.spec
    if not job.updated_rows:
        return 0
    names = plan.changing_columns(staged)
    changes = ", ".join(f"{quoted([name])} = {plan.new_value(staged, name)}" for name in names)
    # In the records' own order, which halves it: pages and indexes, those of history too, are gone through once.
    # OFFSET 0 keeps the planner from another order. Each is found at its place, and is the one that was meant.
    source = (
        f"SELECT d.id AS record, d.at, {quoted(names, 's.')} FROM {plan.changing_rows(staged)}"
        " ORDER BY d.id OFFSET 0"
    )
    assert job.previewed_at is not None
    # After a change of the definition they are elsewhere: then by number alone, which is slower.
    place = "" if has_moved(spec.pk, since=job.previewed_at) else "t.ctid = s.at AND "
    with only_changes(), connection.cursor() as cursor:
        # What it asks for in their order comes in the order it lies in; else the planner reads the whole table.
        cursor.execute("SET LOCAL random_page_cost = 0")
        cursor.execute(f"UPDATE {spec.table} t SET {changes} FROM ({source}) s WHERE {place}t.id = s.record")
        updated = int(cursor.rowcount)
        cursor.execute("SET LOCAL random_page_cost = DEFAULT")
        return updated


def back(job: ImportJob, notice: str, *, drifted: str = "") -> Step:
    """Take an import back to its preview, with the reason."""
    services.preview_again(job, old=State.IMPORT_IN_PROGRESS, notice=notice, drifted=drifted)
    return Step(done=True)


def stale_notice(drift: plan.Drift) -> str:
    """Return what to tell a person whose preview is out of date. Which records, only those may know who view them."""
    changed = f"{count(drift.entries, 'record')} changed since the preview."
    return f"{changed} It was made again; look at it and confirm."


def _tidy(job: ImportJob) -> Step:
    services.forget_files(job)
    spec = job.dataset.spec()
    if job.created_rows or job.deleted_rows:  # else there are as many records as before
        with connection.cursor() as cursor:
            # The lists' estimated counts come from here; the other columns' statistics are autovacuum's.
            cursor.execute(f"ANALYZE {spec.table} ({quoted(['id', *spec.key])})")
    if job.changes_in_all >= MANY_VERSIONS:  # last: the slice's own patience with locks ends here
        ddl.index_new_versions(spec)
    return Step(done=True)
