"""Second factors and sessions in real browsers: enrol, sign in by code and recovery code, by a passkey, sign out there.

With ROWHOUSE_SCREENSHOTS set to a folder, the pages are kept there.
"""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect

from accounts.tests.scene import code_of
from tests.conftest import Served
from tests.test_browser import PATIENCE_MS, Person, browser
from tests.test_browser_operator import look

__all__ = ["browser"]
pytestmark = pytest.mark.browser
HOST, WHO = "globex.localhost", "editor@globex.example"


@pytest.fixture(scope="module")
def editor(browser: Browser, served: Served) -> None:
    """Let the owner add an editor, who is in these tests alone."""
    owner = Person(browser, served, "globex")
    owner.go("/admin/accounts/user/add/")
    served.passwords[WHO] = "a long walk by the sea"
    owner.page.fill("input[name=email]", WHO)
    owner.page.locator("select[name=groups]").select_option(label="editor", force=True)
    for name in ("password1", "password2"):
        owner.page.fill(f"input[name={name}]", served.passwords[WHO])
    owner.page.locator("button[name=_save], input[name=_save]").first.click()
    expect(owner.page.get_by_text("was added").first).to_be_visible()


def fresh(browser: Browser) -> tuple[Page, list[str]]:
    page = browser.new_context(viewport={"width": 1360, "height": 850}).new_page()
    page.set_default_timeout(PATIENCE_MS)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    return page, complaints


def give_password(page: Page, served: Served) -> None:
    page.goto(served.url(HOST, "/admin/"))
    page.fill("input[name=username]", WHO)
    page.fill("input[name=password]", served.passwords[WHO])
    page.click("button[type=submit]")


def give_code(page: Page, code: str) -> None:
    page.fill("input[name=code]", code)
    page.get_by_role("button", name="Go on").click()


def is_in(page: Page) -> None:
    expect(page.locator("#nav-sidebar, #content-main, main").first).to_be_visible()
    expect(page.locator("input[name=password]")).to_have_count(0)


def test_a_person_sets_up_an_app_signs_in_by_it_and_ends_a_session_elsewhere(
    browser: Browser, served: Served, editor: None
) -> None:
    person = Person(browser, served, "globex", "editor")
    page = person.page
    page.goto(served.url(HOST, "/admin/login/"))
    person.go("/accounts/")
    look(page, "sign-in-none")
    page.get_by_role("link", name="Set up an app").click()
    secret = page.locator("#secret").inner_text()
    look(page, "sign-in-add-app")
    page.get_by_label("Code").fill(code_of(secret))
    page.get_by_role("button", name="Use this app from now on").click()
    codes = page.locator("#recovery-codes code").all_inner_texts()
    assert len(codes) == 10
    look(page, "sign-in-recovery-codes")
    page.get_by_role("link", name="I have kept them").click()
    expect(page.get_by_text("in use since")).to_be_visible()

    # Another browser is asked for the code; a wrong one lets nobody in, a right one does.
    other, complaints = fresh(browser)
    give_password(other, served)
    expect(other.get_by_text("Enter the code your app shows")).to_be_visible()
    look(other, "sign-in-second-factor")
    give_code(other, "000000")
    expect(other.get_by_text("Incorrect code")).to_be_visible()
    give_code(other, code_of(secret, 1))  # the next: the first was used to set it up
    is_in(other)

    # The first sees the second, and signs it out there.
    page.reload()
    rows = page.locator("table", has=page.get_by_text("Last seen")).locator("tbody tr")
    expect(rows).to_have_count(2)
    look(page, "sign-in-sessions")
    page.get_by_role("button", name="Sign out there").click()
    expect(rows).to_have_count(1)
    other.goto(served.url(HOST, "/admin/datasets/dataset/"))
    expect(other.locator("input[name=password]")).to_be_visible()

    # A recovery code lets in once.
    give_password(other, served)
    give_code(other, codes[0])
    is_in(other)
    third, _ = fresh(browser)
    give_password(third, served)
    give_code(third, codes[0])
    expect(third.get_by_text("Incorrect code")).to_be_visible()

    # An owner sees it all, and says of whom a factor is asked.
    owner = Person(browser, served, "globex")
    owner.go("/admin/accounts/second-factor/")
    look(owner.page, "sign-in-roles")
    owner.go("/admin/accounts/user/?q=editor")
    owner.page.get_by_role("link", name=WHO).first.click()
    owner.page.get_by_role("link", name="How they sign in").click()
    look(owner.page, "sign-in-person")
    owner.page.get_by_role("button", name="Take all second factors away").click()
    expect(owner.page.get_by_text("signed out everywhere", exact=False).first).to_be_visible()
    page.goto(served.url(HOST, "/admin/"))
    expect(page.locator("input[name=password]")).to_be_visible()
    assert (complaints, person.complaints, owner.complaints) == ([], [], [])


def test_a_person_signs_in_by_a_passkey(browser: Browser, served: Served, editor: None) -> None:
    person = Person(browser, served, "globex", "editor")
    page = person.page
    device = page.context.new_cdp_session(page)
    device.send("WebAuthn.enable")
    device.send(
        "WebAuthn.addVirtualAuthenticator",
        {
            "options": {
                "protocol": "ctap2",
                "transport": "internal",
                "hasResidentKey": True,
                "hasUserVerification": True,
                "isUserVerified": True,
                "automaticPresenceSimulation": True,
            }
        },
    )
    person.go("/accounts/")
    page.get_by_role("link", name="Add a passkey").click()
    look(page, "sign-in-add-passkey")
    page.get_by_label("Name").fill("Laptop")
    page.get_by_role("button", name="Add the passkey").click()
    expect(page.locator("#recovery-codes code")).to_have_count(10)
    person.go("/accounts/")
    expect(page.get_by_text("Passkey: Laptop")).to_be_visible()
    page.get_by_role("button", name="Sign out everywhere").click()

    give_password(page, served)
    look(page, "sign-in-passkey")
    page.get_by_role("button", name="Use a passkey").click()
    is_in(page)
    person.go("/accounts/")
    page.get_by_role("link", name="Remove").click()
    page.get_by_role("button", name="Remove it").click()
    expect(page.get_by_text("Passkey: Laptop")).to_have_count(0)
    assert person.complaints == []


def test_who_forgot_the_password_is_told_the_same_as_everybody(browser: Browser, served: Served) -> None:
    page, complaints = fresh(browser)
    page.goto(served.url(HOST, "/admin/login/"))
    look(page, "sign-in")
    page.get_by_role("link", name="Forgotten your password?").click()
    look(page, "sign-in-forgotten")
    page.get_by_label("E-mail address").fill("nobody@globex.example")
    page.get_by_role("button", name="Send me the link").click()
    expect(page.get_by_text("a mail with a link is on its way")).to_be_visible()
    look(page, "sign-in-forgotten-asked")
    assert complaints == []
