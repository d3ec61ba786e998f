from __future__ import annotations

from accounts import resetting
from jobs.kinds import Slice, Step


def send_reset(work: Slice) -> Step:
    resetting.send(sealed_email=work.payload["email"], root=work.payload["root"])
    return Step(done=True)
