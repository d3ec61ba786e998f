"""The sidebar and the head of pages: one place is marked, and times are written alike."""

from __future__ import annotations

import re

import pytest

from conftest import ClientOf
from core.tenancy import TenantRef, in_tenant
from exporter.tests.helpers import dataset_with, stored_file


@pytest.mark.parametrize(
    ("path", "marked"),
    [
        ("/admin/", "Dashboard"),
        ("/admin/datasets/dataset/", "Datasets"),
        ("/admin/datasets/dataset/rights/", "Rights"),
        ("/admin/datasets/dataset/{pk}/restore/", "Datasets"),
        ("/admin/datasets/dataset/{pk}/rows/", "Orders"),
        ("/admin/exporter/exportfile/", "Exports"),
        ("/admin/exporter/exportrun/", "Exports"),
        ("/admin/exporter/exportsettings/every/", "Exports"),
        ("/admin/exporter/exportnotice/", "Exports"),
        ("/admin/exporter/exportfile/space/", "Space"),
        ("/admin/exporter/destination/add/", "Export destinations"),
    ],
)
def test_the_sidebar_marks_one_entry(acme: TenantRef, client_of: ClientOf, path: str, marked: str) -> None:
    with in_tenant(acme):
        pk = dataset_with(slug="orders").pk

    page = client_of(acme).get(path.format(pk=pk), follow=True)

    groups = page.context["sidebar_navigation"]
    assert [item["title"] for group in groups for item in group["items"] if item["active"]] == [marked]


def test_the_lists_write_times_as_the_pages_do(acme: TenantRef, client_of: ClientOf) -> None:
    with in_tenant(acme):
        at = stored_file(dataset_with(slug="orders")).created_at

    page = client_of(acme).get("/admin/exporter/exportfile/").text

    assert f"{at.day} {at:%b %Y, %H:%M}" in page
    assert not re.search(r"\d [ap]\.m\.", page)
