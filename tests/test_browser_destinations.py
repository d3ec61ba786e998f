"""A bucket of the tenant's own in a real browser: entered wrongly, then rightly, tested again and forgotten."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from playwright.sync_api import expect

from exporter.tests.s3 import rclone_server
from tests.test_accessible import EDIT
from tests.test_browser import Person, browser
from tests.test_browser_definition import shoot
from tests.test_browser_exports import download, export_now

__all__ = ["browser"]
pytestmark = pytest.mark.browser


def test_an_owner_enters_a_bucket_and_sees_that_it_is_written_to(browser, served, tmp_path):
    acme = Person(browser, served, "acme")
    page = acme.page
    with rclone_server(tmp_path / "rclone") as server:
        page.get_by_role("link", name="Export destinations").click()
        expect(page.get_by_text("No destination yet")).to_be_visible()
        shoot(acme, "destinations-none")
        page.get_by_role("link", name="enter it").click()
        page.locator("[name=name]").fill("Our archive")
        page.locator("[name=endpoint]").fill(server.endpoint)
        page.locator("[name=bucket]").fill(server.bucket)
        page.locator("[name=folder]").fill("from/rowhouse")
        page.locator("[name=access_key]").fill(server.access_key)
        page.locator("[name=secret]").fill("not the secret")
        page.get_by_role("button", name="Test and save").click()
        expect(page.get_by_text("Writing a small test object failed.", exact=False)).to_be_visible()
        expect(page.locator("[name=secret]")).to_have_value("")
        shoot(acme, "destination-refused")
        acme.complaints.clear()  # Chromium calls a 422 an error

        page.locator("[name=secret]").fill(server.secret_key)
        page.get_by_role("button", name="Test and save").click()
        expect(page.get_by_text("“Our archive” was tested and kept.", exact=False)).to_be_visible()
        expect(page.get_by_text("from/rowhouse/acme/")).to_be_visible()
        shoot(acme, "destinations")
        page.get_by_role("link", name="Our archive").click()
        page.get_by_role("button", name="Test again").click()
        expect(page.get_by_text("can be written to, read, listed and removed from")).to_be_visible()
        shoot(acme, "destination")
        assert server.keys() == []

    page.get_by_role("button", name="Test again").click()
    expect(page.get_by_text("The last test failed")).to_be_visible()
    shoot(acme, "destination-failing")
    page.get_by_role("button", name="Forget it").click()
    expect(page.get_by_text("No destination yet")).to_be_visible()
    assert acme.complaints == []


def test_settings_say_where_and_as_what_the_next_file_is_written(browser, served, tmp_path):
    acme = Person(browser, served, "acme")
    page = acme.page
    with rclone_server(tmp_path / "rclone") as server:
        acme.go("/admin/exporter/destination/add/")
        for name, text in (("name", "Warehouse"), ("endpoint", server.endpoint), ("bucket", server.bucket),
                           ("access_key", server.access_key), ("secret", server.secret_key)):  # fmt: skip
            page.locator(f"[name={name}]").fill(text)
        page.get_by_role("button", name="Test and save").click()
        expect(page.get_by_text("“Warehouse” was tested and kept.", exact=False)).to_be_visible()

        acme.go("/admin/exporter/exportsettings/")
        page.get_by_role("link", name="World cities", exact=True).last.click()
        page.locator("[name=destination]").select_option(label="Warehouse")
        page.locator("[name=content]").select_option("INCREMENTAL")
        page.locator("[name=pattern]").fill("{yyyy}/{dataset}_{time}_{content}.{ext}")
        expect(page.locator("#ex-name")).to_have_text("acme/exports/2026/cities_20260826T140000Z_changes.csv")
        page.get_by_role("button", name="Store these settings").click()
        expect(page.get_by_role("row", name="World cities")).to_contain_text("of its own")
        page.get_by_role("link", name="World cities", exact=True).last.click()
        expect(page.locator("[name=destination] option:checked")).to_have_text("Warehouse")

        # The first file there has every record, the next one what was changed since.
        whole_name, whole = _export_cities(acme)
        acme.go("/admin/datasets/dataset/")
        page.get_by_role("link", name="World cities", exact=True).last.click()
        expect(page.locator("#result_list tr.data-row").first).to_be_visible()
        assert page.evaluate(EDIT.replace(".find(", ".findLast(")) == 200
        changes_name, changes = _export_cities(acme)
        assert whole_name.endswith("Z_full.csv") and changes_name.endswith("Z_changes.csv")
        assert (len(whole), len(changes)) == (34_032, 1)
        written = [Path(key) for key in server.keys()]  # noqa: SIM118 -- no mapping
        assert {file.name for file in written if file.parent.name.isdigit()} == {whole_name, changes_name}
        assert {file.parts[0] for file in written} == {"acme"}

        acme.go("/admin/exporter/exportsettings/")
        page.get_by_role("link", name="World cities", exact=True).last.click()
        page.get_by_role("button", name="Use the tenant's settings again").click()
    assert acme.complaints == []
    acme.context.close()


def _export_cities(acme: Person) -> tuple[str, list[dict[str, str]]]:
    name, content = download(acme, export_now(acme, "World cities").get_by_role("link"))
    return name, list(csv.DictReader(content.decode().splitlines()))
