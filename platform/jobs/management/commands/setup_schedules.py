"""`setup_schedules`: leave the queue library no schedule at all."""

from __future__ import annotations

from typing import Any

from core.command import Result, RowhouseCommand
from jobs import engine


class Command(RowhouseCommand):
    """Hourly work is kept by every worker's own tick; a schedule of the library would be someone else's."""

    help = "Delete every schedule of the queue library: hourly work is the workers' own."

    def run(self, **options: Any) -> Result:
        deleted = engine.sync_schedules()
        return Result(
            {"deleted": deleted}, [f"{deleted} foreign schedules deleted; workers keep the hourly work."]
        )
