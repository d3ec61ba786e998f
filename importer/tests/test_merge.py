"""What a merge writes, and when it refuses to."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.db import connection

from accounts.models import User
from audit.actor import actor
from datasets.models import Dataset
from datasets.rows import get_row_model
from importer import merge as merging
from importer import plan, services
from importer.models import Policy, SavedMapping, State
from importer.parts import staged_of
from importer.services import NotConfirmable
from importer.staging import PREFIXES
from importer.tests.tools import (
    GOOD,
    ShortSlice,
    counts,
    import_text,
    make_orders,
    merge,
    person,
    records,
    upload,
    versions,
    work,
)  # fmt: skip


def staging_tables() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename ~ %s",
            [f"^({'|'.join(PREFIXES)})_"],
        )
        return [name for (name,) in cursor.fetchall()]


def test_merge_keeps_columns_the_file_does_not_have(orders: Dataset) -> None:
    import_text(orders)
    job = import_text(orders, "id,status\n1,paid\n")
    assert counts(job) == (0, 1, 0, 0)
    assert records(orders)[0] == (1, "paid", Decimal("10.00"), "call")


def test_a_plan_keeps_since_when_there_may_be_edits_it_does_not_see(orders: Dataset) -> None:
    import_text(orders)
    job = upload(orders, "id,status\n1,paid\n")
    assert job.head["unseen_since"]
    assert not plan.is_touched(job, orders.spec())
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {orders.spec().table} SET {orders.spec().columns[1].name} = 'sent'")
    assert plan.is_touched(job, orders.spec())


FEW = "id,status\n1,paid\n2,paid\n" + "".join(f"{number},new\n" for number in range(10, 20))


def test_a_few_changing_rows_are_fetched_from_their_places(orders: Dataset) -> None:
    import_text(orders, FEW)
    job = upload(orders, FEW.replace("2,paid", "2,sent"))
    source = plan.changing_rows(staged_of(job, orders.spec()))
    assert "d.source" in source
    assert counts(merge(job)) == (0, 1, 11, 0)
    assert [one[1] for one in records(orders)][:3] == ["paid", "sent", "new"]


@pytest.mark.parametrize("is_plan_of_before", [False, True])
def test_rows_that_moved_since_their_plan_are_not_taken_for_others(
    orders: Dataset, is_plan_of_before: bool
) -> None:
    """As by a VACUUM FULL. A plan of an earlier release does not know places, so nothing is lost to it."""
    import_text(orders, FEW)
    job = upload(orders, FEW.replace("2,paid", "2,sent"))
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE stg_{job.pk} SET rn = rn")
    if is_plan_of_before:
        del job.head["changing"]
        job.save(update_fields=["head"])
    job = merge(job)
    assert job.state == (State.IMPORT_SUCCEEDED if is_plan_of_before else State.PREVIEW_SUCCEEDED)
    assert records(orders)[1][1] == ("sent" if is_plan_of_before else "paid")


def test_an_empty_cell_clears_the_value(orders: Dataset) -> None:
    import_text(orders)
    import_text(orders, "id,status,note\n1,new,\n")
    assert records(orders)[0] == (1, "new", Decimal("10.00"), None)


@pytest.mark.parametrize("most_bits", [plan.MOST_BITS, 1])
def test_only_the_columns_that_change_in_some_record_are_written(
    orders: Dataset, monkeypatch: pytest.MonkeyPatch, most_bits: int
) -> None:
    monkeypatch.setattr(plan, "MOST_BITS", most_bits)
    import_text(orders)
    job = upload(orders, "id,status,amount,note\n1,paid,10.00,call\n2,paid,20.50,noted\n3,sent,,later\n")
    labels = {column.name: column.label for column in orders.spec().columns}
    every = ["status", "amount", "note"]
    assert [labels[name] for name in plan.changing_columns(staged_of(job, orders.spec()))] == (
        every if most_bits == 1 else ["status", "note"]
    )
    assert counts(merge(job)) == (0, 2, 1, 0)
    assert records(orders) == [
        (1, "paid", Decimal("10.00"), "call"),
        (2, "paid", Decimal("20.50"), "noted"),
        (3, "sent", None, "later"),
    ]


@pytest.mark.parametrize("head", [{}, {"changing": {"snapshot": "1:1:", "columns": ["c1"]}}])
def test_a_plan_of_an_earlier_release_writes_every_column(orders: Dataset, head: dict[str, object]) -> None:
    import_text(orders)
    job = upload(orders, "id,status,amount,note\n1,paid,11.00,\n")
    del job.head["changing"]  # what is left of an earlier plan says nothing of this one
    job.head |= head
    job.save()
    assert counts(merge(job)) == (0, 1, 0, 0)
    assert records(orders)[0] == (1, "paid", Decimal("11.00"), None)


def test_history_names_the_person_and_the_import(orders: Dataset) -> None:
    job = import_text(orders, by=person("editor"))
    version = get_row_model(orders).history.first()
    assert (version.history_type, version.history_change_reason) == ("+", f"import {job.pk}")
    assert version.history_user_id == person("owner").pk  # who confirmed


def test_staging_is_gone_once_the_import_has_ended(orders: Dataset) -> None:
    import_text(orders)
    services.cancel_import(job=upload(orders), by=person())
    assert staging_tables() == []


def test_insert_mode_adds_and_never_changes(orders: Dataset) -> None:
    import_text(orders)
    job = import_text(orders, "id,status\n1,paid\n9,new\n", mode="insert")
    assert counts(job) == (1, 0, 0, 1)
    assert job.issue_counts == {"primary-key": 1}
    assert [row[:2] for row in records(orders)] == [(1, "new"), (2, "paid"), (3, "sent"), (9, "new")]


def test_update_mode_changes_and_never_adds_and_needs_only_the_key(orders: Dataset) -> None:
    import_text(orders)
    job = import_text(orders, "id,note\n1,changed\n9,nobody\n", mode="update")
    assert counts(job) == (0, 1, 0, 1)
    assert [row[3] for row in records(orders)] == ["changed", None, "later"]


@pytest.mark.case("V21")
def test_of_repeated_keys_the_first_row_wins_and_the_others_are_named(orders: Dataset) -> None:
    job = import_text(orders, "id,status,note\n1,new,a\n2,new,b\n1,paid,c\n01,sent,d\n")
    assert [row[:2] for row in records(orders)] == [(1, "new"), (2, "new")]
    found = [
        (issue.code, issue.row, issue.line, issue.column, issue.value, issue.rule)
        for issue in job.issues.all()
    ]
    assert found[0] == (
        "primary-key",
        4,
        4,
        "id",
        "1",
        "The key is that of row 2 already; the first row counts.",
    )
    assert job.rejects.get(row=4).cells == ["1", "paid", "c"]


@pytest.mark.case("V22")
def test_an_empty_key_is_a_row_error(orders: Dataset) -> None:
    job = import_text(orders, "id,status\n,new\n2,new\n")
    assert counts(job) == (1, 0, 0, 1)


def test_all_or_nothing_refuses_a_file_with_a_bad_row(orders: Dataset) -> None:
    job = upload(orders, "id,status\n1,new\n2,lost\n", policy=Policy.ALL_OR_NOTHING)
    with pytest.raises(NotConfirmable, match="The file has 1 rejected row"):
        merge(job)
    assert records(orders) == []
    assert merge(job, policy=Policy.GOOD_ROWS).state == State.IMPORT_SUCCEEDED


def test_a_record_changed_since_the_preview_is_shown_before_it_is_overwritten(orders: Dataset) -> None:
    import_text(orders)
    job = upload(orders, "id,status\n1,paid\n2,paid\n")
    with actor(person().pk, "by hand"):
        get_row_model(orders)._default_manager.filter(id__isnull=False, **{orders.spec().key[0]: 1}).update(
            **{orders.spec().columns[1].name: "sent"}
        )
    job = merge(job)
    assert job.state == State.PREVIEW_SUCCEEDED
    assert job.notice == "1 record changed since the preview. It was made again; look at it and confirm."
    assert records(orders)[0][1] == "sent"
    assert merge(job, seen=2).state == State.IMPORT_SUCCEEDED
    assert records(orders)[0][1] == "paid"


@pytest.mark.case("C04")
def test_two_previews_of_one_dataset_end_in_one_truth(orders: Dataset) -> None:
    first, second = upload(orders), upload(orders, GOOD.replace("20.50", "99.00"))
    merge(first)
    second = merge(second)
    assert second.notice.startswith("3 records changed since the preview.")
    assert second.drifted == "1, 2, 3"
    assert counts(second) == (0, 1, 2, 0)


@pytest.mark.case("C04")
def test_a_second_merge_waits_until_the_first_has_ended(orders: Dataset) -> None:
    first, second, elsewhere = upload(orders), upload(orders), upload(make_orders("Others"))
    services.confirm_import(job=first, by=person())
    with pytest.raises(NotConfirmable, match="Another import into this dataset is running"):
        services.confirm_import(job=second, by=person())
    services.confirm_import(job=elsewhere, by=person())
    assert work(first).state == State.IMPORT_SUCCEEDED


@pytest.mark.case("C07")
def test_a_definition_changed_since_the_preview_stops_confirm_and_merge(orders: Dataset) -> None:
    confirmed, waiting = upload(orders), upload(orders)
    services.confirm_import(job=confirmed, by=person())
    Dataset.objects.filter(pk=orders.pk).update(definition_version=2)
    waiting.refresh_from_db()
    with pytest.raises(NotConfirmable, match="definition changed"):
        services.confirm_import(job=waiting, by=person())
    confirmed = work(confirmed)
    assert (confirmed.state, confirmed.error_code) == (State.IMPORT_FAILED, "definition-changed")
    assert records(orders) == []


@pytest.mark.case("C10", "A17")
def test_rights_are_looked_at_again_when_the_merge_runs(orders: Dataset) -> None:
    editor = person("editor")
    job = upload(orders, by=editor)
    services.confirm_import(job=job, by=editor)
    editor.groups.clear()
    job = work(job)
    assert (job.state, job.error_code) == (State.IMPORT_FAILED, "no-longer-permitted")
    assert records(orders) == []


@pytest.mark.case("A06", "A17")
def test_somebody_deactivated_imports_nothing(orders: Dataset) -> None:
    editor = person("editor")
    job = upload(orders, by=editor)
    services.confirm_import(job=job, by=editor)
    User.objects.filter(pk=editor.pk).update(is_active=False)
    assert work(job).state == State.IMPORT_FAILED


def test_a_staging_table_emptied_by_a_crash_is_read_again(orders: Dataset) -> None:
    job = upload(orders)
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE stg_{job.pk}")
    job = merge(job)
    assert (job.state, counts(job)) == (State.PREVIEW_SUCCEEDED, (3, 0, 0, 0))
    assert "lost the staged rows" in job.notice


def test_a_merge_delivered_twice_writes_once(orders: Dataset) -> None:
    job = import_text(orders)
    assert merging.run(job, ShortSlice({})).done
    assert (versions(orders), job.state) == (3, State.IMPORT_SUCCEEDED)


def test_the_second_upload_with_the_same_labels_needs_no_choice(orders: Dataset) -> None:
    text = "zzz,yyy\n1,new\n"
    names = [column.name for column in orders.spec().columns]
    job = upload(orders, text)
    assert job.state == State.PREVIEW_FAILED
    services.set_mapping(job=job, by=person(), chosen={0: names[0], 1: names[1]})
    assert merge(work(job)).state == State.IMPORT_SUCCEEDED
    assert SavedMapping.objects.count() == 1
    assert counts(import_text(orders, text)) == (0, 0, 1, 0)


@pytest.mark.parametrize("is_many", [True, False])
def test_many_versions_are_in_the_index_by_date_at_once(
    orders: Dataset, monkeypatch: pytest.MonkeyPatch, is_many: bool
) -> None:
    rows = 20_000  # of several ranges of pages
    monkeypatch.setattr(merging, "MANY_VERSIONS", rows + (not is_many))
    text = "id,status,amount,note\n" + "".join(f"{number},new,1.00,call\n" for number in range(rows))
    assert counts(import_text(orders, text))[0] == rows
    with connection.cursor() as cursor:
        cursor.execute("SELECT brin_summarize_new_values(%s)", [f"{orders.spec().history_table}_by_date"])
        [left] = cursor.fetchone()
    assert (left == 0) == is_many
