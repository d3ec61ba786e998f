"""The harness against itself: workers without the fence must be caught doing things twice."""

from __future__ import annotations

import re
import sys
import time
from random import Random

from benchmarks.faults.checker import Findings, check_ledgers
from benchmarks.faults.crew import Crew
from benchmarks.faults.ground import Ground
from benchmarks.faults.storm import ACTIVE, HURRY
from core.tenancy import in_tenant
from jobs import runner
from jobs.services import submit

# Longer than the lease, and more workers than jobs: each slow slice is taken from its worker, and without the
# fence both commit it.
SLOW_SECONDS = 1.6
SECONDS = (SLOW_SECONDS, SLOW_SECONDS, SLOW_SECONDS, 0.1, 0.1)
STEPS = 2
CREW = 7
LEASE_SECONDS = 1
PATIENCE_SECONDS = 20.0
FENCE = r"\s+AND lease = %\(lease\)s AND step = %\(step\)s(?: AND state = 'RUNNING')?"


def run(ground: Ground, *, short: bool, seed: int) -> dict[str, int | float]:
    """Run slow jobs without the fence; the long form shows first that the fence is all they need.

    :raises AssertionError: the broken variant was not caught, or the good one did something twice.
    """
    if not short:
        _play(ground, "fenced", seed, is_broken=False).require_none(seed)
    broken = _play(ground, "broken", seed, is_broken=True)
    print(f"broken: {broken.doubled} doubled without the fence", file=sys.stderr)
    assert broken.doubled > 0, f"seed {seed}: the checker did not see that the fence was gone"
    return {"broken_doubled": broken.doubled}


def _play(ground: Ground, name: str, seed: int, *, is_broken: bool) -> Findings:
    tenants = ground.tenants(1, f"{name}{seed}")
    ground.sql("UPDATE jobs_tenantshare SET cap = 9 WHERE slug = %s", tenants[0].slug)
    for number, seconds in enumerate(SECONDS):
        with in_tenant(tenants[0]):
            submit("fault.ledger", target=f"job {number}", payload={"steps": STEPS, "seconds": seconds})
    crew = Crew(
        size=CREW,
        seed=f"{seed}-{name}",
        events=ground.folder / f"{name}-events",
        faults=False,
        lease_seconds=LEASE_SECONDS,
        prepare=_remove_fence if is_broken else None,
    )
    until = time.monotonic() + PATIENCE_SECONDS
    try:
        while ground.sql(ACTIVE, [tenants[0].schema])[0][0] and time.monotonic() < until:
            crew.look()
            ground.sql(HURRY)
            time.sleep(0.05)
        time.sleep(SLOW_SECONDS)  # whoever lost its job is still to try its commit
    finally:
        crew.dismiss()
    found = Findings()
    check_ledgers(tenants, found)
    return found


def _remove_fence(dice: Random) -> None:
    without, count = re.subn(FENCE, "", runner.ADVANCE)
    assert count == 1, "the fence is not where the harness looks for it"
    vars(runner)["ADVANCE"] = without
