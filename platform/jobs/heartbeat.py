"""A worker's own folder: signs of life, flags, and the locks that say which of its processes live.

A worker's main process opens the folder before it forks; every other process (web, commands, tests) has none
and all of this does nothing there. Ages are by the machine's monotonic clock, kept as the files' times: a clock
that is set forward must not look like an hour of silence.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from socket import gethostname
from time import monotonic, sleep
from uuid import uuid4

from core.errors import RowhouseError

LOCK = "lock"
FAMILY = "family"
DRAIN = "drain"
LEAVING = "leaving"
HURRY = "hurry"
SLICE = "slice-"
BUSY = "busy-"
LONG = "long-"
BURIAL_SECONDS = 2.0  # a worker beside it may be burying the family that died in a folder


OWN_NAME = re.compile(
    rf"(lock|family|main|sentinel|pusher|{DRAIN}|{LEAVING}|{HURRY}|({SLICE}|{BUSY}|{LONG})\d+)"
)
FAMILY_NAME = re.compile(
    r"[\w.-]{1,40}:[0-9]+:[0-9a-f]{8}"
)  # machine, main process, and something of its own


class FolderInUse(RowhouseError):
    """Another worker, or what is left of one, lives in the folder."""

    code = "folder-in-use"


class ForeignFolder(RowhouseError):
    """The folder holds what no worker wrote."""

    code = "foreign-folder"


@dataclass(slots=True)
class _Place:
    folder: Path | None = None
    family: str = ""
    lock: int = -1
    written: set[tuple[int, str]] = field(default_factory=set)


_place = _Place()


def open_folder(folder: Path) -> str:
    """Make `folder` this process's (and its children's) own, and return the family that died in it, or "".

    The lock on it is inherited by every child, so it is free again when the last of them is dead.

    :raises FolderInUse: a process of another worker lives.
    :raises ForeignFolder: it holds other things; a worker's folder is emptied, so it must be nobody else's.
    """
    if folder.is_dir() and (foreign := _foreign(folder)):
        raise ForeignFolder(
            f"{folder} holds {foreign!r}. Give the worker an empty folder of its own (--folder)."
        )
    deadline = monotonic() + BURIAL_SECONDS
    while (lock := _made_and_locked(folder)) is None and monotonic() < deadline:
        sleep(0.1)
    if lock is None:
        raise FolderInUse(f"Another worker lives in {folder}. Give this one a folder of its own (--folder).")
    dead = _family_of(folder)
    for old in folder.iterdir():
        if old.is_file() and old.name != LOCK:
            old.unlink(missing_ok=True)
    _place.folder, _place.family, _place.lock = folder, _new_name(), lock
    (folder / FAMILY).write_text(_place.family)
    return dead


def _new_name() -> str:
    machine = re.sub(r"[^\w.-]", "-", gethostname(), flags=re.ASCII)[:40] or "machine"
    return f"{machine}:{os.getpid()}:{uuid4().hex[:8]}"


def abandon() -> None:
    """Forget the folder, as a process that is no worker's: its lock stays with the other processes."""
    if _place.folder:
        os.close(_place.lock)
    _place.folder, _place.family, _place.lock = None, "", -1


def family() -> str:
    """Return the name of the worker family this process belongs to (`pod-7:1:0af3c9d2`), "" outside of workers."""
    return _place.family


def dead_families() -> Iterator[str]:
    """Yield each family that died beside this one, for as long as it takes to bury it; then its folder goes."""
    if not _place.folder:
        return
    for folder in sorted(_place.folder.parent.iterdir()):
        if folder == _place.folder or not FAMILY_NAME.fullmatch(_family_of(folder)) or _foreign(folder):
            continue
        lock = _locked(folder)
        if lock is None:
            continue
        try:
            yield _family_of(folder)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)


def _made_and_locked(folder: Path) -> int | None:
    folder.mkdir(parents=True, exist_ok=True)
    return _locked(folder)


def _locked(folder: Path) -> int | None:
    """Lock a worker's folder and return the open lock, or None: some process of its family lives."""
    path = folder / LOCK
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:  # another worker has just buried it
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.stat().st_ino == os.fstat(lock).st_ino:  # not removed while we waited
            return lock
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(lock)
    return None


def _family_of(folder: Path) -> str:
    try:
        return (folder / FAMILY).read_text()
    except (OSError, UnicodeDecodeError):  # none, buried a moment ago, or no worker's
        return ""


def _foreign(folder: Path) -> str:
    """Return the name of something in the folder that no worker wrote, or ""."""
    try:
        names = [entry.name for entry in folder.iterdir()]
    except OSError:
        return ""
    return next((name for name in sorted(names) if not OWN_NAME.fullmatch(name)), "")


# ---- signs of life


def beat(name: str) -> None:
    """Say that `name` is alive now; the file holds the process that said so first."""
    if not _place.folder:
        return
    path = _place.folder / name
    said = (os.getpid(), name)
    if said not in _place.written:
        path.write_text(str(os.getpid()))
        _place.written.add(said)
    _stamp(path)


def begin_slice() -> None:
    """Say that this process works on a slice; repeated while a long statement runs."""
    if _place.folder:
        _stamp(_place.folder / f"{SLICE}{os.getpid()}")


def end_slice() -> None:
    """Say that this process works on no slice."""
    if _place.folder:
        (_place.folder / f"{SLICE}{os.getpid()}").unlink(missing_ok=True)


@contextmanager
def busy() -> Iterator[None]:
    """Say that this process answers a bell: it takes no other one meanwhile."""
    if not _place.folder:
        yield
        return
    path = _place.folder / f"{BUSY}{os.getpid()}"
    _stamp(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def busy_processes() -> int:
    """Return how many processes of this worker answer a bell now."""
    return sum(1 for _ in _place.folder.glob(f"{BUSY}*")) if _place.folder else 0


def oldest_slice_seconds() -> float:
    """Return how long ago the most silent working process was heard; 0 when none works."""
    if not _place.folder:
        return 0.0
    return max((_age(path) for path in _place.folder.glob(f"{SLICE}*")), default=0.0)


def _stamp(path: Path) -> None:
    now = monotonic()
    try:
        os.utime(path, (now, now))
    except FileNotFoundError:
        path.touch()
        os.utime(path, (now, now))


def _age(path: Path) -> float:
    """Return the seconds since a file was stamped, 0 when it is gone or about to be stamped."""
    try:
        return max(0.0, monotonic() - path.stat().st_mtime)
    except FileNotFoundError:
        return 0.0


# ---- flags


def leave() -> None:
    """Note that this worker was told to end, and ask its processes to."""
    if _place.folder:
        _stamp(_place.folder / LEAVING)
        _stamp(_place.folder / DRAIN)


def is_leaving() -> bool:
    """Return whether this worker was told to end."""
    return _place.folder is not None and (_place.folder / LEAVING).exists()


def leaving_seconds() -> float:
    """Return how long ago this worker was told to end; 0 when it was not."""
    return _age(_place.folder / LEAVING) if _place.folder else 0.0


def is_draining() -> bool:
    """Return whether this pod is about to leave."""
    return _place.folder is not None and (_place.folder / DRAIN).exists()


def hurry(*, is_due: bool) -> None:
    """Ask the slices that run now to end early, because others wait; or take it back."""
    if _place.folder:
        path = _place.folder / HURRY
        path.touch() if is_due else path.unlink(missing_ok=True)


def must_hurry() -> bool:
    """Return whether others wait for this process."""
    return _place.folder is not None and (_place.folder / HURRY).exists()


# ---- room for long slices


@contextmanager
def room_for_long(slots: int) -> Iterator[bool]:
    """Hold one of the pool's places for long work; yields whether there was one free.

    A place is a lock on a file, so that it is free again whatever ends the process. Outside of workers
    there is always room.
    """
    if not _place.folder:
        yield True
        return
    for number in range(slots):
        place = os.open(_place.folder / f"{LONG}{number}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(place)
            continue
        try:
            yield True
        finally:
            os.close(place)
        return
    yield False
