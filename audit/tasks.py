"""Background work of the log: seals and their anchors."""

from __future__ import annotations

from audit.anchors import write_anchor
from audit.sealing import seal_events
from jobs.kinds import Slice, Step

SEALS = 20  # of one slice


def seal(work: Slice) -> Step:
    """Seal a tenant's events, then anchor the newest seal in a slice of its own: when that seal is committed."""
    if work.cursor.get("next") == "anchor":
        write_anchor()
        return Step(done=True)
    if sealed := seal_events(most=SEALS):
        return Step(done=False, processed=sealed)
    return Step(done=not work.step, cursor={"next": "anchor"})
