"""Two tenants whose data is committed: an export reads through a connection of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection
from pytest_django.plugin import DjangoDbBlocker

from core.tenancy import TenantRef, in_tenant, leave_tenant
from exporter.tests.s3 import moto, on_moto, on_rclone, rclone

__all__ = ["moto", "on_moto", "on_rclone", "rclone"]

# One slug is the beginning of the other: a listing or a clean-up by prefix must not mix them up.
SLUGS = ("t1", "t10")


@pytest.fixture(scope="package")
def committed_pair(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[list[TenantRef]]:
    from accounts.services import create_user  # noqa: PLC0415 -- after the settings
    from tenants.models import Domain, Tenant  # noqa: PLC0415 -- after the settings
    from tenants.services import provision_tenant, request_tenant  # noqa: PLC0415 -- after the settings

    if not str(connection.settings_dict["NAME"]).startswith("test_"):
        raise RuntimeError("There is no test database: run these tests together with one that uses `db`.")
    with django_db_blocker.unblock():
        refs = []
        for slug in SLUGS:
            owner = f"owner@{slug}.example"
            tenant = request_tenant(slug=slug, name=slug, owner_email=owner, provision_now=True)
            provision_tenant(tenant=tenant, owner_password="correct horse battery")
            refs.append(tenant.ref)
            with in_tenant(tenant.ref):
                for role in ("editor", "viewer"):
                    create_user(email=f"{role}@{slug}.example", password="-", role=role)
    yield refs
    with django_db_blocker.unblock():
        leave_tenant()
        for ref in refs:
            with connection.cursor() as cursor:
                cursor.execute(f'DROP SCHEMA IF EXISTS "{ref.schema}" CASCADE')
                cursor.execute("DELETE FROM jobs_tenantshare WHERE schema = %s", [ref.schema])
            Domain.objects.filter(tenant__slug=ref.slug).delete()
            Tenant.objects.filter(slug=ref.slug).delete()


@pytest.fixture
def pair(committed_pair: list[TenantRef], django_db_blocker: DjangoDbBlocker) -> Iterator[list[TenantRef]]:
    """Give t1 and t10, empty; what the test commits is removed afterwards."""
    with django_db_blocker.unblock():
        try:
            yield committed_pair
        finally:
            leave_tenant()
            for ref in committed_pair:
                with in_tenant(ref):
                    _clear()
                with connection.cursor() as cursor:
                    cursor.execute("DELETE FROM jobs_job WHERE schema = %s", [ref.schema])


def _clear() -> None:
    from datasets.models import Dataset  # noqa: PLC0415 -- after the settings
    from datasets.services import delete_dataset  # noqa: PLC0415 -- after the settings
    from exporter.models import ExportFile, ExportRun, ExportSettings  # noqa: PLC0415 -- after the settings

    ExportSettings.objects.all().delete()
    ExportFile.objects.update(base=None)
    ExportFile.objects.all().delete()
    ExportRun.objects.all().delete()
    for dataset in Dataset.objects.all():
        delete_dataset(dataset=dataset)


@pytest.fixture
def t1(pair: list[TenantRef]) -> Iterator[TenantRef]:
    """Run the test inside t1, with t10 beside it."""
    with in_tenant(pair[0]):
        yield pair[0]
