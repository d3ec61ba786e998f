"""The file of rejected rows comes back, whatever the dataset's columns are called."""

from __future__ import annotations

import pytest

from core.tenancy import TenantRef
from datasets.models import Dataset
from datasets.services import NewColumn, create_dataset
from datasets.spec import ColumnOptions
from importer.models import ImportJob
from importer.rejects import rejected_file
from importer.tests.tools import counts, import_text, records, upload


@pytest.fixture
def faults(as_acme: TenantRef) -> Dataset:
    """A dataset that has columns of the names a rejects file puts in front."""
    columns = [
        NewColumn("id", "integer", True, False, ColumnOptions()),
        NewColumn("row", "integer", False, False, ColumnOptions()),
        NewColumn("problem", "text", False, False, ColumnOptions()),
    ]
    return create_dataset(title="Faults", columns=columns, key=("id",), by=None)


def rejects(job: ImportJob) -> str:
    return b"".join(rejected_file(job)).decode("utf-8-sig")


def test_the_corrected_rejects_of_a_dataset_with_a_column_named_row_import(faults: Dataset) -> None:
    job = import_text(faults, "id,row,problem\n1,7,a\nx,8,b\n")
    again = import_text(faults, rejects(job).replace('"x"', '"2"'))
    assert counts(again) == (1, 0, 0, 0)
    assert records(faults) == [(1, 7, "a"), (2, 8, "b")]


def test_rejects_of_rejects_have_the_two_columns_once(faults: Dataset) -> None:
    first = rejects(import_text(faults, "id,row,problem\nx,8,b\n"))
    assert rejects(upload(faults, first)) == first


def test_the_number_of_a_row_never_goes_to_a_column_the_file_did_not_have(faults: Dataset) -> None:
    job = import_text(faults, "id\nx\n")
    import_text(faults, rejects(job).replace('"x"', '"2"'))
    assert records(faults) == [(2, None, None)]
