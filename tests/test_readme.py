"""The README shows what the commands print."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.conftest import own_database
from tests.transcript import README, masked, run, shown


def test_the_transcript_is_what_the_commands_print(
    tmp_path: Path, django_db_modify_db_settings: None
) -> None:
    before = shown(README.read_text(encoding="utf-8"))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with own_database() as url:
        now = run(before, {**os.environ, "DATABASE_URL": url, "ROWHOUSE_DATA": str(tmp_path), "PATH": path})
    assert masked(now) == masked(before)


def test_every_picture_it_shows_is_there() -> None:
    text = README.read_text(encoding="utf-8")
    pictures = [line.partition("](")[2].rstrip(")") for line in text.splitlines() if line.startswith("![")]
    assert pictures
    assert [name for name in pictures if not (README.parent / name).exists()] == []
