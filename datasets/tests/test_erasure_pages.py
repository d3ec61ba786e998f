"""The pages of erasures: for owners alone, empty and filled, from asking to the proof."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.test import Client

import jobs.services
from accounts.models import User
from accounts.services import create_user
from core.tenancy import TenantRef, in_tenant
from datasets.erasure_models import Erasure, ErasureState
from datasets.models import Dataset
from datasets.rows import get_row_model
from importer.tests.tools import import_text, make_orders

if TYPE_CHECKING:
    from conftest import ClientOf

LIST = "/admin/datasets/erasure/"
VALUE = "person-4711"


@pytest.fixture
def orders(acme: TenantRef, globex: TenantRef) -> Dataset:
    """Orders of acme, one with the value; globex has one of its own."""
    text = f"id,status,note\n1,new,{VALUE}\n2,new,other\n"
    with in_tenant(globex):
        import_text(make_orders(), text)
    with in_tenant(acme):
        dataset = make_orders()
        import_text(dataset, text)
        return dataset


def asked(client: Client, tenant: TenantRef, dataset: Dataset, **more: object) -> Erasure:
    with in_tenant(tenant):
        note = dataset.columns.get(label="note")
    answer = client.post(f"{LIST}ask/", {"values": VALUE, "find": [note.pk], "mode": "delete", **more})
    assert answer.status_code == 302, answer.content.decode()
    with in_tenant(tenant):
        jobs.services.run_pending()
        return Erasure.objects.latest("pk")


def page(client: Client, erasure: Erasure, *, status: int = 200) -> str:
    answer = client.get(f"{LIST}{erasure.pk}/change/")
    assert answer.status_code == status
    return answer.content.decode()


def state(tenant: TenantRef, erasure: Erasure) -> str:
    with in_tenant(tenant):
        jobs.services.run_pending()
        erasure.refresh_from_db()
        return erasure.state


def test_one_owner_asks_looks_types_the_name_and_has_the_proof(
    client_of: ClientOf, acme: TenantRef, globex: TenantRef, orders: Dataset
) -> None:
    client = client_of(acme)
    assert "Nobody’s values were erased yet" in client.get(LIST).content.decode()
    made = asked(client, acme, orders, note="case 12")
    shown = page(client, made)
    assert VALUE not in shown
    assert 'data-count="records">1<' in shown
    assert "You are the only owner" in shown
    answer = client.post(f"{LIST}{made.pk}/confirm/", {"typed": "orders"})
    assert (answer.status_code, state(acme, made)) == (409, ErasureState.PREVIEW_SUCCEEDED)
    answer = client.post(f"{LIST}{made.pk}/confirm/", {"typed": "Orders"})
    assert (answer.status_code, state(acme, made)) == (302, ErasureState.ERASURE_SUCCEEDED)
    proof = page(client, made)
    assert VALUE not in proof
    assert "This page is the proof" in proof
    listed = client.get(f"{LIST}?q=case").content.decode()
    assert f"{made.pk}/change/" in listed
    assert f"{made.pk}/change/" not in client.get(f"{LIST}?q=nothing-like-it").content.decode()
    with in_tenant(acme):
        assert get_row_model(orders)._default_manager.count() == 1
    with in_tenant(globex):
        theirs = Dataset.objects.get()
        assert get_row_model(theirs)._default_manager.count() == 2
        assert not Erasure.objects.exists()


def test_a_second_owner_approves(client_of: ClientOf, acme: TenantRef, orders: Dataset) -> None:
    client = client_of(acme)
    with in_tenant(acme):
        second = create_user(email="second@acme.example", password="-", role="owner")
    made = asked(client, acme, orders)
    client.post(f"{LIST}{made.pk}/confirm/", {"typed": "Orders"})
    assert state(acme, made) == ErasureState.APPROVAL_AWAITED
    assert "Approve and erase" not in page(client, made)
    assert client.post(f"{LIST}{made.pk}/approve/").status_code == 403
    other = Client(HTTP_HOST=client.defaults["HTTP_HOST"])
    with in_tenant(acme):
        other.force_login(second, backend="accounts.backends.TenantBackend")
    assert "Approve and erase" in page(other, made)
    assert other.post(f"{LIST}{made.pk}/approve/").status_code == 302
    assert state(acme, made) == ErasureState.ERASURE_SUCCEEDED


def test_an_owner_cancels_and_a_bad_question_is_answered(
    client_of: ClientOf, acme: TenantRef, orders: Dataset
) -> None:
    client = client_of(acme)
    made = asked(client, acme, orders)
    assert client.post(f"{LIST}{made.pk}/cancel/").status_code == 302
    assert state(acme, made) == ErasureState.CANCELLED
    assert client.post(f"{LIST}{made.pk}/confirm/", {"typed": "Orders"}).status_code == 409
    answer = client.post(f"{LIST}ask/", {"values": "ab", "mode": "delete"})
    assert answer.status_code == 422
    assert b"This field is required" in answer.content


@pytest.mark.parametrize("role", ["editor", "viewer"])
def test_nobody_but_owners_sees_any_of_it(
    client_of: ClientOf, acme: TenantRef, orders: Dataset, role: str
) -> None:
    made = asked(client_of(acme), acme, orders)
    client = client_of(acme, role)
    assert "Erasures" not in client.get("/admin/").content.decode()
    for address in (LIST, f"{LIST}ask/", f"{LIST}{made.pk}/change/", f"{LIST}{made.pk}/progress/"):
        assert client.get(address).status_code == 403, address
    for act in ("confirm", "approve", "cancel", "resume"):
        assert client.post(f"{LIST}{made.pk}/{act}/", {"typed": "Orders"}).status_code == 403
    assert state(acme, made) == ErasureState.PREVIEW_SUCCEEDED


def test_an_operator_inside_may_not(client_of: ClientOf, acme: TenantRef, orders: Dataset) -> None:
    from core.clock import now  # noqa: PLC0415 -- of this test alone

    client = client_of(acme)
    with in_tenant(acme):
        User.objects.filter(email="owner@acme.example").update(entry_ends_at=now().replace(year=2999))
    assert client.get(f"{LIST}ask/").status_code in (302, 403)
