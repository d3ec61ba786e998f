"""Programs with tokens, and two tenants that have the same of everything under the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from accounts.models import User
from accounts.tokens.models import ApiToken, Scope
from accounts.tokens.services import create_token
from core.tenancy import TenantRef, in_tenant
from datasets.granting import limit_column
from datasets.models import ColumnAccess, Dataset
from datasets.rows import get_row_model
from exporter.models import ExportFile
from exporter.tests.helpers import stored_file
from importer.models import ImportJob
from importer.tests.tools import import_text, make_orders, upload
from tests.test_pages_need_rights import align

FILE = "id,status,amount,note\n1,new,10.00,{word}\n2,paid,20.50,\n3,sent,,later\n"
NEXT = "id,status,amount,note\n1,paid,10.00,{word}\n4,new,5.00,{word}\nx,new,1.00,{word}\n"
OURS, THEIRS = "WORD-OF-ACME", "WORD-OF-GLOBEX"


class Program(Client):
    """Asks the API with a token, and with nothing else."""

    def __init__(self, host: str, secret: str = "", **more: Any) -> None:
        header = {"HTTP_AUTHORIZATION": f"Bearer {secret}"} if secret else {}
        super().__init__(HTTP_HOST=host, raise_request_exception=False, **{**header, **more})

    def ask(self, path: str, status: int = 200, **query: Any) -> Any:
        """Return the JSON of an answer, whose status must be this one."""
        answer = self.get(f"/api/v1{path}", query)
        assert answer.status_code == status, answer.content[:500]
        return answer.json()

    def send(self, path: str, status: int, **body: Any) -> Any:
        """Send JSON, and return the JSON of the answer, whose status must be this one."""
        answer = self.post(f"/api/v1{path}", body, content_type="application/json")
        assert answer.status_code == status, answer.content[:500]
        return answer.json()

    def upload(self, text: str, status: int = 201, **fields: Any) -> Any:
        """Send a file of orders."""
        header = {"HTTP_IDEMPOTENCY_KEY": fields.pop("key")} if "key" in fields else {}
        file = SimpleUploadedFile("orders.csv", text.encode())
        answer = self.post("/api/v1/imports", {"dataset": "orders", "file": file, **fields}, **header)
        assert answer.status_code == status, answer.content[:500]
        return answer.json()


@dataclass(frozen=True)
class Place:
    """What one tenant has."""

    tenant: TenantRef
    orders: Dataset
    other: Dataset
    record: int
    merged: ImportJob
    waiting: ImportJob
    file: ExportFile

    @property
    def host(self) -> str:
        return f"{self.tenant.slug}.localhost"


MakeProgram = Callable[..., Program]


@pytest.fixture
def program(db: None) -> MakeProgram:
    """Return a function that gives a program: program(acme, "viewer", scopes=["read"])."""

    def make(
        tenant: TenantRef,
        who: str = "owner",
        *,
        scopes: Iterable[str] = Scope.values,
        datasets: Iterable[int] | None = None,
        **more: Any,
    ) -> Program:
        with in_tenant(tenant):
            user = User.objects.get(email=who if "@" in who else f"{who}@{tenant.slug}.example")
            named = None if datasets is None else list(datasets)
            _, secret = create_token(user=user, name="Tests", scopes=list(scopes), datasets=named)
        return Program(f"{tenant.slug}.localhost", secret, **more)

    return make


@pytest.fixture
def places(acme: TenantRef, globex: TenantRef) -> tuple[Place, Place]:
    """Both tenants with the same datasets, records, imports and files, whose numbers are equal and words are not."""
    align(acme, globex)
    ours, theirs = furnish(acme, OURS), furnish(globex, THEIRS)
    for one in ("orders", "other", "waiting", "merged", "file"):
        assert getattr(ours, one).pk == getattr(theirs, one).pk, one
    assert ours.record == theirs.record
    return ours, theirs


@pytest.fixture
def place(places: tuple[Place, Place]) -> Place:
    return places[0]


def furnish(tenant: TenantRef, word: str) -> Place:
    """Put orders, two imports of them and a file into a tenant."""
    with in_tenant(tenant):
        orders, other = make_orders(), make_orders("Others")
        merged = import_text(orders, FILE.format(word=word))
        import_text(other, FILE.format(word=word))
        waiting = upload(orders, NEXT.format(word=word))
        assert waiting.state == "PREVIEW_SUCCEEDED", waiting.error
        id_ = orders.columns.get(label="id")
        record = get_row_model(orders).objects.get(**{f"c{id_.pk}": 1})
        file = stored_file(orders, data=f"id,note\n1,{word}\n".encode())
        return Place(tenant, orders, other, record.pk, merged, waiting, file)


def hide(place: Place, label: str, who: str = "viewer") -> None:
    """Hide a column of the orders from somebody."""
    with in_tenant(place.tenant):
        user = User.objects.get(email=f"{who}@{place.tenant.slug}.example")
        limit_column(column=place.orders.columns.get(label=label), to=user, how=ColumnAccess.HIDDEN)


def token_of(place: Place) -> ApiToken:
    """Return the tenant's newest token."""
    with in_tenant(place.tenant):
        token: ApiToken = ApiToken.objects.select_related("user").latest("pk")
        return token
