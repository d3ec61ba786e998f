"""Rights in a real browser: a preset, a hidden column that its group sees nowhere, and who may what."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.conftest import Served
from tests.test_browser import PATIENCE_MS, Person, browser

HIDDEN = re.compile("magnetic_variation_deg", re.I)  # headings are shown with a capital
PASSWORD = "correct horse battery"
__all__ = ["browser"]
pytestmark = pytest.mark.browser


def sign_in(chromium: Browser, served: Served, email: str, password: str) -> Page:
    """Return a page of somebody else of acme's."""
    page = chromium.new_context(viewport={"width": 1360, "height": 850}).new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(served.url("acme.localhost", "/admin/"))
    page.fill("input[name=username]", email)
    page.fill("input[name=password]", password)
    page.click("button[type=submit]")
    expect(page.locator("input[name=password]")).to_have_count(0)
    return page


def make_viewer(owner: Person) -> None:
    """Let the owner add somebody with the role of a viewer."""
    owner.go("/admin/accounts/user/add/")
    owner.page.fill("input[name=email]", "viewer@acme.example")
    owner.page.fill("input[name=password1]", PASSWORD)
    owner.page.fill("input[name=password2]", PASSWORD)
    # The list is dressed up by a script; the field behind it is what is sent.
    owner.page.locator("select[name=groups]").evaluate(
        "field => [...field.options].forEach(one => one.selected = one.text === 'viewer')"
    )
    owner.page.locator("[name=_save]").first.click()
    expect(owner.page.get_by_text("viewer@acme.example").first).to_be_visible()


def shoot(page: Page, name: str) -> None:
    """Keep a page in light, dark and at a phone's width."""
    folder = os.environ.get("ROWHOUSE_SCREENSHOTS_OF_RIGHTS")
    if not folder:
        return
    page.wait_for_load_state("networkidle")
    page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)
    page.evaluate("document.documentElement.classList.add('dark')")
    page.screenshot(path=str(Path(folder) / f"{name}-dark.png"), full_page=True)
    page.evaluate("document.documentElement.classList.remove('dark')")
    page.set_viewport_size({"width": 390, "height": 844})
    page.screenshot(path=str(Path(folder) / f"{name}-phone.png"), full_page=True)
    page.set_viewport_size({"width": 1360, "height": 850})


def test_a_column_that_is_hidden_is_seen_by_nobody_it_is_hidden_from(browser, served):
    owner = Person(browser, served, "acme")
    page = owner.page
    make_viewer(owner)
    viewer = sign_in(browser, served, "viewer@acme.example", PASSWORD)
    owner.go("/admin/")
    page.get_by_role("link", name="Navigation aids", exact=True).first.click()
    records = page.url
    viewer.goto(records)
    expect(viewer.locator("#result_list thead")).to_contain_text(HIDDEN)

    page.get_by_role("link", name="Permissions").click()
    group = page.get_by_role("row").filter(
        has=page.get_by_role("button", name="exporter for viewer", exact=True)
    )
    group.get_by_role("button", name="exporter for viewer", exact=True).click()
    expect(group.get_by_role("button", name="exporter for viewer", exact=True)).to_have_attribute(
        "aria-pressed", "true"
    )
    expect(page.get_by_role("checkbox", name="Export for viewer", exact=True)).to_be_checked()
    shoot(page, "permissions")

    page.get_by_role("link", name="Columns", exact=True).click()
    page.get_by_role("link", name="viewer", exact=True).click()
    page.get_by_label("magnetic_variation_deg for viewer").select_option("hidden")
    page.get_by_role("button", name="Save columns").click()
    expect(page.get_by_label("magnetic_variation_deg for viewer")).to_have_value("hidden")
    shoot(page, "columns")

    viewer.reload()
    expect(viewer.locator("#result_list")).to_be_visible()
    assert not HIDDEN.search(viewer.content())
    shoot(viewer, "records-without-a-column")
    viewer.locator("#result_list tbody tr a").first.click()
    expect(viewer.get_by_text("elevation_ft").first).to_be_visible()
    assert not HIDDEN.search(viewer.content())

    page.get_by_role("link", name="Who may what", exact=True).click()
    row = page.get_by_role("row").filter(has_text="viewer@acme.example")
    expect(row).to_contain_text("granted on this dataset to viewer")
    expect(row).to_contain_text(HIDDEN)
    shoot(page, "matrix")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download as CSV").click()
    assert "magnetic_variation_deg: hidden as viewer" in Path(download.value.path()).read_text()
    page.locator("a[href='/admin/datasets/dataset/rights/']").first.click()
    expect(page.get_by_text("Who may what with every dataset").first).to_be_visible()
    shoot(page, "matrix-of-all")
    assert owner.complaints == []
