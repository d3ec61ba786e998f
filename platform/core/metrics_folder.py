"""Where the processes of one web or worker keep what they count, so that one of them can tell it all.

`prometheus_client` decides when it is imported whether values are kept in files, by an environment variable. So a
family's first process opens the folder before anything imports it; this module must not.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
LOCK = "lock"
# Never closed: every process of the family inherits it, so the lock is free when the last of them is dead.
_held: list[int] = []


def open_folder(run: Path, who: str) -> Path:
    """Make the folder in which this process and its children count, empty, and remove those of dead families.

    :param run: the folder of heartbeats and the like.
    :param who: `web` or `worker`.
    """
    parent = run / "metrics"
    parent.mkdir(parents=True, exist_ok=True)
    for old in sorted(parent.glob(f"{who}-*")):
        _remove_dead(old)
    folder = parent / f"{who}-{os.getpid()}"
    shutil.rmtree(folder, ignore_errors=True)  # of an earlier process 1 of this container
    folder.mkdir()
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    _held.append(lock)
    os.environ[VARIABLE] = str(folder)
    return folder


def folder() -> Path | None:
    """Return where this process counts; None: in its own memory, where nobody else reads it."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named else None


def _remove_dead(old: Path) -> None:
    try:
        lock = os.open(old / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:  # another process has just removed it, or is about to make it
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(old, ignore_errors=True)
    except BlockingIOError:
        pass
    finally:
        os.close(lock)
