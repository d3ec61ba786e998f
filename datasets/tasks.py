"""The handlers of background jobs: they load and call."""

from __future__ import annotations

from datasets import changesets
from datasets.changeset import ChangeSet
from jobs.kinds import Ended, Json, Slice, Step


def plan_changes(work: Slice) -> Step:
    """Work out a slice of a bulk change; the payload is {"changes": pk}."""
    changes = _changes(work.payload)
    return Step(done=True) if changes is None else changesets.run_plan(changes, work)


def apply_changes(work: Slice) -> Step:
    """Write a confirmed bulk change; the payload is {"changes": pk}."""
    changes = _changes(work.payload)
    return Step(done=True) if changes is None else changesets.run_write(changes, work)


def changes_ended(work: Ended) -> None:
    changes = _changes(work.payload)
    if changes is not None and changes.job_id == str(work.job_id):
        changesets.work_ended(changes, outcome=work.outcome, message=work.message)


def _changes(payload: Json) -> ChangeSet | None:
    # None: the dataset was deleted meanwhile, and what was to be done to it.
    return ChangeSet.objects.select_related("dataset").filter(pk=payload["changes"]).first()
