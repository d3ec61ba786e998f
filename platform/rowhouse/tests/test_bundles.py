"""A tenant leaves in open formats, and begins elsewhere as the same: datasets, records, history and permissions."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db import connection
from django.test import Client

from accounts.models import User
from audit.actor import actor
from core.tenancy import TenantRef, in_tenant
from datasets.access import granted_to
from datasets.definition import to_table_schema
from datasets.models import ColumnLimit, Dataset
from datasets.services import grant_right
from datasets.unrecorded import unrecorded
from jobs.models import Job, TenantShare
from rowhouse.bundle.reading import BundleRefused, import_bundle
from rowhouse.bundle.writing import export_bundle
from tenants.backup.tests.scene import NASTY, fill, schemas, tenant_of
from tenants.models import Domain, Tenant
from tenants.template import drop_schema


@pytest.fixture
def first(committed_tenants: list[TenantRef]) -> Iterator[TenantRef]:
    known = set(Tenant.objects.values_list("pk", flat=True))
    before = schemas()
    tenant = committed_tenants[0]
    dataset = fill(tenant)
    with in_tenant(tenant):
        group = Group.objects.create(name="auditors")
        viewer = User.objects.get(email__startswith="viewer@")
        viewer.groups.add(group)
        grant_right(right="export", to=group, dataset=dataset)
        grant_right(right="change", to=viewer, dataset=dataset)
        ColumnLimit.objects.create(column=dataset.columns.get(label="note"), group=group, access="hidden")
        Dataset.objects.filter(slug="empty").update(history_days=400)
        spec = dataset.spec()
        with actor(viewer.pk, "by the viewer"), connection.cursor() as cursor:
            cursor.execute(f"UPDATE {spec.table} SET {spec.columns[1].name} = 'seen' WHERE id = 3")
            customers, visits = (Dataset.objects.get(slug=slug).spec() for slug in ("customers", "visits"))
            cursor.execute(
                f"INSERT INTO {customers.table} ({', '.join(one.name for one in customers.columns)}) VALUES ('a', 'A')"
            )
            names = ", ".join(one.name for one in visits.columns)
            cursor.execute(f"INSERT INTO {visits.table} ({names}) VALUES (2, 'a', NULL), (1, 'a', 2)")
    yield tenant
    for made in Tenant.objects.exclude(pk__in=known):
        Job.objects.filter(schema=made.schema_name).delete()
        TenantShare.objects.filter(schema=made.schema_name).delete()
        Domain.objects.filter(tenant=made).delete()
        made.delete()
    Job.objects.filter(schema="public").delete()
    with connection.cursor() as cursor:
        for schema in schemas() - before:
            drop_schema(cursor, schema)


@pytest.fixture
def bundle(first: TenantRef, tmp_path: Path) -> Path:
    path = tmp_path / "first.zip"
    export_bundle(tenant=tenant_of(first), path=path)
    return path


def all_of(tenant: TenantRef) -> dict[str, Any]:
    """Return everything a bundle promises to bring over, as it stands in a tenant."""
    found: dict[str, Any] = {}
    with in_tenant(tenant), connection.cursor() as cursor:
        for dataset in Dataset.objects.order_by("slug"):
            spec = dataset.spec()
            columns = ", ".join(one.name for one in spec.columns)
            cursor.execute(f"SELECT id, {columns} FROM {spec.table} ORDER BY id")
            records = cursor.fetchall()
            cursor.execute(
                f"SELECT h.id, {columns}, history_id, history_date, history_type, email, history_change_reason"
                f" FROM {spec.history_table} h LEFT JOIN accounts_user u ON u.id = history_user_id ORDER BY history_id"
            )
            grants = {str(who): sorted(rights) for who, rights in granted_to(dataset).items()}
            limits = ColumnLimit.objects.filter(column__dataset=dataset)
            found[dataset.slug] = (
                to_table_schema(spec),
                dataset.history_days,
                records,
                cursor.fetchall(),
                grants,
                [(one.column.label, str(one.user or one.group), one.access) for one in limits],
            )
        found["people"] = [
            (
                user.email,
                user.is_active,
                sorted(group.name for group in user.groups.all()),
                sorted(user.get_all_permissions()),
                user.date_joined,
            )
            for user in User.objects.order_by("email")
        ]
        found["groups"] = list(Group.objects.order_by("name").values_list("name", flat=True))
    return found


def test_what_left_as_a_bundle_is_the_same_where_it_comes_in(first, bundle):
    made = import_bundle(path=bundle, slug=f"{first.slug}-away")
    assert all_of(made.tenant.ref) == all_of(first)
    with in_tenant(made.tenant.ref):  # and history tells of every record that came in
        assert [found for one in Dataset.objects.all() for found in unrecorded(one.spec())] == []
    assert made.tenant.state == "ACTIVE"
    assert made.records["orders"] == len(NASTY)


def test_nobody_brings_a_password_and_the_owner_is_invited(first, bundle):
    made = import_bundle(path=bundle, slug=f"{first.slug}-away")
    assert b"password" not in zipfile.ZipFile(bundle).read("people.json")
    with in_tenant(made.tenant.ref):
        assert not any(user.has_usable_password() for user in User.objects.all())
    page = made.link.partition("localhost")[2]
    assert Client(HTTP_HOST=f"{made.tenant.slug}.localhost").get(page).status_code == 200


def test_records_added_after_it_came_in_get_new_numbers(first, bundle):
    made = import_bundle(path=bundle, slug=f"{first.slug}-away")
    with in_tenant(made.tenant.ref), connection.cursor() as cursor:
        spec = Dataset.objects.get(slug="orders").spec()
        cursor.execute(f"SELECT max(id), max(history_id) FROM {spec.history_table}")
        highest, newest = cursor.fetchone()
        cursor.execute(f"INSERT INTO {spec.table} ({spec.columns[0].name}) VALUES (999) RETURNING id")
        assert cursor.fetchone()[0] > highest
        cursor.execute(f"SELECT history_id FROM {spec.history_table} WHERE id > %s", [highest])
        assert cursor.fetchone()[0] > newest


def test_a_bundle_is_read_by_other_programs(first, bundle):
    with zipfile.ZipFile(bundle) as archive:
        manifest = json.loads(archive.read("datapackage.json"))
        assert archive.testzip() is None
        text = archive.read("records/orders.csv").decode()
        schema = json.loads(archive.read("definitions/orders.json"))
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert rows[0] == ["rowhouse:id", *(field["name"] for field in schema["fields"])]
    written = {row[2] for row in rows[1:]}
    gone = {NASTY[1], NASTY[2]}  # one was deleted, one changed
    assert set(NASTY) - gone <= written
    assert {one["path"] for one in manifest["resources"]} >= {
        "records/orders.csv", "history/orders.csv", "people.json", "permissions.json", "events.csv", "files.csv",
    }  # fmt: skip


@pytest.mark.parametrize(
    "name", ["records/orders.csv", "history/orders.csv", "people.json", "definitions/orders.json"]
)
def test_an_altered_part_is_refused_and_nothing_is_made(first, bundle, tmp_path, name):
    altered = tmp_path / "altered.zip"
    with zipfile.ZipFile(bundle) as archive, zipfile.ZipFile(altered, "w") as other:
        for one in archive.namelist():
            data = archive.read(one)
            other.writestr(one, data.replace(b"a", b"b") if one == name else data)
    before = schemas(), Tenant.objects.count()
    with pytest.raises(BundleRefused, match="not what was written"):
        import_bundle(path=altered, slug=f"{first.slug}-away")
    assert (schemas(), Tenant.objects.count()) == before


def test_what_is_no_bundle_is_refused(first, bundle, tmp_path):
    for data in (b"", b"no zip", bundle.read_bytes()[:-100]):
        (tmp_path / "no.zip").write_bytes(data)
        with pytest.raises(BundleRefused):
            import_bundle(path=tmp_path / "no.zip", slug=f"{first.slug}-away")


def test_the_commands_go_round(first, tmp_path):
    path = str(tmp_path / "round.zip")
    out = io.StringIO()
    call_command("export_bundle", "--tenant", first.slug, "--to", path, "--json", stdout=out)
    assert "orders" in json.loads(out.getvalue())["datasets"]
    out = io.StringIO()
    call_command("import_bundle", path, "--as", f"{first.slug}-away", "--json", stdout=out)
    told = json.loads(out.getvalue())
    assert (told["state"], told["records"]["visits"], told["users"]) == ("ACTIVE", 2, 3)
