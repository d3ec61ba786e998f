"""The preview of an import, slice by slice: open, stage, refuse, collect, plan.

Each phase ends with a committed cursor, so a worker that dies costs one slice. Nothing outside the job's own
rows and tables is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from audit.services import record
from core.errors import RowhouseError
from datasets import ddl
from datasets.spec import DatasetSpec
from importer import keyhashes, matching, plan, recognise, services, source, staging
from importer.collect import collect
from importer.dialect import Dialect
from importer.issues import Unreadable
from importer.models import (
    PREVIEWING,
    ImportJob,
    State,
)
from importer.parts import keys_of, staged_of, validator_of
from importer.places import chunks_with_refused
from importer.readers.csv import Position, read_chunks
from importer.refusals import Staged, find_refusals, remove_refused
from importer.rules import rules_of
from importer.stage import stage
from jobs.kinds import Slice, Step

COUNTED = ("staged_rows", "rejected_rows", "issue_counts", "warning_counts")


class DefinitionChanged(RowhouseError):
    """The dataset's definition changed while an import of it was under way."""

    code = "definition-changed"


@dataclass(frozen=True, slots=True)
class Reading:
    """One slice's view of the job: the definition it is pinned to and how its file is read."""

    job: ImportJob
    spec: DatasetSpec
    dialect: Dialect
    path: Path

    def staged(self) -> Staged:
        """Return the job's staged rows, for what is worked out in SQL."""
        return staged_of(self.job, self.spec)


def run(job: ImportJob, work: Slice) -> Step:
    """Do one slice of a preview.

    :raises DefinitionChanged: the dataset is not what it was when the preview began.
    """
    if job.state not in PREVIEWING:
        return Step(done=True)  # delivered twice, or cancelled meanwhile
    phase = work.cursor.get("phase") or work.payload.get("phase", "open")
    ddl.hold_form(job.dataset.pk)
    job.dataset.refresh_from_db()
    begin(job)
    if phase != "open" and job.dataset.definition_version != job.definition_version:
        return FROM_THE_START  # the definition changed meanwhile: what was staged is of the former one
    try:
        return PHASES[phase](job, work)
    except Unreadable as error:
        services.fail(job, old=PREVIEWING, new=State.PREVIEW_FAILED, code=error.code, message=error.message)
        return Step(done=True)


def begin(job: ImportJob) -> None:
    """Show that work on a preview has begun."""
    if job.state == State.CREATED:
        record("importer.job.preview_started", target=job)
        job.move(old=State.CREATED, new=State.PREVIEW_IN_PROGRESS)


def open_file(job: ImportJob, work: Slice) -> Step:
    """Read the file's head, map its labels and create the staging table."""
    source.read_head(job, work)
    spec = job.dataset.spec()
    job.head["blank"] = rules_of(job.dataset).blank
    if spec.key:
        job.head["keyless"] = 0
    lost = []
    if job.mapping:
        matching.leave_out_gone(job, spec)
    else:
        lost = matching.map_labels(job, spec)
    job.definition_version = job.dataset.definition_version
    job.save()
    if found := lost or matching.blocking(job, spec):
        source.block(job, found)
        return Step(done=True)
    if earlier := recognise.same_before(job, spec):
        with work.long_statement():
            counts, snapshot = recognise.take_over(job, earlier, spec)
        job.save()
        services.finish_preview(job, counts=counts, snapshot=snapshot)
        return Step(done=True, processed=job.read_rows, total=job.read_rows)
    staging.create(job.pk, staged_of(job, spec).columns, spec.key_columns)
    return Step(done=False, cursor={"phase": "stage"})


def stage_rows(job: ImportJob, work: Slice) -> Step:
    """Validate and stage as many chunks as the slice has time for."""
    if not staging.can_go_on(job):
        return FROM_THE_START  # begun by an earlier release
    reading = _reading(job, work)
    begin = _position(work.cursor.get("at"))
    chunks = read_chunks(reading.path, reading.dialect, start=begin)
    name = work.cursor.get("staging") or uuid4().hex
    hashes = keyhashes.take_up(name, begin)
    staged = stage(job, validator_of(job), keys_of(job), chunks, begin, work.time_left, hashes)
    job.save(update_fields=[*COUNTED, "read_rows", "blank_rows", "head"])
    if staged.is_finished:
        # In the cursor, and nowhere else: they are of these staged rows, and no longer true when others come to them.
        suspects = None if hashes is None else hashes.suspects()
        return Step(
            done=False,
            cursor={"phase": "refuse", "suspects": suspects, "is_of_one": begin is None},
            processed=staged.rows,
            total=job.read_rows,
        )
    assert staged.end is not None
    keyhashes.leave(name, staged.end, hashes)
    total = job.read_rows * reading.path.stat().st_size // max(staged.end.offset, 1)
    cursor = {"phase": "stage", "at": staged.end.to_dict(), "staging": name}
    return Step(done=False, cursor=cursor, processed=staged.rows, total=total)


def refuse_rows(job: ImportJob, work: Slice) -> Step:
    """Find the rows that only the whole file or the table can refuse: repeated keys and the like."""
    # What one transaction wrote, and counted, a crash of the database leaves or takes as a whole.
    is_there = staging.is_kept if work.cursor.get("is_of_one") else staging.is_whole
    if not is_there(job):
        return FROM_THE_START  # the database lost it in a crash
    reading = _reading(job, work)
    with work.long_statement():
        found = find_refusals(reading.staged(), work.cursor.get("suspects"))
    return Step(done=False, cursor={"phase": "collect" if found else "plan"}, total=job.read_rows)


def collect_refused(job: ImportJob, work: Slice) -> Step:
    """Fetch the raw cells of the refused rows from the file, then take them out of the staging table."""
    if not staging.is_there(job):
        return FROM_THE_START
    reading = _reading(job, work)
    start = _position(work.cursor.get("at"))
    chunks = chunks_with_refused(job, reading.path, reading.dialect, start)
    end = collect(job, chunks, reading.dialect, validator_of(job), work.time_left)
    job.save(update_fields=COUNTED)
    if end is not None:
        return Step(done=False, cursor={"phase": "collect", "at": end.to_dict()}, total=job.read_rows)
    with work.long_statement():
        job.staged_rows -= remove_refused(reading.staged())
    job.save(update_fields=["staged_rows"])
    return Step(done=False, cursor={"phase": "plan"}, total=job.read_rows)


def plan_rows(job: ImportJob, work: Slice) -> Step:
    """Make the plan: what would be created and changed, compared with the records there are now."""
    if not staging.is_kept(job):
        return FROM_THE_START
    reading = _reading(job, work)
    with work.long_statement():
        counts, snapshot = plan.make(reading.staged())
    services.finish_preview(job, counts=counts, snapshot=snapshot)
    return Step(done=True, total=job.read_rows)


FROM_THE_START = Step(done=False, cursor={"phase": "open"})
PHASES = {
    "open": open_file,
    "stage": stage_rows,
    "refuse": refuse_rows,
    "collect": collect_refused,
    "plan": plan_rows,
}


def _reading(job: ImportJob, work: Slice) -> Reading:
    if job.dataset.definition_version != job.definition_version:
        raise DefinitionChanged("The dataset's definition changed during the preview. Preview it again.")
    return Reading(
        job=job,
        spec=job.dataset.spec(),
        dialect=Dialect.from_dict(job.dialect),
        path=source.csv_path(job, work),
    )


def _position(stored: dict[str, Any] | None) -> Position | None:
    return Position.from_dict(stored) if stored else None
