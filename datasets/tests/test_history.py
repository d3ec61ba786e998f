"""Every change of a record is recorded, whatever made it; nothing is recorded of what was rolled back."""

from __future__ import annotations

import io
from typing import Any

from django.db import connection, transaction

from audit.actor import actor
from core.tenancy import TenantRef
from datasets.models import Dataset
from datasets.rows import get_row_model
from datasets.tests.conftest import add_record, name_of, person
from datasets.tests.pages import Visitor, page, posted, rows_url


def versions(dataset: Dataset) -> list[tuple[Any, ...]]:
    """Return (type, user, reason, order number) of every version, oldest first."""
    history = get_row_model(dataset).history_model.objects.order_by("history_id")
    fields = ("history_type", "history_user_id", "history_change_reason", name_of(dataset, "Order no"))
    return list(history.values_list(*fields))


def copy_in(dataset: Dataset, *orders: str) -> None:
    column = name_of(dataset, "Order no")
    with connection.cursor() as cursor:
        cursor.copy_expert(
            f'COPY "ds_{dataset.pk}" ("{column}") FROM STDIN',
            io.StringIO("".join(f"{one}\n" for one in orders)),
        )


def test_every_way_to_change_a_record_is_recorded(orders: Dataset, acme: TenantRef, at_acme: Visitor) -> None:
    owner = person(acme, "owner").pk
    model, name = get_row_model(orders), name_of(orders, "Order no")
    at_acme.post(rows_url(orders, "add"), posted(orders, Order_no="A"))
    with actor(owner, "import 7"):
        copy_in(orders, "B", "C")
        model.objects.filter(**{name: "B"}).update(**{name: "B2"})
    with actor(owner, "clean up"):
        model.objects.filter(**{name: "C"}).delete()
    with connection.cursor() as cursor:
        cursor.execute(f'UPDATE "ds_{orders.pk}" SET "{name}" = "{name}"')  # changes nothing
        cursor.execute(f'DELETE FROM "ds_{orders.pk}" WHERE "{name}" = %s', ["B2"])
    assert versions(orders) == [
        ("+", owner, "edited in the admin", "A"),
        ("+", owner, "import 7", "B"),
        ("+", owner, "import 7", "C"),
        ("~", owner, "import 7", "B2"),
        ("-", owner, "clean up", "C"),
        ("-", None, None, "B2"),
    ]


def test_an_upsert_records_what_it_inserted_and_changed_and_nothing_else(orders: Dataset) -> None:
    add_record(orders, Order_no="same", Pieces=1)
    add_record(orders, Order_no="changed", Pieces=1)
    order, pieces = name_of(orders, "Order no"), name_of(orders, "Pieces")
    table = f'"ds_{orders.pk}"'
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({order}, {pieces}) VALUES ('same', 1), ('changed', 2), ('new', 3)"
            f" ON CONFLICT ({order}) DO UPDATE SET {pieces} = excluded.{pieces}"
            f" WHERE {table}.{pieces} IS DISTINCT FROM excluded.{pieces}"
        )
    assert sorted((kind, order) for kind, _, _, order in versions(orders)[2:]) == [
        ("+", "new"),
        ("~", "changed"),
    ]


def test_nothing_is_recorded_of_what_was_rolled_back(orders: Dataset, acme: TenantRef) -> None:
    try:
        with transaction.atomic(), actor(person(acme, "owner").pk, "import 8"):
            copy_in(orders, "A")
            raise RuntimeError
    except RuntimeError:
        pass
    assert versions(orders) == []


def test_the_library_reads_the_versions_back(orders: Dataset) -> None:
    record = add_record(orders, Order_no="A", Pieces=1)
    record.refresh_from_db()
    pieces = name_of(orders, "Pieces")
    setattr(record, pieces, 2)
    record.save()
    newest, oldest = record.history.all()
    assert newest.diff_against(oldest).changed_fields == [pieces]
    assert (newest.prev_record, oldest.next_record) == (oldest, newest)
    assert getattr(record.history.as_of(oldest.history_date), pieces) == 1
    assert get_row_model(orders).history.as_of(oldest.history_date).count() == 1


def test_the_history_page_says_who_what_and_why(orders: Dataset, acme: TenantRef, at_acme: Visitor) -> None:
    record = add_record(orders, Order_no="A", Customer="Ada")
    at_acme.post(rows_url(orders, record.pk, "change"), posted(orders, Order_no="A", Customer="Grace"))
    html = page(at_acme, rows_url(orders, record.pk, "history"))
    for text in ("Customer", "Ada", "Grace", str(person(acme, "owner")), "edited in the admin"):
        assert text in html


def test_the_history_page_asks_for_its_users_once(
    orders: Dataset, acme: TenantRef, at_acme: Visitor, django_assert_max_num_queries: Any
) -> None:
    record = add_record(orders, Order_no="A")
    pieces = name_of(orders, "Pieces")
    for number in range(20):
        with actor(person(acme, "owner").pk, "counted"):
            get_row_model(orders).objects.update(**{pieces: number})
    with django_assert_max_num_queries(60) as asked:
        page(at_acme, rows_url(orders, record.pk, "history"))
    users = [one for one in asked.captured_queries if 'FROM "accounts_user" WHERE' in one["sql"]]
    assert len(users) == 2  # who is signed in, and who wrote the versions
