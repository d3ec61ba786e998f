"""The job of an erasure: one place after the other, first to count, then to erase.

Each slice commits what it did together with what it counted, so that it may die anywhere and run twice.
"""

from __future__ import annotations

from functools import cache
from typing import Protocol

from django.apps import apps
from django.db.models.functions import Now
from django.utils.module_loading import import_string

from audit.services import record
from core.erasing import Hunt, Json, Part
from core.tenancy import current_tenant, in_public
from datasets.erasing import FINISHED, needle_of
from datasets.erasure_models import Erasure, ErasureState
from jobs.kinds import Again, Ended, Slice, Step
from jobs.services import NotRetryable

OWN = "datasets"


class Place(Protocol):
    """Where values may stand: does some of its work, and says how far it is."""

    def __call__(self, hunt: Hunt, cursor: Json, work: Slice) -> Part: ...


@cache
def places() -> tuple[tuple[str, Place], ...]:
    """Return the places apps declare in `erased_places`, by name: those that could bring values back first."""
    configs = sorted(apps.get_app_configs(), key=lambda config: config.name == OWN)
    named = [item for config in configs for item in getattr(config, "erased_places", {}).items()]
    return tuple((name, import_string(path)) for name, path in named)


def run(erasure: Erasure, work: Slice, *, is_real: bool) -> Step:
    """Do one slice of a preview, or of the erasure itself.

    `cursor`: which place, and where in it.
    """
    state = ErasureState.ERASURE_IN_PROGRESS if is_real else ErasureState.PREVIEW_IN_PROGRESS
    # Held: a cancel and this slice come one after the other.
    held = Erasure.objects.select_for_update().filter(pk=erasure.pk, state=state).first()
    if held is None:
        return Step(done=True)  # it was cancelled, or ended by an earlier try
    erasure, at, inner = held, work.cursor.get("place", 0), dict(work.cursor.get("at", {}))
    counts = dict(erasure.done if is_real else erasure.found)
    left = dict(erasure.left)
    if not work.cursor:
        left = {}  # from the first place on; what was erased before stays counted
        if not is_real:
            counts = {}
    hunt = Hunt(
        needle_of(erasure), is_real, erasure.reason, erasure.requested_by_id,
        frozenset(one["dataset"] for one in erasure.scope), erasure.pk,
    )  # fmt: skip
    every = places()
    name, place = every[at]
    part = place(hunt, inner, work)
    if part.found:
        counts[name] = counts.get(name, 0) + part.found
    for words, number in part.left.items():
        left[words] = number
    if is_real:
        erasure.done = counts
    else:
        erasure.found = counts
    erasure.left = left
    erasure.save(update_fields=["done" if is_real else "found", "left"])
    if part.cursor is not None or part.rest_seconds:
        cursor = {"place": at, "at": part.cursor or {}}
        return Step(
            done=False, cursor=cursor, processed=part.found, total=None, rest_seconds=part.rest_seconds
        )
    if at + 1 < len(every):
        return Step(done=False, cursor={"place": at + 1}, processed=part.found)
    _finish(erasure, is_real=is_real)
    return Step(done=True, processed=part.found)


def _finish(erasure: Erasure, *, is_real: bool) -> None:
    records = erasure.records.count()
    if not is_real:
        erasure.found = {**erasure.found, "records": records}
        erasure.save(update_fields=["found"])
        erasure.move(
            old=ErasureState.PREVIEW_IN_PROGRESS, new=ErasureState.PREVIEW_SUCCEEDED, previewed_at=Now()
        )
        return
    erasure.done = {**erasure.done, "records": records}
    erasure.save(update_fields=["done"])
    erasure.move(
        old=ErasureState.ERASURE_IN_PROGRESS, new=ErasureState.ERASURE_SUCCEEDED, sealed="", ended_at=Now()
    )
    told = {
        "uid": str(erasure.uid), "number": erasure.pk, "mode": erasure.mode, "hashes": erasure.hashes,
        "scope": [{name: one[name] for name in ("dataset", "find", "also")} for one in erasure.scope],
        "done": erasure.done, "left": sum(erasure.left.values()),
        "repeats": str(erasure.repeats) if erasure.repeats else "",
    }  # fmt: skip
    who = erasure.approved_by or erasure.confirmed_by
    record(FINISHED, actor=who, target=erasure, **told)
    tenant = current_tenant()
    with in_public():  # where no restore of the tenant takes it back
        record(FINISHED, actor=f"{tenant.slug}: {erasure}", schema=tenant.schema, tenant=tenant.slug, **told)


def ended(erasure: Erasure, work: Ended) -> None:
    """End the preview or the erasure whose job failed or was cancelled. What is erased stays erased."""
    if erasure.job_id != work.job_id:
        return
    message = "It was stopped before its end." if work.outcome == "cancelled" else work.message
    code = work.code or work.outcome
    if erasure.move(
        old=ErasureState.PREVIEW_IN_PROGRESS, new=ErasureState.PREVIEW_FAILED, error=message, error_code=code
    ) or erasure.move(
        old=ErasureState.ERASURE_IN_PROGRESS, new=ErasureState.ERASURE_FAILED, error=message, error_code=code
    ):
        record("datasets.erasure.failed", target=erasure, code=code)


def again(_work: Again) -> Json:
    """Refuse: it is gone on with from its page, which asks who may.

    :raises NotRetryable: always.
    """
    raise NotRetryable("Go on with an erasure from its own page, or ask for it again.")
