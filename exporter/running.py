"""The life of one run: opened, planned, written, ended. Each step may run again after a death."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db.models import Q

from audit.services import record
from core.errors import RowhouseError
from core.storage import Store
from datasets import access
from datasets.models import Dataset
from exporter.choosing import forms_of, settings_of
from exporter.destinations import store_of, stores_of
from exporter.form import FileForm
from exporter.increments import Increment, increment_of, newest_entry, table_of_changes
from exporter.locks import lock_names, lock_run
from exporter.manifests import path_of, write_manifest
from exporter.models import (
    OPEN_STATES,
    STARTABLE_STATES,
    Content,
    Destination,
    ExportFile,
    ExportRun,
    ExportSettings,
    State,
    Trigger,
)
from exporter.naming import free_path, path_of_try
from exporter.scheduling import due_datasets, pass_slot
from exporter.snapshot import Snapshot, snapshot
from exporter.unchanged import held_files, skipped_entry
from exporter.writing import Stopped, Written, write_dataset
from jobs import services as jobs
from jobs.kinds import Again, Json, NotYet

logger = logging.getLogger(__name__)

MOST_TRIES = 10  # of one job, before it is started again


class RunGone(RowhouseError):
    """The job's run is not there: its tenant was restored or its row deleted."""

    code = "run-gone"
    status = 404


class RunSucceeded(Exception):
    """Its files stand; writing them again would change what their rows say."""


class RunHeld(NotYet):
    """A worker taken for dead still holds the run's files; the job is tried again later."""


def open_run(payload: dict[str, Any], *, job_id: int) -> ExportRun:
    """Return the run a job is for; a scheduled one is made at its first try, once per slot.

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


def _is_for_something(payload: dict[str, Any]) -> bool:
    if "run" in payload:
        return True
    slot = datetime.fromisoformat(str(payload["slot"]))
    return ExportRun.objects.filter(trigger=Trigger.SCHEDULED, slot=slot).exists() or bool(due_datasets(slot))


def start_again(work: Again) -> Json:
    """Put a run that failed or was cancelled back to its beginning, and return where its job goes on.

    :raises RunGone: there is none.
    :raises NotRetryable: it succeeded, another job is at it, or nothing is left to export.
    """
    run = open_run(work.payload, job_id=work.job_id)
    if run.state == State.SUCCEEDED and work.cursor.get("next") in ("point", "prune"):
        return work.cursor
    if reason := _why_not_again(run, work):
        raise jobs.NotRetryable(reason)
    if not run.move(
        old=STARTABLE_STATES, new=State.QUEUED, job_id=work.job_id, started_at=None, finished_at=None,
        error_code="", error="", tries=run.tries + MOST_TRIES,
    ):  # fmt: skip
        raise jobs.NotRetryable(f"{run} has succeeded meanwhile.")
    record("exporter.run.started-again", target=run)
    return {}


def _why_not_again(run: ExportRun, work: Again) -> str | None:
    if run.state == State.SUCCEEDED:
        by = "" if run.job_id in (None, work.job_id) else f" by job {run.job_id}"
        return f"{run} was done{by}: its files are stored. Ask for a new export instead."
    if run.job_id not in (None, work.job_id) and _is_at_work(run.job_id):
        return f"Job {run.job_id} is at {run} already; wait for it."
    if run.chosen is not None and not _datasets_of(run):
        return (
            f"The datasets of {run} were deleted, or the person who asked may not export them any more."
            " Ask for a new export."
        )
    return None


def _is_at_work(job_id: int | None) -> bool:
    try:
        return job_id is not None and not jobs.status(job_id).has_ended
    except jobs.JobNotFound:
        return False


def begin_run(run: ExportRun, *, now: datetime) -> int:
    """Decide which datasets go where, before the first byte is written; returns how many files that makes.

    A run that is tried again keeps its plan, so that it writes the same objects and no others.

    :raises RunSucceeded: it has.
    """
    if not run.plan:
        lock_names()
        taken = _taken_paths(run)
        datasets = _datasets_of(run) if run.slot is None else due_datasets(run.slot)
        run.plan = _planned(run, datasets, taken)
    was_ended = run.state in (State.FAILED, State.CANCELLED)
    _start(run, plan=run.plan, started_at=now, tries=run.tries + (MOST_TRIES if was_ended else 0))
    return len(run.plan)


def _planned(run: ExportRun, datasets: list[Dataset], taken: set[str]) -> list[dict[str, Any]]:
    """Return where each file goes; one that may turn out to hold changes alone can have two places."""
    settings, plan = settings_of(datasets), []
    forms = forms_of(run, datasets, settings)
    for one in datasets:
        pattern, extension = settings[one.pk].pattern, forms[one.pk].format
        name = partial(
            free_path, one.slug, run.named_at, taken, pattern=pattern, extension=extension, run=run.pk
        )
        paths = {"path": name()}
        if settings[one.pk].content == Content.INCREMENTAL and "{content}" in pattern:
            paths["changes"] = name(content=Content.INCREMENTAL)
        taken |= set(paths.values())
        to = settings[one.pk].destination_id
        plan.append({"dataset": one.pk, **paths, "format": extension, "destination": to})
    return plan


def places(plan: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield the paths that a plan may write to, before the number of a try is put into them."""
    for file in plan:
        yield from (file[name] for name in ("path", "changes") if name in file)


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
        datasets = datasets.filter(pk__in=access.whole_datasets_for(run.requested_by, "export"))
    return list(datasets)


def _taken_paths(run: ExportRun) -> set[str]:
    second = run.named_at.replace(microsecond=0)
    others = ExportRun.objects.exclude(pk=run.pk).filter(
        Q(slot=second) | Q(created_at__gte=second, created_at__lt=second + timedelta(seconds=1))
    )
    return {path for plan in others.values_list("plan", flat=True) for path in places(plan)}


def write_files(
    run: ExportRun, *, number: int, is_cancelled: Callable[[], bool], now: Callable[[], datetime]
) -> int | None:
    """Write the planned files, all from one snapshot, then their rows; returns how many, None if cancelled.

    `number` counts the tries from 1 since the run was last started. Each has names of its own: a worker that was
    frozen and taken for dead may wake up when another has stored the files, and would put its own in their place.
    Of the plan only what may still be exported is written: rights may have been taken since it was made. A
    scheduled run leaves out what the files that are stored hold already, and says so.
    Must run in one transaction. If any file fails, none of this run stays in the storage.

    :raises RunHeld: another process may still be writing them.
    :raises RunSucceeded: they are written.
    :raises DestinationFailing: files were to go where nothing may be sent now.
    """
    if not lock_run(run.pk):
        raise RunHeld("Its files may still be written by a worker that does not answer. It is tried again.")
    _start(run)
    number += run.tries
    _remove(run, tries=range(1, number))
    plan = {file["dataset"]: file for file in run.plan}
    wanted = plan.keys() & {dataset.pk for dataset in _datasets_of(run)}
    stores = stores_of(plan[pk] for pk in wanted)
    try:
        with snapshot(wanted) as source:
            settings = settings_of(source.datasets.values())
            forms = forms_of(run, source.datasets.values(), settings)
            held = {} if run.slot is None else held_files(source, settings, forms)
            skipped = [skipped_entry(source.datasets[pk], file) for pk, file in held.items()]
            files = [
                _exported(
                    run, dataset, source, settings[pk], forms[pk], plan[pk], number, is_cancelled, *stores[pk]
                )
                for pk, dataset in source.datasets.items()
                if pk not in held
            ]
            manifest = write_manifest(run, files, source, number=number, skipped=skipped)
    except BaseException as error:
        _remove(run, tries=[number])
        if isinstance(error, Stopped):
            return None
        raise
    ExportFile.objects.bulk_create(files)
    run.move(
        old=(State.RUNNING,), new=State.SUCCEEDED, snapshot=source.name, oldest_at=source.oldest_at,
        skipped=skipped, finished_at=now(), manifest_key=manifest.key if manifest else "",
        manifest_sha256=manifest.sha256 if manifest else "",
    )  # fmt: skip
    if run.slot is not None:
        pass_slot(run.slot, done=wanted)
    rows, unchanged = sum(file.rows for file in files), {"unchanged": len(skipped)} if skipped else {}
    record("exporter.run.succeeded", target=run, files=len(files), rows=rows, **unchanged)
    return len(files)


def _exported(
    run: ExportRun,
    dataset: Dataset,
    source: Snapshot,
    settings: ExportSettings,
    form: FileForm,
    planned: dict[str, Any],
    number: int,
    is_cancelled: Callable[[], bool],
    destination: Destination | None,
    store: Store,
) -> ExportFile:
    """Write one dataset's file; returns its row, which is not stored yet."""
    spec = dataset.spec()
    increment = increment_of(source, dataset, settings, form)
    path, table = planned["path"], None
    if increment is not None:
        path = planned.get("changes", path)
        table = table_of_changes(increment, spec, form)
    written = write_dataset(
        source,
        spec,
        path_of_try(path, number),
        form=form,
        store=store,
        is_cancelled=is_cancelled,
        table=table,
    )
    return _file(run, dataset, written, source, increment, destination)


def _file(
    run: ExportRun,
    dataset: Dataset,
    written: Written,
    source: Snapshot,
    increment: Increment | None,
    destination: Destination | None,
) -> ExportFile:
    return ExportFile(
        run=run,
        dataset_id=dataset.pk,
        dataset_slug=dataset.slug,
        dataset_title=dataset.title,
        key=written.stored.key,
        rows=written.rows,
        bytes=written.stored.bytes,
        sha256=written.stored.sha256,
        destination=destination,
        format=written.form.format,
        mode=written.form.mode,
        form=written.form.to_json(),
        content=Content.FULL if increment is None else Content.INCREMENTAL,
        base=None if increment is None else increment.base,
        key_columns=[column.pk for column in dataset.spec().key_columns],
        history_id=newest_entry(source, dataset),
        definition_version=dataset.definition_version,
        created_at=source.at,
    )


def _remove(run: ExportRun, *, tries: Iterable[int]) -> None:
    """Remove the objects of tries that have no rows and never will: in one call for each place they may be in."""
    paths: defaultdict[int | None, list[str]] = defaultdict(list)
    for number in tries:
        for file in run.plan:
            paths[file.get("destination")] += [path_of_try(path, number) for path in places([file])]
        for destination in {None, *paths}:
            paths[destination].append(path_of(run, number))
    for pk, those in paths.items():
        try:
            store = store_of(Destination.objects.get(pk=pk) if pk else None)
            store.delete_many([store.key_of(path) for path in those])
        except Exception as error:  # noqa: BLE001 -- whatever the storage raises: the first failure is the one to tell
            logger.warning("Could not remove %s files of %s (%s)", len(those), run, type(error).__name__)


def end_run(
    payload: dict[str, Any],
    *,
    job_id: int,
    state: State,
    code: str,
    message: str,
    now: datetime,
    tries: int = MOST_TRIES,
) -> bool:
    """Note that a run did not succeed, and remove what its `tries` may have written.

    False: it had ended already, or nothing was due in its slot, and what failed was the pruning after it.
    """
    with suppress(RunGone):
        if not _is_for_something(payload):
            return False
        run = open_run(payload, job_id=job_id)
        if not run.move(old=OPEN_STATES, new=state, error_code=code, error=message, finished_at=now):
            return False  # it had succeeded; only the pruning after it did not
        if lock_run(run.pk):
            _remove(run, tries=range(1, run.tries + tries + 1))
        record(f"exporter.run.{state.lower()}", target=run, code=code)
        return True
    return False
