"""The merge: what the plan says, in one transaction, or nothing."""

from __future__ import annotations

from collections.abc import Sequence

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import IntegrityError, connection

from audit.actor import actor
from datasets import ddl
from datasets.bulk import first_load
from datasets.spec import ColumnSpec, DatasetSpec
from importer import plan, rights, services, staging
from importer.mapping import Match
from importer.models import ImportJob, State
from importer.preview import DefinitionChanged, mapped_columns
from importer.rights import NoLongerPermitted
from importer.staging import plan_table, quoted, staging_table
from jobs.kinds import Slice, Step


class PlanStale(Exception):
    """The merge met records that are not as the plan saw them; `rows` of the plan are concerned."""

    def __init__(self, rows: int) -> None:
        super().__init__(rows)
        self.rows = rows


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
        ddl.lock_dataset(job.dataset_id)
        job.dataset.refresh_from_db()
        if job.dataset.definition_version != job.definition_version:
            raise DefinitionChanged("The dataset's definition changed since the preview. Preview it again.")
        require_confirmer(job, work.payload.get("by"))
        if not staging.is_whole(job):
            return _back(job, "The database restarted and lost the staged rows. The file was read again.")
        try:
            _merge(job, work.payload.get("by"))
        except PlanStale as stale:
            return _back(job, _stale_notice(stale.rows))
    services.finish_import(job)
    return Step(done=False, cursor={"phase": "tidy"}, processed=job.created_rows + job.updated_rows)


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
    spec = job.dataset.spec()
    columns = mapped_columns(spec, tuple(Match.from_dict(match) for match in job.mapping))
    try:
        # A savepoint: when the plan is stale the job itself still has to be written.
        with actor(user_id, job.reason):
            _hold_writers(spec)
            if drifted := plan.drift(job, spec, columns):
                raise PlanStale(drifted)
            with first_load(spec, job.created_rows):
                created = _insert(job, spec, columns)
            updated = _update(job, spec, columns)
            if (created, updated) != (job.created_rows, job.updated_rows):
                raise PlanStale(abs(created - job.created_rows) + abs(updated - job.updated_rows))
    except IntegrityError as error:
        raise PlanStale(1) from error


def _hold_writers(spec: DatasetSpec) -> None:
    # Between the check of the plan and the last write nobody may change a record. Readers go on; whoever
    # edits waits for the merge, which touches only what changes.
    with connection.cursor() as cursor:
        cursor.execute(f"LOCK TABLE {spec.table} IN SHARE ROW EXCLUSIVE MODE")
        # The history trigger is handed every new row at once; what does not fit goes through temporary files.
        for memory in ("work_mem", "maintenance_work_mem"):
            cursor.execute(f"SET LOCAL {memory} = '{int(settings.ROWHOUSE_MERGE_MEMORY_MB)}MB'")


def _insert(job: ImportJob, spec: DatasetSpec, columns: Sequence[ColumnSpec]) -> int:
    if not job.created_rows:
        return 0
    names = [column.name for column in columns]
    source = f"{staging_table(job.pk)} s"
    if job.created_rows != job.staged_rows:
        source += f" JOIN {plan_table(job.pk)} d USING (rn) WHERE d.op = '+'"
    # In the key's order: its index is then filled from left to right.
    order = "" if plan.is_in_key_order(job, spec) else f" ORDER BY {quoted(spec.key or ['rn'], 's.')}"
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {spec.table} ({quoted(names)}) SELECT {quoted(names, 's.')} FROM {source}{order}"
        )
        return int(cursor.rowcount)


def _update(job: ImportJob, spec: DatasetSpec, columns: Sequence[ColumnSpec]) -> int:
    if not job.updated_rows:
        return 0
    names = [column.name for column in columns if column.name not in spec.key]
    changes = ", ".join(f"{quoted([name])} = {quoted([name], 's.')}" for name in names)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {spec.table} t SET {changes}"
            f" FROM {staging_table(job.pk)} s JOIN {plan_table(job.pk)} d USING (rn)"
            " WHERE d.op = '~' AND t.id = d.id"
        )
        return int(cursor.rowcount)


def _back(job: ImportJob, notice: str) -> Step:
    services.preview_again(job, old=State.IMPORT_IN_PROGRESS, notice=notice)
    return Step(done=True)


def _stale_notice(rows: int) -> str:
    what = "1 record changed" if rows == 1 else f"{rows} records changed"
    return f"{what} since the preview. It was made again; look at it and confirm."


def _tidy(job: ImportJob) -> Step:
    services.forget_files(job)
    with connection.cursor() as cursor:
        # The lists' estimated counts come from here; the other columns' statistics are autovacuum's.
        spec = job.dataset.spec()
        cursor.execute(f"ANALYZE {spec.table} ({quoted(['id', *spec.key])})")
    return Step(done=True)
