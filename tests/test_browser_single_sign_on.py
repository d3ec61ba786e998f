"""Signing in by a provider in a real browser: set up wrongly, then rightly, by an owner; used by people."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.conftest import Served
from tests.oidc_provider import Provider, oidc_provider
from tests.test_accessible import DESKTOP, LOOK, OVERFLOW, PHONE, axe
from tests.test_browser import PATIENCE_MS, Person, browser

__all__ = ["browser"]
pytestmark = pytest.mark.browser
PAGE = "/admin/accounts/signinprovider/"


class Visitor:
    """Somebody who has not signed in, with a browser of his own."""

    def __init__(self, browser: Browser, served: Served, tenant: str) -> None:
        self.served, self.host = served, f"{tenant}.localhost"
        self.context = browser.new_context(viewport={"width": 1360, "height": 850})
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)

    def open(self, path: str) -> None:
        self.page.goto(self.served.url(self.host, path))

    def sign_in(self, email: str) -> None:
        """Press the provider's button and sign in there."""
        self.open("/admin/login/")
        self.page.get_by_role("button", name="Sign in by Acme’s directory").click()
        expect(self.page.get_by_role("heading", name="The organisation")).to_be_visible()
        self.page.locator("[name=email]").fill(email)
        self.page.get_by_role("button", name="Sign in").click()


def look(page: Page, name: str) -> list[Any]:
    """Judge a page by axe, wide and narrow, and keep pictures where they are wanted."""
    faults: list[Any] = []
    for size, suffix in ((PHONE, "-narrow"), (DESKTOP, "")):
        page.set_viewport_size({"width": size["width"], "height": size["height"]})
        page.evaluate(axe())
        faults += page.evaluate(LOOK, []) + page.evaluate(OVERFLOW)
        if folder := os.environ.get("ROWHOUSE_SCREENSHOTS"):
            page.screenshot(path=str(Path(folder) / f"{name}{suffix}.png"), full_page=True)
    return faults


def fill(page: Page, provider: Provider, secret: str) -> None:
    page.locator("[name=name]").fill("Acme’s directory")
    page.locator("[name=issuer]").fill(provider.issuer)
    page.locator("[name=client_id]").fill(provider.client_id)
    page.locator("[name=secret]").fill(secret)
    page.locator("[name=domains]").fill("acme.example")


def test_people_sign_in_by_a_provider_once_it_is_set_up_rightly(browser, served):
    with oidc_provider() as provider:
        owner = Person(browser, served, "acme")
        page = owner.page
        faults: list[Any] = []
        page.get_by_role("link", name="Sign-in provider").click()
        redirect = page.locator("#redirect-address").inner_text()
        assert redirect == served.url("acme.localhost", "/single-sign-on/callback/")
        provider.redirects = [redirect]
        expect(page.get_by_text("Nobody has signed in by a provider yet", exact=False)).to_be_visible()
        faults += look(page, "provider-none")

        # An address of a private network, then one that is right with a secret that is not.
        fill(page, provider, "not the secret")
        page.locator("[name=issuer]").fill("https://10.0.0.7")
        page.get_by_role("button", name="Store").click()
        expect(page.get_by_text("an address of a private network", exact=False)).to_be_visible()
        faults += look(page, "provider-refused")
        owner.complaints.clear()  # Chromium calls a 422 an error
        fill(page, provider, "not the secret")
        page.locator("label", has_text="Switched on").first.click()
        expect(page.locator("[name=is_on]")).to_be_checked()
        page.get_by_role("button", name="Store").click()
        page.get_by_role("button", name="Try it").click()
        expect(page.get_by_role("heading", name="The last try failed")).to_be_visible()
        faults += look(page, "provider-failing")

        visitor = Visitor(browser, served, "acme")
        visitor.sign_in("owner@acme.example")
        expect(visitor.page.get_by_role("heading", name="Not signed in")).to_be_visible()
        expect(visitor.page.get_by_text("invalid_client", exact=False)).to_be_visible()
        faults += look(visitor.page, "provider-not-signed-in")
        visitor.page.get_by_role("link", name="To the sign-in page").click()
        faults += look(visitor.page, "provider-sign-in-page")

        page.locator("[name=secret]").fill(provider.secret)
        page.get_by_role("button", name="Store").click()
        page.get_by_role("button", name="Try it").click()
        expect(page.get_by_role("heading", name="It works, as far as a try can tell")).to_be_visible()

        visitor.sign_in("owner@acme.example")
        expect(visitor.page.get_by_text("Storage used")).to_be_visible()
        visitor.open("/admin/datasets/dataset/")
        expect(visitor.page.get_by_text("World cities").first).to_be_visible()
        stranger = Visitor(browser, served, "acme")
        stranger.sign_in("stranger@acme.example")
        expect(
            stranger.page.get_by_text("There is no user stranger@acme.example here", exact=False)
        ).to_be_visible()
        stranger.open("/admin/")
        expect(stranger.page.locator("input[name=username]")).to_be_visible()

        # The neighbour has no such button, and none of our addresses works there.
        neighbour = Visitor(browser, served, "globex")
        neighbour.open("/admin/login/")
        expect(neighbour.page.locator("input[name=username]")).to_be_visible()
        expect(neighbour.page.get_by_role("button", name="Sign in by")).to_have_count(0)

        owner.go(PAGE)
        expect(page.get_by_role("cell", name="owner@acme.example", exact=True)).to_be_visible()
        faults += look(page, "provider-linked")
        page.get_by_role("button", name="Unlink owner@acme.example").click()
        expect(page.get_by_text("is not known by that account any more", exact=False)).to_be_visible()
        page.get_by_role("button", name="Forget it").click()
        expect(page.get_by_text("The provider is forgotten", exact=False)).to_be_visible()
        visitor = Visitor(browser, served, "acme")
        visitor.open("/admin/login/")
        expect(visitor.page.get_by_role("button", name="Sign in by")).to_have_count(0)
        assert (owner.complaints, faults) == ([], [])
