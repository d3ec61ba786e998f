"""Telling files of the corpus as people meet them: uploaded, previewed, merged, and stored in the dataset's table."""

from __future__ import annotations

import pytest

from core.tenancy import TenantRef, in_tenant
from datasets.models import Dataset
from datasets.rows import get_row_model
from datasets.services import NewColumn, create_dataset
from datasets.spec import ColumnOptions
from importer.models import State
from importer.tests.corpus_csv import CASES
from importer.tests.corpus_csv.case import Case
from importer.tests.tools import merge, upload

TELLING = (
    "utf-8-with-mark",
    "utf-16-emoji",
    "open-quote-and-bad-bytes",
    "sep-line-behind-a-mark",
    "line-ends-mixed-and-in-quotes",
    "escaped-quotes-over-lines",
    "single-quotes-where-needed",
    "text-behind-a-closing-quote",
    "three-quotes",
    "lines-within-a-quoted-cell-that-look-like-rows",
    "title-padded-with-delimiters",
    "groups-whose-parts-stand-below",
    "the-header-once-more",
    "notes-below-and-blank-lines",
    "null-and-empty-text",
    "a-row-too-large-in-quotes",
    "a-row-of-too-many-cells-in-quotes",
)


def make_dataset(case: Case) -> Dataset:
    columns = tuple(
        NewColumn(column.label, column.type, number == 0, False, ColumnOptions())
        for number, column in enumerate(case.spec.columns)
    )
    return create_dataset(title="Things", columns=columns, key=(columns[0].label,), by=None)


def stored(dataset: Dataset) -> set[tuple[str | None, ...]]:
    names = [column.name for column in dataset.spec().columns]
    found = get_row_model(dataset)._default_manager.values_list(*names)
    return {tuple(None if value is None else str(value) for value in record) for record in found}


@pytest.mark.parametrize("name", TELLING)
def test_what_a_file_holds_is_what_is_stored(acme: TenantRef, globex: TenantRef, name: str) -> None:
    case = CASES[name]
    with in_tenant(globex):
        theirs = make_dataset(case)
    with in_tenant(acme):
        dataset = make_dataset(case)
        job = merge(upload(dataset, case.data, overrides=case.chosen))
        assert job.state == State.IMPORT_SUCCEEDED
        assert stored(dataset) == set(case.records)
        issues = list(job.issues.filter(severity="error").values_list("row", "line", "column", "code"))
        assert issues == list(case.issues)
        again = upload(dataset, case.data, overrides=case.chosen)
        assert (again.created_rows, again.updated_rows) == (0, 0)
    with in_tenant(globex):
        assert stored(theirs) == set()
