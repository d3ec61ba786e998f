"""Every page of the admin, found by its links: no serious fault, in light and dark, and none wider than a phone.

One page of each kind is visited: addresses that differ in their numbers alone are of one kind.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Error, Page, expect

from tests.conftest import Served
from tests.test_browser import Person, browser

__all__ = ["browser"]
pytestmark = pytest.mark.browser
MOST_KINDS = 150
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1360, "height": 850}
# They answer with a file, end the session, or are Django's own and lead nowhere else.
LEFT_OUT = re.compile(
    r"/(logout|password_change|jsi18n|download|sample|file|export|poll)\b|\.(csv|xlsx|json)$"
)
LINKS = """() => [...document.querySelectorAll('a[href]')].map((link) => link.href)"""
LOOK = """async (rules) => {
  const found = await axe.run(document, {
    runOnly: rules.length ? {type: 'rule', values: rules}
      : {type: 'tag', values: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']},
    resultTypes: ['violations'],
  });
  return found.violations.filter((one) => ['serious', 'critical'].includes(one.impact)).flatMap(
    (one) => one.nodes.map((node) => `${one.id}: ${node.html.slice(0, 160)}`));
}"""
# Saves one cell as the list does: what the page knows of its cells stands in its JSON.
EDIT = """async () => {
  const grid = JSON.parse(document.querySelector('#grid-data').dataset.grid);
  const [pk, cells] = Object.entries(grid.records)[0];
  const column = Object.keys(grid.columns).find((name) => !grid.columns[name].is_choice && cells[name]);
  const token = document.querySelector('[name=csrfmiddlewaretoken]').value;
  const headers = {'X-CSRFToken': token, 'Content-Type': 'application/json'};
  const saved = await fetch(grid.url, {method: 'POST', headers,
    body: JSON.stringify({cells: [{id: Number(pk), column, seen: cells[column], value: cells[column] + '1'}]})});
  return saved.status;
}"""
OVERFLOW = """() => {
  const width = document.documentElement.clientWidth;
  return document.documentElement.scrollWidth > width + 1
    ? [...document.querySelectorAll('body *')].filter((one) => one.getBoundingClientRect().right > width + 1)
        .slice(0, 3).map((one) => one.outerHTML.slice(0, 120)) : [];
}"""


def axe() -> str:
    return (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")


@dataclass
class Crawl:
    """The kinds of pages seen from one host, and what is wrong with them."""

    page: Page
    host: str
    seen: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)

    def run(self, *starts: str) -> None:
        waiting = [*starts]
        while waiting and len(self.seen) < MOST_KINDS:
            url = waiting.pop(0)
            kind = kind_of(url)
            if kind in self.seen or LEFT_OUT.search(urlsplit(url).path):
                continue
            self.seen.add(kind)
            if self.visit(url, kind):
                waiting += [link for link in self.page.evaluate(LINKS) if urlsplit(link).netloc == self.host]

    def visit(self, url: str, kind: str) -> bool:
        try:
            answer = self.page.goto(url)
        except Error as error:
            if "Download is starting" in error.message:
                return False  # a file, and no page
            raise
        assert answer is not None
        if "text/html" not in answer.headers.get("content-type", ""):
            return False
        assert answer.status == 200, f"{url}: {answer.status}"
        self.faults += [f"{kind} {fault}" for fault in self.look()]
        return True

    def look(self) -> Iterator[str]:
        self.page.evaluate(axe())
        yield from self.page.evaluate(LOOK, [])
        self.page.evaluate("document.documentElement.classList.add('dark')")
        yield from (f"dark, {fault}" for fault in self.page.evaluate(LOOK, ["color-contrast"]))
        self.page.evaluate("document.documentElement.classList.remove('dark')")
        self.page.set_viewport_size(PHONE)  # type: ignore[arg-type] # a plain dict is one
        yield from (f"wider than a phone: {part}" for part in self.page.evaluate(OVERFLOW))
        self.page.set_viewport_size(DESKTOP)  # type: ignore[arg-type]


def leave_something(acme: Person) -> str:
    """Leave a change of the definition and one of a record, to be found; return where a filter is open."""
    page = acme.page
    acme.go("/admin/datasets/dataset/")
    page.get_by_role("row", name="Navigation aids").get_by_role("link", name="Definition").click()
    page.get_by_role("link", name="Change type or rules").last.click()
    page.locator("select[name=type]").select_option("long_text")
    page.get_by_role("button", name="Check the records").click()
    expect(page.get_by_role("button", name="Make the change")).to_be_visible()
    acme.go("/admin/datasets/dataset/")
    page.get_by_role("link", name="Navigation aids", exact=True).first.click()
    expect(page.locator("#result_list")).to_be_visible()
    assert page.evaluate(EDIT) == 200
    return f"{page.url}?_filter={page.locator('#ls-filter option').first.get_attribute('value')}"


def kind_of(url: str) -> str:
    """Return the address with its numbers and names of one thing left out.

    >>> kind_of("http://acme.localhost:8000/admin/datasets/dataset/7/rows/12/change/?x=1")
    '/admin/datasets/dataset/#/rows/#/change/'
    """
    parts = urlsplit(url)
    opened = "?_filter" if "_filter=" in parts.query else ""
    return re.sub(r"/[0-9a-f-]*\d[0-9a-f-]*(?=/|$)", "/#", parts.path) + opened


def test_no_page_of_a_tenants_admin_has_a_serious_fault(browser: Any, served: Served) -> None:
    acme = Person(browser, served, "acme")
    filtered = leave_something(acme)
    crawl = Crawl(acme.page, f"{acme.host}:{served.port}")
    crawl.run(served.url(acme.host, "/admin/"), filtered)
    acme.context.close()
    assert crawl.faults == []
    assert len(crawl.seen) > 20, sorted(crawl.seen)


def test_a_planted_fault_is_found(browser: Any, served: Served) -> None:
    acme = Person(browser, served, "acme")
    acme.page.evaluate(
        "document.querySelector('main, body').insertAdjacentHTML('beforeend', '<img src=\"x\">'"
        " + '<p style=\"width: 2000px; color: #eee; background: #fff\">pale</p>')"
    )
    found = list(Crawl(acme.page, acme.host).look())
    acme.context.close()
    assert {fault.split(":")[0] for fault in found} >= {"image-alt", "color-contrast", "wider than a phone"}
