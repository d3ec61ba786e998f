"""Imports in a real browser: columns matched by hand, rows corrected on the page and by their file, a sync with its
typed number, an undo; by keyboard, on a phone and in the dark too.

With ROWHOUSE_SCREENSHOTS set to a folder, the pages are kept there: docs/imports.md shows them.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.conftest import Served, Told
from tests.test_browser import Person, browser

__all__ = ["browser"]
pytestmark = pytest.mark.browser
IMPORTS = "/admin/importer/importjob/"
NUMBERS = itertools.count(1)
ORDERS = {
    "primaryKey": ["order"],
    "fields": [
        {"name": "order", "type": "integer", "constraints": {"required": True}},
        {"name": "customer", "type": "string", "constraints": {"required": True}},
        {
            "name": "status",
            "type": "string",
            "constraints": {"required": True, "enum": ["new", "paid", "sent"]},
        },
        {"name": "amount", "type": "number"},
        {"name": "due", "type": "date"},
    ],
}
MONDAY = """\
order,customer,status,amount,due
1001,Miller,new,120.00,2026-12-01
1002,Sørensen,paid,99.50,2026-12-02
1003,O'Hara,sent,7.25,2026-12-03
1004,Nguyễn,new,1840.00,2026-12-04
1005,Weber,paid,63.10,2026-12-05
"""
# Rows 3, 4 and 5 are wrong, in five cells; row 6 has a cell too few.
TUESDAY = """\
order,customer,status,amount,due
1001,Miller,sent,120.00,2026-12-01
1006,Rossi,payed,12O.00,2026-12-06
1007,,new,15.00,30 February
1008,Kowalski,new,1.5.0,2026-12-08
1009,García,new,15.00
1010,Haddad,paid,45.00,2026-12-10
"""
# Of Monday's orders one as it was, two changed, two missing.
THE_WHOLE = """\
order,customer,status,amount,due
1001,Miller,sent,120.00,2026-12-01
1002,Sørensen,paid,99.50,2026-12-02
1004,Nguyễn,new,1850.00,2026-12-04
"""


class Orders:
    """Somebody at acme, with a dataset of orders that no other test uses."""

    def __init__(self, person: Person, told: Told, folder: Path) -> None:
        self.person, self.page, self.told, self.folder = person, person.page, told, folder
        self.title = f"Orders {next(NUMBERS)}"
        definition = self.file("orders.json", json.dumps(ORDERS))
        self.rowhouse("create_dataset", "--name", self.title, "--definition", str(definition))

    def rowhouse(self, command: str, *arguments: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "rowhouse", command, *arguments, "--tenant", "acme"],
            env=self.told.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr

    def file(self, name: str, text: str) -> Path:
        file = self.folder / name
        file.write_text(text, encoding="utf-8")
        return file

    def fill(self) -> None:
        """Import Monday's orders without the browser."""
        slug = self.title.lower().replace(" ", "-")
        self.rowhouse("import_file", str(self.file("monday.csv", MONDAY)), "--dataset", slug)

    def upload(self, name: str, text: str, mode: str = "upsert") -> None:
        """Upload a file and wait until its preview has ended."""
        self.person.go(f"{IMPORTS}upload/")
        self.page.locator("select[name=dataset]").select_option(label=self.title)
        self.page.set_input_files("input[type=file]", self.file(name, text))
        self.page.locator(f"input[name=mode][value={mode}]").check()
        self.page.get_by_role("button", name="Upload and preview").click()
        expect(self.page.locator(".im-tabs")).to_be_visible()


@pytest.fixture
def orders(browser: Browser, served: Served, told: Told, tmp_path: Path) -> Iterator[Orders]:
    person = Person(browser, served, "acme")
    yield Orders(person, told, tmp_path)
    assert person.complaints == []
    person.context.close()


def badge(page: Page) -> Locator:
    return page.locator(".im-state").first


def waits(page: Page) -> None:
    expect(badge(page)).to_have_text("waiting for confirmation")


def has(page: Page, **figures: int) -> None:
    for word, number in figures.items():
        expect(page.locator(f"[data-count='{word.replace('_', ' ')}']")).to_have_text(str(number))


def confirm(page: Page, button: str) -> None:
    page.get_by_role("button", name=button).click()
    expect(badge(page)).to_have_text("imported")


def test_labels_nobody_could_guess_are_matched_by_hand_and_remembered(orders: Orders) -> None:
    page = orders.page
    theirs = MONDAY.replace("order,customer,status", "Order no.,Customer,State of it", 1)
    orders.upload("monday.csv", theirs)
    expect(badge(page)).to_have_text("preview failed")
    page.get_by_role("link", name="Match columns").first.click()
    row = page.locator("tr", has=page.get_by_role("rowheader", name="State of it"))
    row.locator("select").first.select_option(label="status (required)")
    orders.person.shoot("mapping-by-hand")
    page.get_by_role("button", name="Preview again").click()
    waits(page)
    has(page, new=5, changed=0, rejected=0)
    confirm(page, "Import: create 5, change 0")
    # The second file with these labels needs no click.
    orders.upload("monday again.csv", theirs.replace("7.25", "7.50"))
    waits(page)
    has(page, new=0, changed=1, unchanged=4)


def test_rejected_rows_are_corrected_on_the_page_and_by_their_file(orders: Orders) -> None:
    page = orders.page
    orders.fill()
    orders.upload("tuesday.csv", TUESDAY)
    waits(page)
    has(page, new=1, changed=1, rejected=4)
    page.get_by_role("link", name="Rejected rows (").click()
    status = page.get_by_label("status, row 3")
    expect(status).to_have_attribute("aria-invalid", "true")
    expect(page.locator(".im-fix tbody tr")).to_have_count(4)
    orders.person.shoot("fix")

    # By keyboard alone: into the next cell by Tab, and Enter checks.
    status.fill("paid")
    status.press("Tab")
    expect(page.get_by_label("amount, row 3")).to_be_focused()
    sent: list[str] = []
    page.on(
        "request", lambda request: sent.append(request.post_data or "") if "/fix/" in request.url else None
    )
    page.get_by_label("amount, row 3").fill("120.00")
    page.get_by_label("customer, row 4").fill("Dubois")
    page.get_by_label("due, row 4").fill("2026-02-31")
    page.get_by_label("due, row 4").press("Enter")
    expect(page.locator(".im-fix tbody tr")).to_have_count(3)
    has(page, new=2, changed=1, rejected=3)
    # Only what was typed is sent.
    assert sorted(part.partition("=")[0] for part in sent[0].split("&") if part.startswith("c-")) == [
        "c-3-2", "c-3-3", "c-4-1", "c-4-4",
    ]  # fmt: skip
    expect(page.get_by_label("customer, row 4")).to_have_value("Dubois")
    expect(page.get_by_label("due, row 4")).to_have_attribute("aria-invalid", "true")

    # The row that is short is right as it is: its last cell is empty.
    page.locator("input[name=take-6]").check()
    page.get_by_role("button", name="Check these rows").click()
    expect(page.locator(".im-fix tbody tr")).to_have_count(2)
    has(page, new=3, rejected=2)

    # The rest by the file.
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the rejected rows").click()
    rows = list(csv.reader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8-sig"))))
    assert [row[0] for row in rows] == ["row", "4", "5"]
    rows[1][-1], rows[2][-2] = "2026-02-28", "1.50"
    corrected = orders.folder / "corrected.csv"
    with corrected.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows(rows)
    page.get_by_label("Corrected file of rejected rows").set_input_files(corrected)
    page.get_by_role("button", name="Upload the corrected rows").click()
    has(page, new=5, changed=1, rejected=0)
    waits(page)
    expect(page.get_by_role("link", name="Rejected rows (")).to_have_count(0)
    page.get_by_role("link", name="Log", exact=True).click()
    expect(page.locator(".im-log")).to_contain_text("Rejected rows corrected")
    confirm(page, "Import: create 5, change 1")


def test_a_sync_deletes_the_number_that_was_typed_and_its_undo_brings_the_records_back(
    orders: Orders,
) -> None:
    page = orders.page
    orders.fill()
    orders.upload("the whole.csv", THE_WHOLE, mode="sync")
    waits(page)
    has(page, changed=2, unchanged=1, deleted=2)
    page.get_by_role("link", name="missing from the file (2)").click()
    expect(page.locator(".im-changes tbody")).to_have_count(2)
    orders.person.shoot("sync")
    page.get_by_label("Records to delete").fill("5")
    page.get_by_role("button", name="Import:").click()
    expect(page.get_by_text("5 was typed, but 2 records would be deleted.")).to_be_visible()
    assert [said for said in orders.person.complaints if "422" not in said] == []
    orders.person.complaints.clear()  # the browser tells of the refusal's status
    page.get_by_label("Records to delete").fill("2")
    confirm(page, "Import: create 0, change 2, delete as agreed")
    has(page, deleted=2)
    done = page.url.partition("?")[0]

    # Somebody edits a record before the undo: it is kept, and listed.
    page.goto(f"{done}?tab=changes&kind=changed")
    page.locator(".im-changes a").first.click()
    page.goto(page.url.replace("/history/", "/change/"))
    page.get_by_label("customer").fill("Miller & Sons")
    page.get_by_role("button", name="Save", exact=True).click()
    page.goto(done)

    page.get_by_role("button", name="Undo this import").click()
    waits(page)
    has(page, removed=0, restored=1, brought_back=2, kept=1)
    orders.person.shoot("undo")
    confirm(page, "Undo: restore 1, bring back 2")
    has(page, brought_back=2, kept=1)
    page.get_by_role("link", name="Issues").click()
    expect(page.locator(".im-issues")).to_contain_text("edited-since")
    page.goto(done)
    expect(badge(page)).to_have_text("undone")
    orders.person.go(f"{IMPORTS}?q={orders.title.replace(' ', '+')}")
    expect(page.get_by_role("link", name="Undo of import")).to_be_visible()
    orders.person.shoot("imports")


def test_the_upload_page_follows_the_dataset_and_keeps_the_file(orders: Orders) -> None:
    page = orders.page
    orders.upload("waiting.csv", THE_WHOLE)
    waits(page)
    orders.person.go(f"{IMPORTS}upload/")
    expect(page.get_by_text("waiting.csv")).to_have_count(0)
    page.set_input_files("input[type=file]", orders.folder / "waiting.csv")
    page.locator("select[name=dataset]").select_option(label=orders.title)
    expect(page.get_by_role("link", name="of waiting.csv")).to_be_visible()
    assert page.locator("input[type=file]").input_value().endswith("waiting.csv")
    page.get_by_label("Cancel this dataset's other imports").check()
    orders.person.shoot("upload-replace")
    page.get_by_role("button", name="Upload and preview").click()
    waits(page)
    orders.person.go(f"{IMPORTS}?q={orders.title.replace(' ', '+')}")
    expect(page.locator("#result_list tbody tr").nth(1)).to_contain_text("cancelled")


def test_a_phone_and_the_dark_show_everything(orders: Orders) -> None:
    page = orders.page
    orders.fill()
    orders.upload("phone.csv", TUESDAY)
    waits(page)
    page.get_by_role("link", name="Rejected rows (").click()
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator(".im-fix").evaluate("table => table.scrollIntoView()")
    orders.person.shoot("fix-phone")
    page.set_viewport_size({"width": 1360, "height": 850})
    page.evaluate("document.documentElement.classList.add('dark')")
    orders.person.shoot("fix-dark")
