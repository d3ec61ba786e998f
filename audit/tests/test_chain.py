"""The log's proof: what is edited is found and named, and what is honest is believed."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils.dateparse import parse_datetime
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import chores
from audit.anchors import read_anchors, write_anchor
from audit.chain import plain
from audit.models import Event, Seal
from audit.sealing import LATEST, MOST, seal_events
from audit.services import record
from audit.verifying import Kind, Return, Runs, verify
from core import storage
from core.backend.places import Role
from core.backend.roles import grant_rights, rights_lacking
from core.clock import now
from core.tenancy import TenantRef, in_tenant

EDITS = 40


def written(count: int) -> list[int]:
    """Write events of many shapes and return their numbers."""
    return [
        record(f"tests.thing.{number % 7}", actor=f"person {number % 11}", number=number, part=number / 3).pk
        for number in range(count)
    ]


def sql(text: str, *values: Any) -> list[tuple[Any, ...]]:
    """Do as a superuser does, who is bound by nothing of ours."""
    with connection.cursor() as cursor:
        cursor.execute("GRANT UPDATE, DELETE ON audit_event, audit_seal TO CURRENT_USER")
        cursor.execute(text, values)
        return cursor.fetchall() if cursor.description else []


def found() -> set[tuple[str, int]]:
    return {(one.kind.value, one.event or one.seal) for one in verify().findings}


def test_an_honest_log_is_believed_sealed_or_not(as_acme):
    written(20)
    assert verify().findings == []
    assert seal_events() >= 20
    written(3)
    verdict = verify()
    assert (verdict.findings, verdict.unsealed) == ([], 3)
    assert seal_events() == 3
    assert seal_events() == 0
    assert [one.number for one in Seal.objects.all()] == [1, 2]


def test_seals_hold_so_many_events_and_no_more(as_acme):
    written(MOST // 100)
    before = Event.objects.count()
    assert seal_events(most=0) == 0
    assert seal_events() == before
    assert sum(len(one.link().ids) for one in Seal.objects.all()) == before


REST = "at, name, actor_id, actor_label, target_type, target_id, target_label, address, data, uid, origin, signature"


def _change(chance: random.Random, number: int) -> set[tuple[str, int]]:
    """Change one field of an event."""
    field, value = chance.choice(
        [
            ("name", "tests.other.thing"), ("actor_label", "nobody"), ("data", json.dumps({"number": -1})),
            ("at", datetime(2001, 1, 1, tzinfo=UTC)), ("actor_id", 4711), ("target_label", "else"),
            ("address", "203.0.113.9"), ("origin", "globex"), ("target_id", "9"), ("target_type", "a.b"),
            ("signature", b"x" * 32), ("signature", None), ("uid", None),
        ]
    )  # fmt: skip
    sql(f"UPDATE audit_event SET {field} = %s WHERE id = %s", value, number)
    return {("changed", number)}


def _remove(_chance: random.Random, number: int) -> set[tuple[str, int]]:
    sql("DELETE FROM audit_event WHERE id = %s", number)
    return {("removed", number)}


def _insert(chance: random.Random, number: int) -> set[tuple[str, int]]:
    """Add an event, made up or copied, with a signature of another or none."""
    copied = chance.random() < 0.5
    name = "name" if copied else "'tests.thing.forged'"
    uid = "uid" if copied else "gen_random_uuid()"
    ((new,),) = sql(
        "INSERT INTO audit_event (at, name, actor_id, actor_label, target_type, target_id, target_label, address, data,"
        f" uid, origin, signature) SELECT at, {name}, actor_id, actor_label, target_type, target_id, target_label,"
        f" address, data, {uid}, origin, signature FROM audit_event WHERE id = %s RETURNING id",
        number,
    )
    return {("inserted", new)}


def _reorder(_chance: random.Random, number: int) -> set[tuple[str, int]]:
    """Let an event change places with the one after it."""
    sql(
        f"UPDATE audit_event e SET ({REST}) = (SELECT {REST} FROM audit_event o WHERE o.id = 2 * %s + 1 - e.id)"
        " WHERE e.id IN (%s, %s + 1)",
        number,
        number,
        number,
    )
    return {("changed", number), ("changed", number + 1)}


@pytest.mark.parametrize("seed", range(3))
def test_every_edit_of_the_log_is_found_and_nothing_else(as_acme, seed):
    numbers = written(EDITS * 4)
    seal_events()
    honest = written(5)
    assert verify().findings == []
    chance = random.Random(seed)
    expected: set[tuple[str, int]] = set()
    # Every other pair, so that two edits never meet at one event.
    for number in chance.sample(numbers[::2], EDITS):
        expected |= chance.choice([_change, _remove, _insert, _reorder])(chance, number)
    assert found() == expected
    assert not {number for _kind, number in expected} & set(honest)


def test_what_is_put_there_before_a_seal_is_not_sealed(as_acme):
    seal_events()
    before = Event.objects.latest("pk").pk
    sql(
        "INSERT INTO audit_event (at, name, actor_label, target_type, target_id, target_label, data, origin, uid,"
        " signature) VALUES (now(), 'tests.thing.forged', '', '', '', '', '{}', 'acme', gen_random_uuid(), '\\x00')"
    )
    assert seal_events() == 0
    assert [(one.kind, one.event > before) for one in verify().findings] == [(Kind.INSERTED, True)]


def test_an_event_of_another_tenant_is_not_one_of_ours(acme: TenantRef, globex: TenantRef):
    with in_tenant(globex):
        there = record("tests.thing.done")
        row = Event.objects.filter(pk=there.pk).values_list("at", "uid", "signature").get()
    with in_tenant(acme):
        sql(
            "INSERT INTO audit_event (at, name, actor_label, target_type, target_id, target_label, data, uid, origin,"
            " signature) VALUES (%s, 'tests.thing.done', '', '', '', '', '{}', %s, %s, %s)",
            row[0], row[1], globex.slug, bytes(row[2] or b""),
        )  # fmt: skip
        assert [one.kind for one in verify().findings] == [Kind.INSERTED]
        assert verify(origins=[globex.slug]).findings == []


@pytest.mark.parametrize(
    ("edit", "kind"),
    [
        (
            "UPDATE audit_seal SET digests = substr(digests, 1, 32) || digests WHERE number = 2",
            Kind.SEAL_CHANGED,
        ),
        ("UPDATE audit_seal SET at = at + interval '1 day' WHERE number = 2", Kind.SEAL_CHANGED),
        ("UPDATE audit_seal SET signature = hash WHERE number = 2", Kind.SEAL_CHANGED),
        ("UPDATE audit_seal SET settled = 99 WHERE number = 2", Kind.SEAL_CHANGED),
        ("DELETE FROM audit_seal WHERE number = 2", Kind.SEAL_REMOVED),
        ("DELETE FROM audit_seal WHERE number = 3", Kind.CUT_OFF),
    ],
)
def test_a_seal_is_not_edited_unseen(as_acme, edit, kind):
    for _ in range(3):
        written(2)
        seal_events()
    write_anchor()
    assert verify().findings == []
    sql(edit)
    assert kind in {one.kind for one in verify().findings}


def test_the_end_is_not_cut_off_with_its_seals(as_acme):
    written(2)
    seal_events()
    after = Event.objects.latest("pk").pk
    written(2)
    seal_events()
    write_anchor()
    sql("DELETE FROM audit_event WHERE id > %s", after)
    sql("DELETE FROM audit_seal WHERE number = 2")
    (finding,) = verify().findings
    assert (finding.kind, finding.seal) == (Kind.CUT_OFF, 2)
    a_day = timedelta(days=1)
    # A restored tenant is what its backup was.
    assert verify(returns=[Return(now() - a_day, now())]).findings == []
    assert verify(returns=[Return(now(), now() + a_day)]).findings == [finding]
    assert verify(returns=[Return(now() - 2 * a_day, now() - a_day)]).findings == [finding]


def test_an_anchor_is_written_once_and_read_again(as_acme):
    assert write_anchor() == ""
    written(1)
    seal_events()
    path = write_anchor()
    assert write_anchor() == path
    (anchor,) = read_anchors()
    assert (anchor.seal, anchor.path, anchor.hash) == (1, path, bytes(Seal.objects.get().hash).hex())
    assert parse_datetime(anchor.at) == Seal.objects.get().at
    with storage.write(path) as file:
        file.write(b'{"seal": 1, "hash": "00", "at": "2026-01-01T00:00:00+00:00"}')
    assert [one.kind for one in verify().findings] == [Kind.ANCHOR_DIFFERS]
    with storage.write(path) as file:
        file.write(b"nothing")
    assert [one.kind for one in verify().findings] == [Kind.ANCHOR_DIFFERS]


def test_events_of_before_are_believed_for_a_day_and_then_no_more(as_acme, monkeypatch):
    insert = (
        "INSERT INTO audit_event (at, name, actor_label, target_type, target_id, target_label, data)"
        " VALUES (%s, 'tests.thing.done', '', '', '', '', '{}')"
    )
    sql(insert, now())  # by a pod of the earlier release, while it still serves
    assert verify().findings == []
    sealed = seal_events()
    assert sealed and verify().findings == []
    sql(insert, now() + timedelta(days=1, minutes=1))
    assert [one.kind for one in verify().findings] == [Kind.INSERTED]


def test_what_came_after_the_seals_of_its_time_is_not_believed(as_acme, monkeypatch):
    moment = now() - LATEST - timedelta(hours=1)
    monkeypatch.setattr("audit.services.now", lambda: moment)
    written(1)
    assert verify().findings == []  # no seal is there yet
    monkeypatch.undo()
    seal_events()
    monkeypatch.setattr("audit.services.now", lambda: moment)
    written(1)
    assert [one.kind for one in verify().findings] == [Kind.INSERTED]


def test_members_of_a_tenant_edit_neither_the_log_nor_its_seals(committed_tenants):
    ref = committed_tenants[0]
    with in_tenant(ref):
        written(2)
        seal_events()
    for text in (
        "UPDATE audit_event SET name = 'x'", "DELETE FROM audit_event", "UPDATE audit_seal SET number = 9",
        "DELETE FROM audit_seal", "INSERT INTO audit_seal SELECT * FROM audit_seal",
    ):  # fmt: skip
        with in_tenant(ref, role=Role.MEMBER), pytest.raises(Exception, match="permission denied"):
            sql(text)


CHANGES = (
    "UPDATE audit_event SET name = 'x'", "DELETE FROM audit_event", "TRUNCATE audit_event",
    "UPDATE audit_seal SET number = 9", "DELETE FROM audit_seal", "TRUNCATE audit_seal",
)  # fmt: skip


@pytest.mark.parametrize("text", CHANGES)
def test_not_even_work_with_the_owner_s_rights_changes_what_was_written(acme, text):
    with in_tenant(acme, role=Role.OWNER):
        record("tests.thing.done")
        refused = pytest.raises(Exception, match="permission denied")
        with refused, transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(text)
        assert Event.objects.filter(name="tests.thing.done").exists()


@pytest.mark.parametrize("text", CHANGES)
def test_nor_does_the_platform_in_its_own_log_or_in_a_tenant_s(acme, text):
    record("tests.thing.done")
    for schema in ("public", acme.schema):
        refused = pytest.raises(Exception, match="permission denied")
        with refused, transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(text.replace("audit_", f"{schema}.audit_"))


def test_rights_that_came_back_are_taken_again(acme):
    with in_tenant(acme), connection.cursor() as cursor:
        cursor.execute("GRANT UPDATE ON audit_event TO CURRENT_USER")
    with connection.cursor() as cursor:
        lacking = rights_lacking(cursor, acme.schema)
        grant_rights(cursor, acme.schema)
        assert "REVOKE UPDATE, DELETE, TRUNCATE ON" in "".join(lacking)
        assert rights_lacking(cursor, acme.schema) == []
    with in_tenant(acme), pytest.raises(Exception, match="permission denied"), transaction.atomic():
        Event.objects.update(name="x")


def test_the_platform_s_own_log_is_sealed_and_anchored(db):
    record("tests.thing.done")
    chores.seal_platform()
    assert verify().findings == []
    assert [one.seal for one in read_anchors()][-1] == Seal.objects.order_by("-number").first().number
    sql("UPDATE audit_event SET name = 'tests.thing.undone' WHERE name = 'tests.thing.done'")
    assert Kind.CHANGED in {one.kind for one in verify().findings}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abcÄ\n\"'", max_size=4), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@pytest.mark.django_db
@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), JSON, max_size=3))
def test_whatever_is_written_is_read_as_it_was_signed(data):
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s::jsonb::text", [json.dumps(data)])
        ((text,),) = cursor.fetchall()
    assert plain(json.loads(text)) == plain(data)
    assert json.dumps(plain(json.loads(text)), sort_keys=True) == json.dumps(plain(data), sort_keys=True)


@given(st.lists(st.integers(-20, 60)))
def test_runs_are_a_set(numbers):
    runs, known = Runs(), set()
    for number in numbers:
        assert runs.add(number) == (number not in known)
        known.add(number)
    assert [number for number in range(-25, 65) if number in runs] == sorted(known)
