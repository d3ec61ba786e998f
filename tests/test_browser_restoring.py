"""A person makes a dataset what it was: from the page of exports to the record that is back.

With ROWHOUSE_SCREENSHOTS set to a folder, the pages are kept there: docs/restoring.md shows one.
"""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from tests.conftest import Served
from tests.test_accessible import EDIT
from tests.test_browser import Person, browser

__all__ = ["browser"]
pytestmark = pytest.mark.browser
expect.set_options(timeout=30_000)


def test_a_changed_record_is_put_back_from_an_export(browser: Browser, served: Served) -> None:
    acme = Person(browser, served, "acme")
    page = acme.page
    acme.go("/admin/datasets/dataset/")
    page.get_by_role("link", name="Runways", exact=True).last.click()
    rows = page.locator("#result_list tr.data-row")
    expect(rows.first).to_be_visible()
    before = rows.all_inner_texts()
    assert page.evaluate(EDIT.replace(".find(", ".findLast(")) == 200  # the first is the key
    page.reload()
    assert rows.all_inner_texts() != before

    acme.go("/admin/exporter/exportfile/")
    page.get_by_role("row", name="Runways").last.get_by_role("link", name="Restore").click()
    expect(page.get_by_label("Export file").locator("option:checked")).to_contain_text("48,184 records")
    acme.shoot("restore")
    page.get_by_role("button", name="Preview the restore").click()
    expect(page.get_by_text("0 records would be created, 1 changed")).to_be_visible()
    page.get_by_role("button", name="Import: create 0, change 1").click()
    expect(page.locator(".im-state")).to_have_text("imported")

    page.get_by_role("link", name="Records of Runways").click()
    expect(rows.first).to_be_visible()
    assert rows.all_inner_texts() == before
    acme.context.close()
