"""Two at one record at the same moment: real connections, real commits. Nothing is lost, and each is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.db import connection

from core.errors import RowhouseError
from core.tenancy import TenantRef, in_tenant
from datasets import changesets
from datasets.cells import CellEdit, edit_cells
from datasets.changeset import ChangeSet, State
from datasets.models import Dataset
from datasets.rows import get_row_model
from datasets.tests.conftest import add_record, make_dataset, name_of
from datasets.tests.test_cells import bulk, column, contents
from importer.models import State as ImportState
from importer.tests.tools import merge, upload

EDITORS = 8


@pytest.fixture
def tenant(committed_tenants: list[TenantRef]) -> Iterator[TenantRef]:
    """A tenant that threads see, with orders; the one beside it has the same and must be left alone."""
    ours, theirs = committed_tenants
    for ref in (ours, theirs):
        with in_tenant(ref):
            add_record(make_dataset(), Order_no="A1", Pieces=0)
    yield ours
    with in_tenant(theirs):
        assert (column(Dataset.objects.get(), "Pieces"), ChangeSet.objects.count()) == ([0], 0)


def at_once(tenant: TenantRef, *acts: Callable[[], Any]) -> list[Any]:
    """Do all of these at the same moment, each on a connection of its own; what one raises is its answer."""
    ready = Barrier(len(acts))

    def run(act: Callable[[], Any]) -> Any:
        try:
            with in_tenant(tenant):
                connection.ensure_connection()
                ready.wait(60)
                return act()
        except RowhouseError as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


def saved(dataset: Dataset, tenant: TenantRef, pk: int, value: str) -> Callable[[], str]:
    def act() -> str:
        edits = [CellEdit(pk, name_of(dataset, "Pieces"), "0", value)]
        return edit_cells(dataset=dataset, edits=edits, by=person_here(tenant)).cells[0].status

    return act


def person_here(tenant: TenantRef) -> Any:
    from accounts.models import User  # inside the thread's own tenant  # noqa: PLC0415

    return User.objects.get(email=f"owner@{tenant.slug}.example")


def test_of_many_editors_of_one_cell_one_saves_and_the_others_see_its_value(tenant: TenantRef) -> None:
    with in_tenant(tenant):
        dataset = Dataset.objects.get()
        pk = get_row_model(dataset).objects.get().pk
    answers = at_once(tenant, *(saved(dataset, tenant, pk, str(one + 1)) for one in range(EDITORS)))
    assert sorted(answers) == ["conflict"] * (EDITORS - 1) + ["saved"]
    with in_tenant(tenant):
        made = ChangeSet.objects.get()
        model = get_row_model(dataset)
        assert model.history.filter(history_change_reason=made.reason).count() == 1
        assert column(dataset, "Pieces") == [answers.index("saved") + 1]


def test_a_deletion_and_an_edit_at_once_lose_nothing(tenant: TenantRef) -> None:
    with in_tenant(tenant):
        dataset, owner = Dataset.objects.get(), person_here(tenant)
        model = get_row_model(dataset)
        pk = model.objects.get().pk
        planned = changesets.plan_delete(dataset=dataset, records=model.objects.all(), by=owner)
    deletion, edit = at_once(
        tenant,
        lambda: changesets.confirm_changes(changes=planned, by=person_here(tenant), seen=planned.plans).state,
        saved(dataset, tenant, pk, "7"),
    )
    with in_tenant(tenant):
        planned.refresh_from_db()
        if edit == "saved":  # it came first: the deletion shows itself again
            assert (deletion, column(dataset, "Pieces")) == (State.PLANNED, [7])
            assert planned.notice.startswith("1 record changed since this was worked out")
        else:
            assert (deletion, edit, contents(dataset)) == (State.DONE, "gone", {})


def test_a_bulk_edit_and_the_merge_of_an_import_come_one_after_the_other(tenant: TenantRef) -> None:
    with in_tenant(tenant):
        dataset, owner = Dataset.objects.get(), person_here(tenant)
        job = upload(dataset, "Order no,Pieces\nA1,50\n")
        planned = bulk(dataset, owner, "Pieces", "add", "1")
        merged = merge(job)
        assert merged.state == ImportState.IMPORT_SUCCEEDED, merged.error or merged.notice
        again = changesets.confirm_changes(changes=planned, by=owner, seen=planned.plans)
        assert (again.state, column(dataset, "Pieces")) == (State.PLANNED, [50])
        assert "1 record changed since this was worked out, so nothing was written." in again.notice
        late = upload(dataset, "Order no,Pieces\nA1,60\n")
        done = changesets.confirm_changes(changes=again, by=owner, seen=again.plans)
        assert (done.state, column(dataset, "Pieces")) == (State.DONE, [51])
        merged = merge(late)
        assert merged.notice.startswith("1 record changed since the preview.")
        edits = [CellEdit(get_row_model(dataset).objects.get().pk, name_of(dataset, "Pieces"), "50", "9")]
        cell = edit_cells(dataset=dataset, edits=edits, by=owner).cells[0]
        assert (cell.status, cell.now, column(dataset, "Pieces")) == ("conflict", "51", [51])


@pytest.mark.case("C05")
def test_the_same_records_in_opposite_orders_never_stand_in_each_others_way(tenant: TenantRef) -> None:
    """Blocks of cells, whose records come in the order somebody pasted them, beside a merge of them all."""
    with in_tenant(tenant):
        dataset = Dataset.objects.get()
        for number in range(2, 30):
            add_record(dataset, Order_no=f"A{number}", Pieces=0)
        pieces = name_of(dataset, "Pieces")
        pks = list(get_row_model(dataset)._default_manager.order_by("pk").values_list("pk", flat=True))

    def block(order: list[int], text: str) -> Callable[[], set[str]]:
        def act() -> set[str]:
            edits = [CellEdit(pk, pieces, "0", text) for pk in order]
            done = edit_cells(dataset=dataset, edits=edits, by=person_here(tenant))
            return {cell.status for cell in done.cells}

        return act

    for turn in range(5):
        with in_tenant(tenant):
            get_row_model(dataset)._default_manager.update(**{pieces: 0})
        told = at_once(tenant, *(block(pks[:: (-1) ** n], str(10 * turn + n + 1)) for n in range(4)))
        assert [one for one in told if one == {"saved"}] == [{"saved"}], told
        assert all(one in ({"saved"}, {"conflict"}) for one in told), told
        with in_tenant(tenant):
            assert len(set(column(dataset, "Pieces"))) == 1
