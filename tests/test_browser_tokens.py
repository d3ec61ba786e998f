"""API tokens in a real browser: made, shown once, used by a program, revoked; and the page of what the API can do."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.conftest import Served
from tests.test_accessible import LOOK, axe
from tests.test_browser import Person, browser

__all__ = ["browser"]
pytestmark = pytest.mark.browser


def shoot(page: Page, name: str) -> None:
    """Keep a page in light, dark and at a phone's width."""
    folder = os.environ.get("ROWHOUSE_SCREENSHOTS_OF_TOKENS")
    if not folder:
        return
    page.wait_for_load_state("networkidle")
    page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)
    page.evaluate("document.documentElement.classList.add('dark')")
    page.screenshot(path=str(Path(folder) / f"{name}-dark.png"), full_page=True)
    page.evaluate("document.documentElement.classList.remove('dark')")
    page.set_viewport_size({"width": 390, "height": 844})
    page.screenshot(path=str(Path(folder) / f"{name}-phone.png"), full_page=True)
    page.set_viewport_size({"width": 1360, "height": 850})


def ask(served: Served, secret: str, path: str) -> tuple[int, Any]:
    """Ask the API as a program does."""
    asked = urllib.request.Request(
        served.url("127.0.0.1", f"/api/v1{path}"),
        headers={"Authorization": f"Bearer {secret}", "Host": "acme.localhost"},
    )
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)


def test_a_token_is_made_used_and_revoked(browser: Browser, served: Served) -> None:
    acme = Person(browser, served, "acme")
    page = acme.page
    page.get_by_role("link", name="API tokens").first.click()
    expect(page.get_by_text("There is no API token yet.")).to_be_visible()
    shoot(page, "tokens-none")
    page.get_by_role("link", name="Make a token").click()
    shoot(page, "token-add")
    page.get_by_label("What it is for").fill("Nightly copy")
    page.get_by_label("read records and their versions").check()
    page.get_by_role("button", name="Make the token").click()
    secret = page.locator("#token").inner_text()
    shoot(page, "token-made")
    status, told = ask(served, secret, "/datasets")
    assert status == 200 and told["results"]
    assert ask(served, secret, "/exports")[1]["code"] == "scope-missing"
    page.get_by_role("link", name="I have copied it").click()
    row = page.get_by_role("row").filter(has_text="Nightly copy")
    expect(row).to_contain_text("from 127.0.0.1")
    assert secret not in page.content()
    shoot(page, "tokens")
    row.get_by_role("link", name="Revoke").click()
    shoot(page, "token-revoke")
    page.get_by_role("button", name="Revoke the token").click()
    expect(page.get_by_text("its next request is refused")).to_be_visible()
    assert ask(served, secret, "/datasets")[1]["code"] == "token-revoked"
    assert acme.complaints == []


def test_the_page_of_the_api_shows_every_address_and_loads_nothing_from_elsewhere(
    browser: Browser, served: Served
) -> None:
    acme = Person(browser, served, "acme")
    hosts = set()
    acme.page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    acme.go("/admin/tokens/apitoken/reference/")
    expect(acme.page.get_by_text("/api/v1/imports/{id}/confirm")).to_be_visible()
    acme.page.evaluate(axe())
    assert acme.page.evaluate(LOOK, []) == []
    acme.page.get_by_text("/api/v1/imports/{id}/confirm").click()
    expect(acme.page.get_by_text("of no other: 409").first).to_be_visible()
    assert acme.page.evaluate(LOOK, []) == []
    shoot(acme.page, "reference")
    assert {host for host in hosts if host} == {f"acme.localhost:{served.port}"}
    assert acme.complaints == []
