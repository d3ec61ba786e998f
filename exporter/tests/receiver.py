"""A real server on this machine that takes requests as a tenant's program does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar


@dataclass
class Receiver:
    """What came, and what is answered: statuses in turn, then 204."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    answer: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    drips: bool = False  # sends a byte now and then, and never comes to an end
    came: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)


@contextmanager
def receiver() -> Iterator[Receiver]:
    """Serve until the block ends."""
    this = Receiver()

    class Handler(BaseHTTPRequestHandler):
        receiver: ClassVar[Receiver] = this

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            this.came.append((self.path, dict(self.headers), body))
            if this.drips:
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                while not this.over.wait(0.05):
                    self.wfile.write(b"x")
                    self.wfile.flush()
                return
            self.send_response(this.statuses.pop(0) if this.statuses else 204)
            for name, value in this.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(this.answer)))
            self.end_headers()
            self.wfile.write(this.answer)

        def log_message(self, *_args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    this.url = f"http://127.0.0.1:{server.server_port}/hook?of=ours"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield this
    finally:
        this.over.set()
        server.shutdown()
        server.server_close()
        thread.join()
