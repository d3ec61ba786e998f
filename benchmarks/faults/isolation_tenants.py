"""Tenants that are alike to the last primary key, and a look at what lies in their tables afterwards."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence

from django.db import connection, connections

from benchmarks.faults.ground import Ground
from benchmarks.faults.isolation_acts import EVENT, ROWS, TABLES
from benchmarks.faults.isolation_crew import FORK
from benchmarks.faults.isolation_faults import effects_of
from core import storage
from core.tenancy import TenantRef, in_public, in_tenant
from datasets.models import Dataset
from exporter.models import ExportFile
from jobs.models import Job
from tenants.models import Tenant

PROCESSES = 2
IMPORTED = 20


def make_tenants(ground: Ground, count: int, prefix: str) -> list[TenantRef]:
    """Provision tenants in two processes at once; each has a dataset "Orders" and the tables of the acts."""
    connections.close_all()  # a child must not end its parent's session
    shares = [count // PROCESSES + (number < count % PROCESSES) for number in range(PROCESSES)]
    children = [
        FORK.Process(target=_make, args=(ground, share, f"{prefix}-{number}"), daemon=True)
        for number, share in enumerate(shares)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join()
    found = Tenant.objects.filter(slug__startswith=f"{prefix}-", state=Tenant.State.ACTIVE).order_by("pk")
    refs = [tenant.ref for tenant in found]
    assert len(refs) == count, f"only {len(refs)} of {count} tenants were set up"
    return refs


def _make(ground: Ground, count: int, prefix: str) -> None:
    for tenant in ground.tenants(count, prefix):
        ground.dataset(tenant)
        with in_tenant(tenant), connection.cursor() as cursor:
            cursor.execute(TABLES, {"tenant": tenant.slug})
    connections.close_all()


def wrong_rows(tenants: Sequence[TenantRef]) -> list[tuple[int, str]]:
    """Return what does not lie where it belongs: the job that wrote it (0: unknown) and what is wrong.

    Every row says whose it is, and every task left as many as its acts leave.
    """
    wrong = []
    for tenant in tenants:
        with in_public():
            done = Job.objects.filter(schema=tenant.schema, kind="isolation.task").values_list(
                "pk", "payload"
            )
            expected = Counter({pk: effects_of(payload["acts"]) for pk, payload in done})
        with in_tenant(tenant), connection.cursor() as cursor:
            cursor.execute("SELECT job, tenant, count(*) FROM isolation_effects GROUP BY 1, 2")
            effects = cursor.fetchall()
        wrong += [
            (job, f"{tenant.slug} holds {n} rows of {slug}")
            for job, slug, n in effects
            if slug != tenant.slug
        ]
        found = Counter({job: n for job, slug, n in effects if slug == tenant.slug})
        for job in expected.keys() | found.keys():
            if expected[job] != found[job]:
                wrong.append((job, f"{tenant.slug}: {found[job]} effects instead of {expected[job]}"))
        wrong += [(0, f"{tenant.slug}: {what}") for what in _foreign(tenant)]
    return wrong


def _foreign(tenant: TenantRef) -> Iterator[str]:
    with in_tenant(tenant):
        table = f"ds_{Dataset.objects.get(slug='orders').pk}"
        looks = {
            "rows to read": ("SELECT count(*) FROM isolation_rows WHERE tenant = %s", ROWS),
            "foreign rows to read": ("SELECT count(*) FROM isolation_rows WHERE tenant <> %s", 0),
            "foreign events": (
                f"SELECT count(*) FROM audit_event WHERE name = '{EVENT}' AND data->>'tenant' <> %s", 0,
            ),
            "foreign records": (f"SELECT count(*) FROM {table} WHERE c2 <> %s", 0),
            "foreign history": (f"SELECT count(*) FROM {table}_history WHERE c2 <> %s", 0),
        }  # fmt: skip
        for what, (statement, count) in looks.items():
            with connection.cursor() as cursor:
                cursor.execute(statement, [tenant.slug])
                (found,) = cursor.fetchone()
            if found != count:
                yield f"{found} {what} instead of {count}"
        for file in ExportFile.objects.filter(deleted_at=None):
            with storage.open_read(file.key) as stored:
                rows = csv.DictReader(io.StringIO(stored.read().decode()))
                if strangers := {row["name"] for row in rows} - {tenant.slug}:
                    yield f"the exported file {file.key} holds rows of {sorted(strangers)[:3]}"


def file_of(tenant: TenantRef) -> io.BytesIO:
    """Return a file to import, each row of which says whose it is."""
    lines = ["id,name,amount", *(f"{number},{tenant.slug},{number}" for number in range(1, IMPORTED + 1))]
    return io.BytesIO("\n".join(lines).encode())
