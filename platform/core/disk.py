"""Room on the disk: said in one sentence, before it runs out or when it has."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from core.errors import RowhouseError

MB = 1024 * 1024
# Below this a server that went away most likely could not write.
NEARLY_NOTHING_MB = 64


class DiskFull(RowhouseError):
    """There is no room left, or not enough for what is to be done."""

    code = "disk-full"
    status = 507


def free_mb(folder: Path) -> int:
    """Return the free MB of the disk a folder lies on, or will lie on."""
    there = next(one for one in (folder, *folder.parents) if one.exists())
    return shutil.disk_usage(there).free // MB


def require_room(folder: Path, *, mb: int) -> None:
    """Say early that a disk is too small.

    :raises DiskFull: less than `mb` MB are free.
    """
    if (free := free_mb(folder)) < mb:
        raise DiskFull(
            f"{free} MB are free on the disk of {folder}, and this needs about {mb} MB. Make room, or choose"
            " another folder with ROWHOUSE_DATA."
        )


def is_full(error: BaseException | None, folder: Path) -> bool:
    """Return whether an error comes from a full disk: ours, PostgreSQL's, or a server that died of it."""
    from django.db import OperationalError  # noqa: PLC0415 -- asked before Django is set up, too
    from psycopg2.errors import DiskFull as ServersDiskFull  # noqa: PLC0415 -- slow import

    while error is not None:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            return True
        if isinstance(error, ServersDiskFull) or "No space left on device" in str(error):
            return True
        if isinstance(error, OperationalError) and free_mb(folder) < NEARLY_NOTHING_MB:
            return True
        error = error.__cause__ or error.__context__
    return False
