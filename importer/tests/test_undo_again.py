"""Undo of an undo, and undos that cannot be done, or not as they were previewed: all of it or nothing."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.core.exceptions import PermissionDenied
from django.db import connection

import jobs.services
from accounts.models import User
from core.tenancy import TenantRef
from datasets import undo_plan
from datasets.models import Dataset
from datasets.rows import get_row_model
from datasets.signals import changing
from importer import services, undo_work
from importer.models import ImportJob, State
from importer.signals import ImportRunning
from importer.tests.test_merge import staging_tables
from importer.tests.tools import (
    ShortSlice,
    change_type,
    confirmed_change,
    import_text,
    merge,
    person,
    records,
    upload,
    versions,
    work,
)
from importer.tests.undo_tools import buckets, contents, edit, kept, previewed, remove, sync, undone
from importer.undo import NotUndoable, undo_import
from importer.undo_plan import HistoryPruned
from jobs.services import NotRetryable, retry

CHANGED = "id,status,amount,note\n1,sent,10.00,called\n2,paid,20.50,\n4,new,4.00,fresh\n"


@pytest.fixture
def filled(orders: Dataset) -> Dataset:
    """Orders 1 to 3, imported."""
    import_text(orders)
    return orders


def states(*jobs: ImportJob) -> list[str]:
    return [ImportJob.objects.get(pk=job.pk).state for job in jobs]


def test_an_undo_is_undone_and_the_import_is_in_force_again(filled: Dataset) -> None:
    job = import_text(filled, CHANGED)
    after, ended_at = contents(filled), job.ended_at
    first = undone(job)
    second = undone(first)
    assert (buckets(second), contents(filled)) == ((0, 1, 1, 0), after)
    assert states(job, first, second) == [State.IMPORT_SUCCEEDED, State.UNDONE, State.IMPORT_SUCCEEDED]
    job.refresh_from_db()
    assert (job.undone_at, job.ended_at) == (None, ended_at)


def test_a_chain_of_undos_goes_on_from_its_end(filled: Dataset) -> None:
    before = contents(filled)
    job = import_text(filled, CHANGED)
    after = contents(filled)
    chain = [job]
    for number in range(1, 5):
        chain.append(undone(chain[-1]))
        assert contents(filled) == (before if number % 2 else after)
        in_force = [State.UNDONE if (number - at) % 2 else State.IMPORT_SUCCEEDED for at in range(number + 1)]
        assert states(*chain) == in_force


def test_an_import_put_back_can_be_undone_anew_and_cuts_the_older_chain(filled: Dataset) -> None:
    before = contents(filled)
    job = import_text(filled, CHANGED)
    first = undone(job)
    second = undone(first)
    third = undone(job)
    assert contents(filled) == before
    assert states(job, first, second, third) == ["UNDONE", "UNDONE", "IMPORT_SUCCEEDED", "IMPORT_SUCCEEDED"]
    with pytest.raises(NotUndoable, match=f"Import {job.pk} of orders.csv was undone again since"):
        undo_import(job=second, by=person())
    undone(third)
    assert states(job) == ["IMPORT_SUCCEEDED"]


def test_undoing_the_undo_of_a_sync_deletes_again_but_not_what_was_edited(filled: Dataset) -> None:
    job = sync(filled, "id,status\n1,sent\n")
    first = undone(job)
    edit(filled, 3, note="by hand")
    second = undone(first)
    assert (buckets(second), kept(second)) == ((1, 1, 0, 1), [("3", "edited-since")])
    assert [row[:2] for row in records(filled)] == [(1, "sent"), (3, "sent")]


def test_imports_are_undone_in_any_order_as_far_as_they_left_each_other_alone(filled: Dataset) -> None:
    first = import_text(filled, "id,status\n1,paid\n2,sent\n")
    second = import_text(filled, "id,status\n2,new\n3,new\n")
    made = undone(first)
    assert (buckets(made), kept(made)) == ((0, 1, 0, 1), [("2", "edited-since")])
    assert [row[1] for row in records(filled)] == ["new", "new", "new"]
    assert buckets(undone(second)) == (0, 2, 0, 0)
    assert [row[1] for row in records(filled)] == ["new", "sent", "sent"]


@pytest.mark.parametrize("state", ["PREVIEW_SUCCEEDED", "CANCELLED"])
def test_what_was_never_merged_has_nothing_to_undo(filled: Dataset, state: str) -> None:
    job = upload(filled, CHANGED)
    if state == "CANCELLED":
        services.cancel_import(job=job, by=person())
    with pytest.raises(NotUndoable, match="changed no record"):
        undo_import(job=job, by=person())


def test_what_is_undone_already_says_by_what(filled: Dataset) -> None:
    job = import_text(filled, CHANGED)
    made = undone(job)
    with pytest.raises(NotUndoable, match=f"undone already, by import {made.pk}. Undo that one"):
        undo_import(job=job, by=person())


@pytest.mark.parametrize("kind", ["all", "before", "some"])
def test_history_that_was_pruned_below_the_import_is_said(filled: Dataset, kind: str) -> None:
    job = import_text(filled, CHANGED)
    history = get_row_model(filled).history
    match kind:
        case "all":
            history.all().delete()
            with pytest.raises(HistoryPruned, match="cannot be undone any more"):
                undo_import(job=job, by=person())
            return
        case "before":
            history.exclude(history_change_reason=job.reason).delete()
        case "some":
            history.filter(history_change_reason=job.reason).first().delete()
    made = work(undo_import(job=job, by=person()))
    assert (made.state, made.error_code) == (State.PREVIEW_FAILED, "history-pruned")


# ---- between the preview and the merge


def test_a_record_changed_since_the_preview_is_named_and_the_undo_previewed_again(filled: Dataset) -> None:
    made = previewed(import_text(filled, CHANGED))
    edit(filled, 4, note="in between")
    made = merge(made)
    assert made.state == State.PREVIEW_SUCCEEDED
    assert made.notice.startswith("1 record changed since the preview.")
    assert (buckets(made), kept(made)) == ((0, 1, 0, 1), [("4", "edited-since")])
    assert merge(made).state == State.IMPORT_SUCCEEDED


def test_a_change_beside_the_undo_does_not_disturb_it(filled: Dataset) -> None:
    made = previewed(import_text(filled, CHANGED))
    edit(filled, 3, note="elsewhere")
    assert merge(made).state == State.IMPORT_SUCCEEDED


def test_a_record_removed_since_the_preview_counts_too(filled: Dataset) -> None:
    made = previewed(import_text(filled, CHANGED))
    remove(filled, 4)
    made = merge(made)
    assert (made.state, buckets(made)) == (State.PREVIEW_SUCCEEDED, (0, 1, 0, 0))


def test_a_plan_lost_in_a_crash_is_made_again(filled: Dataset) -> None:
    made = previewed(import_text(filled, CHANGED))
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE diff_{made.pk}")
    made = merge(made)
    assert (made.state, buckets(made)) == (State.PREVIEW_SUCCEEDED, (1, 1, 0, 0))
    assert "lost the plan" in made.notice


def broken(*_args: Any) -> int:
    raise RuntimeError("the power went")


def failed(job: ImportJob, monkeypatch: pytest.MonkeyPatch, step: str = "restore") -> ImportJob:
    """Confirm the undo of an import whose merge fails at a step, as often as it is tried."""
    made = previewed(job)
    with monkeypatch.context() as patch:
        patch.setattr(undo_plan, step, broken)
        services.confirm_import(job=made, by=person())
        made.refresh_from_db()
        jobs.services.run_until_done(int(made.merge_job_id))
    made.refresh_from_db()
    assert made.state == State.IMPORT_FAILED
    return made


@pytest.mark.parametrize("step", ["remove", "restore", "bring_back"])
def test_a_failure_in_the_middle_leaves_everything_as_it_was(
    filled: Dataset, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    job = import_text(filled, CHANGED)
    before, history = contents(filled), versions(filled)
    failed(job, monkeypatch, step)
    assert (contents(filled), versions(filled)) == (before, history)
    assert states(job) == [State.IMPORT_SUCCEEDED]
    assert buckets(undone(job)) == (1, 1, 0, 0)


def test_a_failed_undo_can_be_started_again(filled: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    made = failed(import_text(filled, CHANGED), monkeypatch)
    retry(int(made.merge_job_id))
    assert (work(made).state, len(records(filled))) == (State.IMPORT_SUCCEEDED, 3)


def test_a_failed_undo_without_its_plan_is_asked_for_anew(
    filled: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = failed(import_text(filled, CHANGED), monkeypatch)
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE diff_{made.pk}")
    with pytest.raises(NotRetryable, match="Undo the import again"):
        retry(int(made.merge_job_id))


def test_the_preview_of_an_undo_can_be_started_again(filled: Dataset) -> None:
    job = import_text(filled, CHANGED)
    made = undo_import(job=job, by=person())
    services.cancel_import(job=made, by=person())
    made = work(made)
    assert made.state == State.CANCELLED
    retry(int(made.preview_job_id))
    assert merge(work(made)).state == State.IMPORT_SUCCEEDED


def test_an_undo_delivered_twice_writes_once(filled: Dataset) -> None:
    made = undone(import_text(filled, CHANGED))
    history = versions(filled)
    assert undo_work.merge(made, ShortSlice({})).done
    assert undo_work.preview(made, ShortSlice({})).done
    assert versions(filled) == history


def test_nothing_is_left_of_an_undo_but_its_row_and_history(filled: Dataset) -> None:
    undone(import_text(filled, CHANGED))
    services.cancel_import(job=previewed(import_text(filled, CHANGED)), by=person())
    assert staging_tables() == []


def test_a_cancelled_undo_leaves_the_import_in_force(filled: Dataset) -> None:
    job = import_text(filled, CHANGED)
    services.cancel_import(job=previewed(job), by=person())
    assert states(job) == [State.IMPORT_SUCCEEDED]
    assert buckets(undone(job)) == (1, 1, 0, 0)


def test_of_two_confirmed_undos_of_one_chain_the_second_is_refused(filled: Dataset) -> None:
    job = import_text(filled, CHANGED)
    first = previewed(job)
    second = ImportJob.objects.create(dataset=filled, undoes=job, created_by=person())
    services.submit_preview(second)
    second = work(second)
    merge(first)
    second = merge(second)
    assert (second.state, second.error_code) == (State.IMPORT_FAILED, "not-undoable")
    assert states(job, first) == [State.UNDONE, State.IMPORT_SUCCEEDED]


# ---- rights, definitions, tenants


def _importer(*rights: str) -> User:
    user = person("viewer")
    user.groups.clear()
    names = [f"{right}_rows" for right in ("view", "import", *rights)]
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    return User.objects.get(pk=user.pk)


@pytest.mark.parametrize("has", [("delete",), ("change",)])
def test_whoever_may_not_do_what_an_undo_does_cannot_ask_for_it(filled: Dataset, has: tuple[str]) -> None:
    job = import_text(filled, CHANGED)
    with pytest.raises(PermissionDenied, match="which this undo would do"):
        undo_import(job=job, by=_importer(*has))
    assert undo_import(job=job, by=_importer("delete", "change")).is_undo


def test_bringing_records_back_needs_the_right_to_add(filled: Dataset) -> None:
    job = sync(filled, "id,status\n1,new\n")
    with pytest.raises(PermissionDenied, match="right to add"):
        undo_import(job=job, by=_importer("delete", "change"))


@pytest.mark.case("C10", "A17")
def test_rights_are_looked_at_at_confirm_and_when_the_undo_runs(filled: Dataset) -> None:
    made = previewed(import_text(filled, CHANGED))
    with pytest.raises(PermissionDenied, match="right to delete"):
        services.confirm_import(job=made, by=_importer("change"))
    editor = person("editor")
    services.confirm_import(job=made, by=editor)
    editor.groups.set(Group.objects.none())
    before = contents(filled)
    made = work(made)
    assert (made.state, made.error_code) == (State.IMPORT_FAILED, "no-longer-permitted")
    assert contents(filled) == before
    assert made.error.startswith("The person who confirmed this undo may no longer do it.")


def test_a_definition_changed_since_the_preview_stops_confirm_and_merge(filled: Dataset) -> None:
    job = import_text(filled, CHANGED)
    made = previewed(job)
    change_type(dataset=filled, column=filled.columns.get(label="amount"), type="text")
    with pytest.raises(services.NotConfirmable):
        services.confirm_import(job=made, by=person())
    made = work(made)
    assert (made.state, "definition changed since the preview" in made.notice) == ("PREVIEW_SUCCEEDED", True)
    services.confirm_import(job=made, by=person())
    Dataset.objects.filter(pk=filled.pk).update(definition_version=9)
    made = work(made)
    assert (made.state, made.error_code) == (State.IMPORT_FAILED, "definition-changed")


def test_an_undo_after_a_type_change_brings_the_values_back_in_the_new_type(filled: Dataset) -> None:
    before = contents(filled)
    job = import_text(filled, CHANGED)
    change_type(dataset=filled, column=filled.columns.get(label="amount"), type="text")
    filled.refresh_from_db()
    made = undone(job)
    assert buckets(made) == (1, 1, 0, 0)
    amounts = {pk: str(row[2]) if row[2] is not None else None for pk, row in before.items()}
    assert {pk: row[2] for pk, row in contents(filled).items()} == amounts


def test_edits_before_a_type_change_still_count_after_it(filled: Dataset) -> None:
    job = import_text(filled, CHANGED)
    edit(filled, 4, amount="5.00")
    change_type(dataset=filled, column=filled.columns.get(label="amount"), type="text")
    made = undone(job)
    assert (buckets(made), kept(made)) == ((0, 1, 0, 1), [("4", "edited-since")])


def test_an_undo_of_a_suspended_tenant_waits(filled: Dataset, as_acme: TenantRef) -> None:
    made = previewed(import_text(filled, CHANGED))
    before = contents(filled)
    services.confirm_import(job=made, by=person())
    jobs.services.pause_tenant(as_acme.schema)
    assert work(made).state == State.IMPORT_IN_PROGRESS
    assert contents(filled) == before
    jobs.services.resume_tenant(as_acme.schema)
    assert work(made).state == State.IMPORT_SUCCEEDED


@pytest.mark.case("C07")
@pytest.mark.parametrize("step", ["preview", "merge", "undo"])
def test_a_change_of_type_lets_a_confirmed_import_or_undo_go_first(filled: Dataset, step: str) -> None:
    job = import_text(filled, CHANGED)
    column = filled.columns.get(label="amount")
    match step:
        case "preview":
            made = undo_import(job=job, by=person())
        case "merge":
            made = upload(filled)
            services.confirm_import(job=made, by=person())
        case "undo":
            made = previewed(job)
            services.confirm_import(job=made, by=person())
    change = confirmed_change(dataset=filled, column=column, type="text")
    if step != "preview":
        with pytest.raises(ImportRunning, match="was confirmed before and goes first"):
            changing.send(sender=Dataset, dataset=filled)
    made = work(made)
    change.refresh_from_db()
    assert (made.state, change.state) == (
        State.PREVIEW_SUCCEEDED if step == "preview" else State.IMPORT_SUCCEEDED,
        "CHANGE_SUCCEEDED",
    )


@pytest.mark.case("C07")
def test_an_import_previewed_before_a_type_change_is_previewed_again_after_it(filled: Dataset) -> None:
    job = upload(filled, CHANGED)
    before = len(records(filled))
    change_type(dataset=filled, column=filled.columns.get(label="amount"), type="text")
    with pytest.raises(services.NotConfirmable):
        services.confirm_import(job=job, by=person())
    assert len(records(filled)) == before
    job = work(job)
    assert (job.state, "definition changed since the preview" in job.notice) == ("PREVIEW_SUCCEEDED", True)
    services.confirm_import(job=job, by=person())
    assert work(job).state == State.IMPORT_SUCCEEDED
