"""What a slot is for: which datasets are due in it, which slots before it were missed, how long slots have to be."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import connection

from audit.services import record
from core.clock import now as clock
from datasets.models import Dataset
from exporter.choosing import settings_of
from exporter.locks import lock_slots
from exporter.models import DatasetSlot, ExportRun, ExportSettings, State, Trigger
from exporter.slots import Schedule, is_due, missed_slots, slot_minutes, usable
from jobs import services as jobs

KIND = "exporter.run"
HOUR = timedelta(hours=1)
RAISE = """
INSERT INTO exporter_datasetslot (dataset_id, slot)
SELECT id, %s FROM datasets_dataset WHERE id = ANY(%s) ORDER BY id FOR KEY SHARE
ON CONFLICT (dataset_id) DO UPDATE SET slot = excluded.slot WHERE exporter_datasetslot.slot < excluded.slot"""
MISSED_BECAUSE = {
    "suspended": "the tenant was suspended {pause}",
    "paused": "an operator had paused the work of this tenant {pause}",
    "no-worker": "no worker was there to make them",
}


def begin_slot(slot: datetime, *, job_id: int) -> bool:
    """Open the run of a slot and note which slots before it were missed; False if nothing is due in it.

    Then no run is left either: a history of runs that did nothing helps nobody. Must run in a transaction.
    """
    lock_slots()
    if ExportRun.objects.filter(trigger=Trigger.SCHEDULED, slot=slot).exists():
        return True
    keep_slots(now=clock())
    due, others = _by_due(slot)
    if not due:
        _pass(slot, others)
        return False
    _note_missed(slot)
    ExportRun.objects.create(trigger=Trigger.SCHEDULED, slot=slot, job_id=job_id)
    return True


def due_datasets(slot: datetime) -> list[Dataset]:
    """Return the datasets whose schedules fired since they were last looked at, by slug."""
    return _by_due(slot)[0]


def pass_slot(slot: datetime, *, done: Iterable[int] = ()) -> None:
    """Note that a slot was dealt with for the datasets `done`, by primary key, and for all not due in it.

    What is noted only rises. A dataset that is due and not done is due in the next slot too.
    """
    due, others = _by_due(slot)
    finished = set(done)
    _pass(slot, [*others, *(one for one in due if one.pk in finished)])


def _by_due(slot: datetime) -> tuple[list[Dataset], list[Dataset]]:
    """Return the datasets that are due in a slot, and the others, by slug."""
    datasets = list(Dataset.objects.order_by("slug"))
    schedules, seen = schedules_of(datasets), looked_at()
    due = [one for one in datasets if is_due(schedules[one.pk], last=seen.get(one.pk), slot=slot)]
    return due, [one for one in datasets if one not in due]


def _pass(slot: datetime, datasets: Iterable[Dataset]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(RAISE, [slot, [one.pk for one in datasets]])


def keep_slots(*, now: datetime) -> None:
    """Give the tenant slots as long as its schedules need them. To be called when one was changed.

    Each run does so too: a dataset may be gone with its schedule.
    """
    rows = list(ExportSettings.objects.all())
    schedules = [schedule_of(one) for one in rows if one.dataset_id is not None]
    rest = next((schedule_of(one) for one in rows if one.dataset_id is None), Schedule())
    jobs.set_slot_minutes(slot_minutes([rest, *schedules], at=now))


def schedule_of(settings: ExportSettings) -> Schedule:
    """Return when a dataset with these settings is exported."""
    return usable(Schedule(settings.every, settings.cron, settings.time_zone))


def schedules_of(datasets: list[Dataset]) -> dict[int, Schedule]:
    """Return when each dataset is exported, by its primary key."""
    return {pk: schedule_of(settings) for pk, settings in settings_of(datasets).items()}


def looked_at() -> dict[int, datetime]:
    """Return the last slot that was dealt with for each dataset, by its primary key; none of one that never was."""
    return dict(DatasetSlot.objects.values_list("dataset_id", "slot"))


# ---- what was missed


def _note_missed(slot: datetime) -> None:
    """Leave one MISSED run for all slots that something was due in and nobody was asked to export for."""
    missed = _missed(slot)
    if not missed:
        return
    code, reason = _why(missed)
    first, last, count = missed[0], missed[-1], len(missed)
    until = f" to {last:%d %B %Y, %H:%M}" if count > 1 else ""
    exports = f"{count:,} exports were" if count > 1 else "An export was"
    run = ExportRun.objects.create(
        trigger=Trigger.SCHEDULED,
        slot=first,
        missed=count,
        state=State.MISSED,
        error_code=code,
        error=f"{exports} not made, for {first:%d %B %Y, %H:%M}{until} UTC: {reason}.",
        finished_at=clock(),
    )
    record("exporter.run.missed", target=run, slots=count, code=code)


def _missed(slot: datetime) -> list[datetime]:
    """Return the slots in order. Those up to the last run are none of ours: it looked for itself."""
    earlier = ExportRun.objects.filter(trigger=Trigger.SCHEDULED, slot__lt=slot).exclude(state=State.MISSED)
    last_run = earlier.order_by("-slot").values_list("slot", flat=True).first()
    seen = looked_at()
    spans = {
        (schedule, max(filter(None, (seen[pk], last_run))))
        for pk, schedule in schedules_of(list(Dataset.objects.all())).items()
        if pk in seen
    }
    found = {one for schedule, last in spans for one in missed_slots(schedule, last=last, slot=slot)}
    # One whose job waits still, or is taken later than the next, is late.
    names = {one.isoformat(): one for one in found}
    return sorted(names[name] for name in names.keys() - jobs.targets_asked(KIND, names))


def _why(missed: list[datetime]) -> tuple[str, str]:
    """Return the code and the words for it, by what the tenant's last pause covers of the slots."""
    pause = jobs.last_pause()
    covered = [
        one
        for one in missed
        if pause and pause.since < one + HOUR and (pause.until is None or one < pause.until)
    ]
    if not covered or pause is None:
        return "no-worker", MISSED_BECAUSE["no-worker"]
    code = "suspended" if pause.is_suspension else "paused"
    until = f" to {pause.until:%d %B %Y, %H:%M}" if pause.until else ""
    reason = MISSED_BECAUSE[code].format(pause=f"from {pause.since:%d %B %Y, %H:%M}{until} UTC")
    if others := len(missed) - len(covered):
        reason += f"; for {others:,} of them {MISSED_BECAUSE['no-worker']}"
    return code, reason
