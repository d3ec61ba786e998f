"""Whether scheduled exports are late: two slots of a dataset have come and gone since one was dealt with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from datasets.models import Dataset
from exporter.models import ExportRun, State, Trigger
from exporter.scheduling import looked_at, schedules_of
from exporter.slots import Schedule, firings

OVER = 3  # the second slot is over when the third begins: a run may take place anywhere in its slot


@dataclass(frozen=True, slots=True)
class Lateness:
    """The scheduled run that succeeded last, if any ever did, and the first slot that nothing came of."""

    last: ExportRun | None
    slot: datetime


def late_exports(*, now: datetime) -> Lateness | None:
    """Return since when exports are late, or None: they come as they should."""
    datasets, seen = list(Dataset.objects.all()), looked_at()
    schedules = schedules_of(datasets)
    # Most datasets share a schedule and a slot.
    waits = {(schedules[one.pk], seen.get(one.pk, one.created_at)) for one in datasets}
    slots = [slot for wait in waits if (slot := late_slot(*wait, now=now))]
    if not slots:
        return None
    done = ExportRun.objects.filter(trigger=Trigger.SCHEDULED, state=State.SUCCEEDED)
    return Lateness(done.order_by("-finished_at").first(), min(slots))


def late_slot(schedule: Schedule, since: datetime, *, now: datetime) -> datetime | None:
    """Return the first slot after `since` when that and the next one are over, else None.

    >>> from datetime import UTC
    >>> hours = [datetime(2026, 8, 26, hour, tzinfo=UTC) for hour in range(24)]
    >>> late_slot(Schedule(), hours[8], now=hours[11])
    datetime.datetime(2026, 8, 26, 9, 0, tzinfo=datetime.timezone.utc)
    >>> late_slot(Schedule("CRON", "0 9-17 * * *"), hours[17], now=hours[23]) is None
    True
    """
    slots = list(islice(firings(schedule, after=since), OVER))
    return slots[0] if len(slots) == OVER and slots[-1] <= now else None
