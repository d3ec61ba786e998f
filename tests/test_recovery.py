"""Server and bucket are lost under traffic, and everything comes back elsewhere, to one moment."""

from __future__ import annotations

import pytest

from benchmarks.fleet.recovery import open_ground, rehearse


def check(tenants: int, records: int, times: int) -> None:
    with open_ground() as ground:
        report = rehearse(ground, tenants=tenants, records=records, times=times)
    assert report.wrong == []
    assert report.objects_missing == 0
    assert (report.backups_tried, report.promised_and_there > 0, report.tables_by_digest > 8) == (
        tenants,
        True,
        True,
    )


def test_a_lost_platform_comes_back_whole() -> None:
    check(tenants=2, records=20, times=1)


@pytest.mark.slow
def test_a_larger_platform_comes_back_whole_after_more_work() -> None:
    check(tenants=4, records=300, times=5)
