"""Live progress in a real browser: a percentage grows by itself, and the neighbour sees none of it.

The test is the job's worker: it holds the lease and commits slice after slice, so that nothing hangs on how
fast the machine is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import psycopg2
import pytest
from playwright.sync_api import Browser, expect

from tests.conftest import Served, Told
from tests.test_browser import Person, browser

__all__ = ["browser"]
pytestmark = pytest.mark.browser
WORK = "/admin/jobs/job/"
BEGIN = """
INSERT INTO jobs_job (schema, slug, kind, target, payload, priority, state, step, cursor, processed, total,
                      busy_seconds, attempts, lease, lease_until, cancel_requested, error_code, error, started_at)
SELECT schema, slug, kind, 'held by a test', payload, 100, 'RUNNING', 1, '{}', 100, 1000, 1, 1, gen_random_uuid(),
       now() + interval '1 hour', false, '', '', now() - interval '10 s'
  FROM jobs_job WHERE slug = 'acme' AND kind = 'importer.merge' ORDER BY id DESC LIMIT 1 RETURNING id"""
ADVANCE = "UPDATE jobs_job SET processed = %s WHERE id = %s"
END = "UPDATE jobs_job SET state = 'DONE', processed = 1000, lease = NULL, finished_at = now() WHERE id = %s"


@pytest.fixture
def worker(told: Told, served: Served) -> Iterator[psycopg2.extensions.cursor]:
    with closing(psycopg2.connect(told.environment["DATABASE_URL"])) as link:
        link.autocommit = True
        with link.cursor() as cursor:
            yield cursor
            cursor.execute("DELETE FROM jobs_job WHERE target = 'held by a test'")


def test_a_percentage_grows_by_itself_and_the_neighbour_sees_nothing(
    browser: Browser, served: Served, worker: psycopg2.extensions.cursor
) -> None:
    worker.execute(BEGIN)
    (job,) = worker.fetchone() or (0,)
    acme = Person(browser, served, "acme")
    page = acme.page
    acme.go(WORK)
    row, shown = page.locator(f"tr#job-{job}"), page.locator(f"#job-{job}-progress")

    # The page is never reloaded from here on.
    expect(shown).to_contain_text("10 %")
    for percent in (35, 60, 85):
        worker.execute(ADVANCE, [percent * 10, job])
        expect(shown).to_contain_text(f"{percent} %")
        expect(shown).to_contain_text("rows per second, about")
    expect(row.get_by_text("Running")).to_be_visible()
    acme.shoot("background-work")

    worker.execute(END, [job])
    expect(row.get_by_text("Done", exact=True)).to_be_visible()
    expect(shown).to_contain_text("100 %")
    expect(page.locator("#jobs-said")).to_contain_text("1 done")

    # When nothing is active any more, the page asks no more.
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/live/" in request.url else None)
    page.wait_for_timeout(4_500)
    assert asked == []
    assert acme.complaints == []
    acme.context.close()

    globex = Person(browser, served, "globex")
    assert globex.go(WORK) == 200
    content = globex.page.content()
    for word in ("runways", "Runways", "cities-export", f'id="job-{job}"'):
        assert word not in content
    for address in (f"{WORK}{job}/", f"{WORK}{job}/status.json"):
        assert globex.go(address) == 404
    globex.context.close()


def test_the_page_fits_a_phone_in_the_dark(browser: Browser, served: Served) -> None:
    acme = Person(browser, served, "acme")
    acme.page.set_viewport_size({"width": 390, "height": 844})
    acme.page.emulate_media(color_scheme="dark")
    acme.go(WORK)
    expect(acme.page.get_by_role("link", name="Preview of an import").first).to_be_visible()
    acme.shoot("background-work-phone")
    assert acme.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert acme.complaints == []
    acme.context.close()


def test_the_operators_list_follows_a_running_job(
    browser: Browser, served: Served, worker: psycopg2.extensions.cursor
) -> None:
    worker.execute(BEGIN)
    (job,) = worker.fetchone() or (0,)
    page = browser.new_page(viewport={"width": 1600, "height": 900})
    page.goto(served.url("localhost", "/operator/jobs/job/?state=active"))
    page.fill("input[name=username]", "operator@rowhouse.example")
    page.fill("input[name=password]", served.passwords["operator@rowhouse.example"])
    page.click("button[type=submit]")
    shown = page.locator(f"#job-{job}-progress")
    expect(shown).to_contain_text("10 %")
    box = page.locator("input.action-select").first
    box.check()
    worker.execute(ADVANCE, [700, job])
    expect(shown).to_contain_text("70 %")
    expect(box).to_be_checked()  # what somebody has chosen stays chosen
    worker.execute(END, [job])
    expect(page.locator(f"#job-{job}-state")).to_contain_text("Done")
    page.close()
