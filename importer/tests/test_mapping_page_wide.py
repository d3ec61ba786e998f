"""The mapping page of a wide file: some labels to a page, and nothing is lost on the way to the others."""

from __future__ import annotations

import html
import re
from collections.abc import Callable

import pytest
from django.test import Client

from core.tenancy import TenantRef, in_tenant
from datasets.models import Dataset
from datasets.services import NewColumn, create_dataset
from datasets.spec import ColumnOptions
from importer.mapping import Match
from importer.models import ImportJob, State
from importer.recipes import Recipe
from importer.tests.test_mapping_page import names, url
from importer.tests.tools import make_orders, merge, records, upload, work

ClientOf = Callable[..., Client]
LABELS = 120


def wide(columns: int) -> Dataset:
    """A dataset with an id and further columns of text."""
    texts = [NewColumn(f"text {at}", "text", False, False, ColumnOptions()) for at in range(1, columns)]
    key = NewColumn("id", "integer", True, False, ColumnOptions())
    return create_dataset(title="Wide", columns=(key, *texts), key=("id",), by=None)


def header(*first: str) -> str:
    return ",".join([*first, *(f"x{at}" for at in range(len(first), LABELS))])


def sent(page: str) -> dict[str, str]:
    """What a browser without scripts sends of the page when nothing is changed."""
    found: dict[str, str] = {}
    form = page[page.index('id="mapping"') :]
    for tag in re.findall(r"<input[^>]*>", form):
        name, value = (re.search(rf'\b{what}="([^"]*)"', tag) for what in ("name", "value"))
        is_box = 'type="checkbox"' in tag
        if name and (re.search(r"\schecked[\s>]", tag) or not is_box):
            found[name[1]] = html.unescape(value[1]) if value else "on" if is_box else ""
    for name, text in re.findall(r'<textarea[^>]*name="([^"]*)"[^>]*>(.*?)</textarea>', form, re.S):
        found[name] = html.unescape(text).removeprefix("\n")
    for name, options in re.findall(r'<select[^>]*name="([^"]*)"[^>]*>(.*?)</select>', form, re.S):
        chosen = re.search(r'<option value="([^"]*)"\s+selected', options)
        found[name] = html.unescape(chosen[1]) if chosen else ""
    return found


@pytest.fixture
def dataset(acme: TenantRef, globex: TenantRef) -> Dataset:
    with in_tenant(acme):
        return make_orders()


@pytest.fixture
def job(acme: TenantRef, dataset: Dataset) -> ImportJob:
    with in_tenant(acme):
        return upload(dataset, f"{header('id', 'status')}\n1,new,{','.join(map(str, range(2, LABELS)))}\n")


@pytest.mark.parametrize("columns", [60, 61, 400])
def test_a_page_of_many_labels_and_columns_stays_small(
    acme: TenantRef, globex: TenantRef, client_of: ClientOf, columns: int
) -> None:
    with in_tenant(acme):
        job = upload(wide(columns), f"{header('id')}\n1\n")
    page = client_of(acme).get(url(job)).text
    assert page.count('<div class="ma-steps">') == 50
    assert len(page.encode()) < 2_000_000
    assert page.count("<option") < 8_000
    assert len(sent(page)) < 1_500
    assert ('<datalist id="im-columns">' in page) is (columns > 60)


def test_the_last_page_shows_the_last_labels_and_each_page_names_the_others(
    job: ImportJob, acme: TenantRef, client_of: ClientOf
) -> None:
    page = client_of(acme).get(url(job) + "?page=3").text
    assert "Labels 101 to 120 of 120" in page
    assert 'name="column_119"' in page
    assert 'name="column_99"' not in page
    assert 'value="1" class="rh-button">Labels 1 to 50</button>' in page
    assert "Labels 101 to 120 of 120" in client_of(acme).get(url(job) + "?page=99").text


def test_a_page_that_is_saved_changes_only_its_own_labels(
    job: ImportJob, acme: TenantRef, dataset: Dataset, client_of: ClientOf
) -> None:
    client, (*_, note) = client_of(acme), names(acme, dataset)
    page = sent(client.get(url(job) + "?page=3").text)
    assert client.post(url(job), {**page, "column_119": note, "case_119": "upper"}).status_code == 302
    with in_tenant(acme):
        again = work(job)
    changed = [at for at, match in enumerate(again.mapping) if match != job.mapping[at]]
    assert (changed, again.state) == ([119], State.PREVIEW_SUCCEEDED)
    assert again.mapping[119]["recipe"]["case"] == "upper"


def test_what_is_filled_in_goes_along_from_page_to_page(
    job: ImportJob, acme: TenantRef, dataset: Dataset, client_of: ClientOf
) -> None:
    client, (_, _, amount, note) = client_of(acme), names(acme, dataset)
    first = sent(client.get(url(job)).text)
    first |= {"column_5": note, "values_5": '5 => five\n"a  b" => c', "trim_5": "on", "go": "2"}
    second = client.post(url(job), first)
    assert second.status_code == 200, second.text
    assert "Labels 51 to 100 of 120" in second.text
    first_again = client.post(url(job), {**sent(second.text), "column_60": amount, "go": "1"}).text
    assert "5 =&gt; five" in first_again
    back = sent(first_again)
    assert (back["column_5"], back["trim_5"], back["column_60"]) == (note, "on", amount)
    del back["trim_5"]  # its tick is taken away again
    last = sent(client.post(url(job), {**back, "go": "3"}).text)
    assert len([name for name in last if name.endswith(("_5", "_60"))]) == 4
    assert client.post(url(job), last).status_code == 302
    with in_tenant(acme):
        again = merge(work(job))
        assert [tuple(map(str, row)) for row in records(dataset)] == [("1", "new", "60.00", "five")]
    changed = [at for at, match in enumerate(again.mapping) if match != job.mapping[at]]
    assert changed == [5, 60]
    assert (again.mapping[5]["recipe"]["trim"], again.mapping[60]["recipe"]) == (
        False, job.mapping[60]["recipe"],
    )  # fmt: skip


def test_an_error_on_another_page_is_shown_there(
    job: ImportJob, acme: TenantRef, dataset: Dataset, client_of: ClientOf
) -> None:
    client, (*_, note) = client_of(acme), names(acme, dataset)
    first = sent(client.get(url(job)).text) | {"column_5": note, "part_5": "2"}
    third = client.post(url(job), {**first, "go": "3"})
    assert (third.status_code, "Labels 1 to 50 (to settle)" in third.text) == (422, True)
    answer = client.post(url(job), sent(third.text))
    assert answer.status_code == 422
    assert "Labels 1 to 50 of 120" in answer.text
    assert "Say at which text to split" in answer.text


def test_a_column_that_a_label_of_another_page_fills_is_an_error_with_both_named(
    job: ImportJob, acme: TenantRef, dataset: Dataset, client_of: ClientOf
) -> None:
    client, (_, status, *_) = client_of(acme), names(acme, dataset)
    third = sent(client.get(url(job) + "?page=3").text)
    answer = client.post(url(job), {**third, "column_110": status})
    assert answer.status_code == 422
    assert "Labels 101 to 120 of 120" in answer.text
    assert "status is filled twice" in answer.text
    assert "These fill it: “status” and “x110”." in answer.text


def test_more_constants_than_fit_are_on_further_pages(
    acme: TenantRef, globex: TenantRef, client_of: ClientOf
) -> None:
    with in_tenant(acme):
        dataset = wide(80)
        job = upload(dataset, "id\n1\n")
        columns = [column.name for column in dataset.spec().columns][1:]
        further = [Match(-1, "", name, "chosen", 100, recipe=Recipe(constant="k")) for name in columns]
        job.mapping += [match.to_dict() for match in further]
        job.save(update_fields=["mapping"])
    client = client_of(acme)
    assert "Labels 1 to 1 of 1" in client.get(url(job)).text
    page = client.get(url(job) + "?page=2").text
    assert page.count('value="k"') == 29
    assert client.post(url(job), {**sent(page), "constant_79": "new"}).status_code == 302
    with in_tenant(acme):
        constants = [match["recipe"]["constant"] for match in work(job).mapping[1:]]
    assert constants == [*["k"] * 78, "new"]


def test_where_the_columns_are_many_they_are_named_by_their_labels(
    acme: TenantRef, globex: TenantRef, client_of: ClientOf
) -> None:
    with in_tenant(acme):
        job = upload(wide(61), "id,a,b\n1,x,y\n")
        last = job.dataset.spec().columns[-1].name
    client = client_of(acme)
    page = sent(client.get(url(job)).text)
    assert (page["column_0"], page["column_1"]) == ("id", "")
    answer = client.post(url(job), {**page, "column_1": "text 99"})
    assert answer.status_code == 422
    assert "The dataset has no column “text 99”" in answer.text
    assert client.post(url(job), {**page, "column_1": " Text 60 "}).status_code == 302
    with in_tenant(acme):
        assert [match["column"] for match in work(job).mapping][1:] == [last, None]
    assert sent(client.get(url(job)).text)["column_1"] == "text 60"


@pytest.mark.case("A16")
def test_who_may_not_import_turns_no_page(job: ImportJob, acme: TenantRef, client_of: ClientOf) -> None:
    assert client_of(acme, "viewer").post(url(job), {"go": "2"}).status_code == 403
