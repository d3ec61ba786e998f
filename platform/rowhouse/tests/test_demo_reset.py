"""What the demo made is removed whole, whatever was made of it since."""

from __future__ import annotations

import io

from django.db import connection

from accounts.operators.models import Operator
from core import storage
from core.tenancy import TenantRef, in_tenant
from rowhouse.demo import reset
from rowhouse.demo.story import OPERATOR_EMAIL
from tenants.backup.models import TenantBackup
from tenants.backup.store import backup_store
from tenants.models import Domain, Tenant


def test_a_tenant_with_files_and_backups_goes(acme: TenantRef, globex: TenantRef, monkeypatch) -> None:
    monkeypatch.setattr(reset, "TENANTS", {"acme": "Acme"})
    Operator.objects.create_operator(email=OPERATOR_EMAIL, password="a long enough one")
    with in_tenant(acme):
        storage.save("exports/a.csv", io.BytesIO(b"a"))
    with in_tenant(globex):
        storage.save("exports/a.csv", io.BytesIO(b"b"))
    key = "_backups/acme/one"
    backup_store().save(key.removeprefix("_backups/"), io.BytesIO(b"backup"))
    TenantBackup.objects.create(
        tenant=Tenant.objects.get(slug="acme"),
        trigger="MANUAL",
        state="SUCCEEDED",
        key=key,
        sha256="0" * 64,
        bytes=6,
    )
    reset.remove_everything()
    assert not Tenant.objects.filter(slug="acme").exists()
    assert not Domain.objects.filter(domain="acme.localhost").exists()
    assert not backup_store().exists(key)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_roles WHERE starts_with(rolname, %s)", [acme.schema])
        assert cursor.fetchone() == (0,)
        cursor.execute("SELECT to_regnamespace(%s)", [acme.schema])
        assert cursor.fetchone() == (None,)
    with in_tenant(globex):
        assert [stored for stored, _ in storage.list_keys()] == ["globex/exports/a.csv"]
