from __future__ import annotations

import os
from pathlib import Path

import pytest

from core.embedded import EmbeddedServer


@pytest.fixture
def closed_folder(tmp_path: Path) -> Path:
    """A folder that nobody but its owner may pass through, as `mktemp -d` and home folders are."""
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o700)
    return folder


def test_the_server_starts_below_a_closed_folder_and_leaves_it_closed(closed_folder):
    import psycopg2  # noqa: PLC0415 -- slow import

    server = EmbeddedServer(closed_folder / "postgres")
    try:
        server.start()
        server.start()  # any number of times
        link = psycopg2.connect(server.url())
        with link.cursor() as cursor:
            cursor.execute("SELECT current_user, rolsuper FROM pg_roles WHERE rolname = current_user")
            assert cursor.fetchone() == ("rowhouse", False)
        link.close()
        assert server.is_running()
        server.stop()
        assert not server.is_running()
    finally:
        server.remove()
    assert closed_folder.stat().st_mode & 0o777 == 0o700
    assert list(closed_folder.iterdir()) == [] or os.geteuid() != 0
