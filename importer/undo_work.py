"""The background work of an undo: its preview, and its merge in one transaction."""

from __future__ import annotations

from django.db import IntegrityError, connection

from audit.actor import actor
from audit.services import record
from datasets import ddl
from datasets import undo_plan as plan
from importer import services, staging, undo, undo_plan
from importer.merge import PlanStale, back, broken, hold_dataset, hold_writers, require_confirmer
from importer.models import PREVIEWING, ImportIssue, ImportJob, State
from importer.plan import Drift
from importer.rights import NoLongerPermitted
from importer.staging import plan_table, quoted
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
        counts, entries, snapshot = undo_plan.make(job, spec)
        if counts.kept:
            undo_plan.write_issues(job, spec)
    _show(job, counts, entries, snapshot)
    return Step(done=True, processed=entries, total=entries)


def _show(job: ImportJob, counts: undo_plan.Counts, entries: int, snapshot: str) -> None:
    done, kept = counts.removed + counts.restored + counts.brought_back, sum(counts.kept.values())
    job.move(
        old=State.PREVIEW_IN_PROGRESS, new=State.PREVIEW_SUCCEEDED, snapshot=snapshot, head=job.head,
        error_code="", error="", definition_version=job.definition_version, read_rows=entries, staged_rows=done + kept,
        created_rows=counts.brought_back, updated_rows=counts.restored, deleted_rows=counts.removed,
        kept_rows=kept, unchanged_rows=entries - done - kept, warning_counts=counts.kept,
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
                table = plan_table(job.pk)
                deleted = plan.remove(spec, table, expected=job.deleted_rows)
                updated = plan.restore(spec, table, expected=job.updated_rows)
                created = plan.bring_back(spec, table, expected=job.created_rows)
            if (created, updated, deleted) != (job.created_rows, job.updated_rows, job.deleted_rows):
                raise PlanStale(Drift(1))
    except IntegrityError as error:
        raise broken(error) from error


def _executed(sql: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return int(cursor.rowcount)


def _tidy(job: ImportJob) -> Step:
    services.forget_files(job)
    spec = job.dataset.spec()
    _executed(f"ANALYZE {spec.table} ({quoted(['id', *spec.key])})")
    return Step(done=True)
