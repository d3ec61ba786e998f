"""Rules written by a person in a real browser, and met by them at a record's form and in a preview."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.conftest import Served
from tests.test_browser import PATIENCE_MS, Person, browser

__all__ = ["browser"]
pytestmark = pytest.mark.browser
COLUMNS: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("Job no", "text", {"pattern": "[A-Z]{2}-[0-9]+"}),
    ("Begin", "date", {}),
    ("End", "date", {}),
    ("State", "text", {"default": "new", "max_length": "10"}),
)
RULE = "In order: The end comes before the beginning."


def test_a_check_is_written_corrected_and_met(browser: Browser, served: Served, tmp_path: Path) -> None:
    acme = Person(browser, served, "acme")
    page = acme.page
    acme.go("/admin/datasets/dataset/add/")
    page.fill("[name=title]", "Jobs to do")
    for number, (label, kind, options) in enumerate(COLUMNS):
        page.fill(f"[name=columns-{number}-label]", label)
        page.select_option(f"[name=columns-{number}-type]", kind, force=True)
        for name, value in options.items():
            page.fill(f"[name=columns-{number}-{name}]", value)
    page.check("[name=columns-0-is_key]", force=True)
    page.fill("[name=check_lines]", 'In order: "Begin" <= "Ende"  # The end comes before the beginning.')
    page.get_by_role("button", name="Save", exact=True).click()
    expect(
        page.get_by_text('The check “In order”, at character 12: there is no column "Ende".')
    ).to_be_visible()
    acme.shoot("check-refused")
    page.fill("[name=check_lines]", 'In order: "Begin" <= "End"  # The end comes before the beginning.')
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("The dataset “Jobs to do” is there.")).to_be_visible()
    list_url = page.url

    page.goto(f"{list_url}add/")
    labels = page.locator("label")
    for label, value in (("Job no", "AB-1"), ("Begin", "2026-05-02"), ("End", "2026-05-01")):
        page.fill(f"#{labels.filter(has_text=label).first.get_attribute('for')}", value)
    state = page.locator(f"#{labels.filter(has_text='State').first.get_attribute('for')}")
    expect(state).to_have_value("new")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text(RULE)).to_be_visible()
    acme.shoot("check-broken")
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 390, "height": 844})
    acme.shoot("check-broken-phone")
    page.set_viewport_size({"width": 1360, "height": 850})
    page.emulate_media(color_scheme="light")

    file = tmp_path / "jobs.csv"
    file.write_text("Job no,Begin,End\nAB-1,2026-05-02,2026-05-01\nAB-2,2026-05-01,2026-05-02\nab,,\n")
    page.goto(list_url)
    page.get_by_role("link", name="Import a file").first.click()
    page.set_input_files("input[type=file]", file)
    page.get_by_role("button", name="Upload and preview").click()
    expect(page.get_by_text("waiting for confirmation").first).to_be_visible(timeout=PATIENCE_MS)
    page.get_by_role("link", name="Issues").click()
    expect(page.get_by_text(RULE)).to_be_visible()
    expect(page.get_by_text("Begin: 2026-05-02; End: 2026-05-01")).to_be_visible()
    expect(page.get_by_text("Write it in the form [A-Z]{2}-[0-9]+")).to_be_visible()
    acme.shoot("check-in-preview")
    assert acme.complaints == []
