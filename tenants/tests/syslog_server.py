"""A real syslog server, as a process of its own: it writes each message it has read as a line of JSON into a file.

    python syslog_server.py FILE PORT [DIES_AFTER [CERTIFICATE]]

It says on its output which port it listens on. DIES_AFTER: it ends without a word when it has read so many messages,
whatever else has come; 0: never.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import sys
from pathlib import Path


def read_exactly(connection: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        more = connection.recv(size - len(found))
        if not more:
            return b""
        found += more
    return found


def length_of_next(connection: socket.socket) -> int:
    digits = b""
    while (sign := read_exactly(connection, 1)) and sign != b" ":
        digits += sign
    return int(digits) if digits else 0


def serve(path: str, port: int, dies_after: int, certificate: str) -> None:
    server = socket.create_server(("127.0.0.1", port))
    sys.stdout.write(f"{server.getsockname()[1]}\n")
    sys.stdout.flush()
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    seen = 0
    while True:
        connection: socket.socket = server.accept()[0]
        try:
            if context:
                connection = context.wrap_socket(connection, server_side=True)
            while size := length_of_next(connection):
                text = read_exactly(connection, size)
                with Path(path).open("a", encoding="utf-8") as file:
                    file.write(json.dumps(text.decode("utf-8")) + "\n")
                seen += 1
                if seen == dies_after:
                    os._exit(1)
            if isinstance(connection, ssl.SSLSocket):
                connection.unwrap()
        except OSError as error:
            sys.stderr.write(f"{error}\n")
        connection.close()


if __name__ == "__main__":
    given = [*sys.argv[1:], "0", ""]
    serve(given[0], int(given[1]), int(given[2]), given[3] if len(sys.argv) > 4 else "")
