"""How a tenant comes into being: by a spare, by the template's script, by migrations, and the same each time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from threading import Barrier, Thread
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.contrib.contenttypes.models import ContentType
from django.core import mail
from django.db import connection, transaction
from django.utils.timezone import now
from pytest_django.plugin import DjangoDbBlocker

from accounts.models import User
from accounts.services import create_user
from core.tenancy import TenantRef, in_tenant, leave_tenant
from jobs import services as jobs
from jobs.kinds import chores
from jobs.models import Job
from jobs.services import run_pending
from tenants import provisioning, services, spares, template
from tenants.catalog import NotCopied, differences
from tenants.models import Domain, SchemaTemplate, SpareSchema, Tenant


def request(slug: str = "initech") -> Tenant:
    return services.request_tenant(slug=slug, name="", owner_email=f"boss@{slug}.example", provision_now=True)


def provisioned(slug: str = "initech") -> tuple[Tenant, str]:
    """Set a tenant up; return it and the way it came into being."""
    tenant = request(slug)
    return tenant, services.provision_tenant(tenant=tenant, owner_password="-").way


@pytest.fixture
def migrated(db: None, monkeypatch: pytest.MonkeyPatch) -> Tenant:
    """A tenant set up by migrations alone."""
    with monkeypatch.context() as patched:
        patched.setattr(template, "ensure", refuse)
        tenant, way = provisioned("migrated")
    assert way == "migrations"
    return tenant


def refuse() -> None:
    raise NotCopied("An app makes what cannot be copied.")


def schemas() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 't\\_%%'")
        return {name for (name,) in cursor.fetchall()}


def first_rows(tenant: Tenant) -> dict[str, Any]:
    """Return what a new tenant holds, by names and not by numbers."""
    with in_tenant(tenant.ref), connection.cursor() as cursor:
        cursor.execute("SELECT app, name FROM django_migrations ORDER BY 1, 2")
        return {
            "migrations": cursor.fetchall(),
            "types": sorted(ContentType.objects.values_list("app_label", "model")),
            "rights": {
                group.name: sorted(group.permissions.values_list("content_type__app_label", "codename"))
                for group in Group.objects.all()
            },
            "people": list(User.objects.values_list("email", "groups__name")),
        }


def test_every_way_makes_the_same_schema(migrated: Tenant) -> None:
    scripted, way = provisioned("scripted")
    assert way == "script"
    spares.make_one()
    renamed, way = provisioned("renamed")
    assert way == "spare"
    for tenant in (scripted, renamed):
        with connection.cursor() as cursor:
            found = differences(cursor, migrated.schema_name, tenant.schema_name, rights=True)
        assert found == []
        made, expected = first_rows(tenant), first_rows(migrated)
        assert made.pop("people") == [(f"boss@{tenant.slug}.example", "owner")]
        expected.pop("people")
        assert made == expected
        assert len(made["migrations"]) > 50
        assert made["rights"]["viewer"]


def test_what_a_copied_tenant_adds_gets_the_next_number(db: None) -> None:
    for slug in ("scripted", "renamed"):
        spares.make_one() if slug == "renamed" else None
        tenant, _way = provisioned(slug)
        with in_tenant(tenant.ref):
            highest = max(ContentType.objects.values_list("pk", flat=True))
            assert ContentType.objects.create(app_label="new", model="new").pk == highest + 1
            assert Group.objects.create(name="new").pk == 4
            user = create_user(email="second@example.org", password="-", role="viewer")
            assert list(User.objects.order_by("pk").values_list("pk", flat=True)) == [1, 2]
            assert (
                user.has_perm("datasets.view_dataset")
                == Group.objects.get(name="viewer").permissions.filter(codename="view_dataset").exists()
            )


def test_a_spare_is_taken_once_and_the_next_tenant_has_another(db: None) -> None:
    made = [spares.make_one().schema_name for _ in range(2)]
    ways = [provisioned(slug)[1] for slug in ("one", "two", "three")]
    assert ways == ["spare", "spare", "script"]
    assert not SpareSchema.objects.exists()
    assert not schemas() & set(made)


def test_a_spare_that_is_gone_is_passed_over(db: None) -> None:
    gone, there = spares.make_one(), spares.make_one()
    with connection.cursor() as cursor:
        template.drop_schema(cursor, gone.schema_name)
    assert provisioned()[1] == "spare"
    assert there.schema_name not in schemas()


def test_what_earlier_code_made_is_not_taken_and_is_dropped(db: None) -> None:
    current = template.ensure()
    old = spares.make_one()
    SpareSchema.objects.filter(pk=old.pk).update(digest="old", created_at=now() - timedelta(days=1))
    assert provisioned()[1] == "script"
    assert spares.drop_stale() == 1
    assert old.schema_name not in schemas()
    with connection.cursor() as cursor:
        template.create_schema(cursor, "t_oldtemplate")
    SchemaTemplate.objects.create(pk=current.pk - 1, schema_name="t_oldtemplate", digest="old", script="")
    assert template.drop_older(current) == 1
    assert "t_oldtemplate" not in schemas()
    assert template.ensure() == current


def test_a_worker_makes_as_many_spares_as_there_should_be(db: None, settings: Any) -> None:
    settings.ROWHOUSE_SPARE_SCHEMAS = 2
    for _ in range(2):
        spares.refill()
    assert Job.objects.active().filter(kind="tenants.spares").count() == 1
    run_pending()
    assert SpareSchema.objects.count() == 2
    spares.refill()
    run_pending()
    assert SpareSchema.objects.count() == 2
    tenant, way = provisioned()
    assert way == "spare"
    run_pending()
    assert SpareSchema.objects.count() == 2


def test_nothing_is_left_of_a_tenant_that_failed_half_way(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    spare = spares.make_one()
    tenant, before = request(), schemas()

    def die(_ref: TenantRef) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patched, pytest.raises(RuntimeError), transaction.atomic():
        patched.setattr(jobs, "admit_tenant", die)
        services.provision_tenant(tenant=tenant)
    assert schemas() == before
    assert SpareSchema.objects.get() == spare
    assert Tenant.objects.get(pk=tenant.pk).state == "REQUESTED"
    assert services.provision_tenant(tenant=tenant).way == "spare"


@pytest.fixture
def committed(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Tenant]:
    """A requested tenant that other threads see, and a spare for it."""
    with django_db_blocker.unblock():
        tenant = request("twice")
        spares.make_one()
        yield tenant
        leave_tenant()
        with connection.cursor() as cursor:
            template.drop_schema(cursor, tenant.schema_name)
            for spare in SpareSchema.objects.all():
                template.drop_schema(cursor, spare.schema_name)
            for table in ("jobs_job", "jobs_tenantshare"):
                cursor.execute(f"DELETE FROM {table} WHERE schema = %s", [tenant.schema_name])
        SpareSchema.objects.all().delete()
        Domain.objects.filter(tenant=tenant).delete()
        Tenant.objects.filter(pk=tenant.pk).delete()


@pytest.mark.case("C20")
def test_two_processes_that_set_up_one_tenant_make_one_schema(committed: Tenant) -> None:
    before, start = schemas(), Barrier(4)
    outcomes: list[str] = []

    def set_up() -> None:
        start.wait()
        try:
            made = services.provision_tenant(tenant=Tenant.objects.get(pk=committed.pk), owner_password="-")
            outcomes.append(made.way)
        except services.WrongState:
            outcomes.append("refused")
        finally:
            connection.close()

    threads = [Thread(target=set_up) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["refused", "refused", "refused", "spare"]
    assert committed.schema_name in schemas()
    assert len(schemas()) == len(before)  # the spare's name is gone
    with in_tenant(committed.ref):
        assert User.objects.count() == 1


def test_a_tenant_nobody_is_at_any_more_is_picked_up_once(db: None) -> None:
    forgotten, asked = request("forgotten"), request("asked")
    assert provisioning.pick_up_forgotten() == 0
    Tenant.objects.filter(pk__in=[forgotten.pk, asked.pk]).update(state_at=now() - timedelta(hours=1))
    services.provision_again(tenant=asked)
    assert provisioning.pick_up_forgotten() == 1
    assert provisioning.pick_up_forgotten() == 0
    run_pending()
    assert set(Tenant.objects.filter(pk__in=[forgotten.pk, asked.pk]).values_list("state", flat=True)) == {
        "ACTIVE"
    }


def test_a_worker_looks_now_and_then(db: None, settings: Any) -> None:
    tenant = request()
    Tenant.objects.filter(pk=tenant.pk).update(state_at=now() - timedelta(hours=1))
    settings.ROWHOUSE_SPARE_SCHEMAS = 1
    for chore in chores():
        chore()
    run_pending()
    assert (Tenant.objects.get(pk=tenant.pk).state, SpareSchema.objects.count()) == ("ACTIVE", 1)


def test_an_owner_without_a_password_is_invited_by_mail_too(db: None) -> None:
    tenant = request()
    made = services.provision_tenant(tenant=tenant)
    assert made.link.startswith("http://initech.localhost/invitation/")
    with in_tenant(tenant.ref):
        assert not User.objects.get().has_usable_password()
    run_pending()
    [message] = mail.outbox
    assert message.to == ["boss@initech.example"]
    assert "http://initech.localhost/invitation/" in message.body


def test_without_a_mail_server_no_mail_is_tried(db: None, settings: Any) -> None:
    settings.MAILERS = {}
    tenant = request()
    assert services.provision_tenant(tenant=tenant).link
    assert not Job.objects.filter(kind="tenants.invite", target=tenant.schema_name).exists()


def test_only_the_owner_of_an_active_tenant_is_invited_again(acme: TenantRef) -> None:
    tenant = Tenant.objects.get(slug="acme")
    assert services.invite_owner(tenant=tenant).startswith("http://acme.localhost/invitation/")
    with in_tenant(acme):
        User.objects.filter(email=tenant.owner_email).update(is_active=False)
    with pytest.raises(services.NotInvited, match="no active user"):
        services.invite_owner(tenant=tenant)
    services.suspend_tenant(tenant=tenant)
    with pytest.raises(services.NotInvited, match="suspended"):
        services.invite_owner(tenant=tenant)
