"""The templates that come with the product, filled with made-up rows through the importer."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from core.tenancy import TenantRef
from datasets.services import create_dataset
from datasets.starters import starters
from importer.generation import Order, all_rows
from importer.tests.tools import import_text

ROWS = 200


@pytest.mark.parametrize("starter", starters(), ids=lambda starter: starter.name)
def test_made_up_rows_of_a_template_are_imported_without_a_rejected_one(
    as_acme: TenantRef, starter: Any
) -> None:
    stated = starter.definition
    dataset = create_dataset(title=stated.title, columns=stated.columns, key=stated.key, slug=stated.slug)
    file = io.StringIO(newline="")
    csv.writer(file).writerows(row.cells for row in all_rows(dataset.spec(), Order(ROWS, 0, 1)))
    job = import_text(dataset, file.getvalue())
    assert (job.created_rows, job.rejected_rows) == (ROWS, 0)
    assert {match["reason"] for match in job.mapping} == {"exact"}
