"""What is asked of hosts that tenants name: soon, small, and of the open internet."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from core import judged
from core.asking import NoAnswer, ask
from core.outgoing import NotAllowedHost


@pytest.fixture
def line():
    """Return a function that serves one answer, in parts with a pause between them, and gives its address."""
    servers = []

    def serve(*parts: bytes, pause: float = 0.0) -> str:
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)

        def answer() -> None:
            link, _ = server.accept()
            with link:
                link.recv(65536)
                try:
                    for part in parts:
                        link.sendall(part)
                        time.sleep(pause)
                except OSError:
                    pass  # cut, as it should be

        threading.Thread(target=answer, daemon=True).start()
        return f"http://127.0.0.1:{server.getsockname()[1]}/path?a=b"

    yield serve
    for server in servers:
        server.close()


def test_an_object_is_read(line):
    url = line(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n", b'{"a": 1}')
    assert ask(url, private=["127.0.0.1"]).object() == {"a": 1}


@pytest.mark.parametrize("body", [b"[]", b"<html>", b"", b"\xff", b"[" * 100_000], ids=range(5))
def test_what_is_no_object_is_said_to_be_none(line, body):
    url = line(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", body)
    with pytest.raises(NoAnswer, match="no JSON object"):
        ask(url, private=["127.0.0.1"]).object()


def test_an_answer_that_drips_is_cut(line, monkeypatch):
    monkeypatch.setattr(judged, "TIMEOUT_SECONDS", 0.5)
    url = line(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", *[b"x"] * 1000, pause=0.1)
    with pytest.raises(NoAnswer, match="within"):
        ask(url, private=["127.0.0.1"])


def test_an_answer_without_end_is_not_read_to_it(line):
    url = line(b"HTTP/1.1 200 OK\r\n\r\n", *[b"x" * 65536] * 64)
    with pytest.raises(NoAnswer, match="more than 512 KiB"):
        ask(url, private=["127.0.0.1"])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(line, status):
    url = line(
        f"HTTP/1.1 {status} Gone\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n".encode()
    )
    with pytest.raises(NoAnswer, match="a redirect"):
        ask(url, private=["127.0.0.1"])


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1/", "https://127.0.0.1/", "https://[::ffff:10.0.0.1]/", "https://0x7f000001/", "https://2130706433/",
     "https://localhost/", "https://user@127.0.0.1/", "https://127.0.0.1\\@example.com/", "file:///etc/passwd", "https://"],
)  # fmt: skip
def test_what_leads_inside_is_not_asked(url):
    with pytest.raises(NotAllowedHost):
        ask(url, private=["id.internal"])


def test_a_name_is_not_resolved_anew_after_it_was_judged(line, monkeypatch):
    """The connection goes to the judged address: what the name stands for a moment later does not matter."""
    asked: list[str] = []
    url = line(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").replace("127.0.0.1", "id.internal")
    real = socket.getaddrinfo

    def rebinding(host, *args, **options):
        if host != "id.internal":
            return real(host, *args, **options)
        asked.append(host)
        return real("127.0.0.1" if len(asked) == 1 else "127.0.0.2", *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    assert ask(url, private=["id.internal"]).object() == {}
    assert asked == ["id.internal"]
