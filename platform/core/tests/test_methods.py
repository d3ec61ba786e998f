"""Methods of HTTP that nobody answers to are refused, whoever asks for whatever."""

from __future__ import annotations

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
