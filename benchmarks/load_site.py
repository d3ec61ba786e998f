"""The tenants of the measurement: each with a dataset of the same columns, and people who can sign in."""

from __future__ import annotations

import io
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from django.db import connection, transaction

from accounts.services import create_user
from benchmarks.load_person import Place, cells_of, csv_of
from core.tenancy import TenantRef, in_tenant
from datasets.models import Dataset
from datasets.rows import get_row_model
from datasets.rules import NewColumn
from datasets.services import create_dataset
from datasets.spec import ColumnOptions
from importer.models import State
from importer.services import confirm_import, create_import
from jobs import services as jobs
from jobs.models import Job, TenantShare
from tenants.services import provision_tenant, request_tenant

if TYPE_CHECKING:
    from datetime import datetime

PASSWORD = "correct horse battery"
EDITED = 200  # records of a tenant that people open and edit: those with the first keys
COLUMNS = (
    NewColumn("No", "text", options=ColumnOptions(max_length=40)),
    NewColumn("Name", "text"),
    NewColumn("Pieces", "integer", is_required=True),
    NewColumn("Price", "decimal", options=ColumnOptions(precision=12, scale=2)),
    NewColumn("Day", "date"),
    NewColumn("State", "choice", options=ColumnOptions(choices=("new", "open", "done"))),
    NewColumn("Note", "text"),
)


def make_tenant(slug: str) -> TenantRef:
    """Provision a tenant that gets no hourly work; its owner may sign in."""
    tenant = request_tenant(
        slug=slug, name=slug.title(), owner_email=f"owner@{slug}.example", provision_now=True
    )
    provision_tenant(tenant=tenant, owner_password=PASSWORD)
    TenantShare.objects.filter(schema=tenant.ref.schema).update(next_hour_at=None)
    return tenant.ref


def make_dataset(tenant: TenantRef, title: str) -> Dataset:
    with in_tenant(tenant):
        return create_dataset(title=title, columns=list(COLUMNS), key=["No"], by=None)


def open_place(port: int, slug: str, records: int) -> Place:
    """Make a tenant with a dataset of so many records, imported as a file is."""
    tenant = make_tenant(slug)
    dataset = make_dataset(tenant, "Things")
    text = csv_of([cells_of(slug, number) for number in range(1, records + 1)])
    with in_tenant(tenant):
        job = create_import(dataset=dataset, file=io.BytesIO(text.encode()), name="things.csv", by=None)
        jobs.run_until_done(int(job.preview_job_id))
        job.refresh_from_db()
        confirm_import(job=job, by=None)
        job.refresh_from_db()
        jobs.run_until_done(int(job.merge_job_id))
        job.refresh_from_db()
        assert job.state == State.IMPORT_SUCCEEDED and job.created_rows == records, (job.state, job.error)
        return _place(port, tenant, dataset, records)


def _place(port: int, tenant: TenantRef, dataset: Dataset, records: int) -> Place:
    columns = {column.label: column.name for column in dataset.spec().columns}
    ids: list[int] = []
    if records:
        model, key = get_row_model(dataset), columns["No"]
        wanted = [f"{tenant.slug}-{number}" for number in range(1, edited(records) + 1)]
        found = dict(model.objects.filter(**{f"{key}__in": wanted}).values_list(key, "pk"))
        ids = [found[one] for one in wanted]
    return Place(port, tenant.slug, dataset.pk, columns, records, ids)


def edited(records: int) -> int:
    """Return how many records of a tenant people edit: never those that uploads say again."""
    return min(EDITED, records // 2)


def open_importer(port: int, tenant: TenantRef, title: str) -> Place:
    """Make an empty dataset for the tenant that imports."""
    dataset = make_dataset(tenant, title)
    with in_tenant(tenant):
        return _place(port, tenant, dataset, 0)


def make_people(ground_port: int, tenants: int, clients: int, records: int) -> dict[str, Any]:
    """Set everything up and return what the people's process is told first."""
    started = time.perf_counter()
    places = []
    for number in range(tenants):
        places.append(open_place(ground_port, slug_of(number), records))
        if (number + 1) % 10 == 0:
            print(f"{number + 1} tenants in {time.perf_counter() - started:.0f} s", file=sys.stderr)
    people = []
    of_each = -(-clients // tenants)
    share = edited(records) // of_each
    for at in range(clients):
        number, tenant = at // tenants, at % tenants
        slug = places[tenant].slug
        email = f"owner@{slug}.example"
        if number:
            email = f"editor-{number}@{slug}.example"
            with in_tenant(_ref(slug)):
                create_user(email=email, password=PASSWORD, role="editor")
        people.append(
            {"place": tenant, "email": email, "is_keeper": not number, "first": 1 + number * share, "share": share}
        )  # fmt: skip
    return {"password": PASSWORD, "places": [asdict(place) for place in places], "people": people}


def slug_of(number: int) -> str:
    return f"load-{number:04}"


def _ref(slug: str) -> TenantRef:
    from tenants.models import Tenant  # noqa: PLC0415 -- beside its one use

    return Tenant.objects.get(slug=slug).ref


def waits_of_jobs(since: datetime, until: datetime, without: str) -> dict[str, list[float]]:
    """Return how long jobs waited for their first slice, by kind, in seconds of the database's clock.

    Those asked for between two moments, but for those of one tenant.
    """
    found: dict[str, list[float]] = {}
    asked = Job.objects.filter(created_at__gte=since, created_at__lt=until, started_at__isnull=False)
    for job in asked.exclude(slug=without):
        assert job.started_at is not None
        found.setdefault(job.kind, []).append((job.started_at - job.created_at).total_seconds())
    return found


def moment() -> datetime:
    """Return the database's time."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        at: datetime = cursor.fetchone()[0]
        return at
