"""Searching the log: page by page without a count, within a bound, and complete in a download."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from audit import looking
from audit.gaps import Place, place_of
from audit.looking import Wish, every, look, newest
from audit.models import Event
from audit.proof import Standing, proof_of
from audit.sealing import seal_events
from audit.services import record
from core.clock import now
from core.logging import begin_request
from core.tenancy import in_tenant


def numbers(wish: Wish, *, before: int | None = None) -> list[int]:
    return [event.data["number"] for event in look(wish, before=before).events]


@pytest.fixture
def log(as_acme: Any) -> int:
    """130 events of two people; returns the number of the newest."""
    for number in range(130):
        record(
            "tests.thing.done" if number % 2 else "importer.job.ended",
            actor="Ada" if number % 3 else "Boole",
            number=number,
        )
    return newest()


def test_pages_go_back_from_number_to_number_and_miss_nothing(log: int) -> None:
    wish, found, before = Wish(name="tests.thing.done"), [], None
    while True:
        page = look(wish, before=before)
        found += [event.data["number"] for event in page.events]
        assert len(page.events) <= looking.ON_A_PAGE
        if page.older is None:
            break
        before = page.older
    assert found == list(range(129, 0, -2))


def test_a_page_counts_nothing_and_sends_few_statements(log: int) -> None:
    for wish, most in ((Wish(), 1), (Wish(name="tests.thing.done"), 1), (Wish(words="ada"), 2)):
        with CaptureQueriesContext(
            connection,
        ) as sent:
            look(wish)
        assert len(sent) <= most
        assert "COUNT(" not in " ".join(one["sql"] for one in sent)


def test_words_are_looked_for_in_steps_and_the_page_goes_on_from_there(log: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(looking, "LOOKED_AT", 20)
    rare = Wish(words="boole")
    page = look(rare)
    assert (page.is_cut, len(page.events)) == (True, 7)
    found, before = [], None
    for _ in range(20):
        page = look(rare, before=before)
        found += [event.data.get("number") for event in page.events]
        if page.older is None:
            break
        before = page.older
    assert [one for one in found if one is not None] == list(range(129, -1, -3))


def test_filters_are_each_what_they_say(as_acme: Any) -> None:
    ada = record("accounts.user.created", actor="Ada", number=1)
    target = record("importer.job.ended", target=ada, number=2)
    begin_request("ab12", user=lambda: None)
    asked = record("importer.job.created", number=3)
    assert asked.cause == "request:ab12"
    found = {
        "area": numbers(Wish(area="importer")),
        "who": numbers(Wish(who="ad", name="accounts.user.created")),
        "target": numbers(Wish(target_type="audit.event", target_id=str(ada.pk))),
        "cause": numbers(Wish(cause="request:ab12")),
        "words": numbers(Wish(words="ab12 created")),
        "none": numbers(Wish(words="ab12 100%")),
    }
    assert found == {"area": [3, 2], "who": [1], "target": [2], "cause": [3], "words": [3], "none": []}
    assert target.target_id == str(ada.pk)


def test_days_are_both_included_and_in_utc(as_acme: Any) -> None:
    today = now().date()
    for days in (3, 2, 1):
        event = record("tests.thing.done", number=days)
        with connection.cursor() as cursor:
            cursor.execute("GRANT UPDATE ON audit_event TO CURRENT_USER")
        Event.objects.filter(pk=event.pk).update(at=now() - timedelta(days=days))
    name = "tests.thing.done"
    assert numbers(Wish(name=name, first=today - timedelta(days=2))) == [1, 2]
    assert numbers(Wish(name=name, last=today - timedelta(days=2))) == [2, 3]
    assert numbers(Wish(name=name, first=today - timedelta(days=2), last=today - timedelta(days=2))) == [2]
    assert numbers(Wish(name=name, first=date(2001, 1, 1), last=date(2001, 1, 2))) == []
    assert numbers(Wish(name=name, first=today + timedelta(days=3))) == []


@pytest.mark.parametrize("looked_at", [7, 1000])
def test_a_download_has_all_that_fits_and_nothing_that_came_meanwhile(
    log: int, monkeypatch: Any, looked_at: int
) -> None:
    monkeypatch.setattr(looking, "LOOKED_AT", looked_at)
    monkeypatch.setattr(looking, "AT_ONCE", 5)
    record("tests.thing.done", actor="Ada", number=999)
    for wish, wanted in (
        (Wish(name="tests.thing.done"), list(range(129, 0, -2))),
        (Wish(words="boole"), list(range(129, -1, -3))),
    ):
        found = [event.data["number"] for events in every(wish, most=log) for event in events]
        assert found == wanted


def test_another_tenant_s_log_is_another(log: int, globex: Any) -> None:
    record("tests.thing.ours")
    assert len(look(Wish(name="tests.thing.ours")).events) == 1


def test_globex_sees_nothing_of_acme(acme: Any, globex: Any) -> None:
    with in_tenant(acme):
        record("tests.thing.done", actor="Ada")
    with in_tenant(globex):
        assert look(Wish(name="tests.thing.done")).events == []
        assert look(Wish(words="Ada")).events == []


def test_an_event_says_how_it_is_proven(as_acme: Any) -> None:
    event = record("tests.thing.done")
    assert proof_of(event).standing == Standing.WAITING
    seal_events()
    proof = proof_of(event)
    assert (proof.standing, proof.seal) == (Standing.SEALED, 1)
    with connection.cursor() as cursor:
        cursor.execute("GRANT UPDATE ON audit_event TO CURRENT_USER")
    Event.objects.filter(pk=event.pk).update(actor_label="somebody else")
    assert proof_of(Event.objects.get(pk=event.pk)).standing == Standing.DIFFERS
    loose = record("tests.thing.done")
    Event.objects.filter(pk=loose.pk).update(cause="job:7")
    assert proof_of(Event.objects.get(pk=loose.pk)).standing == Standing.DIFFERS


# ---- a reader's place


@given(st.lists(st.integers(1, 60), unique=True), st.randoms(use_true_random=False))
def test_whatever_order_numbers_appear_in_each_is_read_once_and_none_is_left_out(
    there: list[int], chance: Any
) -> None:
    """A model: numbers appear bit by bit in any order; a reader takes what is above it and what is in its gaps."""
    waiting = list(there)
    chance.shuffle(waiting)
    place = Place(0)
    seen: list[int] = []
    visible: set[int] = set()
    while waiting or visible - set(seen):
        for _ in range(chance.randint(1, 5)):
            if waiting:
                visible.add(waiting.pop())
        in_gaps = {n for n in visible for gap in place.gaps if gap.first <= n <= gap.last}
        batch = sorted({*in_gaps, *(n for n in visible if n > place.upto)})[: chance.randint(1, 8)]
        seen += batch
        place = place_of(*(lambda p: (p.upto, p.plain()))(place.after(batch, now=1)))
    assert sorted(seen) == sorted(there)
    assert len(set(seen)) == len(seen)
    left = {n for gap in place.gaps for n in range(gap.first, gap.last + 1)}
    assert left == set(range(1, place.upto + 1)) - set(there)


def test_gaps_are_given_up_after_a_while() -> None:
    place = Place(0).after([3], now=100).after([6], now=200)
    assert place.without_gaps_before(150).plain() == [[4, 5, 200]]
