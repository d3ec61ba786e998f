"""A bucket of the tenant's own in a real browser: entered wrongly, then rightly, tested again and forgotten."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from exporter.tests.s3 import rclone_server
from tests.test_browser import Person, browser
from tests.test_browser_definition import shoot

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
