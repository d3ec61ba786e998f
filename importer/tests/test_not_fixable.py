"""When rows cannot be corrected, and when corrections are given up: each with a sentence, none in silence."""

from __future__ import annotations

import io

import pytest
from openpyxl import Workbook

from core.tenancy import TenantRef, in_tenant
from datasets.models import Column, Dataset
from importer import corrections, fixing, services, staging
from importer.corrections import BadCorrections, upload_corrections
from importer.fixing import BadCell, NotFixable, fix_rows
from importer.models import ImportJob, State
from importer.tests.tools import (
    change_type,
    counts,
    import_text,
    make_orders,
    merge,
    person,
    records,
    upload,
    work,
)
from importer.undo import undo_import

HEAD = "id,status,amount,note\n"
BAD = HEAD + "1,lost,10.00,a\n2,new,1.00,b\n3,gone,2.00,c\n4,old,2.00,d\n"
FIXED = ["1", "new", "10", "FIXED"]
REJECTS = "row,problem," + HEAD


def fixed(job: ImportJob) -> ImportJob:
    fix_rows(job=job, by=person(), cells={2: FIXED})
    return work(job)


def book(sheets: dict[str, list[list[object]]]) -> bytes:
    made = Workbook(write_only=True)
    for name, rows in sheets.items():
        sheet = made.create_sheet(name)
        for row in [HEAD.strip().split(","), *rows]:
            sheet.append(row)
    out = io.BytesIO()
    made.save(out)
    return out.getvalue()


def sent(job: ImportJob, text: str, **options: int) -> int:
    return upload_corrections(job=job, by=person(), file=io.BytesIO(text.encode()), name="r.csv", **options)


# ---- corrections are for the reading they were made of


def test_another_sheet_is_not_filled_with_the_corrections_of_the_first(orders: Dataset) -> None:
    data = book(
        {
            "A": [[1, "lost", 10, "a"], [2, "new", 1, "b"]],
            "B": [[77, "paid", 5, "real"], [78, "paid", 6, "real too"]],
        }
    )
    job = fixed(upload(orders, data, name="book.xlsx"))
    assert counts(job) == (2, 0, 0, 0)
    services.set_mapping(job=job, by=person(), overrides={"sheet": "B"})
    job = work(job)
    assert job.notice == "1 corrected row was given up, because the file is read in another way now."
    merge(job)
    assert [(record[0], record[3]) for record in records(orders)] == [(77, "real"), (78, "real too")]


@pytest.mark.parametrize("said", [{"header_row": 1}, {"delimiter": ","}, {"encoding": "cp1252"}])
def test_reading_the_file_in_another_way_gives_up_what_was_corrected(
    acme: TenantRef, globex: TenantRef, said: dict[str, object]
) -> None:
    with in_tenant(globex):
        theirs = fixed(upload(make_orders(), BAD))
    with in_tenant(acme):
        job = upload(make_orders(), BAD)
        fix_rows(job=job, by=person(), cells={2: FIXED, 4: ["3", "new", "2", None]})
        job = work(job)
        assert counts(job) == (3, 0, 0, 1)
        services.set_mapping(job=job, by=person(), overrides=said)
        job = work(job)
        assert job.notice == "2 corrected rows were given up, because the file is read in another way now."
        assert (counts(job), job.fixes.count()) == ((1, 0, 0, 3), 0)
    with in_tenant(globex):
        assert theirs.fixes.count() == 1


def test_another_mapping_keeps_what_was_corrected(orders: Dataset) -> None:
    job = fixed(upload(orders, BAD))
    services.set_mapping(job=job, by=person(), chosen={3: None})
    job = work(job)
    assert (counts(job), job.notice, job.fixes.count()) == ((2, 0, 0, 2), "", 1)


# ---- when it cannot be done


@pytest.mark.parametrize(
    ("cell", "what"), [("a\x00b", "the character NUL"), ("a\ud800b", "half of a character")]
)
def test_a_cell_that_is_no_text_is_refused_with_its_place(orders: Dataset, cell: str, what: str) -> None:
    job = upload(orders, BAD)
    with pytest.raises(BadCell, match=f"Row 2, note: {what}"):
        fix_rows(job=job, by=person(), cells={2: ["1", "new", "1", cell]})
    assert (ImportJob.objects.get(pk=job.pk).state, job.fixes.count()) == (State.PREVIEW_SUCCEEDED, 0)


def test_a_file_of_corrections_with_a_nul_is_refused(orders: Dataset) -> None:
    job = upload(orders, BAD)
    with pytest.raises(BadCell, match="Row 2, note"):
        sent(job, REJECTS + "2,,1,new,10.00,a\x00b\n")


def test_rows_of_an_older_preview_are_not_corrected(orders: Dataset) -> None:
    job = upload(orders, BAD)
    services.set_mapping(job=job, by=person(), chosen={3: None})
    job = work(job)
    with pytest.raises(NotFixable, match="made again since"):
        fix_rows(job=job, by=person(), cells={2: FIXED}, seen=job.previews - 1)
    with pytest.raises(NotFixable, match="made again since"):
        sent(job, REJECTS + "2,,1,new,10.00,a\n", seen=job.previews - 1)
    assert sent(job, REJECTS + "2,,1,new,10.00,a\n", seen=job.previews) == 1


def test_rows_of_another_definition_are_not_corrected(orders: Dataset) -> None:
    job = upload(orders, BAD)
    column = Column.objects.get(dataset=orders, label="amount")
    change_type(dataset=orders, column=column, type="text", by=person())
    with pytest.raises(NotFixable):  # its preview is made again
        fix_rows(job=job, by=person(), cells={2: ["1", "new", "abc", "a"]})


def test_an_undo_has_no_rows_to_correct(orders: Dataset) -> None:
    job = work(undo_import(job=import_text(orders), by=person()))
    with pytest.raises(NotFixable, match="An undo reads no file"):
        fix_rows(job=job, by=person(), cells={2: FIXED})


def test_rows_that_a_crash_took_are_not_corrected(orders: Dataset) -> None:
    job = upload(orders, BAD)
    staging.drop(job.pk)
    with pytest.raises(NotFixable, match="not there any more"):
        fix_rows(job=job, by=person(), cells={2: FIXED})


# ---- how many there may be


def test_an_import_has_only_so_many_corrected_rows(orders: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fixing, "MOST_ROWS", 2)
    job = upload(orders, BAD)
    with pytest.raises(NotFixable, match="At most 2 rows"):
        fix_rows(job=job, by=person(), cells=dict.fromkeys((2, 4, 5), FIXED))
    fix_rows(job=job, by=person(), cells={2: ["1", "bad", None, None], 4: ["3", "bad", None, None]})
    job = work(job)
    with pytest.raises(NotFixable, match="and 2 of this one were already"):
        fix_rows(job=job, by=person(), cells={5: ["4", "new", None, None]})
    fix_rows(job=job, by=person(), cells={4: ["3", "new", None, None]})  # the very same row
    assert counts(work(job)) == (2, 0, 0, 2)


def test_a_file_with_more_corrections_is_refused_before_the_rest_of_it_is_read(
    orders: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fixing, "MOST_ROWS", 1)
    monkeypatch.setattr(corrections, "AT_ONCE", 1)
    job = upload(orders, BAD)
    with pytest.raises(NotFixable, match="At most 1 row"):
        sent(job, REJECTS + "2,,1,new,,\n4,,3,new,,\nno number,,,,,\n")
    assert sent(job, REJECTS + "2,,1,lost,10.00,a\n4,,3,new,,\n5,,4,old,2.00,d\n") == 1


def test_a_file_of_very_many_rows_is_not_read_to_its_end(
    orders: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corrections, "MOST_READ", 2)
    with pytest.raises(BadCorrections, match="more than 2 rows"):
        sent(upload(orders, BAD), REJECTS + "2,,1,new,,\n4,,3,new,,\n5,,4,new,,\nno number,,,,,\n")
