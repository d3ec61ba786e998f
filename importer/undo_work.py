"""The background work of an undo: its preview, and its merge in one transaction."""

from __future__ import annotations

from django.db import IntegrityError, connection

from audit.actor import actor, only_changes
from audit.services import record
from datasets import ddl
from datasets.bulk import first_load
from datasets.spec import DatasetSpec
from importer import services, staging, undo, undo_plan
from importer.merge import PlanStale, back, broken, hold_dataset, hold_writers, require_confirmer
from importer.models import PREVIEWING, ImportIssue, ImportJob, State
from importer.plan import Drift
from importer.rights import NoLongerPermitted
from importer.staging import plan_table, quoted
from importer.undo_conflicts import stored_columns
from jobs.kinds import Slice, Step


def preview(job: ImportJob, work: Slice) -> Step:
    """Work out what an undo would do, in one slice: nothing of it passes through this process.

    :raises NotUndoable: what it undoes is not in force any more.
    :raises HistoryPruned: history does not reach back far enough.
    """
    if job.state not in PREVIEWING:
        return Step(done=True)  # delivered twice, or cancelled meanwhile
    staging.sweep()
    if job.state == State.CREATED:
        record("importer.job.preview_started", target=job)
    job.move(old=PREVIEWING, new=State.PREVIEW_IN_PROGRESS)
    undo.require_undoable(_undone(job))
    ImportIssue.objects.filter(job=job)._raw_delete("default")
    job.definition_version = job.dataset.definition_version
    spec = job.dataset.spec()
    with work.long_statement():
        counts, snapshot = undo_plan.make(job, spec)
        if counts.kept:
            undo_plan.write_issues(job, spec)
    _show(job, counts, snapshot)
    return Step(done=True, processed=counts.entries, total=counts.entries)


def _show(job: ImportJob, counts: undo_plan.Counts, snapshot: str) -> None:
    done, kept = counts.removed + counts.restored + counts.brought_back, sum(counts.kept.values())
    job.move(
        old=State.PREVIEW_IN_PROGRESS, new=State.PREVIEW_SUCCEEDED, snapshot=snapshot, error_code="", error="",
        definition_version=job.definition_version, read_rows=counts.entries, staged_rows=done + kept,
        created_rows=counts.brought_back, updated_rows=counts.restored, deleted_rows=counts.removed,
        kept_rows=kept, unchanged_rows=counts.entries - done - kept, warning_counts=counts.kept,
    )  # fmt: skip
    record(
        "importer.job.previewed", target=job, undoes=job.undoes_id, created=counts.brought_back,
        updated=counts.restored, deleted=counts.removed, kept=kept,
    )  # fmt: skip


def merge(job: ImportJob, work: Slice) -> Step:
    """Do one slice: first the whole undo, then tidying up. Delivered twice, the second time writes nothing.

    :raises NoLongerPermitted: the person who confirmed may not do it any more.
    :raises DefinitionChanged: the dataset's definition is not the one of the preview.
    :raises NotUndoable: what it undoes is not in force any more.
    """
    if work.cursor.get("phase") == "tidy":
        return _tidy(job)
    if job.state != State.IMPORT_IN_PROGRESS:
        return Step(done=True)
    with work.long_statement():
        hold_dataset(job, otherwise="Undo the import again.")
        _require_confirmer(job, work.payload.get("by"))
        undo.require_undoable(_undone(job))
        if not undo_plan.is_whole(job):
            return back(job, "The database restarted and lost the plan. It was made again; look at it.")
        try:
            _merge(job, work.payload.get("by"))
        except PlanStale as stale:
            return back(job, stale.notice, drifted=stale.drift.words())
        undo.finish_undo(job)
    return Step(done=False, cursor={"phase": "tidy"}, processed=job.changes_in_all)


def _undone(job: ImportJob) -> ImportJob:
    assert job.undoes_id is not None
    return ImportJob.objects.select_related("dataset").get(pk=job.undoes_id)


def _require_confirmer(job: ImportJob, user_id: int | None) -> None:
    try:
        require_confirmer(job, user_id)
    except NoLongerPermitted:
        raise NoLongerPermitted(
            "The person who confirmed this undo may no longer do it. Nothing was undone; somebody with the"
            " rights to import and to take back its changes must undo the import."
        ) from None


def _merge(job: ImportJob, user_id: int | None) -> None:
    spec = job.dataset.spec()
    try:
        # A savepoint: when the plan is stale the job itself still has to be written.
        with actor(user_id, job.reason):
            hold_writers(spec)
            drift = undo_plan.drift(job, spec)
            if drift.entries:
                raise PlanStale(drift)
            with ddl.references_at_the_end(spec):
                # In this order: what goes frees the values that others take.
                deleted = _remove(job, spec)
                updated = _restore(job, spec)
                with first_load(spec, job.created_rows):
                    created = _bring_back(job, spec)
            if (created, updated, deleted) != (job.created_rows, job.updated_rows, job.deleted_rows):
                raise PlanStale(Drift(1))
    except IntegrityError as error:
        raise broken(error) from error


def _remove(job: ImportJob, spec: DatasetSpec) -> int:
    if not job.deleted_rows:
        return 0
    return _executed(
        f"DELETE FROM {spec.table} t USING {plan_table(job.pk)} d"
        " WHERE d.op = '-' AND d.kept IS NULL AND t.id = d.id"
    )


def _restore(job: ImportJob, spec: DatasetSpec) -> int:
    if not job.updated_rows:
        return 0
    names = stored_columns(spec)
    changes = ", ".join(f"{quoted([name])} = {quoted([name], 's.')}" for name in names)
    # In the records' own order, as a merge writes them; OFFSET 0 keeps the planner from another.
    source = (
        f"SELECT d.id AS record, {quoted(names, 'f.')} FROM {plan_table(job.pk)} d"
        f" JOIN {spec.history_table} f ON f.history_id = d.former"
        " WHERE d.op = '~' AND d.kept IS NULL ORDER BY d.id OFFSET 0"
    )
    with only_changes():
        return _executed(f"UPDATE {spec.table} t SET {changes} FROM ({source}) s WHERE t.id = s.record")


def _bring_back(job: ImportJob, spec: DatasetSpec) -> int:
    if not job.created_rows:
        return 0
    names = ["id", *stored_columns(spec)]
    # Numbers of the past: the table's sequence is beyond them.
    return _executed(
        f"INSERT INTO {spec.table} ({quoted(names)}) SELECT {quoted(names, 'f.')} FROM {plan_table(job.pk)} d"
        f" JOIN {spec.history_table} f ON f.history_id = d.former"
        " WHERE d.op = '+' AND d.kept IS NULL ORDER BY f.id"
    )


def _executed(sql: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return int(cursor.rowcount)


def _tidy(job: ImportJob) -> Step:
    services.forget_files(job)
    spec = job.dataset.spec()
    _executed(f"ANALYZE {spec.table} ({quoted(['id', *spec.key])})")
    return Step(done=True)
