"""Seal a tenant's stored secrets under the first of the platform's keys, so that a former one can go."""

from __future__ import annotations

from typing import Any

from accounts.command import TenantCommand
from core.command import DONE, FAILED, Result
from core.words import count
from exporter.resealing import reseal


class Command(TenantCommand):
    also_suspended = True
    help = (
        "Seal a tenant's stored secrets under the first of the sealing keys; exits 1 if one opens under none."
    )

    def run_in_tenant(self, **options: Any) -> Result:
        done = reseal()
        lines = [
            f"The secret of the {name} opens under none of the keys: enter it again." for name in done.lost
        ]
        lines.append(
            f"{count(done.resealed, 'secret')} sealed anew, {done.current} already under the first key."
        )
        data = {"resealed": done.resealed, "current": done.current, "lost": done.lost}
        return Result(data, lines, FAILED if done.lost else DONE)
