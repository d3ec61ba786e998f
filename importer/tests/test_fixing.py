"""Rejected rows corrected in the browser or in their file join the preview they were rejected from."""

from __future__ import annotations

import pytest
from django.core.exceptions import PermissionDenied

from core.tenancy import TenantRef, in_tenant
from datasets.models import Dataset
from importer import staging
from importer.corrections import BadCorrections, upload_corrections
from importer.fixing import NotFixable, fix_rows
from importer.models import ImportJob, State
from importer.rejects import rejected_file
from importer.tests.tools import counts, import_text, make_orders, merge, person, records, upload, work

BAD = "id,status,amount,note\n1,lost,10.00,call\n2,paid,20.50,\n3,new,x,later\n2,sent,1.00,\nbad\n"


def fixed(job: ImportJob, rows: dict[int, list[str | None]]) -> ImportJob:
    fix_rows(job=job, by=person(), cells=rows)
    return work(job)


def corrected(job: ImportJob, text: str | bytes, name: str = "rejected.csv") -> ImportJob:
    import io  # noqa: PLC0415

    data = text.encode() if isinstance(text, str) else text
    upload_corrections(job=job, by=person(), file=io.BytesIO(data), name=name)
    return work(job)


def test_a_corrected_row_is_imported_with_the_others(orders: Dataset) -> None:
    job = upload(orders, BAD)
    assert counts(job) == (1, 0, 0, 4)
    job = fixed(job, {2: ["1", "new", "10.00", "call"], 4: ["3", "new", "5", "later"]})
    assert (job.state, counts(job)) == (State.PREVIEW_SUCCEEDED, (3, 0, 0, 2))
    assert job.issue_counts == {"primary-key": 1, "missing-cell": 1}
    assert set(job.rejects.values_list("row", flat=True)) == {5, 6}
    merge(job)
    assert [record[0] for record in records(orders)] == [1, 2, 3]


def test_a_row_corrected_wrongly_says_what_is_wrong_now(orders: Dataset) -> None:
    job = fixed(upload(orders, BAD), {2: ["1", "new", "ten", "call"]})
    assert counts(job) == (1, 0, 0, 4)
    issue = job.issues.get(row=2)
    assert (issue.code, issue.column, issue.value) == ("type-error", "amount", "ten")
    assert job.rejects.get(row=2).cells == ["1", "new", "ten", "call"]
    assert job.issue_counts == {"type-error": 2, "primary-key": 1, "missing-cell": 1}


def test_a_repeated_key_is_found_among_corrected_rows(orders: Dataset) -> None:
    job = fixed(upload(orders, BAD), {2: ["2", "new", None, None], 5: ["4", "sent", "1.00", None]})
    assert counts(job) == (2, 0, 0, 3)
    assert job.rejects.get(row=3).cells == ["2", "paid", "20.50", None]


def test_a_ragged_row_can_be_corrected_or_left_out(orders: Dataset) -> None:
    job = upload(orders, BAD)
    job = fixed(job, {6: [None, None, None, None]})
    assert (counts(job), job.blank_rows, job.read_rows) == ((1, 0, 0, 3), 1, 4)
    job = fixed(job, {5: ["5", "sent", None, None]})
    assert counts(job) == (2, 0, 0, 2)


def test_corrections_stand_when_the_file_is_read_again(orders: Dataset) -> None:
    job = fixed(upload(orders, BAD), {2: ["1", "new", "10.00", "call"]})
    staging.drop(job.pk)  # as a crash of the database does
    fix = job.fixes.get()
    assert (fix.before, fix.cells) == (["1", "lost", "10.00", "call"], ["1", "new", "10.00", "call"])
    job = merge(job)
    assert (job.state, counts(job)) == (State.PREVIEW_SUCCEEDED, (2, 0, 0, 3))


def test_what_was_there_first_is_kept_however_often_a_row_is_corrected(orders: Dataset) -> None:
    job = fixed(upload(orders, BAD), {2: ["1", "gone", None, None]})
    job = fixed(job, {2: ["1", "sent", None, None]})
    fix = job.fixes.get()
    assert (fix.before, fix.cells) == (["1", "lost", "10.00", "call"], ["1", "sent", None, None])


def test_the_corrected_rejects_file_joins_the_preview(orders: Dataset) -> None:
    job = upload(orders, BAD)
    text = b"".join(rejected_file(job)).decode("utf-8-sig")
    text = text.replace('"lost"', '"new"').replace('"x"', '"7.25"')
    job = corrected(job, text)
    assert (job.state, counts(job)) == (State.PREVIEW_SUCCEEDED, (3, 0, 0, 2))
    assert sorted(job.fixes.values_list("row", flat=True)) == [2, 4]


def test_a_workbook_of_corrections_is_taken_too(orders: Dataset) -> None:
    import io  # noqa: PLC0415

    from openpyxl import Workbook  # noqa: PLC0415

    job = upload(orders, BAD)
    book = Workbook()
    book.active.append(["row", "problem", "id", "status", "amount", "note"])
    book.active.append([2, "", 1, "new", 10, "call"])
    out = io.BytesIO()
    book.save(out)
    job = corrected(job, out.getvalue(), "rejected.xlsx")
    assert counts(job) == (2, 0, 0, 3)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("id,status\n1,new\n", "row"),
        ("row,problem,id,status,amount,note\nx,,1,new,,\n", "line 2"),
        ("row,problem,id,status,amount,note\n99,,1,new,,\n", "99"),
        ("row,problem,id,status,amount,note\n2,,1,new,,\n2,,1,paid,,\n", "twice"),
        ("row,problem,id,status,amount,note\n", "no row"),
    ],
)
def test_another_file_is_refused_with_its_reason(orders: Dataset, text: str, told: str) -> None:
    job = upload(orders, BAD)
    with pytest.raises(BadCorrections, match=told):
        corrected(job, text)
    assert ImportJob.objects.get(pk=job.pk).state == State.PREVIEW_SUCCEEDED


def test_only_rejected_rows_of_a_waiting_import_can_be_corrected(orders: Dataset) -> None:
    job = upload(orders, BAD)
    with pytest.raises(NotFixable, match="Row 3"):
        fix_rows(job=job, by=person(), cells={3: ["3", "new", None, None]})
    merge(job)
    with pytest.raises(NotFixable, match="imported"):
        fix_rows(job=job, by=person(), cells={2: ["1", "new", None, None]})


def test_who_may_not_import_may_not_correct(orders: Dataset) -> None:
    job = upload(orders, BAD)
    with pytest.raises(PermissionDenied):
        fix_rows(job=job, by=person("viewer"), cells={2: ["1", "new", None, None]})


def test_corrections_stay_in_their_tenant(acme: TenantRef, globex: TenantRef) -> None:
    with in_tenant(globex):
        theirs = upload(make_orders(), BAD)
    with in_tenant(acme):
        ours = fixed(upload(make_orders(), BAD), {2: ["1", "new", "10.00", "call"]})
        assert counts(ours) == (2, 0, 0, 3)
    with in_tenant(globex):
        theirs = work(theirs)
        assert (counts(theirs), theirs.fixes.count()) == ((1, 0, 0, 4), 0)


def test_a_sync_counts_the_keys_of_corrected_rows_anew(orders: Dataset) -> None:
    import_text(orders)
    job = upload(orders, "id,status,amount,note\nl,new,,\n2,paid,,\n", mode="sync")
    assert job.head["keyless"] == 1
    job = fixed(job, {2: ["1", "new", None, None]})
    assert (job.head["keyless"], job.missing_rows) == (0, 1)
    assert merge(job, deletes=1).state == State.IMPORT_SUCCEEDED
    assert [record[0] for record in records(orders)] == [1, 2]
