from __future__ import annotations

import errno
from pathlib import Path

import pytest

from core import disk


def test_a_disk_with_too_little_room_is_said_before_anything_is_done(tmp_path):
    with pytest.raises(disk.DiskFull, match=r"MB are free on the disk of .* needs about"):
        disk.require_room(tmp_path / "not" / "there yet", mb=10**9)
    disk.require_room(tmp_path, mb=1)


def test_an_error_that_comes_of_a_full_disk_is_known_however_deep_it_lies(tmp_path):
    error = RuntimeError("could not be written")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert disk.is_full(error, tmp_path)


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "denied"), ValueError("No"), None])
def test_another_error_is_not_taken_for_a_full_disk(error, tmp_path: Path):
    assert not disk.is_full(error, tmp_path)
