"""Scripts as values, labels, names, files, errors and history: no page runs any, or builds anything of them.

The browser is real and the policy is on. A page that forgets to escape is planted, and the same eyes see it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.template import engines
from django.utils.csp import build_policy
from playwright.sync_api import Browser, Error, Page, expect

from core.headers import OF_DOWNLOADS
from tests.conftest import Served, Told, start_demo, tell
from tests.payloads import CAUGHT, SCRIPTS, naughty_strings
from tests.source import ROOT
from tests.test_accessible import LINKS, kind_of
from tests.test_browser import Person, browser

__all__ = ["browser"]
pytestmark = pytest.mark.browser
OF_A_KIND = 3
MOST_PAGES = 450
LEFT_OUT = re.compile(r"/(logout|jsi18n)\b|\.(csv|xlsx|json)$")
# In the page before any script of its own.
EYES = """() => {
  const seen = (window.__seen = []);
  for (const name of ['alert', 'confirm', 'prompt', 'print']) window[name] = () => seen.push(`${name}`);
  document.addEventListener('securitypolicyviolation', (one) => seen.push(
    `policy: ${one.effectiveDirective} ${one.blockedURI} ${one.sample} ${one.sourceFile}:${one.lineNumber}`));
}"""
LOOK = """() => {
  const found = [];
  const tags = 'iframe, frame, object, embed, applet, base, marquee, math, style, video, audio, portal,'
    + 'script:not([src]):not([type="application/json"]), meta[http-equiv], animate, mglyph, details[ontoggle]';
  for (const one of document.querySelectorAll(tags)) found.push(`element: ${one.outerHTML.slice(0, 120)}`);
  for (const one of document.querySelectorAll('*')) {
    for (const {name, value} of one.attributes) {
      if (/^on/i.test(name)) found.push(`handler: ${one.outerHTML.slice(0, 120)}`);
      if (/^(href|src|action|formaction|data|xlink:href|srcdoc)$/i.test(name)
          && /^[\\s\\u0000-\\u0020]*(j\\s*a\\s*v\\s*a\\s*s\\s*c\\s*r\\s*i\\s*p\\s*t|vbscript|data:text)/i.test(value))
        found.push(`address: ${one.outerHTML.slice(0, 120)}`);
      if (/^(x-|hx-|@|:)/.test(name) && /alert\\(/.test(value)) found.push(`evaluated: ${one.outerHTML.slice(0, 120)}`);
      if (/^(href|src|action)$/i.test(name) && /^(https?:)?\\/\\/x\\.example/i.test(value))
        found.push(`elsewhere: ${one.outerHTML.slice(0, 120)}`);
    }
  }
  return [...found, ...(window.__seen || [])];
}"""


@dataclass
class Watch:
    """A page under eyes: what has run, what was built, where it went."""

    page: Page
    hosts: set[str]
    dialogs: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.add_init_script(f"({EYES})()")
        self.page.on("dialog", self._dismiss)
        self.page.on("request", self._request)

    def _dismiss(self, dialog: Any) -> None:
        self.dialogs.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _request(self, request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in {"http", "https"} and parts.netloc not in self.hosts:
            self.dialogs.append(f"request: {request.url[:100]}")

    def faults(self) -> list[str]:
        try:
            found = [*self.dialogs, *self.page.evaluate(LOOK)]
        except Error as error:  # it is gone already: a page that was led elsewhere
            found = [*self.dialogs, f"went elsewhere: {error.message[:80]}"]
        self.dialogs.clear()
        return found


@dataclass
class Scene:
    """A demo of its own, with a tenant full of scripts."""

    served: Served
    made: dict[str, Any]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, django_db_modify_db_settings: None) -> Iterator[Scene]:
    with tell(tmp_path_factory.mktemp("hostile")) as told:
        made = fill(told)
        served = start_demo(told)
        yield Scene(served, made)
        served.stop()


FILL = (
    "import django, json; django.setup();"
    " from tests.hostile_scene import fill; print(json.dumps(fill('acme')))"
)


def fill(told: Told) -> dict[str, Any]:
    path = f"{ROOT}:{ROOT / 'platform'}"
    done = subprocess.run(
        [sys.executable, "-c", FILL],
        env={**told.environment, "DJANGO_SETTINGS_MODULE": "rowhouse.settings", "PYTHONPATH": path},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


def crawl(watch: Watch, host: str, *starts: str) -> tuple[list[str], set[str]]:
    """Visit all pages that links lead to, a few of each kind; return what is wrong and which kinds were seen."""
    waiting, seen, kinds = [*starts], set(starts), Counter[str]()
    found: list[str] = []
    while waiting and sum(kinds.values()) < MOST_PAGES:
        url = waiting.pop(0)
        kind = kind_of(url)
        if LEFT_OUT.search(urlsplit(url).path) or (kinds[kind] >= OF_A_KIND and url not in starts):
            continue
        kinds[kind] += 1
        try:
            answer = watch.page.goto(url)
        except Error as error:
            if "Download is starting" in error.message or "ERR_ABORTED" in error.message:
                continue
            raise
        assert answer is not None
        if "text/html" not in answer.headers.get("content-type", ""):
            continue
        assert answer.status < 500, f"{url}: {answer.status}"
        found += [f"{urlsplit(url).path}?{urlsplit(url).query} {fault}" for fault in watch.faults()]
        for link in watch.page.evaluate(LINKS):
            if urlsplit(link).netloc == host and link not in seen:
                seen.add(link)
                waiting.append(link)
    return found, {*kinds}


@pytest.mark.case("O07")
def test_no_page_of_a_tenant_full_of_scripts_runs_any(browser: Browser, scene: Scene) -> None:
    acme = Person(browser, scene.served, "acme")
    host = f"{acme.host}:{scene.served.port}"
    watch = Watch(acme.page, {host})
    made = scene.made
    rows = f"/admin/datasets/dataset/{made['tall']}/rows/"
    starts = [
        "/admin/", "/admin/datasets/dataset/", f"/admin/datasets/dataset/{made['wide']}/rows/", rows,
        *(f"{rows}?p={number}" for number in range(1, 7)),
        *(f"{rows}{pk}/{page}/" for pk in made["edited"] for page in ("change", "history")),
        "/admin/importer/importjob/", f"/admin/importer/importjob/{made['failing']}/change/",
        "/admin/accounts/user/", *(f"/admin/accounts/user/?p={number}" for number in range(2, 7)),
        "/admin/jobs/job/", "/admin/audit/event/", "/admin/exporter/exportfile/",
        "/admin/datasets/dataset/?q=" + "%22%3E%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E",
        "/admin/search/?s=%3Cscript%3Ealert(1)%3C/script%3E",
        f"{rows}?q=%3Cscript%3Ealert(1)%3C/script%3E", "/admin/login/?next=javascript:alert(1)",
    ]  # fmt: skip
    found, kinds = crawl(watch, host, *(scene.served.url(acme.host, one) for one in starts))
    assert found == []
    assert len(kinds) > 50, kinds
    # A link to what is gone, or to what is refused, is no fault of scripts.
    assert {one for one in acme.complaints if not one.startswith("Failed to load resource")} == set()


@pytest.mark.case("O07")
def test_what_people_are_told_after_a_deed_is_inert(browser: Browser, scene: Scene, tmp_path: Path) -> None:
    """Upload under a hostile name, preview, confirm, look at history, edit a cell: messages and what scripts build."""
    acme = Person(browser, scene.served, "acme")
    watch = Watch(acme.page, {f"{acme.host}:{scene.served.port}"})
    page = acme.page
    file = tmp_path / "'><img src=x onerror=alert(1)>.csv"
    file.write_text(
        "id,<b onmouseover=alert(1)>text</b>\n800001,<img src=x onerror=alert(1)>\n", encoding="utf-8"
    )
    rows = f"/admin/datasets/dataset/{scene.made['tall']}/rows/"
    found: list[str] = []
    acme.go(rows)
    page.get_by_role("link", name="Import a file").click()
    page.set_input_files("input[type=file]", file)
    page.get_by_role("button", name="Upload and preview").click()
    found += watch.faults()
    expect(page.get_by_role("button", name=re.compile("^Import:"))).to_be_visible()
    found += watch.faults()
    page.get_by_role("button", name=re.compile("^Import:")).click()
    expect(page.get_by_text("Imported").first).to_be_visible()
    found += watch.faults()
    acme.go(rows)
    cell = page.locator("#result_list tbody td", has_text="alert(1)").first
    cell.dblclick()
    page.keyboard.type("<img src=x onerror=alert(1)>")
    page.keyboard.press("Enter")
    page.wait_for_load_state("networkidle")
    found += watch.faults()
    for name in ("Filter", "Columns"):
        opener = page.get_by_role("button", name=name).first
        if opener.count() and opener.is_visible():
            opener.click()
            found += watch.faults()
    assert found == []


@pytest.mark.case("O07")
def test_no_page_of_the_operators_runs_what_a_tenant_has_written(browser: Browser, scene: Scene) -> None:
    context = browser.new_context(viewport={"width": 1360, "height": 850})
    page = context.new_page()
    host = f"localhost:{scene.served.port}"
    watch = Watch(page, {host})
    who = "operator@rowhouse.example"
    page.goto(scene.served.url("localhost", "/operator/"))
    page.fill("input[name=username]", who)
    page.fill("input[name=password]", scene.served.passwords[who])
    page.click("button[type=submit]")
    expect(page.locator("#nav-sidebar")).to_be_visible()
    starts = ["/operator/", "/operator/tenants/tenant/", "/operator/jobs/job/?all=", "/operator/jobs/job/?p=2",
              "/operator/audit/event/"]  # fmt: skip
    found, kinds = crawl(watch, host, *(scene.served.url("localhost", one) for one in starts))
    assert found == []
    assert len(kinds) > 8, kinds


# ---- the same eyes on a page that forgets


HOLE = "<!doctype html><title>x</title><body><p>{{ text|safe }}</p><input value='{{ text|safe }}'></body>"


@pytest.mark.case("O07")
@pytest.mark.parametrize("has_policy", [True, False], ids=["with the policy", "without"])
def test_a_planted_hole_is_seen(browser: Browser, has_policy: bool) -> None:
    """A template with |safe; what does not run under the policy is seen all the same."""
    context = browser.new_context()
    template = engines["django"].from_string(HOLE)
    shown = [""]
    headers = {"Content-Type": "text/html"}
    if has_policy:
        headers["Content-Security-Policy"] = build_policy(settings.ROWHOUSE_ADMIN_CSP)
    context.route(
        "**/*",
        lambda route: (
            route.fulfill(body=shown[0], headers=headers)
            if route.request.resource_type == "document" and "planted" in route.request.url
            else route.fulfill(status=404)
        ),
    )

    def seen(text: str) -> list[str]:
        shown[0] = text
        page = context.new_page()
        watch = Watch(page, {"planted.localhost"})
        with suppress(Error):  # it may be led elsewhere while it is loaded
            page.goto("http://planted.localhost/")
        found = watch.faults()
        page.close()
        return found

    assert [text for text in CAUGHT if not seen(template.render({"text": text}))] == []
    # And escaped as our pages do it, the same texts are nothing.
    honest = engines["django"].from_string(HOLE.replace("|safe", ""))
    assert seen("".join(honest.render({"text": text}) for text in [*SCRIPTS, *naughty_strings()])) == []


@pytest.mark.case("O07")
def test_a_script_in_a_page_does_not_run_under_the_policy(browser: Browser) -> None:
    context = browser.new_context()
    page = context.new_page()
    ran: list[str] = []
    page.expose_function("ran", lambda what: ran.append(what))
    policy = build_policy(settings.ROWHOUSE_ADMIN_CSP)
    body = (
        "<!doctype html><script>ran('inline')</script><img src=x onerror=\"ran('handler')\">"
        "<a href=\"javascript:ran('link')\">x</a>"
        "<script src='data:text/javascript,ran(1)'></script><button>b</button>"
    )
    page.route(
        "**/*",
        lambda route: (
            route.fulfill(body=body, headers={"Content-Type": "text/html", "Content-Security-Policy": policy})
            if route.request.resource_type == "document"
            else route.fulfill(status=404)
        ),
    )
    page.goto("http://planted.localhost/")
    page.click("a")
    page.wait_for_timeout(200)
    assert ran == []
    with pytest.raises(Error, match="unsafe-eval|Content Security Policy"):
        page.add_script_tag(content="ran('late')")


@pytest.mark.case("O12")
def test_a_file_from_people_is_saved_and_even_if_it_were_shown_nothing_in_it_runs(
    browser: Browser, scene: Scene, tmp_path: Path
) -> None:
    """An upload that is a page: the browser saves it; shown as one, it has no origin, no cookie and no script."""
    acme = Person(browser, scene.served, "acme")
    page = acme.page
    file = tmp_path / "page.html.csv"
    file.write_text(
        "id,<b onmouseover=alert(1)>text</b>\n1,<script>document.title='ran';ran(document.cookie)</script>\n",
        encoding="utf-8",
    )
    acme.go(f"/admin/datasets/dataset/{scene.made['tall']}/rows/")
    page.get_by_role("link", name="Import a file").click()
    page.set_input_files("input[type=file]", file)
    page.get_by_role("button", name="Upload and preview").click()
    expect(page.get_by_role("button", name=re.compile("^Import:"))).to_be_visible()
    address = re.sub(r"/change/.*", "/file/", page.url)

    with page.expect_download() as saved, pytest.raises(Error):
        page.goto(address)
    assert "ran(document.cookie)" in saved.value.path().read_text(encoding="utf-8")

    ran: list[str] = []
    page.expose_function("ran", lambda what: ran.append(what))

    cookie = "; ".join(f"{one['name']}={one['value']}" for one in acme.context.cookies())

    def show(route: Any) -> None:
        # The browser knows hosts below localhost; who fetches here does not.
        own = {**route.request.headers, "host": f"{acme.host}:{scene.served.port}", "cookie": cookie}
        answer = route.fetch(url=route.request.url.replace(acme.host, "127.0.0.1"), headers=own)
        headers = {name: value for name, value in answer.headers.items() if name != "content-disposition"}
        assert headers["content-security-policy"] == OF_DOWNLOADS
        route.fulfill(response=answer, headers={**headers, "content-type": "text/html"})

    page.route("**/file/", show)
    page.goto(address)
    assert page.evaluate("window.origin") == "null"
    assert page.title() != "ran"
    assert ran == []
