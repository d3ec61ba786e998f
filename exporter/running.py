"""The life of one run: opened, planned, written, ended. Each step may run again after a death."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q

from audit.services import record
from core import storage
from core.errors import RowhouseError
from datasets import access
from datasets.models import Dataset
from exporter.locks import lock_names, lock_run, still_held
from exporter.models import OPEN_STATES, STARTABLE_STATES, ExportFile, ExportRun, State, Trigger
from exporter.naming import free_path
from exporter.snapshot import Snapshot, snapshot
from exporter.writing import Stopped, Written, write_dataset

logger = logging.getLogger(__name__)


class RunGone(RowhouseError):
    """The job's run is not there: its tenant was restored or its row deleted."""

    code = "run-gone"
    status = 404


class RunSucceeded(Exception):
    """Its files stand; writing them again would change what their rows say."""


class RunHeld(Exception):
    """A worker taken for dead still holds the run's files; the job is tried again later."""


def open_run(payload: dict[str, Any], *, job_id: int) -> ExportRun:
    """Return the run a job is for; a scheduled one is made at its first try, once per hour.

    :raises RunGone: there is none.
    """
    if "run" in payload:
        run = ExportRun.objects.filter(pk=payload["run"]).first()
        if run is None:
            raise RunGone("This export was removed before it ran.")
        return run
    slot = datetime.fromisoformat(str(payload["slot"]))
    run, _ = ExportRun.objects.get_or_create(
        trigger=Trigger.SCHEDULED, slot=slot, defaults={"job_id": job_id}
    )
    return run


def begin_run(run: ExportRun, *, now: datetime) -> int:
    """Decide which datasets go where, before the first byte is written; returns how many files that makes.

    A run that is tried again keeps its plan, so that it writes the same objects and no others.

    :raises RunSucceeded: it has.
    """
    if not run.plan:
        lock_names()
        taken = _taken_paths(run)
        datasets = _datasets_of(run)
        run.plan = [{"dataset": one.pk, "path": free_path(one.slug, run.named_at, taken)} for one in datasets]
    _start(run, plan=run.plan, started_at=now)
    return len(run.plan)


def _start(run: ExportRun, **values: object) -> None:
    if not run.move(
        old=STARTABLE_STATES, new=State.RUNNING, finished_at=None, error_code="", error="", **values
    ):
        raise RunSucceeded(f"export run {run.pk} has succeeded already")


def _datasets_of(run: ExportRun) -> list[Dataset]:
    datasets = Dataset.objects.order_by("slug")
    if run.chosen is not None:
        datasets = datasets.filter(pk__in=run.chosen)
    if run.requested_by is not None:  # asked again: rights may have been taken since
        datasets = datasets.filter(pk__in=access.datasets_for(run.requested_by, "export"))
    return list(datasets)


def _taken_paths(run: ExportRun) -> set[str]:
    second = run.named_at.replace(microsecond=0)
    others = ExportRun.objects.exclude(pk=run.pk).filter(
        Q(slot=second) | Q(created_at__gte=second, created_at__lt=second + timedelta(seconds=1))
    )
    return {file["path"] for plan in others.values_list("plan", flat=True) for file in plan}


def write_files(
    run: ExportRun, *, is_cancelled: Callable[[], bool], now: Callable[[], datetime]
) -> int | None:
    """Write the planned files, all from one snapshot, then their rows; returns how many, None if cancelled.

    Must run in one transaction. If any file fails, none of this run stays in the storage.

    :raises RunHeld: another process may still be writing them.
    :raises RunSucceeded: they are written.
    """
    if not lock_run(run.pk):
        raise RunHeld(f"the files of export run {run.pk} are still being written by another process")
    _start(run)
    paths = {file["dataset"]: file["path"] for file in run.plan}
    try:
        with snapshot(paths) as source:
            files = [
                _file(run, dataset, _written(source, dataset, paths[pk], is_cancelled), source)
                for pk, dataset in source.datasets.items()
            ]
    except BaseException as error:
        _remove(paths.values())
        if isinstance(error, Stopped):
            return None
        raise
    ExportFile.objects.bulk_create(files)
    run.move(old=(State.RUNNING,), new=State.SUCCEEDED, snapshot=source.name, finished_at=now())
    record("exporter.run.succeeded", target=run, files=len(files), rows=sum(file.rows for file in files))
    return len(files)


def _written(source: Snapshot, dataset: Dataset, path: str, is_cancelled: Callable[[], bool]) -> Written:
    return write_dataset(source, dataset.spec(), path, is_cancelled=is_cancelled)


def _file(run: ExportRun, dataset: Dataset, written: Written, source: Snapshot) -> ExportFile:
    return ExportFile(
        run=run,
        dataset_id=dataset.pk,
        dataset_slug=dataset.slug,
        dataset_title=dataset.title,
        key=written.stored.key,
        rows=written.rows,
        bytes=written.stored.bytes,
        sha256=written.stored.sha256,
        definition_version=dataset.definition_version,
        created_at=source.at,
    )


def _remove(paths: Iterable[str]) -> None:
    """Remove objects of a run that has no rows, as long as nobody else can have begun to write them."""
    if not still_held():
        return  # the next try writes over them, or the run's end removes them
    for path in paths:
        try:
            storage.delete(storage.key_of(path))
        except Exception as error:  # noqa: BLE001 -- whatever the storage raises: the first failure is the one to tell
            logger.warning("Could not remove the unfinished export %s (%s)", path, type(error).__name__)


def end_run(
    payload: dict[str, Any], *, job_id: int, state: State, code: str, message: str, now: datetime
) -> None:
    """Note that a run did not succeed, and remove what it may have written."""
    with suppress(RunGone):
        run = open_run(payload, job_id=job_id)
        if not run.move(old=OPEN_STATES, new=state, error_code=code, error=message, finished_at=now):
            return  # it had succeeded; only the pruning after it did not
        if lock_run(run.pk):
            _remove(file["path"] for file in run.plan)
        record(f"exporter.run.{state.lower()}", target=run, code=code)
