"""A reference as a person meets it: defined, chosen by typing, followed both ways, and in the way of a deletion."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from tests.conftest import Served
from tests.test_browser import Person, browser

__all__ = ["browser"]
pytestmark = pytest.mark.browser


def test_a_person_refers_to_a_record_and_follows_it(browser: Browser, served: Served) -> None:
    acme = Person(browser, served, "acme")
    page = acme.page
    acme.go("/admin/datasets/dataset/add/")
    page.fill("input[name=title]", "Inspections")
    for number, (label, kind) in enumerate((("Report", "text"), ("Aid", "reference"))):
        page.fill(f"input[name=columns-{number}-label]", label)
        page.locator(f"select[name=columns-{number}-type]").select_option(kind)
    page.locator("input[name=columns-0-is_key]").check()
    page.locator("select[name=columns-1-target]").select_option(label="Navigation aids")
    acme.shoot("reference-definition")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("No records yet.")).to_be_visible()
    inspections = page.url

    page.goto(f"{inspections}add/")
    page.get_by_label("Report").fill("R-1")
    page.locator(".select2-selection").click()
    page.locator(".select2-search__field").fill("zurich")
    page.locator(".select2-results__option", has_text="·").first.wait_for()
    acme.shoot("reference-choosing")
    page.keyboard.press("Enter")  # the first one found
    chosen = page.locator(".select2-selection__rendered").inner_text()
    page.get_by_role("button", name="Save", exact=True).click()
    key = chosen.replace("×", "").split("·")[0].strip()
    page.get_by_role("link", name=key, exact=True).click()

    expect(page.get_by_role("heading", name="Records that refer to this one")).to_be_visible()
    page.set_viewport_size({"width": 390, "height": 844})
    page.get_by_role("heading", name="Records that refer to this one").scroll_into_view_if_needed()
    acme.shoot("reference-referring-phone")
    page.set_viewport_size({"width": 1360, "height": 850})
    aid = page.url
    page.get_by_role("link", name="1 record of Inspections").click()
    expect(page.get_by_role("link", name="R-1")).to_be_visible()
    page.evaluate("localStorage.setItem('adminTheme', '\"dark\"')")
    page.reload()
    acme.shoot("reference-list-dark")
    page.evaluate("localStorage.setItem('adminTheme', '\"light\"')")
    page.goto(aid.replace("/change/", "/delete/"))
    expect(page.get_by_text("It is referred to by 1 record of “Inspections”.")).to_be_visible()
    acme.shoot("reference-held")
    assert acme.complaints == []
    acme.context.close()
