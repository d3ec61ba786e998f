"""Signs of life as files, for the probe and for a worker's own watchdog; and the flag that says "leave soon".

A worker's main process names the folder before it forks; every other process (web, commands, tests) has none
and all of this does nothing there.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from time import time

DRAIN = "drain"
LEAVING = "leaving"
SLICE = "slice-"


@dataclass(slots=True)
class _Place:
    folder: Path | None = None


_place = _Place()


def open_folder(folder: Path) -> Path:
    """Make `folder` this process's (and its children's) place for beats, empty of earlier ones."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        if old.is_file():
            old.unlink(missing_ok=True)
    _place.folder = folder
    return folder


def beat(name: str) -> None:
    """Say that `name` is alive now."""
    if _place.folder:
        (_place.folder / name).touch()


def begin_slice() -> None:
    """Say that this process works on a slice; repeated while a long statement runs."""
    beat(f"{SLICE}{os.getpid()}")


def end_slice() -> None:
    """Say that this process works on no slice."""
    if _place.folder:
        (_place.folder / f"{SLICE}{os.getpid()}").unlink(missing_ok=True)


def oldest_slice_seconds() -> float:
    """Return how long ago the most silent working process was heard; 0 when none works."""
    if not _place.folder:
        return 0.0
    ages = [0.0]
    for file in _place.folder.glob(f"{SLICE}*"):
        try:
            ages.append(time() - file.stat().st_mtime)
        except FileNotFoundError:  # it ended between the two looks
            continue
    return max(ages)


def leave() -> None:
    """Note that this worker was told to end, and ask its processes to."""
    beat(LEAVING)
    beat(DRAIN)


def is_leaving() -> bool:
    """Return whether this worker was told to end."""
    return _place.folder is not None and (_place.folder / LEAVING).exists()


def is_draining() -> bool:
    """Return whether this pod is about to leave."""
    return _place.folder is not None and (_place.folder / DRAIN).exists()
