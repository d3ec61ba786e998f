"""Counts of how often something is asked for: of one subject, in one tenant, over every process."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from core.backend.places import Role
from core.httperrors import ErrorPages
from core.limits import TooMany, forget, forget_past, take
from core.models import Taken
from core.tenancy import TenantRef, current_tenant, in_public, in_tenant

HOUR = 3600


def taken(limit: int = 2, *, scope: str = "upload", subject: str = "anna") -> bool:
    try:
        take(scope=scope, subject=subject, limit=limit, per_seconds=HOUR)
    except TooMany:
        return False
    return True


def pass_time() -> None:
    with in_public(), connection.cursor() as cursor:
        cursor.execute("UPDATE core_taken SET until = clock_timestamp() - interval '1 second'")


@pytest.mark.case("D04")
def test_as_often_as_allowed_and_then_no_more_until_the_time_is_over(db):
    assert [taken() for _ in range(4)] == [True, True, False, False]
    assert Taken.objects.get().count == 2  # a refusal writes nothing
    pass_time()
    assert [taken() for _ in range(3)] == [True, True, False]


def test_each_scope_and_subject_has_its_own_count(db):
    assert [taken(1), taken(1, subject="ben"), taken(1, scope="undo"), taken(1)] == [True, True, True, False]


@pytest.mark.case("D04", "D09")
def test_another_tenant_is_not_counted_with(acme: TenantRef, globex: TenantRef):
    with in_tenant(acme):
        assert [taken(1), taken(1)] == [True, False]
    with in_tenant(globex):
        assert taken(1)
    assert taken(1)  # nor is the platform


def test_it_works_with_the_rights_of_members_and_leads_back_to_them(acme: TenantRef, globex: TenantRef):
    with in_tenant(acme, role=Role.MEMBER):
        assert taken()
        assert current_tenant() == acme
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_schema(), current_user")
            assert cursor.fetchone() == (acme.schema, acme.schema)


def test_the_refusal_says_how_long_to_wait(db):
    take(scope="upload", subject="anna", limit=1, per_seconds=600)
    with pytest.raises(
        TooMany, match="1 times in 10 minutes. Nothing was done. Try again in 10 minutes"
    ) as refused:
        take(scope="upload", subject="anna", limit=1, per_seconds=600)
    assert 0 < refused.value.retry_after <= 600


def test_no_limit_counts_nothing(db):
    assert [taken(0), taken(0)] == [True, True]
    assert not Taken.objects.exists()


def test_forgetting_begins_anew(db):
    assert [taken(1), taken(1)] == [True, False]
    forget(scope="upload", subject="anna")
    assert taken(1)


def test_what_is_past_is_removed_and_what_is_not_stays(db):
    taken(subject="anna")
    pass_time()
    taken(subject="ben")
    forget_past()
    assert Taken.objects.count() == 1
    assert [taken(2, subject="ben"), taken(2, subject="ben")] == [True, False]


def test_the_row_names_nobody(db):
    taken(subject="anna@example.com")
    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(t)::text FROM core_taken t")
        assert "anna" not in cursor.fetchone()[0]


def test_a_subject_may_be_any_text(db):
    for subject in ("", "\0", "\ud800", "x" * 100_000, "'; DROP TABLE core_taken --"):
        assert [taken(1, subject=subject), taken(1, subject=subject)] == [True, False]


@pytest.mark.case("D04")
def test_of_many_at_once_no_more_than_allowed_get_through(committed_tenants: list[TenantRef]):
    tenant = committed_tenants[0]

    def ask(_number: int) -> bool:
        try:
            with in_tenant(tenant):
                return taken(5, subject="all at once")
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(ask, range(40)))
    assert results.count(True) == 5
    with in_tenant(tenant):
        forget(scope="upload", subject="all at once")


@pytest.mark.parametrize(
    ("accept", "kind"), [("text/html", "text/html"), ("application/json", "application/json")]
)
def test_a_page_answers_429_and_when_to_come_again(accept: str, kind: str):
    pages = ErrorPages(lambda _request: HttpResponse())
    request: HttpRequest = RequestFactory().get("/", headers={"Accept": accept})
    answer = pages.process_exception(request, TooMany("Wait a little.", 30))
    assert answer is not None
    assert (answer.status_code, answer["Retry-After"], answer["Content-Type"].split(";")[0]) == (
        429,
        "30",
        kind,
    )
    assert b"Wait a little." in answer.content and b"too-many-requests" in answer.content
