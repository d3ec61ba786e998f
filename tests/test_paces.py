"""How often people may do what costs: each deed, each person, each tenant; and nobody else is held up by it."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.apps import apps
from django.http import HttpResponse
from django.test import Client
from django.urls import URLPattern, URLResolver, reverse

from accounts.operators.models import Operator
from core.limits import TooMany
from core.paces import TENANT_TIMES, pace_of, require
from core.tenancy import TenantRef, in_tenant
from exporter.tests.helpers import stored_file
from importer.models import ImportJob
from importer.tests.tools import import_text, make_orders, upload
from rowhouse import urls_public, urls_tenant
from tenants.models import Tenant

TOO_MANY = 429


@pytest.fixture
def paced(settings: Any) -> None:
    settings.ROWHOUSE_PACES = dict.fromkeys(settings.ROWHOUSE_PACES, 2)


def page_names(patterns: Any) -> Iterator[str]:
    for one in patterns:
        if isinstance(one, URLResolver):
            yield from page_names(one.url_patterns)
        elif isinstance(one, URLPattern):
            yield one.name or ""


def test_every_declared_pace_is_of_a_page_and_in_the_settings(settings: Any) -> None:
    names = {*page_names(urls_tenant.urlpatterns), *page_names(urls_public.urlpatterns)}
    declared = {
        pattern: pace
        for config in apps.get_app_configs()
        for pattern, pace in getattr(config, "page_paces", {}).items()
    }
    idle = [
        one for one in declared if not any(pace_of(one.split()[0], name) == declared[one] for name in names)
    ]
    assert idle == []
    assert {*declared.values()} == {*settings.ROWHOUSE_PACES}
    exact = [one for one in declared if "*" not in one and one.split()[1] not in names]
    assert exact == []


def test_what_costs_has_a_pace() -> None:
    assert {
        pace_of("POST", "importer_importjob_upload"), pace_of("POST", "stock_stockimport_upload"),
        pace_of("POST", "importer_importjob_new_dataset"),
    } == {"upload"}  # fmt: skip
    assert pace_of("POST", "importer_importjob_confirm") == "confirm"
    assert pace_of("POST", "importer_importjob_undo") == "undo"
    assert pace_of("POST", "exporter_exportrun_now") == "export"
    assert pace_of("GET", "exporter_exportfile_download") == "download"
    assert pace_of("POST", "rowhouse_restore") == "restore"
    assert pace_of("POST", "tenants_tenant_back_up") == "backup"
    assert pace_of("GET", "importer_importjob_upload") is None
    assert pace_of("GET", "index") is None


type Deed = Callable[[Client, TenantRef], HttpResponse]


def uploads(client: Client, tenant: TenantRef) -> Any:
    with in_tenant(tenant):
        dataset = ImportJob.objects.first().dataset_id
    file = io.BytesIO(b"id,status,note\n5,new,x\n")
    file.name = "orders.csv"
    return client.post(
        "/admin/importer/importjob/upload/", {"dataset": dataset, "file": file, "mode": "UPSERT"}
    )


def confirms(client: Client, tenant: TenantRef) -> Any:
    with in_tenant(tenant):
        job = ImportJob.objects.order_by("pk").first()
    return client.post(f"/admin/importer/importjob/{job.pk}/confirm/", {"seen": 1, "policy": "GOOD_ROWS"})


def undoes(client: Client, tenant: TenantRef) -> Any:
    with in_tenant(tenant):
        job = ImportJob.objects.order_by("pk").last()
    return client.post(f"/admin/importer/importjob/{job.pk}/undo/")


def exports(client: Client, tenant: TenantRef) -> Any:
    return client.post("/admin/exporter/exportrun/now/", {"all": "1"})


def downloads(client: Client, tenant: TenantRef) -> Any:
    return client.get("/admin/exporter/exportfile/1/download/")


def restores(client: Client, tenant: TenantRef) -> Any:
    with in_tenant(tenant):
        dataset = ImportJob.objects.first().dataset_id
    return client.post(f"/admin/datasets/dataset/{dataset}/restore/", {})


DEEDS = [uploads, confirms, undoes, exports, downloads, restores]


def furnish(tenant: TenantRef) -> None:
    with in_tenant(tenant):
        orders = make_orders()
        upload(orders, "id,status,note\n1,new,a\n")
        import_text(orders, "id,status,note\n7,new,b\n")
        stored_file(orders, data=b"id\n1\n")


@pytest.mark.case("D04", "D09")
@pytest.mark.parametrize("deed", DEEDS, ids=[deed.__name__ for deed in DEEDS])
def test_too_often_is_429_for_that_person_and_nobody_else(
    acme: TenantRef, globex: TenantRef, client_of: Any, paced: None, deed: Deed
) -> None:
    furnish(acme)
    furnish(globex)
    owner, editor = client_of(acme), client_of(acme, "editor")
    neighbour = client_of(globex)

    seen = [deed(owner, acme) for _ in range(4)]

    assert TOO_MANY not in {answer.status_code for answer in seen[:2]}
    assert [answer.status_code for answer in seen[2:]] == [TOO_MANY, TOO_MANY]
    refused = seen[3]
    assert 0 < int(refused["Retry-After"]) <= 600
    assert "Try again in 10 minutes" in refused.content.decode()
    assert deed(editor, acme).status_code != TOO_MANY
    assert deed(neighbour, globex).status_code != TOO_MANY
    assert owner.get("/admin/").status_code == 200  # he works on


@pytest.mark.case("D04")
def test_a_refused_upload_made_nothing(
    acme: TenantRef, globex: TenantRef, client_of: Any, paced: None
) -> None:
    furnish(acme)
    owner = client_of(acme)
    for _ in range(5):
        uploads(owner, acme)
    with in_tenant(acme):
        assert ImportJob.objects.filter(file_name="orders.csv").count() <= 2


@pytest.mark.case("D04", "D09")
def test_many_people_of_a_tenant_share_its_pace_and_another_tenant_has_its_own(
    acme: TenantRef, globex: TenantRef, paced: None
) -> None:
    class Person:
        class _meta:
            label = "accounts.User"

        def __init__(self, pk: int) -> None:
            self.pk = pk

    def goes_through(number: int) -> bool:
        try:
            require("upload", by=Person(number))
        except TooMany:
            return False
        return True

    with in_tenant(acme):
        passed = [goes_through(number) for number in range(2 * TENANT_TIMES + 3)]
    assert passed == [True] * 2 * TENANT_TIMES + [False] * 3
    with in_tenant(globex):
        assert goes_through(0)


def test_who_is_not_signed_in_is_sent_to_sign_in_and_takes_from_nobody(
    acme: TenantRef, globex: TenantRef, client_of: Any, paced: None
) -> None:
    furnish(acme)
    nobody = Client(HTTP_HOST="acme.localhost")
    assert {exports(nobody, acme).status_code for _ in range(20)} == {302}
    assert exports(client_of(acme), acme).status_code == 302


@pytest.mark.case("D04")
def test_operators_too_have_a_pace_for_backups(acme: TenantRef, paced: None) -> None:
    client = Client(HTTP_HOST="localhost")
    person: Any = Operator.objects.create_operator(email="op@example.com", password="correct horse battery")
    client.force_login(person, backend="accounts.backends.OperatorBackend")
    tenant = Tenant.objects.get(slug="acme")
    address = reverse("operator:tenants_tenant_back_up", args=[tenant.pk], urlconf="rowhouse.urls_public")
    statuses = [client.post(address).status_code for _ in range(3)]
    assert statuses[2] == TOO_MANY
    assert TOO_MANY not in statuses[:2]


@pytest.mark.case("D04")
def test_a_program_that_asks_for_json_is_told_in_json(
    acme: TenantRef, globex: TenantRef, client_of: Any, paced: None
) -> None:
    furnish(acme)
    owner = client_of(acme)
    for _ in range(2):
        exports(owner, acme)
    refused = owner.post(
        "/admin/exporter/exportrun/now/", {"all": "1"}, headers={"Accept": "application/json"}
    )
    assert (refused.status_code, refused.json()["code"]) == (TOO_MANY, "too-many-requests")
