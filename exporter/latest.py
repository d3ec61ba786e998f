"""The pointer to a dataset's newest file: `exports/<dataset>/latest.json`.

A pointer and no copy: a copy would cost as much space and time as the file itself, could be half new and half old for
whoever reads it in pieces, and an incremental file alone is not the dataset. The pointer names all files it takes.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from typing import Any

from django.db import transaction

from core import storage
from exporter.locks import lock_pointer
from exporter.models import ExportFile, Fault
from exporter.naming import latest_path


@transaction.atomic
def point(slugs: Iterable[str]) -> None:
    """Let the pointers of these datasets name their newest stored file; where none is left, they go.

    The rows are read again after the write, until they say what was written: of two workers the one that writes last
    has looked last, whatever kept it from writing before. May be repeated.
    """
    for slug in sorted(set(slugs)):
        lock_pointer(slug)
        written: bytes | None = b""
        while (wanted := _wanted(slug)) != written:
            if wanted is None:
                storage.delete(storage.key_of(latest_path(slug)))
            else:
                storage.save(latest_path(slug), io.BytesIO(wanted))
            written = wanted


def _wanted(slug: str) -> bytes | None:
    newest = _newest(slug)
    return (
        None if newest is None else json.dumps(_told(newest), ensure_ascii=False, indent=1).encode() + b"\n"
    )


def _newest(slug: str) -> ExportFile | None:
    files = ExportFile.objects.stored().filter(dataset_slug=slug, fault=Fault.NONE, destination=None)
    return files.select_related("run", "base").order_by("-created_at", "-pk").first()


def _told(file: ExportFile) -> dict[str, Any]:
    chain = [file.key]
    base = file.base
    while base is not None:
        chain.insert(0, base.key)
        base = base.base
    return {
        "key": file.key,
        "rows": file.rows,
        "bytes": file.bytes,
        "sha256": file.sha256,
        "at": file.created_at.isoformat().replace("+00:00", "Z"),
        "format": file.format,
        "content": file.content,
        # What makes up the dataset, in this order: a full file, then what changed since.
        "files": chain,
        "manifest": file.run.manifest_key or None,
    }
