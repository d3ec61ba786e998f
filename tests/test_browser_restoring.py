"""A person makes a dataset what it was: from the page of exports to the record that is back.

With ROWHOUSE_SCREENSHOTS set to a folder, the pages are kept there: docs/restoring.md shows one.
"""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from tests.conftest import Served
from tests.test_accessible import EDIT, PHONE
from tests.test_browser import Person, browser
from tests.test_browser_exports import export_now, judge

__all__ = ["browser"]
pytestmark = pytest.mark.browser
expect.set_options(timeout=30_000)
# How far the widest part of the form stands over the edge of its card, in pixels.
OVER_THE_EDGE = """() => {
  const edge = document.querySelector('.rh-card').getBoundingClientRect().right;
  const parts = [...document.querySelectorAll('.rh-card *')];
  return Math.max(0, ...parts.map((one) => one.getBoundingClientRect().right - edge));
}"""


def test_a_changed_record_is_put_back_from_an_export(browser: Browser, served: Served) -> None:
    acme = Person(browser, served, "acme")
    page = acme.page
    expect(export_now(acme, "Runways")).to_contain_text("48,184")  # other tests' edits are in it
    acme.go("/admin/datasets/dataset/")
    page.get_by_role("link", name="Runways", exact=True).last.click()
    rows = page.locator("#result_list tr.data-row")
    expect(rows.first).to_be_visible()
    before = rows.all_inner_texts()
    assert page.evaluate(EDIT.replace(".find(", ".findLast(")) == 200  # the first is the key
    page.reload()
    assert rows.all_inner_texts() != before

    acme.go("/admin/exporter/exportfile/")
    page.get_by_role("row", name="Runways").first.get_by_role("link", name="Restore").click()
    expect(page.get_by_label("Export file").locator("option:checked")).to_contain_text("48,184 records")
    judge(acme, "restore")
    page.get_by_role("button", name="Preview the restore").click()
    expect(page.get_by_text("0 records would be created, 1 changed")).to_be_visible()
    judge(acme, "restore-preview")
    page.get_by_role("button", name="Import: create 0, change 1").click()
    expect(page.locator(".im-state")).to_have_text("imported")

    page.get_by_role("link", name="Records of Runways").click()
    expect(rows.first).to_be_visible()
    assert rows.all_inner_texts() == before
    acme.context.close()


def test_a_time_that_is_written_is_meant_and_fits_on_a_phone(browser: Browser, served: Served) -> None:
    acme = Person(browser, served, "acme")
    page = acme.page
    acme.go("/admin/exporter/exportfile/")
    page.get_by_role("row", name="Countries").last.get_by_role("link", name="Restore").click()
    page.set_viewport_size(PHONE)  # type: ignore[arg-type] # a plain dict is one
    # As long as the words of a file of changes can be.
    page.locator("option").first.evaluate("one => one.text += ' · 1,234,567 changes, with the files before'")
    assert page.evaluate(OVER_THE_EDGE) == 0

    at_time, from_file = (
        page.get_by_label("as it was at a time"),
        page.get_by_label("as an export file has it"),
    )
    expect(from_file).to_be_checked()
    page.get_by_label("Time in UTC").fill("2001-01-01T00:00")
    expect(at_time).to_be_checked()
    page.get_by_label("Export file", exact=True).select_option(index=0)
    expect(from_file).to_be_checked()

    # A time before the dataset was there is refused, and what was written stays to be mended.
    page.get_by_label("Time in UTC").fill("2001-01-01T00:00")
    page.get_by_role("button", name="Preview the restore").click()
    expect(page.get_by_role("alert")).to_contain_text("Choose a time from then to now")
    expect(at_time).to_be_checked()
    judge(acme)
    at = page.get_by_label("Time in UTC")
    at.fill(at.get_attribute("max") or "")
    page.get_by_role("button", name="Preview the restore").click()
    expect(page.get_by_text("0 records would be created, 0 changed, 249 left as they are")).to_be_visible()
    page.get_by_role("button", name="Cancel the import").click()
    acme.context.close()
