"""A server that tells everything: each statement, each session, and each plan with the tables it touched."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg2

from core.embedded import EmbeddedServer

# jsonlog: a statement may hold newlines and whatever else, and one line of the log is still one entry.
SETTINGS = {
    "logging_collector": "on",
    "log_destination": "jsonlog",
    "log_directory": "isolation",
    "log_filename": "isolation.log",
    "log_rotation_age": "0",
    "log_rotation_size": "0",
    "log_file_mode": "0644",
    "log_statement": "all",
    "log_connections": "on",
    "log_disconnections": "on",
    "log_checkpoints": "off",
    "session_preload_libraries": "auto_explain",
}
EXPLAIN = {
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_verbose": "on",  # tables with their schemas
    "auto_explain.log_settings": "on",  # the search path among them
    "auto_explain.log_nested_statements": "on",
    "auto_explain.log_timing": "off",
}
PATIENCE_SECONDS = 30.0


@contextmanager
def telling(server: EmbeddedServer) -> Iterator[Path]:
    """Restart the server so that it logs everything, and give the log's path; afterwards all is as it was.

    Every connection is lost at both ends of the block.
    """
    _alter(server, {name: f"= '{value}'" for name, value in (SETTINGS | EXPLAIN).items()})
    _restart(server)
    try:
        yield server.data / "isolation" / "isolation.json"
    finally:
        _alter(server, dict.fromkeys(SETTINGS | EXPLAIN, ""))
        _restart(server)


def wait_until_told(server: EmbeddedServer, log: Path) -> None:
    """Wait until nobody is connected and all that was said stands in the log."""
    others = (
        "SELECT 1 FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )
    deadline = time.monotonic() + PATIENCE_SECONDS
    while _sql(server, others):
        assert time.monotonic() < deadline, "somebody is still connected"
        time.sleep(0.05)
    # The collector writes in the order it hears.
    word = uuid4().hex
    _sql(server, f"SELECT '{word}'")
    at = max(log.stat().st_size - 100_000, 0)
    while True:
        with log.open("rb") as file:
            file.seek(at)
            if word.encode() in file.read():
                return
        assert time.monotonic() < deadline, "the server's log does not go on"
        time.sleep(0.05)


def _restart(server: EmbeddedServer) -> None:
    server.stop()
    server.start()


def _alter(server: EmbeddedServer, settings: dict[str, str]) -> None:
    """Set each to what follows its name, or back to the default."""
    for name, value in settings.items():
        _sql(server, f"ALTER SYSTEM SET {name} {value}" if value else f"ALTER SYSTEM RESET {name}")


def _sql(server: EmbeddedServer, statement: str) -> list[tuple[object, ...]]:
    """Run a statement as the superuser, on a connection of its own."""
    link = psycopg2.connect(host=str(server.socket_folder), user="postgres", dbname="postgres")
    link.autocommit = True
    try:
        with link.cursor() as cursor:
            cursor.execute("LOAD 'auto_explain'")  # or its settings are unknown
            cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []
    finally:
        link.close()
