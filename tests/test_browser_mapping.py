"""A mapping that does more than match labels, made in a real browser and by keyboard where that matters."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from rowhouse.demo.files import faulty_navaids
from tests.conftest import Served
from tests.test_browser import Person, browser

__all__ = ["browser"]
pytestmark = pytest.mark.browser


def without_a_column(folder: Path, label: str) -> Path:
    """Return the navaids without one column, their types in capitals and with a word of their own."""
    rows = list(csv.reader(io.StringIO(faulty_navaids().content.decode(), newline="")))
    left_out, kind = rows[0].index(label), rows[0].index("type")
    rows[0][kind] = "Art"
    for row in rows[1:]:
        row[kind] = f" {row[kind].lower()} "
    file = folder / "navaids-december.csv"
    with file.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([*row[:left_out], *row[left_out + 1 :]] for row in rows)
    return file


def test_values_are_changed_a_constant_is_added_and_the_mapping_gets_a_name(
    browser: Browser, served: Served, tmp_path: Path
) -> None:
    acme = Person(browser, served, "acme")
    page = acme.page
    page.get_by_role("link", name="Navigation aids", exact=True).first.click()
    page.get_by_role("link", name="Import a file").click()
    page.set_input_files("input[type=file]", without_a_column(tmp_path, "iso_country"))
    page.get_by_role("button", name="Upload and preview").click()
    page.get_by_role("link", name="Match columns").click()

    label = page.locator("tbody", has=page.get_by_text("Art", exact=True))
    label.get_by_label("Column for Art").select_option(label="type")
    label.locator("summary").focus()
    page.keyboard.press("Enter")  # the details open by keyboard
    label.get_by_label("Letters").select_option(label="UPPER")
    label.get_by_text("Trim white space around").click()
    constant = page.get_by_role("group", name="The same text in every row")
    constant.get_by_label("Column").select_option(label="iso_country")
    constant.get_by_label("Text in every row").fill("DE")
    page.get_by_role("button", name="Show the result").click()
    expect(label.get_by_text("NDB", exact=True).first).to_be_visible()
    acme.shoot("mapping-recipe")

    page.get_by_label("Save this mapping as").fill("December")
    page.get_by_role("button", name="Preview again").click()
    expect(page.get_by_text("kept as “December”, version 1")).to_be_visible()
    expect(page.get_by_role("link", name="Match columns")).to_be_visible()
    page.get_by_role("link", name="Match columns").click()
    expect(page.get_by_text("The mapping “December”, version 1.")).to_be_visible()
    expect(page.get_by_label("Text in every row").first).to_have_value("DE")
    assert acme.complaints == []
    acme.context.close()


def test_a_wide_file_is_mapped_page_by_page_and_keeps_what_was_chosen(
    browser: Browser, served: Served, tmp_path: Path
) -> None:
    acme = Person(browser, served, "acme")
    page = acme.page
    rows = list(csv.reader(io.StringIO(faulty_navaids().content.decode(), newline="")))
    file = tmp_path / "navaids-wide.csv"
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow([*(f"extra {at}" for at in range(100)), *rows[0]])
        writer.writerows([*["x"] * 100, *row] for row in rows[1:])
    page.get_by_role("link", name="Navigation aids", exact=True).first.click()
    page.get_by_role("link", name="Import a file").click()
    page.set_input_files("input[type=file]", file)
    page.get_by_role("button", name="Upload and preview").click()
    page.get_by_role("link", name="Match columns").click()

    page.get_by_text("Change or read its values of extra 7", exact=False).first.click()
    label = page.locator("tbody", has=page.get_by_text("extra 7", exact=True))
    label.get_by_label("Letters").select_option(label="UPPER")
    page.get_by_role("button", name="Labels 101 to").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Column for iso_country")).to_be_visible()
    expect(page.get_by_label("Column for extra 7", exact=True)).to_have_count(0)
    page.get_by_role("button", name="Labels 1 to 50").click()
    expect(label.get_by_label("Letters")).to_have_value("upper")
    expect(label.get_by_text("(in use)")).to_be_visible()
    assert acme.complaints == []
    acme.context.close()
