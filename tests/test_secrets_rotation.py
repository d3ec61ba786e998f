"""Every secret is changed while people work: nobody is signed out, no link dies early, no work is lost."""

from __future__ import annotations

from typing import Any

import psycopg2
import pytest

from benchmarks.fleet.recovery import open_ground
from benchmarks.fleet.rotation import PASSWORDS, Report, guarded_server, rotate, set_password
from core.backend.passwords import connect_aside
from core.embedded import ROLE


@pytest.fixture(scope="module")
def report() -> Report:
    with open_ground() as ground:
        return rotate(ground)


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.case("I27")
def test_sessions_links_and_invitations_hold_through_the_overlap(report: Report) -> None:
    assert report.seen["session"] == [200] * 4
    assert (report.seen["download"], report.seen["invitation"]) == (200, 200)


@pytest.mark.slow
def test_a_session_used_in_the_overlap_outlives_the_old_key_and_an_old_invitation_does_not(
    report: Report,
) -> None:
    assert (report.seen["session in the end"], report.seen["invitation in the end"]) == (200, 404)


@pytest.mark.slow
def test_sealed_secrets_are_sealed_anew_and_need_the_old_key_no_more(report: Report) -> None:
    assert report.seen["resealed"] == (1, [])
    assert report.seen["sealed in the end"] == (1, [])


@pytest.mark.slow
def test_old_backups_open_as_long_as_their_key_is_known(report: Report) -> None:
    assert report.seen["old backup"] == []
    assert report.seen["old backup in the end"] == 2
    assert report.seen["new backup in the end"] == []


@pytest.mark.slow
def test_the_log_of_events_is_proven_through_the_rotation(report: Report) -> None:
    assert report.seen["log of events"] == []


def test_who_knows_both_passwords_connects_before_and_after_the_change_and_nobody_else_does(
    settings: Any,
) -> None:
    with open_ground() as ground, guarded_server(ground / "server") as server:

        def tried(password: str) -> bool:
            given = {"host": str(server.socket_folder), "user": ROLE, "dbname": ROLE, "password": password}
            try:
                connect_aside(given).close()
            except psycopg2.OperationalError:
                return False
            return True

        old, new = PASSWORDS
        assert [tried(old), tried(new)] == [True, False]
        settings.ROWHOUSE_DATABASE_PASSWORD_FALLBACKS = [new]
        assert tried(old)
        set_password(server, new)
        assert tried(old)
        settings.ROWHOUSE_DATABASE_PASSWORD_FALLBACKS = []
        assert [tried(old), tried(new)] == [False, True]
