"""A definition in a real browser: from a file, by template, changed by keyboard, retired, brought back, taken along.

With ROWHOUSE_SCREENSHOTS set to a folder, the pages are kept there in light, in dark and as a telephone shows them.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from openpyxl import load_workbook
from playwright.sync_api import Page, expect

from tests.test_browser import Person, browser

__all__ = ["browser"]
pytestmark = pytest.mark.browser
FILE = """Sample no,Taken on,Depth,Kind,Remark
S-001,2026-01-02,1.5,soil,dry
S-002,2026-01-03,2.25,water,
S-003,2026-01-04,3,soil,n/a
"""


def shoot(person: Person, name: str) -> None:
    """Keep a page as it looks in light, in dark and at the width of a telephone."""
    folder = os.environ.get("ROWHOUSE_SCREENSHOTS")
    if not folder:
        return
    page = person.page
    page.wait_for_load_state("networkidle")
    for scheme, width in (("light", 1360), ("dark", 1360), ("light", 390)):
        page.evaluate("dark => document.documentElement.classList.toggle('dark', dark)", scheme == "dark")
        page.set_viewport_size({"width": width, "height": 850})
        page.screenshot(path=str(Path(folder) / f"{name}-{scheme}-{width}.png"), full_page=True)
    page.set_viewport_size({"width": 1360, "height": 850})


def order_of(page: Page) -> list[str]:
    rows = page.locator("[data-columns] tbody tr")
    return [str(row.get_attribute("data-label")) for row in rows.all()]


def test_a_person_makes_a_dataset_of_a_file_and_changes_its_definition(browser, served, tmp_path):
    acme = Person(browser, served, "acme")
    page = acme.page
    file = tmp_path / "soil_samples.csv"
    file.write_text(FILE, encoding="utf-8")

    acme.go("/admin/datasets/dataset/")
    shoot(acme, "datasets")
    page.get_by_role("link", name="New dataset from a file").click()
    page.set_input_files("input[type=file]", file)
    page.get_by_role("button", name="Upload and propose columns").click()
    expect(page.get_by_text("3 rows were read", exact=False)).to_be_visible()
    expect(page.get_by_label("Title")).to_have_value("Soil samples")
    row = page.locator("tr", has=page.get_by_label("Label of “Kind”"))
    row.get_by_label("Type of “Kind”").select_option("choice")
    row.get_by_text("Digits and choices").click()
    shoot(acme, "proposal")
    page.get_by_role("button", name="Make the dataset").click()
    expect(page.get_by_text("waiting for confirmation").first).to_be_visible()
    page.get_by_role("button", name="Import:").click()
    expect(page.locator("#progress")).to_have_count(0)

    acme.go("/admin/datasets/dataset/?q=soil")
    page.get_by_role("link", name="Definition", exact=True).first.click()
    page.locator("a[href$='/columns/']").click()
    editor = page.url

    # By keyboard alone: the focus stays on the arrow, and what happened is said.
    page.get_by_role("button", name="Move “Remark” up").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Move “Remark” up")).to_be_focused()
    expect(page.locator("[data-said]")).to_have_text("“Remark” is 3 of 5. Not saved yet.")
    page.get_by_label("Label of “Depth”").fill("Depth in m")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Saved.")).to_be_visible()
    assert order_of(page) == ["Sample no", "Taken on", "Remark", "Depth in m", "Kind"]

    page.locator("[data-label='Kind'] .ds-handle").drag_to(page.locator("[data-label='Taken on'] .ds-handle"))
    assert order_of(page).index("Kind") < 3
    page.get_by_role("button", name="Save order and labels").click()
    expect(page.get_by_text("Version 3 of the definition", exact=False)).to_be_visible()

    page.locator("#id_new-label").fill("Laboratory")
    page.get_by_role("button", name="Add column").click()
    expect(page.get_by_text("“Laboratory” is there.", exact=False)).to_be_visible()
    page.get_by_role("link", name="Retire Remark").click()
    shoot(acme, "retire")
    page.get_by_role("button", name="Retire it").click()
    expect(page.get_by_role("heading", name="Retired")).to_be_visible()
    page.get_by_role("link", name="purge them", exact=False).click()
    page.get_by_label("Type the label", exact=False).fill("Something else")
    page.get_by_role("button", name="Purge its values").click()
    expect(page.get_by_role("alert")).to_contain_text("type its label exactly")
    assert [said for said in acme.complaints if "422" not in said] == []
    acme.complaints.clear()  # the refusal itself, which a browser's console counts as an error
    shoot(acme, "purge")
    page.get_by_role("link", name="Keep them").click()
    shoot(acme, "columns")
    page.get_by_role("button", name="Bring back Remark").click()
    expect(page.get_by_text("“Remark” is back", exact=False)).to_be_visible()

    page.get_by_role("link", name="Definition history").click()
    for sentence in (
        "Renamed “Depth” to “Depth in m”.",
        "Retired “Remark”",
        "Brought back “Remark”.",
        "Added “Laboratory”",
    ):
        expect(page.get_by_text(sentence, exact=False).first).to_be_visible()
    shoot(acme, "definition-history")

    page.goto(editor)
    with page.expect_download() as download:
        page.get_by_role("link", name="Template workbook").click()
    workbook = tmp_path / download.value.suggested_filename
    download.value.save_as(workbook)
    sheet = load_workbook(workbook).active
    assert sheet is not None
    assert {cell.value for cell in sheet[1]} == {
        "Sample no",
        "Taken on",
        "Remark",
        "Depth in m",
        "Kind",
        "Laboratory",
    }

    acme.go("/admin/datasets/dataset/new/")
    shoot(acme, "begin")
    page.get_by_role("link", name="Use it for Invoices").click()
    shoot(acme, "template")
    page.get_by_role("button", name="Make the dataset").click()
    expect(page.get_by_text("The dataset “Invoices” is there.", exact=False)).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Table Schema").click()
    schema = tmp_path / "invoices.json"
    schema.write_text(
        Path(download.value.path()).read_text(encoding="utf-8").replace("Due date", "Due"), encoding="utf-8"
    )
    page.get_by_role("link", name="Compare").click()
    page.set_input_files("input[type=file]", schema)
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_text("“Due” is in the definition alone", exact=False)).to_be_visible()
    shoot(acme, "compare")
    assert acme.complaints == []
    acme.context.close()
