"""The benchmark of the log of events edits it as a superuser can, and none of the edits is missed."""

from __future__ import annotations

import random

from benchmarks.audit import find_edits
from core.tenancy import TenantRef, in_tenant


def test_every_edit_is_found_and_no_honest_event_is_accused(acme: TenantRef, globex: TenantRef) -> None:
    with in_tenant(globex):
        find_edits(40, 5, random.Random(2))
    with in_tenant(acme):
        figures = find_edits(600, 120, random.Random(1))
    assert figures["events"] >= 600
    assert (figures["false_alarms"], figures["missed"], figures["beside"]) == (0, 0, 0)
