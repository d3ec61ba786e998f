"""A person looks into the past: the records as of a moment, what differs since, and the versions of one by filter.

With ROWHOUSE_SCREENSHOTS set to a folder, the pages are kept there: docs/history.md shows some.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from playwright.sync_api import Browser, expect

from tests.conftest import Served
from tests.test_accessible import EDIT
from tests.test_browser import Person, browser
from tests.test_browser_exports import judge

__all__ = ["browser"]
pytestmark = pytest.mark.browser
expect.set_options(timeout=30_000)


def test_the_records_of_then_are_shown_beside_what_changed(browser: Browser, served: Served) -> None:
    acme = Person(browser, served, "acme")
    page = acme.page
    acme.go("/admin/datasets/dataset/")
    page.get_by_role("link", name="Runways", exact=True).last.click()
    rows = page.locator("#result_list tr.data-row")
    expect(rows.first).to_be_visible()
    before = [text.split() for text in rows.all_inner_texts()]
    page.wait_for_timeout(1100)  # the moment is chosen to the second
    at = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}"
    page.wait_for_timeout(1100)
    second = EDIT.replace("(grid.records)[0]", "(grid.records)[1]")  # the first is what other tests edit
    assert page.evaluate(second.replace(".find(", ".findLast(")) == 200  # the first column is the key
    page.reload()
    assert [text.split() for text in rows.all_inner_texts()] != before

    page.locator(".rh-buttons a").filter(has_text="As of").click()
    judge(acme, "as-of-ask")
    page.get_by_label("As of").fill(at)
    page.get_by_role("button", name="Show", exact=True).click()
    expect(rows.first).to_be_visible()
    assert [text.split() for text in rows.all_inner_texts()] == before
    judge(acme, "as-of")
    page.get_by_role("link", name="Count them").click()
    expect(page.locator(".ls-count")).to_contain_text("records then")

    page.get_by_role("link", name="What changed since").click()
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_text("1 record differs as of")).to_be_visible()
    expect(page.locator(".ds-version")).to_have_count(1)
    judge(acme, "differences")

    page.get_by_role("link", name="Download these differences").click()
    with page.expect_download() as taken:
        page.get_by_role("button", name="Download").click()
    assert taken.value.suggested_filename.startswith("runways_")
    page.go_back()

    page.locator(".ds-version a").first.click()
    page.locator("summary").filter(has_text="Filter").first.click()
    page.get_by_label("changed", exact=True).check()
    page.get_by_role("button", name="Show these versions").click()
    expect(page.locator(".ds-version")).to_have_count(1)
    judge(acme, "history-filtered")
    acme.context.close()
