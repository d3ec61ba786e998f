"""An empty cell may empty a record's value or leave it as it is, column by column."""

from __future__ import annotations

from dataclasses import replace

from datasets.models import Dataset
from datasets.services import NewColumn, create_dataset
from importer.mapping import Match
from importer.matching import matches_of
from importer.models import ImportJob, State
from importer.recipes import Recipe
from importer.rules import set_rules
from importer.services import submit_preview
from importer.tests.tools import counts, import_text, merge, records, upload, work

BLANKS = "id,status,amount,note\n1,,,\n2,sent,,\n8,,1.00,\n9,new,,\n"


def keeping(job: ImportJob, *labels: str) -> ImportJob:
    """Preview the job again with these labels' empty cells kept."""
    kept = [
        replace(match, recipe=Recipe(blank="keep")) if match.label in labels else match
        for match in matches_of(job)
    ]
    job.mapping = [Match.to_dict(match) for match in kept]
    job.move(old=State.PREVIEW_SUCCEEDED, new=State.CREATED)
    job.save(update_fields=["mapping"])
    submit_preview(job)
    return work(job)


def test_an_empty_cell_of_a_kept_column_leaves_the_value(orders: Dataset) -> None:
    import_text(orders)
    job = keeping(upload(orders, BLANKS), "status", "amount")
    assert (counts(job), job.issue_counts) == ((1, 2, 0, 1), {"missing-cell": 1})
    issue = job.issues.get()
    assert (issue.row, issue.column) == (4, "status")
    merge(job)
    assert [tuple(map(str, record)) for record in records(orders)] == [
        ("1", "new", "10.00", "None"),
        ("2", "sent", "20.50", "None"),
        ("3", "sent", "None", "later"),
        ("9", "new", "None", "None"),
    ]


def test_the_same_file_again_changes_nothing(orders: Dataset) -> None:
    import_text(orders)
    merge(keeping(upload(orders, BLANKS), "status", "amount"))
    job = keeping(upload(orders, BLANKS), "status", "amount")
    assert (job.created_rows, job.updated_rows) == (0, 0)


def test_without_a_key_a_required_kept_cell_is_missing(as_acme: object) -> None:
    logs = create_dataset(
        title="Logs", columns=(NewColumn("line", "text"), NewColumn("level", "text", True)), by=None
    )
    job = keeping(upload(logs, "line,level\nx,\ny,high\n"), "level")
    assert (counts(job), job.issue_counts) == ((1, 0, 0, 1), {"missing-cell": 1})


def test_the_datasets_rules_say_what_an_empty_cell_means(orders: Dataset) -> None:
    import_text(orders)
    set_rules(dataset=orders, by=None, policy="good_rows", max_rejected_percent=None, blank="keep")
    job = upload(orders, "id,status,amount,note\n1,paid,,\n")
    merge(job)
    assert str(records(orders)[0][2]) == "10.00"
