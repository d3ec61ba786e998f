"""What operators see of tenants: measured in turn, listed with a fixed number of statements."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

import jobs.services
from accounts.operators.models import Operator
from audit.models import Event
from core.clock import now
from core.quotas import Resource
from core.tenancy import in_public, in_tenant
from importer.tests.tools import import_text, make_orders
from jobs.models import Job
from rowhouse.measuring import measure_current, measure_tenant
from tenants.models import Domain, DomainClaim, Tenant, TenantFigures, TenantNote
from tenants.names import new_schema_name
from tenants.notes import BadNote, add_note
from tenants.quotas import set_quota
from tenants.standing import make_read_only

LIST = "/operator/tenants/tenant/"


@pytest.fixture
def operator(db) -> Client:
    client = Client(HTTP_HOST="localhost")
    person: Any = Operator.objects.create_operator(email="op@example.com", password="correct horse battery")
    client.force_login(person, backend="accounts.backends.OperatorBackend")
    return client


def tenant(slug: str = "acme") -> Tenant:
    return Tenant.objects.get(slug=slug)


def page_of(slug: str = "acme") -> str:
    return f"{LIST}{tenant(slug).pk}"


def listed(operator: Client, query: str) -> set[str]:
    return {one.slug for one in operator.get(f"{LIST}?{query}").context["cl"].result_list}


def many(number: int) -> None:
    made = Tenant.objects.bulk_create(
        Tenant(schema_name=new_schema_name(), slug=f"many-{i}", name=f"Many {i}", state="ACTIVE")
        for i in range(number)
    )
    Domain.objects.bulk_create(
        Domain(tenant=one, domain=f"{one.slug}.example", is_primary=True) for one in made
    )
    TenantFigures.objects.bulk_create(TenantFigures(tenant=one, rows=i) for i, one in enumerate(made))
    Job.objects.bulk_create(
        Job(schema=one.schema_name, slug=one.slug, kind="exporter.run", target="x", state="QUEUED")
        for one in made[::3]
    )


def test_a_tenant_is_measured_in_its_hour(acme, operator):
    with in_tenant(acme):
        import_text(make_orders())
        jobs.services.submit("rowhouse.measure", target="now", payload={"slot": "x"})
        jobs.services.run_pending()
    found = TenantFigures.objects.get(tenant=tenant())
    assert (found.rows, found.datasets, found.users) == (3, 1, 3)
    assert found.database_bytes > 1_000_000
    assert found.file_bytes > 0
    text = operator.get(f"{page_of()}/change/").text
    assert "1 dataset, 3 users" in text
    assert f"{found.measured_at:%Y-%m-%d %H:%M} UTC" in text


def test_an_operator_has_a_tenant_measured_now(acme, operator):
    assert "not measured yet" in operator.get(f"{page_of()}/change/").text
    assert operator.post(f"{page_of()}/do/measure/").status_code == 302
    jobs.services.run_pending()
    assert "not measured yet" not in operator.get(f"{page_of()}/change/").text
    assert TenantFigures.objects.get().users == 3


def test_measuring_again_replaces_the_figures(acme):
    assert measure_tenant(tenant()).rows == 0
    with in_tenant(acme):
        import_text(make_orders())
    assert measure_tenant(tenant()).rows == 3
    assert TenantFigures.objects.get().rows == 3


def test_a_dataset_that_the_server_has_not_looked_at_is_measured_too(acme):
    with in_tenant(acme):
        make_orders()
    assert (measure_tenant(tenant()).rows, measure_tenant(tenant()).datasets) == (0, 1)


def test_the_command_measures_all_or_some(acme, globex, capsys):
    call_command("measure_tenants", "--json")
    slugs = [one["tenant"] for one in json.loads(capsys.readouterr().out)["tenants"]]
    assert slugs == ["acme", "globex"]
    call_command("measure_tenants", "acme")
    assert capsys.readouterr().out.startswith("acme: 0 records")


def test_a_list_of_a_thousand_tenants_asks_as_often_as_one_of_ten(acme, operator):
    many(10)
    operator.get(LIST)  # what a process asks once
    with CaptureQueriesContext(connection) as few:
        assert operator.get(f"{LIST}?o=-4").status_code == 200
    Tenant.objects.filter(slug__startswith="many-").delete()
    many(1000)
    with CaptureQueriesContext(connection) as lots:
        answer = operator.get(f"{LIST}?o=-4")
    assert answer.status_code == 200
    assert len(answer.context["cl"].result_list) == 50
    assert len(lots) == len(few)


def test_the_list_is_narrowed_to_what_needs_attention(acme, globex, operator):
    for one in ("acme", "globex"):
        measure_tenant(tenant(one))
    assert listed(operator, "attention=over") == set()
    set_quota(tenant=tenant(), limits={Resource.USERS: 3})
    assert listed(operator, "attention=over") == {"acme"}
    set_quota(tenant=tenant("globex"), limits={Resource.USERS: 4})
    assert listed(operator, "attention=nearly") == {"acme"}
    Job.objects.create(
        schema=tenant("globex").schema_name, slug="globex", kind="importer.merge", target="x", state="FAILED",
        finished_at=now(), error="The disk is full.",
    )  # fmt: skip
    assert listed(operator, "attention=failed") == {"globex"}
    make_read_only(tenant=tenant(), reason="it is being moved")
    assert listed(operator, "attention=read-only") == {"acme"}
    assert listed(operator, "attention=not-measured") == set()
    TenantFigures.objects.filter(tenant=tenant()).update(measured_at=now() - timedelta(hours=4))
    assert listed(operator, "attention=not-measured") == {"acme"}
    assert listed(operator, "attention=never-exported&state=ACTIVE") == {"acme", "globex"}
    assert listed(operator, "q=globex.localhost") == {"globex"}
    assert "active, read-only" in operator.get(LIST).text
    text = operator.get(f"{page_of('globex')}/change/").text
    assert "The disk is full." in text


def test_a_setting_of_all_counts_for_who_has_none_of_their_own(acme, globex, operator, settings):
    for one in ("acme", "globex"):
        measure_tenant(tenant(one))
    settings.ROWHOUSE_QUOTA_USERS = 3
    set_quota(tenant=tenant(), limits={Resource.USERS: 0})
    assert listed(operator, "attention=over") == {"globex"}


def test_deeds_are_done_by_forms_and_recorded(acme, operator):
    do = f"{page_of()}/do"
    for deed in ("read-only", "limits", "note", "domain"):
        assert operator.get(f"{do}/{deed}/").status_code == 200
    assert operator.get(f"{do}/nonsense/").status_code == 404
    operator.post(f"{do}/read-only/", {"reason": "a move"})
    assert operator.post(f"{do}/read-only/", {"reason": "again"}).status_code == 422
    operator.post(f"{do}/writable/")
    operator.post(f"{do}/limits/", {"rows": "10", "bytes": "2"})
    assert (tenant().limits.rows, tenant().limits.bytes, tenant().limits.users) == (10, 2 * 1024 * 1024, None)
    operator.post(f"{do}/note/", {"text": "Pays by invoice."})
    operator.post(f"{do}/domain/", {"domain": "data.customer.example"})
    text = operator.get(f"{page_of()}/change/").text
    claim = DomainClaim.objects.get()
    assert all(
        word in text for word in ("Pays by invoice.", "_rowhouse-verify.data.customer.example", claim.token)
    )
    operator.post(f"{do}/drop-claim/", {"which": claim.pk})
    assert not DomainClaim.objects.exists()
    assert operator.post(f"{do}/drop-claim/", {"which": "9" * 30}).status_code == 404
    names = Event.objects.filter(actor_label="op@example.com", name__startswith="tenants.").order_by("pk")
    assert [one.name.removeprefix("tenants.") for one in names] == [
        "tenant.made-read-only", "tenant.made-writable", "quota.set", "note.added", "domain.claimed",
        "domain.claim-dropped",
    ]  # fmt: skip


def test_a_tenants_people_see_no_notes(acme, operator, client_of):
    add_note(tenant=tenant(), text="CANARY", by="op@example.com")
    owner = client_of(acme)
    for path in ("/admin/", "/admin/entries/", "/admin/audit/event/"):
        assert "CANARY" not in owner.get(path).text


@pytest.mark.parametrize("text", ["", "  ", "x" * 5001], ids=["empty", "blank", "long"])
def test_a_note_that_says_nothing_or_too_much_is_refused(acme, text):
    with pytest.raises(BadNote):
        add_note(tenant=tenant(), text=text, by="op")
    assert not TenantNote.objects.exists()


def test_a_deleted_tenant_is_not_measured(acme):
    Tenant.objects.filter(slug="acme").update(state="DELETED")
    with in_tenant(acme):
        measure_current()
    with in_public():
        assert not TenantFigures.objects.exists()
