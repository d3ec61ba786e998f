"""Methods of HTTP that nobody answers to are refused, whoever asks for whatever."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from core.tenancy import TenantRef


@pytest.mark.parametrize("path", ["/admin/", "/admin/login/", "/static/", "/no-such-page/"])
@pytest.mark.parametrize("method", ["TRACE", "TRACK", "CONNECT", "BREW"])
def test_a_method_that_nobody_knows_is_refused_and_nothing_is_sent_back(
    acme: TenantRef, method: str, path: str
) -> None:
    client = Client(HTTP_HOST="acme.localhost", HTTP_X_CANARY="canary-of-the-request")
    answer = client.generic(method, path, b"canary-of-the-body", content_type="text/plain")

    assert (answer.status_code, answer.content) == (405, b"")
    assert "TRACE" not in answer.headers["Allow"]


def test_known_methods_reach_their_page(acme: TenantRef) -> None:
    client = Client(HTTP_HOST="acme.localhost")
    assert client.get("/admin/login/").status_code == 200
    assert client.head("/admin/login/").status_code == 200


@pytest.mark.parametrize(
    "path", ["/static/", "/static/rowhouse/", "/static/../", "/media/", "/.git/config", "/.env"]
)
def test_no_folder_is_listed_and_no_file_beside_the_static_ones_is_served(acme: TenantRef, path: str) -> None:
    for host in ("acme.localhost", "localhost"):
        assert Client(HTTP_HOST=host).get(path).status_code == 404


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://globex.localhost"])
@pytest.mark.parametrize("path", ["/admin/", "/admin/login/", "/static/rowhouse/rowhouse.css"])
def test_no_page_of_another_origin_is_told_that_it_may_read_an_answer(
    acme: TenantRef, client_of: Callable[..., Client], path: str, origin: str
) -> None:
    for method in ("get", "options", "post"):
        answer = getattr(client_of(acme), method)(
            path, HTTP_ORIGIN=origin, HTTP_ACCESS_CONTROL_REQUEST_METHOD="POST"
        )
        b"".join(answer)  # a static file is closed when it was read
        assert [name for name in answer.headers if name.lower().startswith("access-control-")] == []


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/admin/", "text/html; charset=utf-8"),
        ("/no-such-page/", "text/html; charset=utf-8"),
        ("/static/rowhouse/rowhouse.css", 'text/css; charset="utf-8"'),
        ("/static/datasets/grid.js", 'text/javascript; charset="utf-8"'),
        ("/static/rowhouse/icon.svg", "image/svg+xml"),
    ],
)
def test_an_answer_says_what_it_is_and_how_it_is_written(
    acme: TenantRef, client_of: Callable[..., Client], path: str, kind: str
) -> None:
    answer = client_of(acme).get(path)
    b"".join(answer)  # a static file is closed when it was read
    assert answer.headers["Content-Type"] == kind


@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("acme.localhost", "/admin/login/"),
        ("acme.localhost", "/no-such-page/"),
        ("acme.localhost", "/static/rowhouse/rowhouse.css"),
        ("nobody.localhost", "/"),
        ("localhost", "/operator/login/"),
    ],
)
def test_every_answer_by_https_says_that_there_is_no_other_way(
    acme: TenantRef, settings: Any, host: str, path: str
) -> None:
    settings.SECURE_HSTS_SECONDS, settings.SECURE_HSTS_INCLUDE_SUBDOMAINS = 31_536_000, True
    answer = Client(HTTP_HOST=host).get(path, secure=True)
    b"".join(answer)
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"
