"""Tables made anew before the places of columns run out: at once where small, beside the traffic where large."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction

import jobs.services
from audit.actor import actor
from audit.models import Event
from core.tenancy import TenantRef, bind_tenant, in_tenant, leave_tenant
from datasets import change_tables, change_work, changing, ddl, editing, rebuild_tables, rebuilding
from datasets.change_models import Change
from datasets.changing import NotRevertible
from datasets.definition import InvalidDefinition
from datasets.models import Dataset, RecordIndex
from datasets.rows import get_row_model
from datasets.rules import NewCheck, NewColumn
from datasets.services import create_dataset, delete_dataset
from datasets.spec import ColumnOptions
from datasets.tests.changes import change_column
from datasets.tests.conftest import add_record, make_dataset, name_of, person
from datasets.tests.pages import Visitor, page
from datasets.tests.references import make_customers, refers_to
from datasets.tests.test_editing import run_purges

CATALOG = {
    "table": "SELECT relkind, relpersistence, reloptions,"
    " (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(relacl) a)::text, relowner::regrole::text, relreplident,"
    " relrowsecurity FROM pg_class WHERE oid = {t}",
    "columns": "SELECT attname, format_type(atttypid, atttypmod), attnotnull, attidentity, attgenerated, attstorage,"
    " attcompression, attcollation, attacl::text, pg_get_expr(adbin, adrelid) FROM pg_attribute LEFT JOIN pg_attrdef"
    " ON adrelid = attrelid AND adnum = attnum WHERE attrelid = {t} AND attnum > 0 AND NOT attisdropped"
    " ORDER BY attnum",
    "constraints": "SELECT conname, contype, pg_get_constraintdef(oid), convalidated, condeferrable, condeferred,"
    " conindid::regclass::text FROM pg_constraint WHERE conrelid = {t} ORDER BY 1",
    "indexes": "SELECT pg_get_indexdef(indexrelid), indisunique, indisprimary, indisvalid, indimmediate FROM pg_index"
    " WHERE indrelid = {t} ORDER BY 1",
    "triggers": "SELECT tgname, pg_get_triggerdef(oid), tgenabled FROM pg_trigger WHERE tgrelid = {t}"
    " AND NOT tgisinternal ORDER BY 1",
    "sequences": "SELECT s.seqrelid::regclass::text, s.seqtypid, s.seqstart, s.seqincrement, s.seqmax, s.seqcycle,"
    " c.relacl::text FROM pg_sequence s JOIN pg_depend d ON d.objid = s.seqrelid AND d.refobjid = {t}"
    " JOIN pg_class c ON c.oid = s.seqrelid ORDER BY 1",
}


def described(dataset: Dataset) -> dict[str, list[tuple[Any, ...]]]:
    """Whatever the catalog says of a dataset's tables, and what they hold, but for the numbers it gives things."""
    found = {}
    with connection.cursor() as cursor:
        for table, key in ((dataset.spec().table, "id"), (dataset.spec().history_table, "history_id")):
            for what, sql in CATALOG.items():
                cursor.execute(sql.format(t=f"to_regclass('{table}')"))
                found[f"{what} of {table}"] = cursor.fetchall()
            cursor.execute(f"SELECT to_jsonb(t)::text FROM {table} t ORDER BY {key}")
            found[f"rows of {table}"] = cursor.fetchall()
            cursor.execute(f"SELECT last_value, is_called FROM {table}_{key}_seq")
            found[f"numbers of {table}"] = cursor.fetchall()
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relname LIKE %s"
            " ORDER BY 1",
            [f"ds_{dataset.pk}%"],
        )
        found["relations"] = cursor.fetchall()
    return found


def wear_out(dataset: Dataset, *, left: int) -> None:
    """Let columns come and go, as in years, until so many places are left."""
    with connection.cursor() as cursor:
        while (more := min(390, ddl.places(dataset.spec()).free - left)) > 0:
            for verb, kind in (("ADD", " text"), ("DROP", "")):
                changes = ", ".join(f"{verb} COLUMN w{number}{kind}" for number in range(more))
                for table in (dataset.spec().table, dataset.spec().history_table):
                    cursor.execute(f"ALTER TABLE {table} {changes}")


@pytest.fixture
def staff(as_acme: TenantRef) -> Dataset:
    """A dataset with one of everything a table can have, and with history."""
    customers = make_customers()
    add_record(customers, Customer_no="C1")
    made = create_dataset(
        title="Staff",
        columns=[
            NewColumn("No", "integer"),
            NewColumn(
                "Name", "text", is_required=True, options=ColumnOptions(max_length=40, pattern="[A-Z].*")
            ),
            NewColumn(
                "Pay", "decimal", options=ColumnOptions(precision=8, scale=2, minimum="0", default="1.50")
            ),
            NewColumn("Bonus", "decimal", options=ColumnOptions(precision=8, scale=2)),
            NewColumn("Mail", "email", is_unique=True),
            NewColumn("Old", "text", is_unique=True),
            refers_to("Boss", ""),
            refers_to("Customer", "customers"),
        ],
        key=["No"],
        checks=[NewCheck("bonus", '"Bonus" < "Pay"', "")],
    )
    create_dataset(title="Shifts", columns=[NewColumn("Day", "date"), refers_to("Who", "staff")], key=["Day"])
    with actor(person(as_acme, "editor").pk, "hired"):
        for number in (1, 2, 3):
            add_record(made, No=number, Name=f"N{number}", Mail=f"{number}@x.example", Old=str(number))
    model, name = get_row_model(made), name_of(made, "Boss")
    model._default_manager.filter(pk__gt=1).update(**{name: 1})
    model._default_manager.filter(**{name_of(made, "No"): 3}).delete()
    editing.retire_column(dataset=made, column=made.columns.get(label="Old"))
    with connection.cursor() as cursor:
        cursor.execute(f"GRANT SELECT, INSERT ON ds_{made.pk}_history TO PUBLIC")
        cursor.execute(f"GRANT UPDATE ({name}) ON ds_{made.pk} TO PUBLIC")
        index = RecordIndex(dataset=made, column=made.columns.get(label="Name"), kind=RecordIndex.Kind.SORT)
        index.save()
        cursor.execute(f'CREATE INDEX "{index.index_name}" ON ds_{made.pk} ("{name_of(made, "Name")}", id)')
    made.refresh_from_db()
    return made


def rebuilt(dataset: Dataset) -> Change:
    change = rebuilding.request_rebuild(dataset=dataset)
    jobs.services.run_until_done(int(change.job_id))
    change.refresh_from_db()
    assert (change.state, change.error) == ("CHANGE_SUCCEEDED", "")
    return change


def at_once(dataset: Dataset) -> Change:
    change = rebuilding.keep_room(dataset)
    assert change is not None and change.state == "CHANGE_SUCCEEDED"
    return change


@pytest.mark.case("N15")
@pytest.mark.parametrize("how", [at_once, rebuilt])
def test_a_table_made_anew_is_the_old_one_but_for_the_places_of_dropped_columns(
    staff: Dataset, how: Callable[[Dataset], Change]
) -> None:
    wear_out(staff, left=400)
    before = described(staff)
    change = how(staff)
    assert described(staff) == before
    places = ddl.places(staff.spec())
    assert (places.dropped, places.free) == (0, 1600 - len(before[f"columns of ds_{staff.pk}_history"]))
    assert (change.before["places"], change.after["places"]) == (1200, 1600 - places.free)
    event = Event.objects.get(name="datasets.dataset.rebuilt")
    assert event.data == {"change": change.pk, "before": 1200, "after": 1600 - places.free}
    with connection.cursor() as cursor:
        cursor.execute("SELECT reltuples FROM pg_class WHERE relname = %s", [f"ds_{staff.pk}"])
        assert cursor.fetchone()[0] == 2  # the list's count stays an estimate that is right
    assert add_record(staff, No=4, Name="N4").pk == 4


@pytest.mark.case("N15")
def test_columns_come_and_go_for_ever_and_nobody_sees_an_error(orders: Dataset, acme: TenantRef) -> None:
    """The last cycles before the tables are made anew, and the first after that."""
    add_record(orders, Order_no="A", Pieces=1)
    wear_out(orders, left=502)
    for cycle in range(6):
        [column] = editing.add_columns(
            dataset=orders, columns=[NewColumn(f"n{cycle}")], by=person(acme, "owner")
        )
        get_row_model(orders)._default_manager.update(**{f"c{column.pk}": str(cycle)})
        editing.retire_column(dataset=orders, column=column)
        editing.order_purge(dataset=orders, column=column, typed=column.label, at_once=True)
        run_purges()
        assert not orders.columns.filter(pk=column.pk).exists()
        orders.refresh_from_db()
    assert ddl.places(orders.spec()).free > 1500
    [change] = Change.objects.all()
    assert (change.is_rebuild, change.state, change.created_by) == (
        True,
        "CHANGE_SUCCEEDED",
        person(acme, "owner"),
    )
    assert get_row_model(orders).history.count() == 7
    record = get_row_model(orders)._default_manager.get()
    assert getattr(record, name_of(orders, "Pieces")) == 1


def large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuilding, "AT_ONCE_BYTES", 0)


def test_a_large_table_is_made_anew_by_a_job_and_the_definition_waits(
    at_acme: Visitor, at_globex: Visitor, orders: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    large(monkeypatch)
    add_record(orders, Order_no="A")
    wear_out(orders, left=300)
    version = orders.definition_version
    editing.add_columns(dataset=orders, columns=[NewColumn(f"n{number}") for number in range(300)])
    change = Change.objects.get()
    assert change.state == "CHANGE_IN_PROGRESS"
    with pytest.raises(editing.ChangeRunning, match="The table of “Orders” is being made anew"):
        editing.add_columns(dataset=orders, columns=[NewColumn("late")])
    url = f"/admin/datasets/change/{change.pk}/change/"
    assert "1,600 of 1,600 places for columns used" in page(at_acme, url)
    assert at_globex.get(url).status_code == 404
    jobs.services.run_pending()
    change.refresh_from_db()
    orders.refresh_from_db()
    assert (change.state, orders.definition_version) == ("CHANGE_SUCCEEDED", version + 2)
    shown = page(at_acme, url)
    assert "The table has room for columns again." in shown and "Revert this change" not in shown
    assert "The new tables are in use." in shown and "Records that fail" not in shown
    assert "table made anew" in page(at_acme, "/admin/datasets/change/")
    with pytest.raises(NotRevertible, match="nothing to revert"):
        changing.revert_change(change=change)
    editing.add_columns(dataset=orders, columns=[NewColumn("late")])


def test_a_change_of_type_keeps_room_too(orders: Dataset) -> None:
    add_record(orders, Order_no="A", Customer="7")
    wear_out(orders, left=500)
    change_column(orders, "Customer", "integer")
    jobs.services.run_pending()
    assert Change.objects.get(is_rebuild=True).state == "CHANGE_SUCCEEDED"
    assert ddl.places(orders.spec()).free > 1500
    back = changing.revert_change(change=Change.objects.get(is_rebuild=False))  # its former values came along
    jobs.services.run_pending()
    changing.confirm_change(change=back)
    jobs.services.run_pending()
    record = get_row_model(Dataset.objects.get(pk=orders.pk))._default_manager.get()
    assert getattr(record, name_of(orders, "Customer")) == "7"


def test_where_nothing_can_be_had_back_people_read_what_to_do(
    orders: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connection.cursor() as cursor:
        changes = ", ".join(f"ADD COLUMN x{number} text" for number in range(1500))
        cursor.execute(f"ALTER TABLE ds_{orders.pk}_history {changes}")
    with pytest.raises(InvalidDefinition, match="Purge some of them"):
        editing.add_columns(dataset=orders, columns=[NewColumn(f"n{number}") for number in range(100)])
    with pytest.raises(rebuilding.NothingToRebuild):
        rebuilding.request_rebuild(dataset=orders)
    large(monkeypatch)
    wear_out(orders, left=50)
    with pytest.raises(InvalidDefinition, match="rowhouse rebuild_dataset orders"):
        editing.add_columns(dataset=orders, columns=[NewColumn(f"n{number}") for number in range(60)])


def test_what_is_written_meanwhile_comes_along_even_values_that_change_hands(orders: Dataset) -> None:
    """Keys pass from record to record while the copy goes on, so that no single record could be brought over first."""
    number = name_of(orders, "Order no")
    model = get_row_model(orders)
    model._default_manager.bulk_create(model(**{number: f"{n:03}"}) for n in range(40))
    wear_out(orders, left=100)
    change = rebuilding.request_rebuild(dataset=orders)
    shape = change_work.shape_of(change)
    rebuild_tables.begin(shape)
    rebuild_tables.copy(rebuild_tables.records(shape), -(2**63), 20)
    pks = list(model._default_manager.order_by("pk").values_list("pk", flat=True))

    def pass_on(step: int) -> None:
        """Give each record the key of the one so many places on."""
        cases = [f"WHEN {pk} THEN '{(index + step) % 40:03}x{step}'" for index, pk in enumerate(pks)]
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE ds_{orders.pk} SET {number} = {number} || 'y'")
            cursor.execute(f"UPDATE ds_{orders.pk} SET {number} = CASE id {' '.join(cases)} END WHERE id > 0")
            cursor.execute(f"UPDATE ds_{orders.pk} SET {number} = left({number}, 3)")

    pass_on(1)
    model._default_manager.filter(pk=pks[3]).delete()
    for pair in rebuild_tables.pairs(shape):
        rebuild_tables.copy(pair, -(2**63) if pair.key == "history_id" else pks[19], None)
    while missing := rebuild_tables.missing_indexes(shape):
        rebuild_tables.take_out_written(shape)
        rebuild_tables.build(missing[0][1])
    del pks[3]
    pass_on(7)
    for _ in range(2000):
        if not change_tables.waiting(shape, 1):
            break
        rebuild_tables.drain(shape, 3)
    before = described(orders)
    with change_tables.whole_tables(shape), connection.cursor() as cursor:
        rebuild_tables.exchange(shape, cursor, validated=True)
    after = described(orders)
    for what in ("rows of ds_{}", "rows of ds_{}_history", "numbers of ds_{}", "numbers of ds_{}_history"):
        assert after[what.format(orders.pk)] == before[what.format(orders.pk)]
    assert len(after[f"rows of ds_{orders.pk}"]) == 39


def test_a_rebuild_can_be_given_up_and_leaves_nothing(orders: Dataset) -> None:
    add_record(orders, Order_no="A")
    wear_out(orders, left=100)
    before = described(orders)
    change = rebuilding.request_rebuild(dataset=orders)
    rebuild_tables.begin(change_work.shape_of(change))
    changing.cancel_change(change=change)
    jobs.services.run_pending()
    change.refresh_from_db()
    assert change.state == "CANCELLED"
    assert described(orders) == before
    again = rebuilding.request_rebuild(dataset=orders)
    with pytest.raises(rebuilding.RebuildRunning):
        rebuilding.request_rebuild(dataset=orders)
    rebuild_tables.begin(change_work.shape_of(again))
    delete_dataset(dataset=orders)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_class WHERE relname LIKE %s", [f"ds_{orders.pk}%"])
        assert cursor.fetchone()[0] == 0
    jobs.services.run_pending()


def test_the_command_says_how_it_stands_and_makes_them_anew(
    orders: Dataset, as_acme: TenantRef, capsys: pytest.CaptureFixture[str]
) -> None:
    add_record(orders, Order_no="A")
    wear_out(orders, left=1000)
    leave_tenant()
    call_command("rebuild_dataset", "orders", "--tenant", "acme", "--dry-run")
    call_command("rebuild_dataset", "orders", "--tenant", "acme", "--json")
    bind_tenant(as_acme)
    words, data = capsys.readouterr().out.splitlines()
    assert words.startswith("Orders: 1,000 of 1,600 places for columns are free, 58")
    found = json.loads(data)
    assert (found["free"], found["state"], found["records"]) == (1000, "CHANGE_SUCCEEDED", 1)
    assert found["free_after"] == ddl.places(orders.spec()).free > 1500


@pytest.mark.slow
@pytest.mark.case("N15")
def test_records_are_written_all_the_while_tables_are_made_anew(
    committed_tenants: list[TenantRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild_tables, "BATCH_ROWS", 500)
    tenant = committed_tenants[0]
    with in_tenant(tenant):
        dataset = make_dataset()
        order, pieces = name_of(dataset, "Order no"), name_of(dataset, "Pieces")
        model = get_row_model(dataset)
        model._default_manager.bulk_create(model(**{order: f"{n:05}", pieces: 0}) for n in range(5000))
    over, faults, written = threading.Event(), [], [0, 0, 0]

    def write(number: int) -> None:
        """Edit every third record; some change their keys with each other, some go, some come."""
        try:
            turn = 0
            while not over.is_set():
                turn += 1
                at = (turn * 37 + number) % 1600 * 3 + number
                with in_tenant(tenant), transaction.atomic():
                    rows = get_row_model(Dataset.objects.get(pk=dataset.pk))._default_manager
                    first, second = rows.filter(pk=at + 1), rows.filter(pk=at + 4)
                    first.update(**{pieces: turn})
                    keys = [
                        first.values_list(order, flat=True).first(),
                        second.values_list(order, flat=True).first(),
                    ]
                    if None not in keys:
                        first.update(**{order: f"{number} on its way"})
                        second.update(**{order: keys[0]})
                        first.update(**{order: keys[1]})
                    if turn % 5 == 0:
                        rows.filter(pk=at + 7).delete()
                        rows.create(**{order: f"new {number} {turn}"})
                written[number] = turn
        except Exception as error:  # noqa: BLE001 -- whatever it is, nobody may see it
            faults.append(error)
        finally:
            connection.close()

    writers = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for writer in writers:
        writer.start()
    try:
        with in_tenant(tenant):
            for _ in range(3):
                wear_out_shortly(dataset)
                before = list(written)
                rebuilt(dataset)
                assert min(now - then for now, then in zip(written, before, strict=True)) > 0
    finally:
        over.set()
        for writer in writers:
            writer.join(60)
    assert faults == []
    with in_tenant(tenant), connection.cursor() as cursor:
        table, history = f"ds_{dataset.pk}", f"ds_{dataset.pk}_history"
        columns = ", ".join(f'"{column.name}"' for column in dataset.spec().columns)
        last = f"SELECT DISTINCT ON (id) * FROM {history} ORDER BY id, history_id DESC"
        now = f"SELECT id, {columns} FROM {table}"
        said = f"SELECT id, {columns} FROM ({last}) l WHERE history_type <> '-'"
        for one, other in ((now, said), (said, now)):
            cursor.execute(f"SELECT count(*) FROM ({one} EXCEPT {other}) d")
            assert cursor.fetchone()[0] == 0
        cursor.execute(f"SELECT count(*), max(history_id) FROM {history}")
        number, highest = cursor.fetchone()
        assert number == highest  # every number that was given stands there
        assert ddl.places(dataset.spec()).dropped == 0


def wear_out_shortly(dataset: Dataset) -> None:
    """Add and drop a column while others write."""
    for verb in ("ADD COLUMN w text", "DROP COLUMN w"):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE ds_{dataset.pk}, ds_{dataset.pk}_history IN ACCESS EXCLUSIVE MODE")
            for table in (f"ds_{dataset.pk}_history", f"ds_{dataset.pk}"):
                cursor.execute(f"ALTER TABLE {table} {verb}")
