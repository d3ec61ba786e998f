"""What the probes say, and what they cost; tests/test_watched.py asks real processes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connections
from django.test import Client

from rowhouse.observing import draining
from rowhouse.observing.link import Link
from rowhouse.observing.readiness import Readiness, readiness


@pytest.fixture(autouse=True)
def nothing_stays_open() -> Iterator[None]:
    yield
    readiness().close()
    readiness.cache_clear()


class Elsewhere(Link):
    """Goes to a database that is not there."""

    def _connected(self):
        settings = connections["default"].settings_dict
        before, settings["NAME"] = settings["NAME"], "nowhere_at_all"
        try:
            return super()._connected()
        finally:
            settings["NAME"] = before


def test_the_first_probe_asks_no_database(django_assert_num_queries, db):
    with django_assert_num_queries(0):
        answer = Client(HTTP_HOST="10.244.0.17").get("/healthz")
    assert (answer.status_code, answer.content) == (200, b"ok\n")


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_are_answered_for_any_host_and_never_redirected(path, db, settings):
    settings.SECURE_SSL_REDIRECT = True
    for host in ("10.244.0.17:8000", "[fd00::1]", "acme.localhost", "nobody.example"):
        answer = Client(HTTP_HOST=host).get(path)
        assert (answer.status_code, answer["Cache-Control"]) == (200, "no-store")


def test_what_only_looks_like_a_probe_is_none(acme):
    client = Client(HTTP_HOST="acme.localhost")
    assert client.post("/healthz").status_code != 200
    assert client.get("/healthz/").status_code == 404


def test_a_process_that_was_told_to_end_is_not_ready(db):
    draining.begin()
    try:
        answer = Client().get("/readyz")
        assert (answer.status_code, answer.json()["reason"]) == (503, "draining")
        assert Client().get("/healthz").status_code == 200
    finally:
        draining.take_back()


def test_a_database_that_is_away_is_a_reason_without_names(db):
    standing = Readiness(Elsewhere(seconds=2, name="test")).standing()
    assert (standing.is_ready, standing.reason) == (False, "database")
    assert "nowhere" not in standing.message
