"""What a process keeps of the hosts: one question in five seconds, whatever is asked for."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tenants import routing
from tenants.models import Domain, Tenant
from tenants.routing import Route, route_of
from tenants.services import resume_tenant, suspend_tenant


@pytest.fixture
def clock(settings, monkeypatch):
    """Keep routes for five seconds of a clock that the test turns."""
    settings.ROWHOUSE_ROUTING_SECONDS = 5
    time = [1000.0]
    monkeypatch.setattr(routing, "monotonic", lambda: time[0])
    routing._forget()
    yield time
    routing._forget()


def questions(asked: CaptureQueriesContext) -> int:
    """Count what was asked of the tables; setting the search path is none."""
    return sum("tenants_domain" in one["sql"] for one in asked.captured_queries)


def test_a_flood_of_hosts_asks_one_question_in_five_seconds(acme, globex, clock):
    with CaptureQueriesContext(connection) as asked:
        for number in range(500):
            assert route_of(f"nobody-{number}.localhost") is None
            assert route_of("acme.localhost").slug == "acme"
    assert questions(asked) == 1
    clock[0] += 5
    with CaptureQueriesContext(connection) as asked:
        assert (route_of("globex.localhost").slug, route_of("nobody.localhost")) == ("globex", None)
    assert questions(asked) == 1


def test_what_is_kept_is_the_domains_there_are_and_no_more(acme, globex, clock):
    for number in range(1000):
        route_of(f"nobody-{number}.localhost")
    assert len(routing._routes) == Domain.objects.filter(tenant__state__in=["ACTIVE", "SUSPENDED"]).count()


def test_a_request_for_no_tenant_asks_nothing_of_the_database(acme, clock):
    route_of("acme.localhost")
    with CaptureQueriesContext(connection) as asked:
        assert Client(HTTP_HOST="nobody.localhost").get("/admin/login/").status_code == 404
    assert len(asked) == 0


@pytest.mark.case("T04")
def test_a_suspension_counts_at_once_in_the_process_that_makes_it(
    acme, clock, django_capture_on_commit_callbacks
):
    client, tenant = Client(HTTP_HOST="acme.localhost"), Tenant.objects.get(slug="acme")
    assert client.get("/admin/login/").status_code == 200
    with django_capture_on_commit_callbacks(execute=True):
        suspend_tenant(tenant=tenant)
    assert client.get("/admin/login/").status_code == 503
    with django_capture_on_commit_callbacks(execute=True):
        resume_tenant(tenant=tenant)
    assert client.get("/admin/login/").status_code == 200


@pytest.mark.case("T04")
def test_a_suspension_made_elsewhere_counts_after_five_seconds(acme, clock):
    client = Client(HTTP_HOST="acme.localhost")
    assert client.get("/admin/login/").status_code == 200
    Tenant.objects.filter(slug="acme").update(state="SUSPENDED")  # as another process does it
    clock[0] += 5
    assert client.get("/admin/login/").status_code == 503


def test_what_is_forgotten_while_it_is_read_is_read_again(acme, clock, monkeypatch):
    read = routing.Route

    def forget_then_read(*values: Any) -> Route:
        routing._forget()
        return read(*values)

    monkeypatch.setattr(routing, "Route", forget_then_read)
    assert route_of("acme.localhost").slug == "acme"
    monkeypatch.setattr(routing, "Route", read)
    with CaptureQueriesContext(connection) as asked:
        route_of("acme.localhost")
    assert questions(asked) == 1


def test_threads_that_find_it_old_at_once_ask_once(acme, clock, monkeypatch):
    reads, both, held = [], threading.Barrier(2), threading.Event()

    def read() -> None:
        reads.append(1)
        held.wait(10)
        routing._read_at = clock[0]

    monkeypatch.setattr(routing, "_read", read)

    def ask() -> None:
        both.wait(10)
        route_of("acme.localhost")

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    held.set()
    for thread in threads:
        thread.join()
    assert reads == [1]


def test_everybody_of_a_suspended_tenant_is_signed_out_for_good(acme, globex, client_of):
    ours, theirs = client_of(acme), client_of(globex)
    tenant = Tenant.objects.get(slug="acme")
    suspend_tenant(tenant=tenant)
    resume_tenant(tenant=tenant)
    assert ours.get("/admin/").status_code == 302
    assert theirs.get("/admin/").status_code == 200
