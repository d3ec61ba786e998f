"""Whether scheduled exports are late: two slots have come and gone since the last one that succeeded."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from datasets.models import Dataset
from exporter.choosing import settings_of
from exporter.models import ExportRun, State, Trigger
from exporter.schedules import next_slot


@dataclass(frozen=True, slots=True)
class Lateness:
    """The last scheduled run that succeeded, if any ever did, and the first slot that nothing came of."""

    last: ExportRun | None
    slot: datetime


def late_exports(*, now: datetime) -> Lateness | None:
    """Return how late the dataset is that is exported most often, or None: exports come as they should."""
    runs = ExportRun.objects.filter(trigger=Trigger.SCHEDULED)
    last = runs.filter(state=State.SUCCEEDED, finished_at__isnull=False).order_by("-finished_at").first()
    since = (
        last.finished_at if last else runs.order_by("created_at").values_list("created_at", flat=True).first()
    )
    if since is None:  # nothing was scheduled ever: a new tenant
        return None
    schedules = {(one.every, one.cron, one.time_zone) for one in settings_of(Dataset.objects.all()).values()}
    found = [late_slot(*schedule, since=since, now=now) for schedule in schedules]
    slots = [slot for slot in found if slot is not None]
    return Lateness(last, min(slots)) if slots else None


def late_slot(every: str, cron: str, zone: str, *, since: datetime, now: datetime) -> datetime | None:
    """Return the first slot after `since` when that and the next one are over, else None.

    >>> from datetime import UTC
    >>> hours = [datetime(2026, 8, 26, hour, tzinfo=UTC) for hour in range(24)]
    >>> late_slot("HOUR", "", "UTC", since=hours[8], now=hours[11])
    datetime.datetime(2026, 8, 26, 9, 0, tzinfo=datetime.timezone.utc)
    >>> late_slot("CRON", "0 9-17 * * *", "UTC", since=hours[17], now=hours[23]) is None
    True
    """
    slots, at = [], since
    for _ in range(3):  # the second is over when the third begins: a run may take place anywhere in its slot
        following = next_slot(every, cron=cron, zone=zone, after=at)
        if following is None or following > now:
            return None
        slots.append(following)
        at = following
    return slots[0]
