"""A day with exports in a real browser: export now, look and take a file, say when and as what, hear of it, keep less.

The worker is the demo's own. Every page is looked at in the light, in the dark and on a phone, and judged by axe.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from playwright.sync_api import Browser, Locator, expect

from core.webhooks import SIGNATURE, is_signed
from exporter.tests.receiver import Receiver, receiver
from tests.conftest import Served, Told
from tests.test_accessible import Crawl
from tests.test_browser import Person, browser

__all__ = ["browser"]
pytestmark = pytest.mark.browser
FILES, RUNS = "/admin/exporter/exportfile/", "/admin/exporter/exportrun/"
SETTINGS, NOTICES = "/admin/exporter/exportsettings/", "/admin/exporter/exportnotice/"
SPACE = f"{FILES}space/"
SCHEMA = "SELECT schema_name FROM tenants_tenant WHERE slug = 'acme'"
# What went wrong last night, as the schedule leaves it; long ago enough to be no hour of this test's.
WRONG = """
INSERT INTO {schema}.exporter_exportrun (trigger, slot, missed, state, plan, error_code, error, snapshot, created_at,
                                         started_at, finished_at)
SELECT 'SCHEDULED', date_trunc('hour', now()) - ago, missed, state, '[]', code, said, '', now() - ago,
       CASE state WHEN 'FAILED' THEN now() - ago END, now() - ago + interval '3 s'
  FROM (VALUES (interval '7 hours 30 minutes', 0, 'FAILED', 'storage', 'The storage did not answer. Try again later.'),
               (interval '6 hours 30 minutes', 3, 'MISSED', 'no-worker', '3 exports were not made: no worker.')
       ) AS wrong (ago, missed, state, code, said)
RETURNING id"""
REMOVE = "DELETE FROM {schema}.exporter_exportrun WHERE id = ANY(%s)"


@pytest.fixture
def wrong_runs(told: Told, served: Served) -> Iterator[list[int]]:
    """Leave a failed and a missed run, and take them away again: other tests begin with a tenant that is well."""
    with closing(psycopg2.connect(told.environment["DATABASE_URL"])) as link, link.cursor() as cursor:
        link.autocommit = True
        cursor.execute(SCHEMA)
        [(schema,)] = cursor.fetchall()
        cursor.execute(WRONG.format(schema=schema))
        made = [pk for (pk,) in cursor.fetchall()]
        yield made
        cursor.execute(REMOVE.format(schema=schema), [made])


@pytest.fixture
def program() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


def judge(person: Person, name: str = "", *, whole: bool = False) -> None:
    """Look at the page as it stands: with axe, in light, dark and as wide as a phone; and keep pictures of it."""
    person.page.wait_for_load_state()
    assert list(Crawl(person.page, person.host).look()) == []
    if name:
        person.shoot(name, whole=whole)


def download(person: Person, link: Locator) -> tuple[str, bytes]:
    with person.page.expect_download() as taken:
        link.click()
    return taken.value.suggested_filename, Path(taken.value.path()).read_bytes()


def export_now(person: Person, title: str) -> Locator:
    """Ask for an export of one dataset, wait until a worker has made it, and return the files it left."""
    person.go(f"{RUNS}now/")
    for box in person.page.get_by_role("checkbox").all():
        box.uncheck()
    person.page.get_by_label(title, exact=True).check()
    person.page.get_by_role("button", name="Export now").click()
    expect(person.page.locator("#export-run[data-open]")).to_have_count(0)
    return person.page.locator("#export-run tbody tr")


def test_a_person_exports_now_and_takes_the_file_that_the_history_tells_of(
    browser: Browser, served: Served, wrong_runs: list[int]
) -> None:
    acme = Person(browser, served, "acme")
    page = acme.page
    acme.go(FILES)
    page.get_by_role("link", name="Choose datasets").click()
    for box in page.get_by_role("checkbox").all():
        box.uncheck()
    page.get_by_label("Navigation aids", exact=True).check()
    page.get_by_role("button", name="Export now").click()

    # The page follows the run by itself until a worker has done it.
    expect(page.locator("#export-run[data-open]")).to_have_count(0)
    row = page.locator("#export-run tbody tr")
    expect(row).to_contain_text("Navigation aids")
    name, content = download(acme, row.get_by_role("link"))
    assert name.startswith("navaids_") and name.endswith("Z.csv")
    rows = list(csv.reader(io.StringIO(content.decode())))
    assert row.locator("code").get_attribute("title") == hashlib.sha256(content).hexdigest()
    assert row.locator("td").nth(3).inner_text() == f"{len(rows) - 1:,}"
    judge(acme)

    # The history of files: by dataset, newest first, with a download of the same bytes.
    acme.go(f"{FILES}?dataset=navaids&trigger=MANUAL")
    newest = page.locator("#result_list tbody tr").first
    expect(newest).to_contain_text(f"{len(rows) - 1:,}")
    assert download(acme, newest.get_by_role("link", name="Download")) == (name, content)
    judge(acme)

    # The history of runs: what went wrong stands out in words, and leads to its page.
    acme.go(RUNS)
    expect(page.get_by_text("✕ failed")).to_be_visible()
    expect(page.get_by_text("○ missed (3 slots)")).to_be_visible()
    judge(acme, "export-runs")
    for pk, said in zip(wrong_runs, ("This export failed", "3 exports missed"), strict=True):
        acme.go(f"{RUNS}{pk}/change/")
        expect(page.locator("#export-run")).to_contain_text(said)
        judge(acme)
    acme.go(f"{RUNS}?state__exact=MISSED")
    expect(page.locator("#result_list tbody tr")).to_have_count(1)
    assert acme.complaints == []
    acme.go(f"{FILES}?dataset=navaids")
    theirs = page.locator("#result_list").get_by_role("link", name="Download").first.get_attribute("href")
    assert theirs
    acme.context.close()

    globex = Person(browser, served, "globex")
    assert globex.go(theirs) == 404
    for path in (FILES, RUNS, SETTINGS, SPACE):
        assert globex.go(path) == 200
        assert "avigation aids" not in globex.page.content() and "✕ failed" not in globex.page.content()
    globex.context.close()


def test_a_dataset_gets_settings_of_its_own_with_an_example_that_follows_the_typing(
    browser: Browser, served: Served
) -> None:
    acme = Person(browser, served, "acme")
    page = acme.page
    acme.go(SETTINGS)
    judge(acme)
    page.get_by_role("link", name="Runways", exact=True).click()
    expect(page.get_by_role("button", name="Store these settings")).to_be_visible()
    judge(acme)

    # What does not apply is hidden, and the examples follow what is typed without a button.
    expect(page.locator("[name=cron]")).to_be_hidden()
    page.locator("[name=every]").select_option("CRON")
    page.locator("[name=time_zone]").select_option("Europe/Berlin")
    page.locator("[name=cron]").fill("0 25 * * *")
    expect(page.locator("#ex-words-fault")).not_to_be_empty()
    page.locator("[name=cron]").fill("0 2 * * 1-5")
    expect(page.locator("#ex-words")).to_have_text("at 02:00 on Monday through Friday, Europe/Berlin")
    expect(page.locator("#ex-next")).to_contain_text("UTC")
    page.locator("[name=format]").select_option("csv")
    page.locator("[name=delimiter]").select_option(";")
    page.locator("[name=pattern]").fill("{yyyy}/{dataset}.{ext}")
    expect(page.locator("#ex-name-fault")).to_contain_text("Put {time} into the file's name")
    page.locator("[name=pattern]").fill("{yyyy}/{dataset}_{time}.{ext}")
    expect(page.locator("#ex-name")).to_have_text("acme/exports/2026/runways_20260826T140000Z.csv")
    expect(page.locator("#ex-name-fault")).to_be_empty()
    judge(acme, "export-settings", whole=True)

    # Columns: the second one first, and another label for it.
    page.get_by_label("These, in this order").check()
    second = page.locator("#ex-chosen tbody tr").nth(1)
    column = second.locator("td").nth(2).inner_text()
    second.get_by_role("button", name="up").click()
    page.locator("#ex-chosen tbody tr").first.locator("[type=text]").fill("Ours")
    judge(acme)
    page.get_by_role("button", name="Store these settings").click()
    line = page.get_by_role("row", name="Runways")
    expect(line).to_contain_text("at 02:00 on Monday through Friday, Europe/Berlin")
    expect(line).to_contain_text("of its own")

    # What was stored is what the page shows again; then the tenant's settings hold once more.
    page.get_by_role("link", name="Runways", exact=True).click()
    expect(page.locator("[name=delimiter]")).to_have_value(";")
    first = page.locator("#ex-chosen tbody tr").first
    expect(first.locator("[type=text]")).to_have_value("Ours")
    expect(first.locator("td").nth(2)).to_have_text(column)
    page.get_by_role("button", name="Use the tenant's settings again").click()
    expect(page.get_by_role("row", name="Runways")).to_contain_text("the tenant's")
    assert acme.complaints == []
    acme.context.close()


def test_a_program_hears_of_an_export_by_a_signed_request(
    browser: Browser, served: Served, program: Receiver
) -> None:
    acme = Person(browser, served, "acme")
    page = acme.page
    acme.go(NOTICES)
    expect(page.get_by_text("Nobody hears of exports yet.")).to_be_visible()
    page.get_by_role("link", name="Add a notice").click()
    page.get_by_label("Name").fill("Warehouse")
    page.get_by_label("Mail addresses").fill("ops@acme.example")
    page.get_by_label("Address of a webhook").fill("http://10.0.0.7/hook")
    page.get_by_role("button", name="Add the notice").click()
    expect(page.get_by_text("can be read on its way")).to_be_visible()
    assert [said for said in acme.complaints if "422" not in said] == []
    acme.complaints.clear()
    page.get_by_label("Address of a webhook").fill(program.url)
    page.get_by_label("After a success").check()
    judge(acme)
    page.get_by_role("button", name="Add the notice").click()
    secret = page.locator(".ex-secret").inner_text()
    judge(acme)
    here = page.locator("form.ex-narrow").get_attribute("action")
    assert here

    page.get_by_role("button", name="Send a test").click()
    _until_sent(acme, here, 2)
    program.statuses[:] = [503]  # the program is down for a moment, and hears of it all the same
    acme.go(FILES)
    page.get_by_role("button", name="Export now").click()
    expect(page.locator("#export-run[data-open]")).to_have_count(0)
    _until_sent(acme, here, 4)
    expect(page.get_by_role("row", name="a success").filter(has_text="webhook")).to_contain_text("2")
    assert secret not in page.content()
    judge(acme, "export-notice", whole=True)

    told = [json.loads(body) for _, _, body in program.came]
    assert [one["event"] for one in told] == ["export.test", "export.succeeded", "export.succeeded"]
    assert told[1] == told[2]
    for _, headers, body in program.came:
        at = int(headers[SIGNATURE].partition(",")[0].removeprefix("t="))
        assert is_signed(secret, body, headers[SIGNATURE], now=at)
        assert not is_signed(secret, body + b" ", headers[SIGNATURE], now=at)
    assert {one["dataset"] for one in told[2]["run"]["files"]} >= {"navaids", "runways"}
    acme.go(NOTICES)
    judge(acme)
    acme.go(here)
    page.get_by_role("link", name="Delete").click()
    expect(page.get_by_role("button", name="Delete the notice")).to_be_visible()
    judge(acme)
    page.get_by_role("button", name="Delete the notice").click()
    assert acme.complaints == []
    acme.context.close()


def _until_sent(person: Person, path: str, n: int) -> None:
    for _ in range(120):
        person.go(path)
        if person.page.get_by_role("cell", name="sent", exact=True).count() == n:
            return
        person.page.wait_for_timeout(500)
    raise AssertionError(person.page.locator("main").inner_text())


def test_limits_are_tried_before_anything_is_removed(browser: Browser, served: Served) -> None:
    acme = Person(browser, served, "acme")
    page = acme.page
    acme.go(FILES)
    for _ in range(2):  # two files of each dataset, so that one is more than "the newest"
        page.get_by_role("button", name="Export now").click()
        expect(page.locator("#export-run[data-open]")).to_have_count(0)
        acme.go(FILES)
    stored = page.get_by_role("link", name="Download", exact=True).count()
    page.locator("#nav-sidebar").get_by_role("link", name="Space").click()
    expect(page.locator("#retention")).to_be_visible()
    judge(acme)

    page.locator("[name=keep_count]").fill("1")
    page.get_by_role("button", name="Try these limits").click()
    expect(page.locator("#retention")).to_contain_text("With these limits")
    expect(page.locator("#retention li").filter(has_text="Navigation aids")).to_be_visible()
    page.get_by_text("Which files").click()
    expect(page.locator("#retention tbody tr").first).to_contain_text(".csv")
    expect(page.get_by_role("button", name="Remove")).to_have_count(0)
    judge(acme, "retention", whole=True)

    page.locator("[name=keep_count]").fill("-1")
    page.get_by_role("button", name="Try these limits").click()
    expect(page.get_by_role("alert").first).to_be_visible()
    judge(acme)
    acme.go(FILES)
    assert page.get_by_role("link", name="Download", exact=True).count() == stored
    assert acme.complaints == []
    acme.context.close()
