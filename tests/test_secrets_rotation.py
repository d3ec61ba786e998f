"""Every secret is changed while people work: nobody is signed out, no link dies early, no work is lost."""

from __future__ import annotations

import pytest

from benchmarks.fleet.recovery import open_ground
from benchmarks.fleet.rotation import Report, rotate


@pytest.fixture(scope="module")
def report() -> Report:
    with open_ground() as ground:
        return rotate(ground)


@pytest.mark.case("I27")
def test_nobody_sees_an_error_and_no_work_is_lost(report: Report) -> None:
    assert report.wrong == []
    for what in (
        "list",
        "record saved",
        "upload",
        "import merged",
        "export asked for",
        "download",
        "sign-in",
    ):
        assert report.counts[what] > 0, what


@pytest.mark.case("I27")
def test_sessions_links_and_invitations_hold_through_the_overlap(report: Report) -> None:
    assert report.seen["session"] == [200] * 4
    assert (report.seen["download"], report.seen["invitation"]) == (200, 200)


def test_a_session_used_in_the_overlap_outlives_the_old_key_and_an_old_invitation_does_not(
    report: Report,
) -> None:
    assert (report.seen["session in the end"], report.seen["invitation in the end"]) == (200, 404)


def test_sealed_secrets_are_sealed_anew_and_need_the_old_key_no_more(report: Report) -> None:
    assert report.seen["resealed"] == (1, [])
    assert report.seen["sealed in the end"] == (1, [])


def test_old_backups_open_as_long_as_their_key_is_known(report: Report) -> None:
    assert report.seen["old backup"] == []
    assert report.seen["old backup in the end"] == 2
    assert report.seen["new backup in the end"] == []


def test_the_log_of_events_is_proven_through_the_rotation(report: Report) -> None:
    assert report.seen["log of events"] == []
