"""What every answer of either site says to the browser, whoever gives it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from unfold.settings import get_config

from core.headers import OF_DOWNLOADS
from core.tenancy import TenantRef, in_tenant
from exporter.links import token_of
from exporter.tests.helpers import stored_file
from importer.tests.tools import make_orders, upload
from tenants.models import ReadOnlyTenant, Tenant
from tests.source import ROOT

ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def policy(answer: Any) -> dict[str, list[str]]:
    parts = [part.split() for part in answer["Content-Security-Policy"].split(";")]
    return {part[0]: part[1:] for part in parts if part}


def require_hardened(answer: Any) -> None:
    assert {name: answer.headers.get(name) for name in ALWAYS} == ALWAYS
    assert "camera=()" in answer["Permissions-Policy"]
    found = policy(answer)
    assert found["frame-ancestors"] == ["'none'"]
    assert found["base-uri"] == ["'none'"]
    assert not {"'unsafe-inline'", "'unsafe-eval'", "data:"} & {
        *found.get("script-src", found["default-src"])
    }


@pytest.mark.case("O07")
@pytest.mark.parametrize(
    ("host", "path", "status"),
    [
        ("nobody.localhost", "/", 404),
        ("acme.localhost", "/", 302),
        ("acme.localhost", "/admin/login/", 200),
        ("acme.localhost", "/admin/", 302),
        ("acme.localhost", "/invitation/none/", 410),
        ("acme.localhost", "/nothing/here/", 404),
        ("localhost", "/operator/login/", 200),
        ("localhost", "/operator/", 302),
        ("acme.localhost", "/static/rowhouse/rowhouse.css", 200),
        ("localhost", "/healthz", 200),
    ],
)
def test_every_answer_is_hardened(acme: TenantRef, host: str, path: str, status: int) -> None:
    answer = Client(HTTP_HOST=host).get(path)
    if getattr(answer, "streaming", False):
        b"".join(answer)  # read to the end, it closes its file
    if answer.status_code != status:
        assert (path, answer.status_code) == ("/invitation/none/", 404)
    if path != "/healthz":
        require_hardened(answer)
    is_static = path.startswith("/static/")
    assert ("no-store" in answer["Cache-Control"]) is not is_static


@pytest.mark.case("O07")
def test_a_suspended_or_read_only_tenant_answers_hardened_too(acme: TenantRef, client_of: Any) -> None:
    owner = client_of(acme)
    ReadOnlyTenant.objects.create(tenant=Tenant.objects.get(slug="acme"), reason="for now")
    refused = owner.post("/admin/exporter/exportrun/now/", {"all": "1"})
    assert refused.status_code == 409
    require_hardened(refused)
    Tenant.objects.filter(slug="acme").update(state=Tenant.State.SUSPENDED)
    require_hardened(owner.get("/admin/"))


@pytest.mark.case("O07")
def test_outside_of_the_admin_no_script_runs_at_all_and_no_style_stands_in_the_page(acme: TenantRef) -> None:
    found = policy(Client(HTTP_HOST="nobody.localhost").get("/"))
    assert found["default-src"] == ["'none'"]
    assert "script-src" not in found
    assert found["style-src"] == ["'self'"]


@pytest.mark.case("O07")
def test_in_the_admin_scripts_come_from_files_and_evaluate_nothing(acme: TenantRef, client_of: Any) -> None:
    found = policy(client_of(acme).get("/admin/"))
    assert found == {
        "default-src": ["'none'"], "script-src": ["'self'"], "style-src": ["'self'"], "connect-src": ["'self'"],
        "style-src-attr": ["'unsafe-inline'"], "img-src": ["'self'", "data:"], "font-src": ["'self'"],
        "base-uri": ["'none'"], "form-action": ["'self'"], "frame-ancestors": ["'none'"],
    }  # fmt: skip


@pytest.mark.case("O12")
def test_files_from_people_come_with_a_policy_that_lets_nothing_in_them_run(
    as_acme: TenantRef, client_of: Any
) -> None:
    orders = make_orders()
    job = upload(orders, "id,status,note\n1,new,<script>\nx,new,b\n", name="evil.html")
    file = stored_file(orders, data=b"<script>alert(1)</script>")
    owner = client_of(as_acme)
    addresses = [
        f"/admin/importer/importjob/{job.pk}/file/",
        f"/admin/importer/importjob/{job.pk}/rejected-rows/",
        f"/admin/exporter/exportfile/{file.pk}/file/{token_of(file)}/",
        f"/admin/datasets/dataset/{orders.pk}/schema/",
    ]
    for address in addresses:
        answer = owner.get(address)
        b"".join(answer)
        assert answer.status_code == 200, address
        assert answer["Content-Disposition"].startswith("attachment"), address
        assert answer["Content-Security-Policy"] == OF_DOWNLOADS, address
        assert answer["X-Content-Type-Options"] == "nosniff", address
        assert "html" not in answer["Content-Type"], address
        assert "no-store" in answer["Cache-Control"], address


def test_what_people_are_told_goes_into_the_session_and_into_no_cookie(
    acme: TenantRef, client_of: Any
) -> None:
    owner = client_of(acme)
    told = owner.post("/admin/exporter/exportrun/now/", {"all": "1"})
    assert told.status_code == 302
    assert {*owner.cookies} == {"sessionid"}


def test_a_failure_nobody_expected_is_a_small_page_that_needs_nothing(
    acme: TenantRef, client_of: Any, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    def fail(*_arguments: Any, **_options: Any) -> None:
        raise ZeroDivisionError("a secret of acme")

    monkeypatch.setattr("django.template.base.Template.render", fail)
    client = Client(HTTP_HOST="acme.localhost", raise_request_exception=False)
    answer = client.get("/admin/login/")
    assert answer.status_code == 500
    assert b"Something went wrong here" in answer.content
    assert b"secret" not in answer.content and b"Traceback" not in answer.content
    assert len(answer.content) < 1_000
    require_hardened(answer)
    as_json = client.get("/admin/login/", headers={"Accept": "application/json"})
    assert (as_json.status_code, as_json.json()["code"]) == (500, "unexpected")


def test_the_colours_of_the_look_are_those_of_the_theme_but_for_the_first(settings: Any) -> None:
    """The theme wrote them into each page; ours stand in a file, and must not fall behind."""
    text = (ROOT / "platform/rowhouse/static/rowhouse/colors.css").read_text(encoding="utf-8")
    ours = dict(re.findall(r"--color-([\w-]+): ([^;]+);", text))
    theirs = {
        f"{name}-{weight}": value
        for name, weights in get_config("UNFOLD")["COLORS"].items()
        for weight, value in weights.items()
    }
    assert {*ours} == {*theirs}
    assert {name: value for name, value in ours.items() if not name.startswith("primary")} == {
        name: value for name, value in theirs.items() if not name.startswith("primary")
    }


def test_pages_hold_no_script_and_no_style_of_their_own(acme: TenantRef, client_of: Any) -> None:
    owner = client_of(acme)
    with in_tenant(acme):
        orders = make_orders()
    for path in ("/admin/", "/admin/importer/importjob/", f"/admin/datasets/dataset/{orders.pk}/rows/"):
        page = owner.get(path).content.decode()
        assert "<style" not in page, path
        assert re.findall(r"<script(?![^>]*\bsrc=)(?![^>]*type=\"application/json\")", page) == [], path
        assert re.findall(r"<[^>]+\son[a-z]+=", page) == [], path
