"""A column's type changed in a real browser: the form, the check, what fails, the decision, the change, the revert."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.test_browser import PATIENCE_MS, Person, browser

__all__ = ["browser"]
pytestmark = pytest.mark.browser


def test_a_person_changes_a_column_and_takes_it_back(browser: Any, served: Any) -> None:
    acme = Person(browser, served, "acme")
    page = acme.page
    acme.go("/admin/datasets/dataset/")
    page.get_by_role("row", name="Navigation aids").get_by_role("link", name="Definition").click()
    acme.shoot("change-definition")

    def ask(label: str, kind: str) -> None:
        row = page.locator("tr", has=page.locator(f"input[value='{label}']")).first
        row.get_by_role("link", name="Change type or rules").click()
        page.locator("select[name=type]").select_option(kind)

    ask("name", "integer")
    acme.shoot("change-ask")
    page.get_by_role("button", name="Check the records").click()
    expect(page.get_by_text("would fail").first).to_be_visible(timeout=PATIENCE_MS)
    acme.shoot("change-failing")
    page.set_viewport_size({"width": 390, "height": 844})
    acme.shoot("change-failing-phone")
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0
    page.set_viewport_size({"width": 1360, "height": 850})
    page.evaluate("document.documentElement.classList.add('dark')")
    acme.shoot("change-failing-dark")
    page.evaluate("document.documentElement.classList.remove('dark')")
    page.get_by_role("button", name="Give this change up").click()
    expect(page.get_by_text("It was cancelled on request.").first).to_be_visible()

    page.get_by_role("link", name="Definition", exact=True).last.click()
    ask("elevation_ft", "text")
    page.get_by_role("button", name="Check the records").click()
    expect(page.get_by_text("Nothing is changed yet: confirm to begin.")).to_be_visible(timeout=PATIENCE_MS)
    page.get_by_role("button", name="Make the change").click()
    expect(page.get_by_text("The new definition is in force.").first).to_be_visible(timeout=PATIENCE_MS)
    acme.shoot("change-done")
    page.get_by_role("button", name="Revert this change").click()
    expect(page.get_by_text("Nothing is changed yet: confirm to begin.")).to_be_visible(timeout=PATIENCE_MS)
    page.get_by_role("button", name="Make the change").click()
    expect(page.get_by_text("The new definition is in force.").first).to_be_visible(timeout=PATIENCE_MS)
    acme.go("/admin/datasets/change/")
    expect(page.get_by_text("reverted").first).to_be_visible()
    acme.shoot("changes")
    assert acme.complaints == []
