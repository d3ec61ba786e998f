"""A preview cut into the smallest slices gives what one slice gives."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.db import connection

import jobs.services
from datasets.models import Dataset
from importer import copytext, preview, services, staging, validation
from importer.copytext import Copied
from importer.models import ImportJob, State
from importer.stage import Miscounted
from importer.tests.tools import ShortSlice, counts, import_text, person, upload
from jobs.kinds import Step

ROWS = 60_000
NOTE = '"two\nlines, and a comma; ' + "x" * 40 + '"'


def big_file() -> bytes:
    """About 5 MB; each tenth row repeats the key of the row before, each hundredth has a bad status."""
    lines = ["id,status,amount,note"]
    for n in range(ROWS):
        key = n - 1 if n % 10 == 9 else n
        lines.append(f"{key},{'lost' if n % 100 == 0 else 'new'},1.50,{NOTE}")
    return ("\n".join(lines) + "\n").encode()


def started(orders: Dataset) -> ImportJob:
    job = services.create_import(dataset=orders, file=io.BytesIO(big_file()), name="big.csv", by=person())
    return ImportJob.objects.select_related("dataset").get(pk=job.pk)


def test_slices_of_one_chunk_find_what_one_slice_finds(orders: Dataset) -> None:
    job, step, slices = started(orders), Step(done=False), 0
    while not step.done:
        job = ImportJob.objects.select_related("dataset").get(pk=job.pk)
        step = preview.run(job, ShortSlice(step.cursor))
        slices += 1
    assert slices > 10
    assert job.state == State.PREVIEW_SUCCEEDED
    bad, repeated = ROWS // 100, ROWS // 10
    assert counts(job) == (ROWS - bad - repeated, 0, 0, bad + repeated)
    assert job.issue_counts == {"constraint-error": bad, "primary-key": repeated}
    assert job.rejects.count() == bad + repeated
    issue = job.issues.get(row=11)
    assert (issue.line, issue.rule) == (
        20,
        "The key is that of row 10 (line 18) already; the first row counts.",
    )
    whole = upload(orders, big_file())
    assert (counts(whole), whole.issue_counts) == (counts(job), job.issue_counts)


def test_rows_lost_in_a_crash_during_the_preview_are_read_again(orders: Dataset) -> None:
    job, step = started(orders), Step(done=False)
    while step.cursor.get("phase") != "refuse":
        step = preview.run(job, ShortSlice(step.cursor))
    spec = orders.spec()
    staging.create(job.pk, spec.columns, spec.key_columns)  # what a crash leaves of an unlogged table
    assert preview.run(job, ShortSlice(step.cursor)).cursor == {"phase": "open"}


class LongSlice(ShortSlice):
    """A slice in which a small file is staged whole."""

    def time_left(self) -> float:
        return 5.0


def staged_at_once(orders: Dataset) -> tuple[ImportJob, Step]:
    """A job whose file was staged in one slice, and the step to what comes next."""
    job, step = started(orders), Step(done=False)
    while step.cursor.get("phase") != "refuse":
        step = preview.run(job, LongSlice(step.cursor))
    assert step.cursor["is_of_one"]
    return job, step


def test_rows_of_one_slice_lost_in_a_crash_are_read_again(orders: Dataset) -> None:
    job, step = staged_at_once(orders)
    assert preview.run(job, LongSlice(step.cursor)).cursor == {"phase": "collect"}
    spec = orders.spec()
    staging.create(job.pk, spec.columns, spec.key_columns)
    assert preview.run(job, LongSlice(step.cursor)).cursor == {"phase": "open"}


def test_rows_that_the_database_counts_otherwise_are_not_kept(
    orders: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def twice(*words: Any) -> Copied:
        data, rows, hashes = written(*words)
        return Copied(data * 2, rows, hashes)

    written = copytext.written
    monkeypatch.setattr(validation, "row_pattern", lambda *_: None)
    monkeypatch.setattr(validation, "written", twice)
    with pytest.raises(Miscounted):
        staged_at_once(orders)


def test_a_preview_that_an_earlier_release_began_begins_anew(orders: Dataset) -> None:
    job, step = started(orders), Step(done=False)
    while step.cursor.get("phase") != "stage":
        step = preview.run(job, ShortSlice(step.cursor))
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {staging.places_table(job.pk)}")
    assert preview.run(job, ShortSlice(step.cursor)).cursor == {"phase": "open"}


def test_orphaned_staging_tables_are_swept(orders: Dataset) -> None:
    staging.create(987_654, orders.spec().columns, orders.spec().key_columns)
    waiting = upload(orders)  # every preview begins with a sweep
    assert staging.sweep() == []
    assert staging.is_whole(waiting)


def test_progress_counts_rows_and_knows_the_total(orders: Dataset) -> None:
    job = import_text(orders)
    status = jobs.services.status(int(job.preview_job_id))
    assert (status.processed, status.total, status.state) == (3, 3, "DONE")
