"""A person's day in a real browser: upload, mapping, preview, confirmation, history, downloads; and the neighbour's.

With ROWHOUSE_SCREENSHOTS set to a folder, the pages are kept there: docs/screenshots is made by this test.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from rowhouse.demo.files import faulty_navaids
from tests.conftest import Served

pytestmark = pytest.mark.browser
# Without these, Chromium asks hosts of its maker's that are none of our business.
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
PATIENCE_MS = 30_000


@pytest.fixture(scope="module")
def browser(browser_path: str) -> Iterator[Browser]:
    # Playwright runs an event loop in this thread; Django takes that for async code and refuses the database.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=QUIET)
        yield browser
        browser.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


class Person:
    """Somebody signed in at a tenant, with a clean console."""

    def __init__(self, browser: Browser, served: Served, tenant: str, who: str = "owner") -> None:
        self.served = served
        self.host = f"{tenant}.localhost"
        self.context = browser.new_context(viewport={"width": 1360, "height": 850}, accept_downloads=True)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on(
            "console", lambda said: self.complaints.append(said.text) if said.type == "error" else None
        )
        self.go("/admin/")
        self.page.fill("input[name=username]", f"{who}@{tenant}.example")
        self.page.fill("input[name=password]", served.passwords[f"{who}@{tenant}.example"])
        self.page.click("button[type=submit]")
        expect(self.page.locator("#nav-sidebar, #content-main, main").first).to_be_visible()
        if who == "owner":
            expect(self.page.get_by_text("Storage used")).to_be_visible()

    def go(self, path: str) -> int:
        answer = self.page.goto(self.served.url(self.host, path))
        assert answer is not None
        return answer.status

    def shoot(self, name: str, *, whole: bool = False) -> None:
        """Keep a picture of the page, or with `whole` of all that would have to be scrolled."""
        folder = os.environ.get("ROWHOUSE_SCREENSHOTS")
        if folder:
            self.page.wait_for_load_state("networkidle")
            size = self.page.viewport_size or {"width": 1360, "height": 850}
            if whole:  # a window as high as the page: the sidebar stays where it is
                high = self.page.evaluate("document.documentElement.scrollHeight")
                self.page.set_viewport_size({"width": size["width"], "height": high})
            self.page.screenshot(path=str(Path(folder) / f"{name}.png"))
            self.page.set_viewport_size(size)


def renamed_and_faulty(folder: Path) -> Path:
    """Return the faulty navaids with one label that nobody could guess and one new elevation."""
    rows = list(csv.reader(io.StringIO(faulty_navaids().content.decode(), newline="")))
    at = rows[0].index("elevation_ft")
    rows[0][at] = "Hoehe"
    rows[200][at] = "4321"
    file = folder / "navaids-november.csv"
    with file.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows(rows)
    return file


def test_a_person_imports_a_faulty_file_and_looks_at_what_became_of_it(browser, served, tmp_path):
    acme = Person(browser, served, "acme")
    page = acme.page
    acme.shoot("dashboard")

    page.get_by_role("link", name="Navigation aids", exact=True).first.click()
    acme.shoot("records")
    page.get_by_role("link", name="Import a file").click()
    page.set_input_files("input[type=file]", renamed_and_faulty(tmp_path))
    acme.shoot("upload")
    page.get_by_role("button", name="Upload and preview").click()

    # The preview shows that a column was not matched; the mapping is put right by hand.
    expect(page.get_by_role("link", name="Match columns")).to_be_visible()
    expect(page.get_by_text("waiting for confirmation").first).to_be_visible()
    job_url = page.url
    page.get_by_role("link", name="Match columns").click()
    row = page.locator("tr", has=page.get_by_text("Hoehe", exact=True))
    row.locator("select").select_option(label="elevation_ft")
    acme.shoot("mapping")
    page.get_by_role("button", name="Preview again").click()

    expect(page.get_by_text("waiting for confirmation").first).to_be_visible()
    expect(page.locator("[data-count=rejected], [data-count=Rejected]")).to_have_text("6")
    acme.shoot("preview")
    page.get_by_role("link", name="Issues").click()
    for fault in faulty_navaids().faults:
        expect(page.locator(".im-issues")).to_contain_text(fault.value or fault.code)
    acme.shoot("issues")

    page.get_by_role("button", name="Import:").click()
    expect(page.get_by_text("imported", exact=False).first).to_be_visible()
    expect(page.locator("#progress")).to_have_count(0)
    acme.shoot("result")

    with page.expect_download() as rejected:
        page.get_by_role("link", name="Download the rejected rows").click()
    rows = list(csv.reader(io.StringIO(Path(rejected.value.path()).read_text(encoding="utf-8-sig"))))
    assert len(rows) == 1 + len(faulty_navaids().faults)

    page.locator(".im-changes a").first.click()
    expect(page.get_by_text("owner@acme.example").first).to_be_visible()
    expect(page.get_by_text("import ").first).to_be_visible()
    acme.shoot("history")

    acme.go("/admin/exporter/exportfile/")
    acme.shoot("exports")
    with page.expect_download() as exported:
        page.get_by_role("link", name="Download", exact=True).first.click()
    assert exported.value.suggested_filename.endswith(".csv")
    assert acme.complaints == []
    acme.context.close()

    # The neighbour sees nothing of it: not in a list, not by the address.
    globex = Person(browser, served, "globex")
    for path in (
        "/admin/",
        "/admin/datasets/dataset/",
        "/admin/importer/importjob/",
        "/admin/exporter/exportfile/",
    ):
        assert globex.go(path) == 200
        for word in ("Navigation aids", "navaids", "Acme", "Runways"):
            assert word not in globex.page.content()
    theirs = job_url.split(":", 2)[2].partition("/")[2]
    assert globex.go(f"/{theirs}") == 404
    globex.context.close()


def test_the_operator_sees_the_tenants(browser, served):
    page = browser.new_page(viewport={"width": 1360, "height": 850})
    page.goto(served.url("localhost", "/operator/"))
    page.fill("input[name=username]", "operator@rowhouse.example")
    page.fill("input[name=password]", served.passwords["operator@rowhouse.example"])
    page.click("button[type=submit]")
    expect(page.get_by_role("link", name="Acme Aviation")).to_be_visible()
    expect(page.get_by_role("link", name="Globex Research")).to_be_visible()
    folder = os.environ.get("ROWHOUSE_SCREENSHOTS")
    if folder:
        page.screenshot(path=str(Path(folder) / "operator.png"))
    page.close()
