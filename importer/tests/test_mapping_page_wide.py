"""The mapping page of a wide file: some labels to a page, and nothing is lost on the way to the others."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import Any

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
MOST_BYTES = 1_500_000


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
        if name and (" checked" in tag or 'type="checkbox"' not in tag):
            found[name[1]] = html.unescape(value[1]) if value else ""
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
