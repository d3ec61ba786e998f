"""Methods of HTTP that nobody answers to are refused, whoever asks for whatever."""

from __future__ import annotations

from collections.abc import Callable

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
