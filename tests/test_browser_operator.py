"""An operator's work with a tenant in a real browser: list, limits, note, domain, read-only, and an entry.

With ROWHOUSE_SCREENSHOTS set to a folder, the pages are kept there.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.conftest import Served
from tests.test_accessible import LOOK, OVERFLOW, axe
from tests.test_browser import PATIENCE_MS, Person, browser

__all__ = ["browser"]
pytestmark = pytest.mark.browser
WHO = "operator@rowhouse.example"


def signed_in(browser: Browser, served: Served) -> Page:
    page = browser.new_context(viewport={"width": 1360, "height": 850}).new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(served.url("localhost", "/operator/"))
    page.fill("input[name=username]", WHO)
    page.fill("input[name=password]", served.passwords[WHO])
    page.click("button[type=submit]")
    expect(page.get_by_text("Jobs running and queued")).to_be_visible()
    return page


def look(page: Page, name: str) -> None:
    """Judge a page in light, in dark and at the width of a telephone, and keep pictures of it if asked to."""
    folder = os.environ.get("ROWHOUSE_SCREENSHOTS")
    page.wait_for_load_state("networkidle")
    page.evaluate(axe())
    for mark, width, is_dark in (("", 1360, False), ("-dark", 1360, True), ("-phone", 390, False)):
        page.evaluate("dark => document.documentElement.classList.toggle('dark', dark)", is_dark)
        page.set_viewport_size({"width": width, "height": 850})
        assert page.evaluate(LOOK, []) == [], (name, mark)
        assert page.evaluate(OVERFLOW) == [], (name, mark)
        if folder:
            page.screenshot(path=str(Path(folder) / f"{name}{mark}.png"), full_page=True)
    page.evaluate("document.documentElement.classList.remove('dark')")
    page.set_viewport_size({"width": 1360, "height": 850})


def test_an_operator_looks_after_a_tenant_and_enters_it(browser: Browser, served: Served) -> None:
    page, owner = signed_in(browser, served), Person(browser, served, "acme")
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)

    page.goto(served.url("localhost", "/operator/tenants/tenant/"))
    look(page, "tenants")
    page.locator("#result_list").get_by_role("link", name="Acme").first.click()
    page.get_by_role("link", name="Set quotas").click()
    page.get_by_label("Active users").fill("100")
    page.get_by_label("Datasets").fill("3")
    look(page, "tenant-quotas")
    page.get_by_role("button", name="Set the quotas").click()
    page.get_by_role("link", name="Add a note").click()
    page.get_by_label("Note").fill("Pays by invoice.")
    page.get_by_role("button", name="Add the note").click()
    page.get_by_role("link", name="Claim a domain").click()
    page.get_by_label("Domain").fill("data.customer.example")
    page.get_by_role("button", name="Claim the domain").click()
    expect(page.get_by_text("_rowhouse-verify.data.customer.example")).to_be_visible()
    look(page, "tenant")
    owner.go("/admin/")
    expect(owner.page.get_by_text(re.compile(r"of 3 datasets"))).to_be_visible()
    owner.shoot("dashboard-quotas")

    page.get_by_role("link", name="Enter", exact=True).click()
    page.get_by_label("Why").fill("They asked why an import fails.")
    look(page, "enter")
    page.get_by_role("button", name="Make the entry").click()
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Go to Acme").click()
    inside = opened.value
    inside.get_by_role("button", name="Enter").click()
    expect(inside.get_by_text("Operator inside until").first).to_be_visible()
    look(inside, "inside")

    expect_soon(owner, "/admin/", "Operator inside until")
    owner.go("/admin/entries/")
    expect(owner.page.get_by_text("They asked why an import fails.")).to_be_visible()
    look(owner.page, "entries")
    owner.page.get_by_role("button", name="End it now").click()
    expect(owner.page.get_by_text("is out: the next request is refused")).to_be_visible()
    inside.reload()
    expect(inside.locator("input[name=password]")).to_be_visible()

    page.get_by_role("link", name="Back to the tenant").click()
    page.get_by_role("link", name="Make read-only").click()
    page.get_by_label("Why").fill("it is being moved")
    page.get_by_role("button", name="Make it read-only").click()
    expect(page.get_by_text("it is being moved").first).to_be_visible()
    expect_soon(owner, "/admin/", "is read-only for now: it is being moved")
    owner.shoot("dashboard-read-only")
    owner.go("/admin/accounts/user/add/")
    owner.page.locator("form#user_form").evaluate("form => HTMLFormElement.prototype.submit.call(form)")
    expect(owner.page.get_by_text("Nothing of what you sent was kept.")).to_be_visible()
    owner.shoot("refused")
    page.get_by_role("link", name="Make writable").click()
    page.get_by_role("button", name="Make it writable").click()
    expect(page.get_by_role("link", name="Make read-only")).to_be_visible()
    page.get_by_role("link", name="Set quotas").click()
    page.get_by_label("Active users").fill("")
    page.get_by_label("Datasets").fill("")
    page.get_by_role("button", name="Set the quotas").click()
    assert complaints == []


def expect_soon(person: Person, path: str, words: str) -> None:
    """Look at a page until it says something that another process has heard of by then."""
    for _ in range(20):
        person.go(path)
        if person.page.get_by_text(words).first.is_visible():
            return
        person.page.wait_for_timeout(500)
    raise AssertionError(f"{path} never said {words!r}")
