from __future__ import annotations

import pytest
from django.db import connection, transaction

from audit.actor import actor
from audit.models import Event
from audit.services import record
from core.tenancy import in_tenant


def setting(name: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(current_setting(%s, true), '')", [name])
        return str(cursor.fetchone()[0])


def test_an_event_belongs_to_the_schema_it_happened_in(acme, globex):
    with in_tenant(acme):
        record("tests.thing.done", actor="a script", colour="red")
        event = Event.objects.get(name="tests.thing.done")
        assert (event.actor_label, event.data) == ("a script", {"colour": "red"})
    with in_tenant(globex):
        assert not Event.objects.filter(name="tests.thing.done").exists()


def test_an_event_is_undone_with_its_transaction(as_acme):
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        record("tests.thing.done")
        1 / 0  # noqa: B018
    assert not Event.objects.filter(name="tests.thing.done").exists()


def test_the_actor_is_set_for_its_block_alone(as_acme):
    with actor(7, "import 3"):
        assert (setting("rowhouse.user_id"), setting("rowhouse.reason")) == ("7", "import 3")
        with actor(8, "inner"):
            assert setting("rowhouse.user_id") == "8"
        assert setting("rowhouse.reason") == "import 3"
    assert (setting("rowhouse.user_id"), setting("rowhouse.reason")) == ("", "")


def test_a_reason_is_data_and_not_sql(as_acme):
    with actor(None, "it's; SET LOCAL rowhouse.user_id = '1'"):
        assert (setting("rowhouse.user_id"), setting("rowhouse.reason")) == (
            "",
            "it's; SET LOCAL rowhouse.user_id = '1'",
        )
