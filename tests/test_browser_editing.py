"""Records edited in a real browser: cells by keyboard, a pasted block, many at once, undo, a record's versions."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.conftest import Served
from tests.test_browser import Person, browser

__all__ = ["browser"]
pytestmark = pytest.mark.browser


def cell(page: Page, row: int, label: str) -> Locator:
    """Return the cell of a column in a row of the list; the first row is 0."""
    page.locator("#grid-data").wait_for(state="attached")
    name = page.evaluate(
        """(label) => Object.entries(JSON.parse(document.getElementById("grid-data").dataset.grid).columns)
          .find(([, column]) => column.label === label)[0]""",
        label,
    )
    return page.locator("#result_list tr.data-row").nth(row).locator(f".field-{name}")


def value(page: Page, row: int, label: str) -> str:
    return cell(page, row, label).inner_text().strip()


def open_records(person: Person) -> Page:
    person.go("/admin/")
    person.page.get_by_role("link", name="Navigation aids", exact=True).first.click()
    expect(cell(person.page, 0, "name")).to_be_visible()
    return person.page


def shoot_all(person: Person, name: str) -> None:
    """Take the page in light, dark and at a phone's width."""
    page = person.page
    person.shoot(f"{name}")
    page.wait_for_load_state()  # of a page that shows work it may be another by now
    page.evaluate("document.documentElement.classList.add('dark')")
    person.shoot(f"{name}-dark")
    page.wait_for_load_state()
    page.evaluate("document.documentElement.classList.remove('dark')")
    page.set_viewport_size({"width": 390, "height": 844})
    person.shoot(f"{name}-phone")
    page.set_viewport_size({"width": 1360, "height": 850})


def test_cells_are_edited_by_keyboard_and_a_block_is_pasted(browser: Browser, served: Served) -> None:
    acme = Person(browser, served, "acme")
    page = open_records(acme)
    before = [value(page, row, "elevation_ft") for row in range(3)]
    name, elevation = cell(page, 0, "name"), cell(page, 0, "elevation_ft")

    # Escape leaves it; Enter saves and goes down; Tab saves and goes on.
    elevation.click()
    page.keyboard.press("F2")
    page.keyboard.type("77")
    page.keyboard.press("Escape")
    expect(elevation).to_have_text(before[0])
    page.keyboard.type("1e3")
    page.keyboard.press("Enter")
    expect(elevation.get_by_role("alert")).to_contain_text("without an exponent")
    expect(elevation.locator("input")).to_have_attribute("aria-invalid", "true")
    shoot_all(acme, "edit-refused")
    elevation.locator("input").fill("4711")
    page.keyboard.press("Enter")
    expect(elevation).to_have_text("4711")
    expect(cell(page, 1, "elevation_ft")).to_be_focused()
    expect(page.locator(".ds-toast")).to_contain_text("Changed “elevation_ft”")
    acme.shoot("edit-saved")
    page.locator(".ds-toast").get_by_role("button", name="Undo").click()
    expect(cell(page, 0, "elevation_ft")).to_have_text(before[0])

    # A double click edits too, with the values of a choice or the whole text selected.
    name = cell(page, 0, "name")
    old_name = name.inner_text().strip()
    name.dblclick()
    page.keyboard.type("Renamed <b>")
    page.keyboard.press("Tab")
    expect(name).to_have_text("Renamed <b>")

    # Somebody else changes the cell meanwhile: nothing is overwritten, both values are told.
    other = Person(browser, served, "acme")
    theirs = open_records(other)
    theirs_cell = cell(theirs, 0, "name")
    theirs_cell.dblclick()
    theirs.keyboard.type("Theirs")
    theirs.keyboard.press("Enter")
    expect(theirs_cell).to_have_text("Theirs")
    other.context.close()
    name.dblclick()
    page.keyboard.type("Mine")
    page.keyboard.press("Enter")
    expect(name.get_by_role("alert")).to_contain_text("you saw “Renamed <b>”, and it is “Theirs” now")
    acme.shoot("edit-conflict")
    name.get_by_role("button", name="Save “Mine” instead").click()
    expect(name).to_have_text("Mine")

    # A block from a spreadsheet: shown first, with what cannot be saved.
    elevation = cell(page, 0, "elevation_ft")
    elevation.click()
    elevation.evaluate(
        """(cell) => {
          const data = new DataTransfer();
          data.setData("text/plain", "11\\r\\n22\\r\\nhigh\\r\\n");
          cell.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
        }"""
    )
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Paste: 2 cells would change")
    expect(dialog).to_contain_text("1 cell cannot be saved; the reason stands beside each.")
    expect(dialog).to_contain_text("Write a number in digits")
    shoot_all(acme, "edit-paste")
    dialog.get_by_role("button", name="Save 2 cells").click()
    expect(cell(page, 1, "elevation_ft")).to_have_text("22")
    assert [value(page, row, "elevation_ft") for row in range(3)] == ["11", "22", before[2]]
    page.locator(".ds-toast").get_by_role("button", name="Undo").click()
    expect(cell(page, 1, "elevation_ft")).to_have_text(before[1])
    assert [value(page, row, "elevation_ft") for row in range(3)] == before

    cell(page, 0, "name").dblclick()
    page.keyboard.type(old_name)
    page.keyboard.press("Enter")
    expect(page.locator(".ds-toast")).to_contain_text("Changed “name”")
    shoot_all(acme, "edit-list")
    assert acme.complaints == []
    acme.context.close()


def pick_all(page: Page, action: str) -> None:
    """Tick the page's records, then all that match, and run an action."""
    page.locator("#action-toggle").click()
    question = page.get_by_text("Select all", exact=False).locator("visible=true")
    if question.count():
        question.first.click()
    page.locator("select[name=action]").select_option(label=action)
    page.get_by_role("button", name="Run").click()


def test_the_records_of_a_filter_are_edited_deleted_and_brought_back(
    browser: Browser, served: Served
) -> None:
    acme = Person(browser, served, "acme")
    page = open_records(acme)
    page.goto(re.sub(r"\?.*", "", page.url) + "?q=NDB")
    expect(cell(page, 0, "name")).to_be_visible()
    pick_all(page, "Edit selected records")
    page.get_by_label("column").select_option(label="name")
    page.get_by_label("what to do").select_option(label="Find and replace")
    page.get_by_label("find this text").fill("an")
    page.get_by_label("put this in its place").fill("@n")
    page.get_by_label("why").fill("Old names are out of use.")
    shoot_all(acme, "bulk-form")
    page.get_by_role("button", name="Show what would change").click()
    expect(page.get_by_text("Nothing is written yet.")).to_be_visible()
    shoot_all(acme, "bulk-preview")
    page.get_by_role("button", name=re.compile(r"Change [0-9,]+ records?")).click()
    expect(page.get_by_text("done", exact=True).first).to_be_visible()
    shoot_all(acme, "bulk-done")
    changed = page.url
    page.get_by_role("button", name="Undo", exact=True).click()
    page.get_by_role("button", name=re.compile("Undo: ")).click()
    page.goto(changed)
    expect(page.get_by_text("undone", exact=True).first).to_be_visible()

    page.get_by_role("link", name="Records of Navigation aids").click()
    page.goto(page.url + "?q=NDB")
    pick_all(page, "Delete selected records")
    number = re.findall(r"Type ([0-9,]+) to delete", page.content())
    assert number, "more than a hundred records are asked for by their number"
    page.get_by_label("records would be deleted").fill("1")
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("alert")).to_contain_text("1 was typed, but")
    acme.shoot("delete-refused")
    page.get_by_label("records would be deleted").fill(number[0])
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("done", exact=True).first).to_be_visible()
    page.get_by_role("button", name="Undo", exact=True).click()
    shoot_all(acme, "undo-preview")
    page.get_by_role("button", name=re.compile("Undo: ")).click()
    expect(page.get_by_text("brought back", exact=False).first).to_be_visible()

    page.get_by_role("link", name="All changes").click()
    expect(page.get_by_role("link", name="Replaced “an” by “@n” in “name”").first).to_be_visible()
    shoot_all(acme, "changes")
    assert [one for one in acme.complaints if "422" not in one] == []
    acme.context.close()


def test_a_records_page_shows_its_versions_and_takes_one_back(browser: Browser, served: Served) -> None:
    acme = Person(browser, served, "acme")
    page = open_records(acme)
    before = value(page, 3, "elevation_ft")
    cell(page, 3, "elevation_ft").dblclick()
    height = "9876" if before != "9876" else "9875"
    page.keyboard.type(height)
    page.keyboard.press("Enter")
    expect(page.locator(".ds-toast")).to_be_visible()
    href = page.locator("#result_list tr.data-row").nth(3).locator("a").first.get_attribute("href") or ""
    acme.go(href.split("change/")[0] + "history/")
    expect(page.get_by_text(height).first).to_be_visible()
    page.get_by_role("button", name="Show the difference").click()
    expect(page.get_by_text("From version")).to_be_visible()
    shoot_all(acme, "record")
    page.get_by_role("button", name=re.compile("^Revert elevation_ft")).first.click()
    expect(page.get_by_text("Reverted “elevation_ft”").first).to_be_visible()
    shoot_all(acme, "record-reverted")
    page.get_by_role("link", name="Next record").or_(
        page.get_by_role("link", name="Previous record")
    ).first.click()
    open_records(acme)
    assert value(page, 3, "elevation_ft") == before
    assert acme.complaints == []
    acme.context.close()
