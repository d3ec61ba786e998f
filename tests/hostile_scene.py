"""Fills a tenant with texts that would be script wherever people's texts stand.

What the platform refuses (a name with a control character in it) is left out and counted.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import ValidationError
from django.db import DataError

import jobs.services
from accounts.models import User
from core.errors import RowhouseError
from core.tenancy import current_tenant, in_public, in_tenant
from datasets.cells import CellEdit, edit_cells
from datasets.models import DatasetTemplate
from datasets.rows import get_row_model
from datasets.rules import NewColumn
from datasets.services import create_dataset
from exporter.notices import create_notice
from exporter.services import request_export
from importer.models import ImportJob
from importer.services import confirm_import, create_import
from jobs.models import Job
from tenants.models import Tenant
from tests.payloads import SCRIPTS, naughty_strings


def fill(slug: str) -> dict[str, Any]:
    """Fill a tenant, and return what was made of what."""
    tenant = Tenant.objects.get(slug=slug)
    Tenant.objects.filter(pk=tenant.pk).update(name="<script>alert(1)</script>")
    with in_tenant(tenant.ref):
        return _fill()


def _fill() -> dict[str, Any]:

    owner = User.objects.get(email__startswith="owner@")
    refused = 0

    @contextmanager
    def unless_refused() -> Iterator[None]:
        nonlocal refused
        try:
            yield
        except (RowhouseError, ValidationError, DataError, ValueError):
            refused += 1

    # As labels and values: one dataset of a column for each script, one of every naughty string.
    labels = ["id", *SCRIPTS]
    wide = None
    columns = [NewColumn("id", type="integer")]
    for label in SCRIPTS:
        columns.append(NewColumn(label.replace("\t", " ")[:60]))
    unique = {one.label.strip().lower(): one for one in columns if one.label.isprintable()}
    with unless_refused():
        wide = create_dataset(
            title="<img src=x onerror=alert(1)>", slug="wide", columns=[*unique.values()], key=["id"]
        )
    assert wide is not None, "no dataset with such labels could be made"
    tall = create_dataset(
        title="<svg onload=alert(1)>", slug="tall",
        columns=[NewColumn("id", type="integer"), NewColumn("<b onmouseover=alert(1)>text</b>")], key=["id"],
    )  # fmt: skip
    for number, title in enumerate(SCRIPTS[:24]):
        with unless_refused():
            create_dataset(title=title, slug=f"named-{number}", columns=[NewColumn(title[:60])])

    def imported(dataset: Any, rows: list[list[str]], name: str) -> ImportJob:
        text = io.StringIO()
        csv.writer(text).writerows(rows)
        job = create_import(
            dataset=dataset, file=io.BytesIO(text.getvalue().encode("utf-8", "ignore")), name=name, by=owner
        )
        jobs.services.run_pending()
        job.refresh_from_db()
        return job

    names = [one.label for one in unique.values()]
    values = [[str(number), *([text] * (len(names) - 1))] for number, text in enumerate(SCRIPTS, 1)]
    job = imported(wide, [names, *values], "<img src=x onerror=alert(1)>.csv")
    confirm_import(job=job, by=owner)
    naughty = [[str(number), text] for number, text in enumerate([*SCRIPTS, *naughty_strings()], 1)]
    job = imported(
        tall, [["id", "<b onmouseover=alert(1)>text</b>"], *naughty], "'\"><svg onload=alert(1)>.csv"
    )
    if job.state == "PREVIEW_SUCCEEDED":
        confirm_import(job=job, by=owner)
    jobs.services.run_pending()
    # As file names, and as what errors quote: labels nobody knows, cells that are no numbers.
    for number, name in enumerate(SCRIPTS):
        with unless_refused():
            imported(tall, [["id", name], [name, "x"], [str(900_000 + number), name]], f"{name}.csv")
    failing = imported(
        wide, [["no such label", SCRIPTS[0]], ["x", SCRIPTS[4]]], "<script>alert(1)</script>.csv"
    )
    # History: every script becomes another one.
    model = get_row_model(tall)
    text_column = tall.columns.exclude(label="id").get().spec().name
    record_of = list(model.objects.order_by("pk")[:30])
    for record, text in zip(record_of, reversed(SCRIPTS), strict=False):
        with unless_refused():
            before = getattr(record, text_column)
            edit_cells(dataset=tall, edits=[CellEdit(record.pk, text_column, before, text)], by=owner)
    # As names of people, and of what else people name.
    for number, text in enumerate([*SCRIPTS, *naughty_strings()]):
        with unless_refused():
            User.objects.create(
                email=f"naughty{number}@x.example",
                first_name=text.replace("\x00", "")[:150],
                last_name="<i>x",
            )
    owner.first_name, owner.last_name = "<img src=x onerror=alert(1)>", "'\"><script>alert(1)</script>"
    owner.save()
    for number, text in enumerate(SCRIPTS[:10]):
        with unless_refused():
            DatasetTemplate.objects.create(title=f"{number} {text}"[:100], schema={})
        with unless_refused():
            create_notice(values={"name": f"{number} {text}"[:60], "emails": ["a@b.example"]}, by=owner)
    with unless_refused():
        request_export(by=owner, datasets=[tall, wide])
    jobs.services.run_pending()
    # A failure in words that came from outside, as background work keeps it.

    schema = current_tenant().schema
    with in_public():
        for job_row, text in zip(
            Job.objects.filter(schema=schema).order_by("-pk")[:40], SCRIPTS, strict=False
        ):
            Job.objects.filter(pk=job_row.pk).update(state="FAILED", error=text, error_code="unexpected")
    ImportJob.objects.filter(pk=failing.pk).update(error=SCRIPTS[5], notice=SCRIPTS[6])
    return {
        "wide": wide.pk, "tall": tall.pk, "labels": len(labels), "imports": ImportJob.objects.count(),
        "records": model.objects.count(), "edited": [one.pk for one in record_of[:3]], "refused": refused,
        "failing": failing.pk, "users": User.objects.count(),
    }  # fmt: skip
