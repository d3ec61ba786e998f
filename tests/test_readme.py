"""The README shows what the commands print."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.conftest import Told
from tests.transcript import README, masked, run, shown


def test_the_transcript_is_what_the_commands_print(told: Told) -> None:
    before = shown(README.read_text(encoding="utf-8"))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    assert masked(run(before, {**told.environment, "PATH": path})) == masked(before)


def test_every_picture_it_shows_is_there() -> None:
    text = README.read_text(encoding="utf-8")
    pictures = [line.partition("](")[2].rstrip(")") for line in text.splitlines() if line.startswith("![")]
    assert pictures
    assert [name for name in pictures if not (README.parent / name).exists()] == []
