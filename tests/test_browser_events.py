"""The log and the review of access in a real browser: search, an event, where events go, and what stands out.

With ROWHOUSE_SCREENSHOTS set to a folder, the pages are kept there.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.conftest import Served
from tests.test_browser import Person, browser
from tests.test_browser_operator import look, signed_in

__all__ = ["browser"]
pytestmark = pytest.mark.browser


def test_an_owner_searches_the_log_and_reviews_who_may_what(browser: Browser, served: Served) -> None:
    owner = Person(browser, served, "acme")
    page = owner.page
    owner.go("/admin/audit/event/")
    expect(page.get_by_role("region", name="Events")).to_be_visible()
    look(page, "events")
    page.locator("select[name=name]").select_option("accounts.user.signed_in")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_role("link", name="Somebody signed in").first).to_be_visible()
    look(page, "events-filtered")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download as JSON Lines").click()
    lines = Path(download.value.path()).read_text(encoding="utf-8").splitlines()
    assert {json.loads(line)["name"] for line in lines} == {"accounts.user.signed_in"}
    page.get_by_role("link", name="Somebody signed in").first.click()
    expect(page.get_by_text("Proof")).to_be_visible()
    look(page, "event")
    page.get_by_role("link", name="All they did").click()
    expect(page.get_by_text("Only what")).to_be_visible()
    owner.go("/admin/audit/event/?q=nothing-of-the-kind")
    expect(page.get_by_text("Nothing fits")).to_be_visible()
    look(page, "events-none")

    owner.go("/admin/audit/event/stream/")
    look(page, "stream-none")
    owner.complaints.clear()
    page.get_by_label("Address of the webhook").fill("https://localhost/events")
    page.get_by_role("button", name="Send events there").click()
    expect(page.get_by_role("alert").first).to_contain_text("private network")
    look(page, "stream-refused")
    owner.complaints.clear()  # a refusal is an error to the console

    owner.go("/admin/review/")
    expect(page.get_by_role("region", name="People")).to_be_visible()
    look(page, "review")
    page.get_by_label("Note").fill("All of them are needed.")
    page.get_by_role("button", name="I have reviewed this").click()
    expect(page.get_by_text("Last reviewed on")).to_be_visible()
    look(page, "review-done")
    owner.go("/admin/entries/")
    look(page, "entries")
    assert owner.complaints == []


def test_an_operator_reads_the_platform_s_log(browser: Browser, served: Served) -> None:
    page = signed_in(browser, served)
    page.goto(served.url("localhost", "/operator/audit/event/"))
    expect(page.get_by_role("region", name="Events")).to_be_visible()
    look(page, "operator-events")
    page.get_by_role("region", name="Events").get_by_role("link").first.click()
    expect(page.get_by_text("Proof")).to_be_visible()
    look(page, "operator-event")
