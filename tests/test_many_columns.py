"""Many datasets of many columns: no page asks the database more for it, and none grows without end.

By default a few of 500 columns each; `MANY_DATASETS=1000` for all that a tenant may come to.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from core.tenancy import TenantRef, in_tenant
from datasets.models import Dataset
from datasets.rows import get_row_model
from datasets.rules import NewColumn
from datasets.services import create_dataset

FEW = 2
MANY = int(os.environ.get("MANY_DATASETS", "8"))
COLUMNS = 500
MOST_BYTES = 3_000_000
# Without paging: what is chosen from, as one line for each dataset.
PAGES = {
    "dashboard": "/admin/",
    "datasets": "/admin/datasets/dataset/",
    "upload": "/admin/importer/importjob/upload/",
    "imports": "/admin/importer/importjob/",
    "export now": "/admin/exporter/exportrun/now/",
    "exports": "/admin/exporter/exportfile/",
    "settings of exports": "/admin/exporter/exportsettings/",
    "records": "/admin/datasets/dataset/{pk}/rows/",
    "a record": "/admin/datasets/dataset/{pk}/rows/{record}/change/",
    "its history": "/admin/datasets/dataset/{pk}/rows/{record}/history/",
    "a new record": "/admin/datasets/dataset/{pk}/rows/add/",
    "definition": "/admin/datasets/dataset/{pk}/change/",
    "columns": "/admin/datasets/dataset/{pk}/columns/",
    "rights": "/admin/datasets/dataset/{pk}/rights/",
    "rights of all": "/admin/datasets/dataset/rights/",
}


def make(number: int, columns: int) -> Dataset:
    wanted = [NewColumn("id", type="integer"), *(NewColumn(f"Column {one}") for one in range(1, columns))]
    return create_dataset(title=f"Wide {number}", slug=f"wide-{number}", columns=wanted, key=["id"])


def measured(client: Client, dataset: Dataset, record: int) -> dict[str, tuple[int, int, int]]:
    """Return status, statements and bytes of each page, the second time it is asked for."""
    found = {}
    for name, address in PAGES.items():
        path = address.format(pk=dataset.pk, record=record)
        client.get(path)
        with CaptureQueriesContext(connection) as seen:
            answer = client.get(path)
        found[name] = (answer.status_code, len(seen), len(answer.content))
    return found


@pytest.mark.case("D15")
def test_pages_of_many_wide_datasets_ask_no_more_than_those_of_a_few_and_stay_small(
    acme: TenantRef, globex: TenantRef, client_of: Any
) -> None:
    with in_tenant(acme):
        first = make(0, COLUMNS)
        model = get_row_model(first)
        record = model.objects.create(**{first.columns.get(label="id").spec().name: 1}).pk
        for number in range(1, FEW):
            make(number, COLUMNS)
    owner = client_of(acme)
    few = measured(owner, first, record)
    with in_tenant(acme):
        for number in range(FEW, MANY):
            make(number, COLUMNS)
    many = measured(owner, first, record)
    said = "\n".join(f"{name}: {few[name]} {many[name]}" for name in PAGES)
    print(said)  # noqa: T201 -- the figures, for who asks with -s
    assert {status for status, _, _ in many.values()} == {200}, said
    assert [name for name in PAGES if many[name][1] > few[name][1]] == [], said
    assert [name for name in PAGES if many[name][2] > MOST_BYTES] == [], said
    # Another tenant's pages know nothing of it.
    assert b"Wide 0" not in client_of(globex).get("/admin/datasets/dataset/").content
