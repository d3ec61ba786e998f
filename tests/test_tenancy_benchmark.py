"""What the benchmark of tenancy compares is what it says, and its last line can be read by a program."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, connections

from benchmarks import tenancy, tenancy_isolation
from benchmarks.tenancy_page import QUERIES
from core.tenancy import TenantRef, in_tenant

pytestmark = pytest.mark.usefixtures("connections_stay")
ROUTE = 1  # in tests the directory is read at every request


@pytest.fixture
def connections_stay() -> Iterator[None]:
    """Let a request leave the connection of the test open, as Django's test client does."""
    ends = (request_started, request_finished)
    for signal in ends:
        signal.disconnect(close_old_connections)
    yield
    for signal in ends:
        signal.connect(close_old_connections)


def test_a_page_is_asked_by_both_backends_and_the_connection_is_ours_again(
    acme: TenantRef, globex: TenantRef
):
    ours = connections["default"]
    found = tenancy_isolation._page(acme.schema, acme.slug, 3)
    assert connections["default"] is ours
    assert found["page_queries"] == QUERIES + ROUTE
    assert found["ratio_isolation"] == found["page_ms"] / found["page_stock_ms"]


def test_the_other_backend_is_the_one_that_sets_its_path_beforehand(acme: TenantRef):
    stock = tenancy_isolation._stock_wrapper()
    try:
        stock.set_schema(acme.schema)
        with stock.cursor() as cursor:
            cursor.execute("SELECT current_setting('search_path'), current_user = session_user")
            path, is_nobody_else = cursor.fetchone()
        assert path.replace('"', "").replace("'", "").split(", ") == [acme.schema, "public"]
        assert is_nobody_else
    finally:
        stock.close()
    with in_tenant(acme), connections["default"].cursor() as cursor:
        cursor.execute("SELECT current_setting('search_path'), current_user = session_user")
        assert cursor.fetchone() == (f"{acme.schema}, pg_temp", False)


def test_a_page_that_is_none_stops_the_benchmark(acme: TenantRef):
    with pytest.raises(SystemExit, match="404"):
        tenancy_isolation._ask(tenancy_isolation._handler(), acme.slug, "/nowhere", "")


def test_what_is_too_large_is_said_and_the_last_line_is_json(capsys: Any):
    figures = {"ratio_isolation": 1.2, "ratio_backup": 0.01, "page_ms": 5.0}
    tenancy._report(figures)
    *lines, last = capsys.readouterr().out.splitlines()
    assert json.loads(last) == figures
    assert [line.split()[0] for line in lines if line.endswith("missed")] == ["ratio_isolation"]
