"""An app that declares the harness's own kinds, for processes started with `benchmarks.faults.settings`."""

from __future__ import annotations

from django.apps import AppConfig

from jobs.kinds import JobKind

HANDLERS = ("ledger", "suicide", "unpicklable", "badcursor", "refuse")
KINDS = {
    f"fault.{name}": JobKind(
        run=f"benchmarks.faults.kinds.{name}", ended="benchmarks.faults.kinds.ended", title=f"Fault: {name}"
    )
    for name in HANDLERS
}


class FaultKinds(AppConfig):
    name = "benchmarks.faults"
    label = "faults"
    default_auto_field = "django.db.models.BigAutoField"
    job_kinds = KINDS
