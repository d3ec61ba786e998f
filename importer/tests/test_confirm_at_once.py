"""A hundred confirms at once, several workers, and what changes between a confirm and its merge.

Real connections, real commits. Another tenant's import of the same name stands beside all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Barrier
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.test import Client

import jobs.services
from audit.models import Event
from core.errors import RowhouseError
from core.tenancy import TenantRef, bind_connection, in_tenant
from datasets.change_models import Change
from datasets.ddl import DatasetBusy
from datasets.models import Dataset
from datasets.services import delete_dataset
from importer import merge as merging
from importer import services, staging
from importer.models import RUNNING, ImportJob, State
from importer.services import NotConfirmable
from importer.signals import ImportRunning
from importer.tests.tools import (
    change_type,
    confirmed_change,
    counts,
    import_text,
    make_orders,
    merge,
    person,
    records,
    upload,
    versions,
    work,
)
from tenants.models import Tenant
from tenants.services import resume_tenant, suspend_tenant

CONFIRMS = 100
WORKERS = 4
RACES = 8
MORE = "id,status,amount,note\n7,new,1.00,x\n1,paid,2.00,y\n"


@pytest.fixture
def tenant(committed_tenants: list[TenantRef]) -> Iterator[TenantRef]:
    """A tenant that threads see; the one beside it has imported the same file and must be left alone."""
    ours, theirs = committed_tenants
    with in_tenant(theirs):
        import_text(make_orders())
    yield ours
    with in_tenant(theirs):
        assert (len(records(Dataset.objects.get())), ImportJob.objects.count()) == (3, 1)


def at_once(tenant: TenantRef, *acts: Callable[[], Any]) -> list[Any]:
    """Do all of these at the same moment, each on a connection of its own; what one raises is its answer."""
    ready = Barrier(min(len(acts), free_connections()))

    def run(number: int) -> Any:
        try:
            with in_tenant(tenant):
                connection.ensure_connection()
                if number < ready.parties:
                    ready.wait(60)
                return acts[number]()
        except (RowhouseError, PermissionDenied) as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(ready.parties) as pool:
        return list(pool.map(run, range(len(acts))))


def free_connections() -> int:
    """How many connections the server has left, some of them kept for others."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('max_connections')::int - count(*) - 10 FROM pg_stat_activity")
        return max(int(cursor.fetchone()[0]), 8)


def confirm(job: ImportJob, role: str = "owner") -> Callable[[], str]:
    def act() -> str:
        by = person(role)
        found = ImportJob.objects.filter(pk=job.pk).first()
        if found is None:
            raise NotConfirmable("gone")
        services.confirm_import(job=found, by=by)
        return "confirmed"

    return act


def is_unlocked(dataset: Dataset) -> bool:
    """Whether the dataset takes another import to its end."""
    return import_text(dataset, "id,status\n99,new\n").state == State.IMPORT_SUCCEEDED


@pytest.mark.slow
@pytest.mark.case("C01")
def test_of_a_hundred_confirms_one_merges_whoever_works(tenant: TenantRef) -> None:
    with in_tenant(tenant):
        dataset = make_orders()
        job = upload(dataset)
    answers = at_once(tenant, *[confirm(job)] * CONFIRMS)
    assert answers.count("confirmed") == 1
    assert [type(answer) for answer in answers if answer != "confirmed"] == [NotConfirmable] * (CONFIRMS - 1)
    at_once(tenant, *[jobs.services.run_pending] * WORKERS)
    with in_tenant(tenant):
        job = work(job)
        assert (job.state, job.merges, counts(job)) == (State.IMPORT_SUCCEEDED, 1, (3, 0, 0, 0))
        assert (len(records(dataset)), versions(dataset)) == (3, 3)
        events = Event.objects.filter(name__in=["importer.job.confirmed", "importer.job.imported"])
        assert sorted(events.values_list("name", flat=True)) == [
            "importer.job.confirmed",
            "importer.job.imported",
        ]


@pytest.mark.slow
@pytest.mark.case("C04")
def test_confirms_of_many_previews_while_workers_run_merge_one_at_a_time(tenant: TenantRef) -> None:
    with in_tenant(tenant):
        dataset = make_orders()
        previews = [upload(dataset) for _ in range(6)]
    acts = [confirm(preview) for preview in previews for _ in range(5)]
    answers = at_once(tenant, *acts, *[jobs.services.run_pending] * WORKERS)
    confirmed = answers[: len(acts)].count("confirmed")
    assert confirmed >= 1
    with in_tenant(tenant):
        states = [work(preview).state for preview in previews]
        assert not set(states) & {State.IMPORT_IN_PROGRESS, State.IMPORT_FAILED}
        # Whichever merged first made the records; what another one merged after it changed nothing.
        assert (len(records(dataset)), versions(dataset)) == (3, 3)


def test_a_confirm_and_a_change_of_type_at_once_do_both_one_after_the_other(tenant: TenantRef) -> None:
    for race in range(RACES):
        with in_tenant(tenant):
            dataset = make_orders(f"Orders {race}")
            import_text(dataset)
            job = upload(dataset, MORE)
            change = confirmed_change(
                dataset=dataset, column=dataset.columns.get(label="note"), type="long_text"
            )
        answers = at_once(tenant, *either_first(race, confirm(job), slices_of(change)))
        with in_tenant(tenant):
            job = work(job)
            jobs.services.run_until_done(int(change.job_id))
            change.refresh_from_db()
            job = work(job)
            assert change.state == "CHANGE_SUCCEEDED"
            if has(answers, NotConfirmable):
                assert (job.state, len(records(dataset))) == (State.PREVIEW_SUCCEEDED, 3)
            else:
                assert (job.state, len(records(dataset))) == (State.IMPORT_SUCCEEDED, 4)
            dataset.refresh_from_db()
            assert is_unlocked(dataset)


@pytest.mark.slow
@pytest.mark.case("C08")
def test_a_confirm_and_the_deletion_of_the_dataset_at_once_leave_one_of_them(tenant: TenantRef) -> None:
    for race in range(RACES):
        with in_tenant(tenant):
            dataset = make_orders(f"Orders {race}")
            job = upload(dataset)
        answers = at_once(tenant, *either_first(race, confirm(job), deletion_of(dataset)))
        with in_tenant(tenant):
            jobs.services.run_pending()
            if "deleted" in answers:
                assert has(answers, NotConfirmable)
                assert not ImportJob.objects.filter(pk=job.pk).exists()
            else:
                assert "confirmed" in answers
                assert has(answers, ImportRunning, DatasetBusy)
                assert len(records(dataset)) == 3
            assert leftover_tables() == []


@pytest.mark.case("A17")
def test_a_confirm_and_the_loss_of_the_right_at_once_never_merge_half(tenant: TenantRef) -> None:
    with in_tenant(tenant):
        editor = person("editor")
        groups = list(editor.groups.all())
    for race in range(RACES):
        with in_tenant(tenant):
            editor.groups.set(groups)
            dataset = make_orders(f"Orders {race}")
            job = upload(dataset)
        acts = either_first(race, confirm(job, "editor"), editor.groups.clear, jobs.services.run_pending)
        at_once(tenant, *acts)
        with in_tenant(tenant):
            job = work(job)
            is_merged = job.state == State.IMPORT_SUCCEEDED
            assert is_merged or job.state in (State.PREVIEW_SUCCEEDED, State.IMPORT_FAILED)
            assert (len(records(dataset)), versions(dataset)) == ((3, 3) if is_merged else (0, 0))
            assert is_unlocked(dataset)


@pytest.mark.case("C09")
def test_a_suspended_tenant_confirms_nothing_and_its_confirmed_import_ends(tenant: TenantRef) -> None:
    with in_tenant(tenant):
        dataset = make_orders()
        waiting, confirmed = upload(dataset), upload(dataset)
        client = Client(HTTP_HOST=f"{tenant.slug}.localhost")
        client.force_login(person(), backend="accounts.backends.TenantBackend")
        services.confirm_import(job=confirmed, by=person())
    row = Tenant.objects.get(schema_name=tenant.schema)
    suspend_tenant(tenant=row)
    answer = client.post(f"/importer/importjob/{waiting.pk}/confirm/", {"seen": waiting.previews})
    assert answer.status_code == 503
    with in_tenant(tenant):
        confirmed = work(confirmed)
        assert (confirmed.state, confirmed.error_code) == (State.IMPORT_FAILED, "suspended")
        assert ImportJob.objects.get(pk=waiting.pk).state == State.PREVIEW_SUCCEEDED
        assert records(dataset) == []
    resume_tenant(tenant=row)
    with in_tenant(tenant):
        assert work(confirmed).state == State.IMPORT_FAILED
        jobs.services.retry(int(confirmed.merge_job_id))
        assert work(confirmed).state == State.IMPORT_SUCCEEDED
        assert is_unlocked(dataset)


def test_a_preview_whose_dataset_is_gone_cannot_be_confirmed(orders: Dataset) -> None:
    job = upload(orders)
    delete_dataset(dataset=orders, by=person())
    with pytest.raises(NotConfirmable):
        services.confirm_import(job=job, by=person())
    assert leftover_tables() == []


def test_a_merge_whose_job_is_gone_writes_nothing_and_leaves_nothing(orders: Dataset) -> None:
    job = upload(orders)
    services.confirm_import(job=job, by=person())
    ImportJob.objects.filter(pk=job.pk).delete()  # as the database does with the dataset's row
    jobs.services.run_pending()
    assert records(orders) == []
    assert is_unlocked(orders)
    assert leftover_tables() == []


@pytest.mark.case("C07")
def test_a_change_of_type_after_the_preview_has_it_made_again(orders: Dataset) -> None:
    job = upload(orders)
    change_type(dataset=orders, column=orders.columns.get(label="note"), type="long_text")
    with pytest.raises(NotConfirmable):
        services.confirm_import(job=ImportJob.objects.get(pk=job.pk), by=person())
    job = work(job)
    assert (job.state, records(orders)) == (State.PREVIEW_SUCCEEDED, [])
    assert "definition changed since the preview" in job.notice
    assert merge(job).state == State.IMPORT_SUCCEEDED
    orders.refresh_from_db()
    assert is_unlocked(orders)


def test_a_merge_refused_at_its_run_says_why_and_leaves_the_dataset_free(orders: Dataset) -> None:
    changed, revoked = upload(orders), upload(orders)
    services.confirm_import(job=changed, by=person())
    Dataset.objects.update(definition_version=orders.definition_version + 1)
    changed = work(changed)
    assert (changed.state, changed.error_code) == (State.IMPORT_FAILED, "definition-changed")
    assert changed.error.endswith("Preview it again.")
    Dataset.objects.update(definition_version=orders.definition_version)
    services.confirm_import(job=revoked, by=person("editor"))
    person("editor").groups.clear()
    revoked = work(revoked)
    assert (revoked.state, revoked.error_code) == (State.IMPORT_FAILED, "no-longer-permitted")
    assert revoked.error.startswith("The person who confirmed this import may no longer do it.")
    with pytest.raises(PermissionDenied):
        merge(upload(orders), by=person("editor"))
    assert (records(orders), versions(orders)) == ([], 0)
    assert is_unlocked(orders)


def either_first(race: int, *acts: Callable[[], Any]) -> list[Callable[[], Any]]:
    return list(acts if race % 2 else reversed(acts))


def has(answers: list[Any], *kinds: type[Exception]) -> bool:
    return any(isinstance(answer, kinds) for answer in answers)


def slices_of(change: Change) -> Callable[[], str]:
    """Work on what waits, among it a confirmed change, as far as it goes now."""

    def act() -> str:
        jobs.services.run_pending()
        return "worked"

    return act


def deletion_of(dataset: Dataset) -> Callable[[], str]:
    def act() -> str:
        delete_dataset(dataset=Dataset.objects.get(pk=dataset.pk), by=None)
        return "deleted"

    return act


def leftover_tables() -> list[str]:
    """What is left of imports that neither run nor wait, after the sweep that every preview begins with."""
    staging.sweep()
    open_jobs = ImportJob.objects.filter(state__in=[*RUNNING, State.PREVIEW_SUCCEEDED])
    mine = {f"{prefix}_{pk}" for pk in open_jobs.values_list("pk", flat=True) for prefix in staging.PREFIXES}
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
        names = {
            name
            for (name,) in cursor.fetchall()
            if name.startswith(tuple(f"{one}_" for one in staging.PREFIXES))
        }
    return sorted(names - mine)


def test_a_merge_neither_waits_for_a_vacuum_of_history_nor_ends_it(
    tenant: TenantRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "MANY_VERSIONS", 1)
    with in_tenant(tenant):
        orders = make_orders()
        import_text(orders)
        table = orders.spec().history_table
        vacuum = connection.copy()
        with closing(vacuum):
            bind_connection(vacuum)
            vacuum.set_autocommit(autocommit=False)
            with vacuum.cursor() as cursor:
                cursor.execute(f"LOCK TABLE {table} IN SHARE UPDATE EXCLUSIVE MODE")  # as a vacuum holds it
            assert import_text(orders, MORE).state == State.IMPORT_SUCCEEDED
            with vacuum.cursor() as cursor:
                cursor.execute(f"SELECT count(*) FROM {table}")
                assert cursor.fetchone() == (5,)


def test_an_edit_that_was_open_when_the_preview_was_made_takes_the_merge_back_to_it(
    tenant: TenantRef,
) -> None:
    with in_tenant(tenant):
        orders = make_orders()
        import_text(orders)
        spec = orders.spec()
        editor = connection.copy()
        with closing(editor):
            bind_connection(editor)
            editor.set_autocommit(autocommit=False)
            with editor.cursor() as cursor:
                cursor.execute(
                    f"UPDATE {spec.table} SET {spec.columns[3].name} = 'mine' WHERE {spec.key[0]} = 1"
                )
            job = upload(orders, MORE)
            editor.commit()
        job = merge(job)
        assert job.state == State.PREVIEW_SUCCEEDED
        assert job.notice.startswith("1 record changed since the preview.")
        assert records(orders)[0][3] == "mine"
