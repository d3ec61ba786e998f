"""The clean-up of history beside imports: nothing younger than the retention goes, and imports do not notice."""

from __future__ import annotations

import json
import threading
from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.core.management import call_command
from django.db import connection

import jobs.services
from audit.models import Event
from core import clock
from core.tenancy import TenantRef, bind_tenant, in_tenant, leave_tenant
from datasets import pruning
from datasets.ddl import DatasetBusy
from datasets.models import Dataset
from datasets.rows import get_row_model
from datasets.undo_plan import HistoryPruned
from importer.models import State
from importer.tests.tools import import_text, make_orders, merge, person, records, upload, work
from importer.undo import undo_import

Rows = list[tuple[Any, ...]]


def age(dataset: Dataset, days: int) -> None:
    """Let what history has so far, and the imports, be so many days older."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE ds_{dataset.pk}_history SET history_date = history_date - make_interval(days => %s)",
            [days],
        )
        for column in ("confirmed_at", "ended_at", "previewed_at"):
            cursor.execute(
                f"UPDATE importer_importjob SET {column} = {column} - make_interval(days => %s)", [days]
            )


def history(dataset: Dataset) -> Rows:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM ds_{dataset.pk}_history ORDER BY history_id")
        return list(cursor.fetchall())


def as_of(dataset: Dataset, moment: datetime) -> Rows:
    """The records as they were at a moment."""
    columns = ", ".join(column.name for column in dataset.spec().columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT id, {columns} FROM (SELECT DISTINCT ON (id) * FROM ds_{dataset.pk}_history"
            " WHERE history_date <= %s ORDER BY id, history_id DESC) h WHERE history_type <> '-' ORDER BY id",
            [moment],
        )
        return list(cursor.fetchall())


def keep(dataset: Dataset, days: int | None) -> None:
    pruning.set_history_days(dataset=dataset, days=days)


@pytest.mark.case("C17")
@pytest.mark.parametrize("seed", range(3))
def test_every_moment_of_the_retention_is_what_it_was_and_no_young_version_goes(
    orders: Dataset, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(pruning, "BATCH_ROWS", 7)
    random = Random(seed)
    model, note = get_row_model(orders), orders.spec().columns[3].name
    for _day in range(40):
        ids = list(model._default_manager.values_list("pk", flat=True))
        for _ in range(random.randrange(4)):
            match random.choice("addd~~~~-" if len(ids) > 2 else "a"):
                case "-":
                    model._default_manager.filter(pk=random.choice(ids)).delete()
                case "~":
                    model._default_manager.filter(pk=random.choice(ids)).update(
                        **{note: str(random.random())}
                    )
                case _:
                    number = random.randrange(10**9)
                    model._default_manager.create(
                        **{orders.spec().key[0]: number, orders.spec().columns[1].name: "new"}
                    )
        age(orders, 1)
    now = clock.now()
    before = now - timedelta(days=10)
    moments = [before + timedelta(hours=6 * step) for step in range(41)]
    everything, was = history(orders), [as_of(orders, moment) for moment in moments]
    old = pruning.count_old(orders, before)
    assert pruning.prune_now(dataset=orders, before=before) == old > 0
    assert [as_of(orders, moment) for moment in moments] == was
    left = history(orders)
    date = columns_of(orders).index("history_date")
    assert [row for row in left if row[date] >= before] == [row for row in everything if row[date] >= before]
    assert set(left) <= set(everything) and len(everything) - len(left) == old
    assert pruning.prune_now(dataset=orders, before=before) == 0


def columns_of(dataset: Dataset) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM ds_{dataset.pk}_history LIMIT 0")
        return [column.name for column in cursor.description]


@pytest.mark.case("C17")
def test_a_preview_merges_and_is_undone_as_if_nothing_had_been_cleaned_up(orders: Dataset) -> None:
    old = import_text(orders)
    import_text(orders, "id,status,amount,note\n1,new,1.00,second\n2,new,2.00,second\n")
    age(orders, 30)
    waiting = upload(orders, "id,status,amount,note\n1,paid,9.00,third\n4,new,4.00,third\n")
    before = records(orders)
    keep(orders, 20)
    jobs.services.submit("datasets.prune_history", target="now", payload={})
    jobs.services.run_pending()
    event = Event.objects.get(name="datasets.history.pruned")
    assert event.data["removed"] == 2  # of the first two records what they were at first
    waiting = merge(waiting)
    assert (waiting.state, waiting.created_rows, waiting.updated_rows) == (State.IMPORT_SUCCEEDED, 1, 1)
    undo = merge(work(undo_import(job=waiting, by=person())))
    assert undo.state == State.IMPORT_SUCCEEDED and records(orders) == before
    refused = work(undo_import(job=type(old).objects.get(pk=old.pk), by=person()))
    assert (refused.state, refused.error_code) == (State.PREVIEW_FAILED, HistoryPruned.code)
    orders.refresh_from_db()
    assert orders.history_pruned_at is not None
    jobs.services.submit("datasets.prune_history", target="an hour later", payload={})
    jobs.services.run_pending()
    assert Event.objects.filter(name="datasets.history.pruned").count() == 1  # once a day


def test_the_same_file_again_is_not_taken_for_known_because_a_deletion_was_forgotten(orders: Dataset) -> None:
    import_text(orders)
    get_row_model(orders)._default_manager.all()[0].delete()
    age(orders, 30)
    pruning.prune_now(dataset=orders, before=clock.now() - timedelta(days=8))
    again = upload(orders)
    assert (again.created_rows, again.unchanged_rows) == (1, 2)


@pytest.mark.slow
@pytest.mark.case("C17")
def test_imports_and_clean_ups_at_once_lose_nothing(
    committed_tenants: list[TenantRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "BATCH_ROWS", 50)
    tenant, other = committed_tenants
    with in_tenant(other):
        theirs = make_orders()
        import_text(theirs)
        age(theirs, 100)
        kept = history(theirs)
    with in_tenant(tenant):
        dataset = make_orders()
        lines = "".join(f"{number},new,1.00,{{0}}\n" for number in range(400))
        for turn in range(3):
            import_text(dataset, "id,status,amount,note\n" + lines.format(f"old {turn}"))
        age(dataset, 30)
        cutoff = clock.now() - timedelta(days=7)
    faults: list[BaseException] = []
    over = threading.Event()
    removed = []

    def clean_up() -> None:
        try:
            while not over.is_set():
                with in_tenant(tenant):
                    try:
                        removed.append(pruning.prune_now(dataset=dataset, before=cutoff))
                    except DatasetBusy:  # an import is at it: later
                        continue
        except BaseException as error:  # noqa: BLE001 -- whatever it is, nobody may see it
            faults.append(error)
        finally:
            connection.close()

    cleaner = threading.Thread(target=clean_up)
    cleaner.start()
    try:
        with in_tenant(tenant):
            for turn in range(4):
                done = import_text(dataset, "id,status,amount,note\n" + lines.format(f"young {turn}"))
                assert (done.state, done.updated_rows) == (State.IMPORT_SUCCEEDED, 400)
    finally:
        over.set()
        cleaner.join(60)
    assert faults == []
    with in_tenant(tenant):
        pruning.prune_now(dataset=dataset, before=cutoff)
        notes = (
            get_row_model(dataset)
            .history.order_by("history_id")
            .values_list(dataset.spec().columns[3].name, flat=True)
        )
        expected = ["old 2", "young 0", "young 1", "young 2", "young 3"]
        assert list(notes) == [note for note in expected for _ in range(400)]
        assert {row[3] for row in records(dataset)} == {"young 3"}
    with in_tenant(other):
        assert history(theirs) == kept


def test_how_long_history_is_kept_is_set_by_who_manages_and_within_bounds(orders: Dataset) -> None:
    with pytest.raises(PermissionDenied):
        pruning.set_history_days(dataset=orders, days=30, by=person("editor"))
    for days in (0, 6, 36_501):
        with pytest.raises(pruning.BadRetention, match="7 to 36,500 days"):
            keep(orders, days)
    pruning.set_history_days(dataset=orders, days=30, by=person())
    event = Event.objects.get(name="datasets.history.retention_set")
    assert (event.actor_id, event.data) == (person().pk, {"before": None, "after": 30})
    keep(orders, 30)
    assert Event.objects.filter(name="datasets.history.retention_set").count() == 1
    assert Dataset.objects.get(pk=orders.pk).definition_version == orders.definition_version


def test_it_is_set_on_the_page_of_the_definition(orders: Dataset, acme: TenantRef, client_of: Any) -> None:
    client, url = client_of(acme), f"/admin/datasets/dataset/{orders.pk}/change/"
    shown = client.get(url).content.decode()
    assert 'name="history_days"' in shown and "Days that history is kept" in shown
    form = {
        "title": orders.title,
        "check_lines": "",
        "columns-TOTAL_FORMS": "0",
        "columns-INITIAL_FORMS": "0",
        "seen": orders.definition_version,
    }
    assert "greater than or equal to 7" in client.post(url, form | {"history_days": "3"}).content.decode()
    assert client.post(url, form | {"history_days": "90"}).status_code == 302
    assert days_kept(acme, orders) == 90
    assert client.post(url, form).status_code == 302  # a form that does not speak of it
    assert days_kept(acme, orders) == 90
    assert 'name="history_days"' not in client_of(acme, "viewer").get(url).content.decode()


def days_kept(tenant: TenantRef, dataset: Dataset) -> int | None:
    with in_tenant(tenant):
        return Dataset.objects.get(pk=dataset.pk).history_days


def test_the_command_says_what_would_go_and_removes_it(
    orders: Dataset, as_acme: TenantRef, capsys: pytest.CaptureFixture[str]
) -> None:
    import_text(orders)
    import_text(orders, "id,status,amount,note\n1,new,1.00,second\n")
    age(orders, 30)

    def run(*options: str) -> str:
        leave_tenant()
        call_command("prune_history", "--tenant", "acme", *options)
        bind_tenant(as_acme)
        return capsys.readouterr().out.strip()

    assert run() == "No dataset here limits how long history is kept."
    assert run("--dataset", "orders") == "orders: history is kept for ever."
    keep(orders, 7)
    assert run("--dry-run") == "orders: 1 version older than 7 days would be removed."
    assert json.loads(run("--json"))["datasets"] == [{"dataset": "orders", "keep_days": 7, "removed": 1}]
    assert run() == "orders: 0 versions older than 7 days removed."
