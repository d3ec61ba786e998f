"""Each address of the API by role and scope; another tenant in the room has the same under the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.test import Client

from accounts.models import User
from accounts.tokens.models import Scope
from audit.models import Event
from core.tenancy import TenantRef, in_tenant
from datasets.granting import grant_preset
from rowhouse.api import urls
from rowhouse.api.imports import fingerprint
from rowhouse.api.tests.conftest import FILE, OURS, THEIRS, MakeProgram, Place, Program, hide

ALL = frozenset(Scope.values)


@dataclass(frozen=True)
class Endpoint:
    """An address, the scopes it needs, and by the rights its person holds what it answers."""

    path: Callable[[Place], str]
    method: str = "GET"
    needs: frozenset[str] = frozenset()  # the scopes, each of them
    rights: frozenset[str] = frozenset()  # in the dataset of the address
    answers: int = 200
    refuses: int = 404  # who lacks the rights
    body: Callable[[Place], dict[str, Any]] = field(default=lambda place: {})


def reading(path: str, **more: Any) -> Endpoint:
    wanted = frozenset({"read"})
    return Endpoint(lambda at: path.format(at=at), needs=wanted, rights=frozenset({"view"}), **more)


def importing(path: str, *, rights: tuple[str, ...] = ("import",), **more: Any) -> Endpoint:
    more.setdefault("needs", frozenset({"import"}))
    return Endpoint(lambda at: path.format(at=at), rights=frozenset(rights), **more)


def confirmed(at: Place) -> dict[str, Any]:
    with in_tenant(at.tenant):
        return {"preview": fingerprint(at.waiting)}


def sent(at: Place) -> dict[str, Any]:
    return {"dataset": "orders", "file": SimpleUploadedFile("o.csv", FILE.format(word="x").encode())}


ENDPOINTS = {
    "api_schema": Endpoint(lambda at: "/schema"),
    "api_token": Endpoint(lambda at: "/token"),
    "api_datasets": Endpoint(lambda at: "/datasets"),
    "api_dataset": Endpoint(lambda at: "/datasets/orders", rights=frozenset({"view"})),
    "api_records": reading("/datasets/orders/records"),
    "api_record_by_key": reading("/datasets/orders/records/by-key?key=1"),
    "api_record": reading("/datasets/orders/records/{at.record}"),
    "api_versions": reading("/datasets/orders/records/{at.record}/versions"),
    "api_imports": importing("/imports", rights=()),
    "api_imports POST": importing("/imports", method="POST", answers=201, refuses=403, body=sent),
    # Whoever views the records sees that there was an import, as on the pages.
    "api_import": importing("/imports/{at.waiting.pk}", rights=("view",)),
    "api_issues": importing("/imports/{at.waiting.pk}/issues", rights=("view",)),
    "api_changes": importing(
        "/imports/{at.waiting.pk}/changes", rights=("view",), needs=frozenset({"import", "read"})
    ),
    "api_confirm POST": importing(
        "/imports/{at.waiting.pk}/confirm", method="POST", answers=202, refuses=403, body=confirmed
    ),
    "api_cancel POST": importing("/imports/{at.waiting.pk}/cancel", method="POST", answers=202, refuses=403),
    "api_undo POST": importing("/imports/{at.merged.pk}/undo", method="POST", answers=201, refuses=403),
    "api_exports": Endpoint(lambda at: "/exports", needs=frozenset({"export"})),
    "api_export": Endpoint(
        lambda at: f"/exports/{at.file.pk}", needs=frozenset({"export"}), rights=frozenset({"export"})
    ),
    "api_download": Endpoint(
        lambda at: f"/exports/{at.file.pk}/file", needs=frozenset({"export"}), rights=frozenset({"export"})
    ),
    "api_job": importing("/jobs/{at.waiting.preview_job_id}", rights=("view",)),
}
RIGHTS = {
    "owner": frozenset({"view", "import", "export"}),
    "editor": frozenset({"view", "import", "export"}),
    "viewer": frozenset({"view"}),
    "elsewhere@acme.example": frozenset(),  # an owner of another dataset alone
}
SCOPES = [ALL, *(frozenset({one}) for one in Scope.values), *(ALL - {one} for one in Scope.values)]


def names() -> Iterator[str]:
    for one in urls.urlpatterns:
        if one.name and one.name != "api_nothing":
            yield one.name


def test_every_address_of_the_api_is_asked_for() -> None:
    assert {name.split()[0] for name in ENDPOINTS} == set(names())


def ask(client: Client, one: Endpoint, at: Place) -> tuple[int, bytes]:
    """Return status and body of an answer; what it does is taken back."""
    address = f"/api/v1{one.path(at)}"
    with transaction.atomic():
        if one.method == "GET":
            answer = client.get(address)
        else:
            body = one.body(at)
            kind: dict[str, Any] = {} if "file" in body else {"content_type": "application/json"}
            answer = client.post(address, body, **kind)
        told = b"".join(answer) if getattr(answer, "streaming", False) else answer.content
        transaction.set_rollback(True)
    return answer.status_code, told


@pytest.fixture
def elsewhere(place: Place) -> User:
    with in_tenant(place.tenant):
        user = User.objects.create_user("elsewhere@acme.example", "correct horse battery")
        grant_preset(preset="owner", to=user, dataset=place.other)
        return user


@pytest.mark.case("A10", "A16", "T06", "T07", "T08")
@pytest.mark.parametrize("scopes", SCOPES, ids=lambda scopes: "+".join(sorted(scopes)))
@pytest.mark.parametrize("role", RIGHTS)
def test_each_address_answers_by_right_and_scope(
    role: str, scopes: frozenset[str], places: tuple[Place, Place], elsewhere: User, program: MakeProgram
) -> None:
    at, _ = places
    client, wrong = program(at.tenant, role, scopes=scopes), []
    for name, one in ENDPOINTS.items():
        wanted = one.answers
        if not scopes >= one.needs:
            # A job of another scope's kind does not exist for the token.
            wanted = 404 if name == "api_job" and "export" in scopes else 403
        elif not RIGHTS[role] >= one.rights:
            wanted = one.refuses
            if role.startswith("elsewhere"):
                wanted = 404  # what he may do nothing with does not exist for him
        if name == "api_dataset" and not _sees(role, scopes):
            wanted = 404
        if name == "api_imports POST" and wanted == 403 and scopes >= one.needs and not _sees(role, scopes):
            wanted = 404
        status, body = ask(client, one, at)
        if status != wanted:
            wrong.append(f"{name}: {status}, not {wanted}: {body[:200]!r}")
        if THEIRS.encode() in body or (status >= 400 and OURS.encode() in body):
            wrong.append(f"{name}: {status} shows a word: {body[:300]!r}")
    assert not wrong, "\n".join(wrong)


def _sees(role: str, scopes: frozenset[str]) -> bool:
    """Return whether any of the scopes is for a right that the role holds."""
    rights = {"read": "view", "import": "import", "export": "export"}
    return any(rights[one] in RIGHTS[role] for one in scopes)


def test_without_a_token_every_address_is_closed(place: Place, client_of: Any) -> None:
    nobody, signed_in = Program(place.host), client_of(place.tenant)
    for name, one in ENDPOINTS.items():
        for client in (nobody, signed_in):  # a session is nothing here
            status, body = ask(client, one, place)
            assert (status, OURS.encode() in body) == (401, False), (name, status)
    told = nobody.get("/api/v1/datasets")
    assert told.headers["WWW-Authenticate"] == "Bearer"
    assert told.json()["code"] == "not-authenticated"


@pytest.mark.case("T01", "T12")
def test_a_token_is_nobodys_on_another_tenants_host(
    places: tuple[Place, Place], program: MakeProgram
) -> None:
    at, other = places
    ours = program(at.tenant)
    ours.defaults["HTTP_HOST"] = other.host
    for name, one in ENDPOINTS.items():
        status, body = ask(ours, one, other)
        assert (status, THEIRS.encode() in body) == (401, False), name
    ours.defaults["HTTP_HOST"] = "localhost"  # the operators'
    assert {ask(ours, one, at)[0] for one in ENDPOINTS.values()} == {404}


def test_a_token_of_one_dataset_knows_no_other(places: tuple[Place, Place], program: MakeProgram) -> None:
    at, _ = places
    narrow = program(at.tenant, datasets=[at.other.pk])
    for name, one in ENDPOINTS.items():
        if name in ("api_schema", "api_token", "api_datasets", "api_imports", "api_exports"):
            continue
        status, body = ask(narrow, one, at)
        assert (status, OURS.encode() in body) == (404, False), (name, status, body[:200])
    assert [one["dataset"] for one in narrow.ask("/datasets")["results"]] == ["others"]
    assert {one["dataset"] for one in narrow.ask("/imports")["results"]} == {"others"}
    assert narrow.ask("/exports")["results"] == []
    assert narrow.ask("/token")["datasets"] == ["others"]
    wide = program(at.tenant, datasets=[at.orders.pk, at.other.pk])
    for name, one in ENDPOINTS.items():
        assert ask(wide, one, at)[0] == one.answers, name


@pytest.mark.case("A10", "O17")
def test_hidden_columns_are_nowhere(place: Place, program: MakeProgram) -> None:
    hide(place, "note")
    note = f"c{_column(place, 'note')}"
    viewer = program(place.tenant, "viewer")
    for name, one in ENDPOINTS.items():
        status, body = ask(viewer, one, place)
        assert OURS.encode() not in body and b'"note"' not in body, (name, status, body[:400])
    assert "note" not in viewer.ask("/datasets/orders/records")["results"][0]["values"]
    for query in ({f"{note}__contains": "a"}, {"sort": note}, {"cols": note}):
        assert viewer.ask("/datasets/orders/records", 422, **query)["code"] == "bad-filter"
    assert viewer.ask("/datasets/orders/records", q=OURS)["results"] == []
    assert viewer.ask(f"/imports/{place.waiting.pk}/issues", 403)["code"] == "contents-kept"
    assert viewer.ask(f"/imports/{place.waiting.pk}/changes", 403)["code"] == "contents-kept"
    hide(place, "note", "editor")  # an export file holds every column
    editor = program(place.tenant, "editor")
    assert editor.ask("/exports")["results"] == []
    assert editor.ask(f"/exports/{place.file.pk}/file", 403)["code"] == "columns-hidden"


def _column(place: Place, label: str) -> int:
    with in_tenant(place.tenant):
        return int(place.orders.columns.get(label=label).pk)


def test_an_address_that_is_none_is_a_problem_too(place: Place, program: MakeProgram) -> None:
    owner = program(place.tenant)
    for path in (
        "/nothing",
        "/datasets/",
        "/datasets/no-such",
        "/imports/99999999999999999999",
        "/jobs/999999",
    ):
        told = owner.ask(path, 404)
        assert (told["code"], told["status"], told["title"]) == ("not-found", 404, "Not Found"), path
    refused = owner.delete("/api/v1/datasets")
    assert (refused.status_code, refused.json()["code"]) == (405, "method-not-allowed")
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.headers["Cache-Control"] == "no-store"


def test_what_is_done_by_a_token_stands_in_the_log_as_its_persons(
    acme: TenantRef, place: Place, program: MakeProgram
) -> None:
    answer = program(place.tenant, "editor").get(f"/api/v1/exports/{place.file.pk}/file")
    assert b"".join(answer) == f"id,note\n1,{OURS}\n".encode()
    assert "attachment" in answer.headers["Content-Disposition"]
    with in_tenant(acme):
        event = Event.objects.filter(name="exporter.file.downloaded").latest("pk")
        assert (event.actor_label, event.address) == ("editor@acme.example", "127.0.0.1")
