"""The API's description: valid, and what the views answer; and that nothing sent to it ends in a 500."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import jsonschema
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from drf_spectacular.validation import validate_schema
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.tokens.models import Scope
from core.tenancy import in_tenant
from importer.models import State
from importer.tests.tools import import_text
from rowhouse.api.schema import document
from rowhouse.api.tests.conftest import FILE, MakeProgram, Place, Program
from rowhouse.api.tests.test_access import ENDPOINTS, names
from rowhouse.api.urls import urlpatterns


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield path, method and what is said of it."""
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_the_description_is_valid_openapi() -> None:
    validate_schema(document())
    assert document()["openapi"].startswith("3.1")


def described_as(route: object) -> str:
    """Return how the description writes an address."""
    return f"/{route}".replace("<slug:slug>", "{slug}").replace("<int:pk>", "{id}")


def test_every_address_is_described_and_no_other() -> None:
    routes = [one.pattern for one in urlpatterns if str(one.pattern).startswith("api/v1")]
    assert {path for path, _, _ in operations()} == {described_as(route) for route in routes}
    assert all(operation["operationId"] and operation["responses"] for _, _, operation in operations())
    assert all(operation["security"] == [{"token": []}] for _, _, operation in operations())


def schema_of(operation: dict[str, Any], status: int) -> dict[str, Any] | None:
    """Return the schema of an answer, with what it refers to."""
    content = operation["responses"][str(status)].get("content", {})
    found = content.get("application/json") or content.get("application/problem+json")
    return None if found is None else {**found["schema"], "components": document()["components"]}


def check(path: str, method: str, answer: Any) -> None:
    """Hold an answer against the description."""
    [operation] = [one for at, by, one in operations() if (at, by) == (path, method)]
    schema = schema_of(operation, answer.status_code)
    assert schema is not None, (path, answer.status_code)
    checker = jsonschema.Draft202012Validator(
        schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    checker.validate(answer.json())


def test_what_is_answered_fits_the_description(place: Place, program: MakeProgram) -> None:
    client, checked = program(place.tenant), set()
    with in_tenant(place.tenant):
        import_text(place.orders, "id,status\n1,paid\n", mode="update")
    by_name = {one.name: described_as(one.pattern) for one in urlpatterns if getattr(one, "name", None)}
    for name, one in ENDPOINTS.items():
        if name == "api_download":
            continue
        path = by_name[name.split()[0]]
        with transaction.atomic():
            address = f"/api/v1{one.path(place)}"
            if one.method == "GET":
                answer = client.get(address)
            else:
                body = one.body(place)
                kind: dict[str, Any] = {} if "file" in body else {"content_type": "application/json"}
                answer = client.post(address, body, **kind)
            assert answer.status_code == one.answers, (name, answer.content)
            check(path, one.method.lower(), answer)
            checked.add(name.split()[0])
            transaction.set_rollback(True)
    assert checked == set(names()) - {"api_download"}
    for address, path, status in (
        ("/imports/999999", "/api/v1/imports/{id}", 404),
        ("/imports?n=x", "/api/v1/imports", 422),
        ("/datasets/orders/records?x=1", "/api/v1/datasets/{slug}/records", 422),
    ):
        answer = client.get(f"/api/v1{address}")
        assert answer.status_code == status
        check(path, "get", answer)
    check("/api/v1/datasets", "get", Program(place.host).get("/api/v1/datasets"))


def test_a_planted_answer_that_does_not_fit_is_caught(place: Place, program: MakeProgram) -> None:
    answer: Any = program(place.tenant).get("/api/v1/datasets")
    told = answer.json()
    told["results"][0]["records"] = "three"
    answer.json = lambda: told
    with pytest.raises(jsonschema.ValidationError):
        check("/api/v1/datasets", "get", answer)


# ---- anything may be sent

ODD = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        ["", "0", "-1", "1", "2", str(2**63), str(2**63 - 1), "9" * 400, "\x00", "'", "%", "\\", "ä",
            "NaN", "1e999", "null", "true", "W10", "WzFd",
            "2026-02-30", "c1", "-c1.c2", "orders", "others", "..", "PREVIEW_SUCCEEDED", "created"]
    ),
)  # fmt: skip
PARAMETERS = [
    "after",
    "n",
    "q",
    "sort",
    "cols",
    "dataset",
    "state",
    "code",
    "column",
    "severity",
    "kind",
    "key",
]
# What Django's own client can send as a file's name.
NAME = ODD.filter(lambda name: bool(name.strip("./\\\x00 ")) and "/" not in name and "\\" not in name)
OPERATORS = ["from", "to", "contains", "starts", "is", "any", "all", "when", "empty", "other"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | ODD,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ODD, inner, max_size=3),
    max_leaves=6,
)
MANY = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture
def everything(place: Place, program: MakeProgram) -> tuple[Place, Program, list[str]]:
    with in_tenant(place.tenant):
        names = [f"c{pk}" for pk in place.orders.columns.values_list("pk", flat=True)]
    return place, program(place.tenant, scopes=Scope.values), names


def without_limits(settings: Any) -> None:
    """Let the tests ask as often as they like."""
    settings.ROWHOUSE_API_PERSON_PER_MINUTE = settings.ROWHOUSE_API_TENANT_PER_MINUTE = 0
    settings.ROWHOUSE_PACES = dict.fromkeys(settings.ROWHOUSE_PACES, 0)


def no_fault(client: Program, method: str, address: str, body: Any = None, **more: Any) -> None:
    """Send something; the answer is no fault of ours, and a refusal is a problem with a code."""
    with transaction.atomic():
        answer = client.get(address) if method == "GET" else client.post(address, body, **more)
        assert answer.status_code < 500, (method, address, body, answer.content[:300])
        if answer.status_code >= 400:
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert answer.json()["code"], address
        if getattr(answer, "streaming", False):
            assert b"".join(answer)  # whose end closes the file
        transaction.set_rollback(True)


@pytest.mark.case("D08")
def test_no_query_ends_in_a_fault(everything: tuple[Place, Program, list[str]], settings: Any) -> None:
    without_limits(settings)
    place, client, names = everything
    paths = [one.path(place).partition("?")[0] for one in ENDPOINTS.values() if one.method == "GET"]
    own = st.builds("{}__{}".format, st.sampled_from([*names, "c999"]), st.sampled_from(OPERATORS))
    pairs = st.lists(st.tuples(st.sampled_from(PARAMETERS) | own | ODD, ODD), max_size=4)

    @MANY
    @given(path=st.sampled_from(paths), pairs=pairs)
    def sent(path: str, pairs: list[tuple[str, str]]) -> None:
        no_fault(client, "GET", f"/api/v1{path}?{urlencode(pairs, errors='replace')}")

    sent()


def test_no_body_ends_in_a_fault(everything: tuple[Place, Program, list[str]], settings: Any) -> None:
    without_limits(settings)
    place, client, _ = everything
    posts = [f"/api/v1{one.path(place)}" for one in ENDPOINTS.values() if one.method == "POST"]
    fields = st.sampled_from(["preview", "policy", "deletes", "dataset", "mode", "file", "mapping"])
    bodies = st.dictionaries(fields, JSON, max_size=4) | JSON

    @MANY
    @given(address=st.sampled_from(posts), body=bodies, cut=st.integers(0, 5))
    def sent(address: str, body: Any, cut: int) -> None:
        text = json.dumps(body)
        no_fault(client, "POST", address, text[: len(text) - cut], content_type="application/json")

    sent()


def test_no_upload_ends_in_a_fault(everything: tuple[Place, Program, list[str]], settings: Any) -> None:
    without_limits(settings)
    place, client, _ = everything
    fields = st.dictionaries(
        st.sampled_from(
            [
                "dataset",
                "mode",
                "policy",
                "replace",
                "mapping",
                "encoding",
                "delimiter",
                "sheet",
                "header_row",
            ]
        ),
        ODD | JSON.map(json.dumps),
        max_size=4,
    )
    content = st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace"))

    @MANY
    @given(fields=fields, content=content | st.just(FILE.encode()), name=NAME, key=st.text(max_size=20))
    def sent(fields: dict[str, str], content: bytes, name: str, key: str) -> None:
        file = SimpleUploadedFile(name or "x", content)
        header = {"HTTP_IDEMPOTENCY_KEY": key.encode("latin-1", "replace").decode("latin-1")}
        sent = {"dataset": "orders", **fields, "file": file}
        no_fault(client, "POST", "/api/v1/imports", sent, **header)

    sent()


def test_a_body_of_another_kind_is_refused(place: Place, program: MakeProgram) -> None:
    client = program(place.tenant)
    path = f"/api/v1/imports/{place.waiting.pk}/confirm"
    told = client.post(path, "<preview/>", content_type="application/xml")
    assert (told.status_code, told.json()["code"]) == (415, "unsupported-media-type")
    told = client.post("/api/v1/imports", "{}", content_type="application/json")
    assert told.status_code == 415
    with in_tenant(place.tenant):
        place.waiting.refresh_from_db()
        assert place.waiting.state == State.PREVIEW_SUCCEEDED
