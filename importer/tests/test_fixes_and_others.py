"""Correcting rows that others hang on: the preview is that of a file which had these cells from the beginning."""

from __future__ import annotations

import io
import random
from typing import Any

import pytest

from core.tenancy import TenantRef
from datasets.models import Dataset
from datasets.services import NewColumn, create_dataset
from datasets.spec import ColumnOptions
from importer import fixing, staging
from importer.examples.stock.models import StockImport
from importer.fixing import fix_rows
from importer.models import ImportJob, State
from importer.rules import set_rules
from importer.services import preview_again
from importer.targets.services import create_model_import
from importer.tests.tools import counts, import_text, make_orders, person, upload, work

HEAD = "code,status,amount,note\n"
Row = list[str | None]


@pytest.fixture
def things(as_acme: TenantRef) -> Dataset:
    """A dataset with a key of text, a unique note and a limit; some records are there."""
    columns = (
        NewColumn("code", "text", True, False, ColumnOptions()),
        NewColumn("status", "choice", True, False, ColumnOptions(choices=("new", "paid"))),
        NewColumn("amount", "decimal", False, False, ColumnOptions(precision=6, scale=2, minimum="0.00")),
        NewColumn("note", "text", False, True, ColumnOptions()),
    )
    dataset = create_dataset(title="Things", columns=columns, key=("code",), by=None)
    import_text(dataset, HEAD + "a,new,1.00,one\nb,paid,2.00,two\nz,new,3.00,six\n")
    return dataset


def written(rows: list[Row]) -> str:
    def cell(text: str | None) -> str:
        return "" if text is None else '"' + text + '"'

    return HEAD + "".join(",".join(map(cell, row)) + "\n" for row in rows)


def outcome(job: ImportJob) -> dict[str, Any]:
    """All a preview says."""
    names = (
        "state", "read_rows", "staged_rows", "blank_rows", "missing_rows", "deleted_rows", "issue_counts",
        "warning_counts",
    )  # fmt: skip
    return {name: getattr(job, name) for name in names} | {
        "counts": counts(job),
        "keyless": job.head.get("keyless"),
        "issues": sorted(
            job.issues.values_list("row", "line", "severity", "code", "column", "value", "rule")
        ),
        "rejects": list(job.rejects.order_by("row").values_list("row", "line", "cells", "problem", "codes")),
    }


def some_row(chance: random.Random) -> Row:
    return [
        chance.choice(["a", "b", "c", "d", " a", "c ", None]),
        chance.choice(["new", "new", "paid", "lost"]),
        chance.choice(["1.00", "2", "-1", "x", None]),
        chance.choice(["one", "two", "three", "six", None]),
    ]


@pytest.mark.parametrize("mode", ["upsert", "insert", "update", "sync"])
def test_a_corrected_preview_is_that_of_the_corrected_file(things: Dataset, mode: str) -> None:
    for seed in range(5):
        chance = random.Random(f"{mode} {seed}")
        rows = [some_row(chance) for _ in range(chance.randint(3, 9))]
        job = upload(things, written(rows), mode=mode)
        for _ in range(2):
            rejected = list(job.rejects.values_list("row", flat=True))
            if not rejected:
                break
            cells = {
                row: some_row(chance) for row in chance.sample(rejected, chance.randint(1, len(rejected)))
            }
            rows = [cells.get(row, old) for row, old in enumerate(rows, start=2)]
            fix_rows(job=job, by=person(), cells=cells)
            job = work(job)
            assert outcome(job) == outcome(upload(things, written(rows), mode=mode)), (seed, cells)


def test_a_row_refused_for_the_sake_of_a_corrected_one_is_taken(as_acme: TenantRef) -> None:
    dataset = make_orders(unique_note=True)
    import_text(dataset, "id,status,amount,note\n9,new,1.00,taken\n")
    job = upload(dataset, "id,status,amount,note\n1,new,1.00,taken\n1,new,2.00,free\n")
    assert counts(job) == (0, 0, 0, 2)
    fix_rows(job=job, by=person(), cells={2: ["5", "new", "1.00", "other"]})
    assert counts(work(job)) == (2, 0, 0, 0)


def test_a_row_is_refused_anew_for_what_is_true_now(things: Dataset) -> None:
    job = upload(things, HEAD + "c,new,1,\nc,new,2,\nd,lost,3,\n")
    fix_rows(job=job, by=person(), cells={3: ["e", "new", "2", None], 4: ["e", "new", "3", None]})
    job = work(job)
    assert (counts(job), job.rejects.get().row) == ((2, 0, 0, 1), 4)
    assert "that of row 3 already" in job.issues.get().rule


def test_warnings_are_about_rows_that_are_imported(things: Dataset) -> None:
    job = upload(things, HEAD + " c,new,1,\n c,new,2,\n d,lost,3,\n")
    assert (counts(job), job.warning_counts) == ((1, 0, 0, 2), {"space-around": 1})
    assert [issue.row for issue in job.issues.filter(severity="warning")] == [2]
    fix_rows(job=job, by=person(), cells={3: [" e", "new", "2", None]})
    job = work(job)
    assert (counts(job), job.warning_counts) == ((2, 0, 0, 1), {"space-around": 2})
    assert [issue.row for issue in job.issues.filter(severity="warning")] == [2, 3]
    staging.drop(job.pk)  # as a crash of the database does: the file is read again, and says the same
    said = outcome(job)
    preview_again(job, old=State.PREVIEW_SUCCEEDED, notice="")
    assert outcome(work(job)) == said


def test_a_row_that_kept_a_value_it_does_not_have_is_judged_again(things: Dataset) -> None:
    set_rules(dataset=things, by=person(), policy="good_rows", max_rejected_percent=None, blank="keep")
    job = upload(things, HEAD + "c,,1,\nc,new,2,\n")
    assert counts(job) == (0, 0, 0, 2)
    fix_rows(job=job, by=person(), cells={2: ["f", "new", "1", None]})
    assert counts(work(job)) == (2, 0, 0, 0)


def test_beyond_a_number_of_such_rows_the_file_is_read_again(
    things: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fixing, "MOST_AGAIN", 1)
    rows: list[Row] = [
        ["c", "lost", "1", None],
        ["d", "new", "2", None],
        ["d", "new", "3", None],
        ["d", "new", "4", None],
    ]
    job = upload(things, written(rows))
    rows[0] = ["d", "paid", "1", None]
    fix_rows(job=job, by=person(), cells={2: rows[0]})
    assert outcome(work(job)) == outcome(upload(things, written(rows)))


@pytest.mark.usefixtures("as_acme")
def test_in_a_plain_model_too_a_row_is_judged_again_with_the_one_it_repeated() -> None:
    def previewed(text: str) -> ImportJob:
        return work(
            create_model_import(proxy=StockImport, file=io.BytesIO(text.encode()), name="s.csv", by=None)
        )

    text = "Article,Place,Quantity,Price,Counted on\na-1,north,-5,,\na-1,north,7,,\na-2,north,many,,\n"
    job = previewed(text)
    assert counts(job) == (0, 0, 0, 3)
    fix_rows(job=job, by=None, cells={2: ["a-3", "north", "5", None, None]})
    job = work(job)
    assert counts(job) == (2, 0, 0, 1)
    assert outcome(job) == outcome(previewed(text.replace("a-1,north,-5", "a-3,north,5")))
