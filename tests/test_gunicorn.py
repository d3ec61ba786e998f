"""What gunicorn is told, and who a request is from."""

from __future__ import annotations

import os
import subprocess
import sys
from inspect import ismodule
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http.errors import ParseException
from gunicorn.http.parser import RequestParser

from rowhouse import gunicorn
from rowhouse.proxies import behind_proxies, client_address


def told(**variables: str) -> dict[str, str]:
    """Return the settings gunicorn would run with, as it prints them."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "gunicorn",
            "--print-config",
            "-c",
            "python:rowhouse.gunicorn",
            "rowhouse.wsgi",
        ],
        env={**os.environ, "DATABASE_URL": "postgresql://nobody@localhost/nothing", **variables},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lines = (line.partition("=") for line in done.stdout.splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}


def test_gunicorn_takes_what_is_set_and_what_is_not() -> None:
    found = told(
        ROWHOUSE_WEB_THREADS="3", ROWHOUSE_WEB_MAX_REQUESTS="50", ROWHOUSE_WEB_BIND="[::1]:9,unix:/x"
    )
    names = (
        "bind",
        "workers",
        "threads",
        "timeout",
        "graceful_timeout",
        "max_requests",
        "max_requests_jitter",
    )
    assert [found[name] for name in names] == ["['[::1]:9', 'unix:/x']", "2", "3", "120", "30", "50", "5"]
    assert (found["preload_app"], found["worker_class"], found["control_socket_disable"]) == (
        "True", "gthread", "True",
    )  # fmt: skip


def test_every_name_meant_for_gunicorn_is_one_of_its_settings() -> None:
    own = gunicorn.__name__
    names = {
        name
        for name, value in vars(gunicorn).items()
        if not name.startswith("_") and not ismodule(value) and getattr(value, "__module__", own) == own
    }
    assert {"bind", "when_ready"} <= names
    assert names - Config().settings.keys() == set()


def test_a_value_that_makes_no_sense_ends_the_start_with_its_name() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gunicorn", "-c", "python:rowhouse.gunicorn", "rowhouse.wsgi"],
        env={**os.environ, "ROWHOUSE_WEB_WORKERS": "many"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "ROWHOUSE_WEB_WORKERS: 'many' is not a whole number." in done.stderr


@pytest.mark.parametrize(
    ("forwarded", "proxies", "address"),
    [
        pytest.param("192.0.2.7", 1, "192.0.2.7", id="one"),
        pytest.param("192.0.2.7", 0, "10.0.0.2", id="none-known"),
        pytest.param("6.6.6.6, 192.0.2.7", 1, "192.0.2.7", id="client-lies"),
        pytest.param("6.6.6.6, 192.0.2.7,10.0.0.9", 2, "192.0.2.7", id="two"),
        pytest.param("192.0.2.7", 2, "10.0.0.2", id="too-few"),
        pytest.param("", 1, "10.0.0.2", id="empty"),
        pytest.param("2001:db8::7", 1, "2001:db8::7", id="version-6"),
        pytest.param("<script>", 1, "10.0.0.2", id="no-address"),
    ],
)
def test_an_address_is_counted_from_the_right(forwarded: str, proxies: int, address: str) -> None:
    assert client_address("10.0.0.2", forwarded, proxies) == address
    seen: list[str] = []

    def application(environ: dict[str, str], _start: object) -> list[bytes]:
        seen.append(environ["REMOTE_ADDR"])
        return []

    environ = {"REMOTE_ADDR": "10.0.0.2", "HTTP_X_FORWARDED_FOR": forwarded}
    behind_proxies(application, proxies)(environ, lambda *_: None)
    assert seen == [address]


def parsed(raw: bytes) -> bytes:
    """Return the body of a request as gunicorn reads it with our settings."""
    config = Config()
    for name, value in vars(gunicorn).items():
        if name in config.settings and not callable(value):
            config.set(name, value)
    request: Any = next(RequestParser(config, iter([raw]), ("127.0.0.1", 1)))
    return bytes(request.body.read())


# Where two servers could disagree about where a request ends, and the second half of one become another's first.
SMUGGLING = {
    "both lengths": b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n",
    "two lengths": b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
    "a length with a sign": b"Content-Length: +4\r\n\r\nabcd",
    "an unknown coding": b"Transfer-Encoding: xchunked\r\n\r\nabcde",
    "two codings": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "a space before the colon": b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a bare return": b"X: a\rTransfer-Encoding: chunked\r\n\r\n",
}


@pytest.mark.parametrize("name", SMUGGLING)
def test_a_request_whose_end_is_not_plain_is_refused(name: str) -> None:
    with pytest.raises(ParseException):
        parsed(b"POST / HTTP/1.1\r\nHost: acme.localhost\r\n" + SMUGGLING[name])


def test_a_request_with_one_length_ends_there() -> None:
    begin = b"POST / HTTP/1.1\r\nHost: acme.localhost\r\n"
    assert parsed(begin + b"Content-Length: 4\r\n\r\nabcdGET /x HTTP/1.1\r\n\r\n") == b"abcd"
    assert parsed(begin + b"Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n") == b"abcd"
