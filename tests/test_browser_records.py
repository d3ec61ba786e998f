"""A day with a list of records in a real browser: filter, order, choose columns, keep and share a view, page, export.

With ROWHOUSE_SCREENSHOTS set to a folder, the pages are kept there: docs/records.md shows them.
"""

from __future__ import annotations

import csv
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.conftest import Served, Told
from tests.test_browser import Person, browser

__all__ = ["browser"]
pytestmark = pytest.mark.browser
expect.set_options(timeout=30_000)
PASSWORD = "correct horse battery"
COLLEAGUE = f"""
import django; django.setup()
from accounts.command import active_tenant
from accounts.services import create_user
from core.tenancy import in_tenant
with in_tenant(active_tenant("acme")):
    create_user(email="colleague@acme.example", password="{PASSWORD}", role="editor")
"""


@pytest.fixture(scope="module")
def colleague(browser: Browser, served: Served, told: Told) -> Person:
    """Somebody else at acme, who may export but not change datasets."""
    command = [sys.executable, "-c", COLLEAGUE]
    environment = {**told.environment, "DJANGO_SETTINGS_MODULE": "rowhouse.settings"}
    root = Path(__file__).resolve().parents[1]
    subprocess.run(
        command, env={**environment, "PYTHONPATH": f"{root}:{root / 'platform'}"}, cwd=root, check=True
    )
    served.passwords["colleague@acme.example"] = PASSWORD
    return Person(browser, served, "acme", "colleague")


def open_list(person: Person) -> Page:
    person.go("/admin/datasets/dataset/")
    person.page.get_by_role("link", name="Navigation aids", exact=True).last.click()
    expect(person.page.locator("#result_list")).to_be_visible()
    return person.page


def column(page: Page, label: str) -> list[str]:
    """Return the texts of a column on this page."""
    labels = [text.strip() for text in page.locator("#result_list thead th .text").all_inner_texts()]
    return page.locator(f"#result_list tr.data-row > :nth-child({labels.index(label) + 1})").all_inner_texts()


def follow(link: Locator) -> None:
    """Press what leads to another page, and wait for that."""
    with link.page.expect_navigation():
        link.click()


def test_a_person_builds_keeps_and_shares_a_list(browser: Browser, served: Served, colleague: Person) -> None:
    owner = Person(browser, served, "acme")
    page = open_list(owner)

    # A filter, by plain forms: a column, then what it shall be.
    page.get_by_label("Filter by").select_option(label="elevation_ft")
    page.get_by_role("button", name="Add filter").click()
    page.get_by_label("From").fill("500")
    owner.shoot("records-filter")
    follow(page.get_by_role("button", name="Apply"))
    expect(page.get_by_role("link", name="elevation_ft from 500", exact=True)).to_be_visible()
    assert column(page, "Elevation_ft")
    assert all(int(text.replace(",", "")) >= 500 for text in column(page, "Elevation_ft"))

    # Sorted downwards, fewer columns, in another order.
    follow(page.get_by_role("link", name="Elevation_ft", exact=True))
    follow(page.get_by_role("link", name="Elevation_ft", exact=True))
    heights = [int(text) for text in column(page, "Elevation_ft")]
    assert heights == sorted(heights, reverse=True)
    page.get_by_text("Columns", exact=True).click()
    owner.shoot("records-columns")
    for box in page.locator(".ls-columns input[type=checkbox]").all():
        box.uncheck()
    for place, label in enumerate(("name", "elevation_ft", "type"), start=1):
        page.locator(".ls-columns").get_by_label(label, exact=True).check()
        page.get_by_label(f"Place of {label}", exact=True).fill(str(place))
    page.get_by_label("Records on a page").select_option("25")
    follow(page.get_by_role("button", name="Show these"))
    assert page.locator("#result_list thead th .text").all_inner_texts()[-3:] == [
        "Name",
        "Elevation_ft",
        "Type",
    ]

    # Kept as a view that everybody sees.
    page.get_by_text("Save as a view").click()
    page.get_by_label("Name", exact=True).fill("High up")
    page.get_by_label("For everybody who may see these records").last.check()
    owner.shoot("records-save-view")
    follow(page.get_by_role("button", name="Save the view"))
    expect(page.get_by_role("link", name=re.compile("High up"))).to_have_attribute("aria-current", "page")
    owner.shoot("records-view")
    shown = column(page, "Name")

    # On the next page and back.
    follow(page.get_by_role("link", name="Next", exact=True))
    beyond = column(page, "Name")
    assert not set(zip(shown, heights, strict=False)) & set(
        zip(beyond, column(page, "Elevation_ft"), strict=False)
    )
    follow(page.get_by_role("link", name="Previous", exact=True))
    assert column(page, "Name") == shown

    # Somebody else sees the same list, makes it his first, and takes it as a file.
    theirs = open_list(colleague)
    follow(theirs.get_by_role("link", name=re.compile("High up")))
    assert column(theirs, "Name") == shown
    theirs.get_by_text("This view", exact=True).click()
    follow(theirs.get_by_role("button", name="Show this first"))
    assert column(open_list(colleague), "Name") == shown
    theirs.get_by_role("link", name="Export this list").click()
    colleague.shoot("records-export")
    with theirs.expect_download() as download:
        theirs.get_by_role("button", name="Download").click()
    rows = list(csv.reader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8"))))
    assert rows[0] == ["name", "elevation_ft", "type"]
    assert [row[0] for row in rows[1 : len(shown) + 1]] == shown
    assert all(int(row[1]) >= 500 for row in rows[1:])
    assert colleague.complaints == [] and owner.complaints == []
    owner.context.close()


def test_the_keys_lead_through_the_list_and_out_of_it(browser: Browser, served: Served) -> None:
    owner = Person(browser, served, "acme")
    page = open_list(owner)
    page.keyboard.press("/")
    expect(page.locator("#searchbar")).to_be_focused()
    page.keyboard.type("j?n")  # a text field takes what is typed
    expect(page.locator("#searchbar")).to_have_value("j?n")
    page.keyboard.press("Escape")
    for key in ("j", "j", "ArrowDown", "k"):
        page.keyboard.press(key)
    expect(page.locator("tr.data-row").nth(1)).to_have_class(re.compile("ls-row"))
    expect(page.locator("tr.data-row").nth(1).locator("a").first).to_be_focused()
    owner.shoot("records-keys")
    page.keyboard.press("?")
    expect(page.locator("#ls-help")).to_be_visible()
    owner.shoot("records-help")
    page.keyboard.press("Escape")
    expect(page.locator("#ls-help")).not_to_be_visible()
    page.keyboard.press("Tab")  # no trap: the next link has the focus
    expect(page.locator("tr.data-row").nth(1).locator("a").first).not_to_be_focused()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/rows/\d+/change/"))
    assert owner.complaints == []
    owner.context.close()


def test_a_phone_and_the_dark_show_the_whole_list(browser: Browser, served: Served) -> None:
    owner = Person(browser, served, "acme")
    page = open_list(owner)
    url = page.url
    page.set_viewport_size({"width": 390, "height": 844})
    page.get_by_label("Filter by").select_option(label="elevation_ft")
    page.get_by_role("button", name="Add filter").click()
    page.get_by_label("From").fill("500")
    page.get_by_text("Columns", exact=True).click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    owner.shoot("records-phone")
    page.keyboard.press("Escape")  # the panel closes, and its button has the focus
    expect(page.locator(".ls-panel > summary", has_text="Columns")).to_be_focused()
    page.get_by_role("button", name="Apply").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.set_viewport_size({"width": 1360, "height": 850})
    page.evaluate("document.documentElement.classList.add('dark')")
    owner.shoot("records-dark")
    page.goto(url.partition("?")[0] + "indexes/")
    expect(page.get_by_role("button", name="Make search fast")).to_be_visible()
    owner.shoot("records-speed")
    assert owner.complaints == []
    owner.context.close()
