"""The pointer to a dataset's newest file: `exports/<dataset>/latest.json`, in each store that holds files of it.

A pointer and no copy: a copy would cost as much space and time as the file itself, could be half new and half old for
whoever reads it in pieces, and an incremental file alone is not the dataset. The pointer names all files it takes.
"""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterable
from typing import Any

from django.db import transaction

from core.errors import RowhouseError
from exporter.destinations import store_of
from exporter.increments import chain_of
from exporter.locks import lock_pointer
from exporter.models import Destination, ExportFile, Fault
from exporter.naming import latest_path

logger = logging.getLogger(__name__)


@transaction.atomic
def point(slugs: Iterable[str]) -> None:
    """Let the pointers of these datasets name their newest stored file; where none is left, they go.

    The rows are read again after the write, until they say what was written: of two workers the one that writes last
    has looked last, whatever kept it from writing before. May be repeated.
    """
    for slug in sorted(set(slugs)):
        lock_pointer(slug)
        there = ExportFile.objects.filter(dataset_slug=slug).values("destination")
        for destination in (None, *Destination.objects.filter(pk__in=there)):
            try:
                _point(slug, destination)
            except RowhouseError as error:
                if destination is None:
                    raise
                # A bucket of the tenant's own that does not answer holds up nobody else.
                logger.warning("The pointer to %s in %s stays as it is: %s", slug, destination, error)


def _point(slug: str, destination: Destination | None) -> None:
    store = store_of(destination)
    written: bytes | None = b""
    while (wanted := _wanted(slug, destination)) != written:
        if wanted is None:
            store.delete(store.key_of(latest_path(slug)))
        else:
            store.save(latest_path(slug), io.BytesIO(wanted))
        written = wanted


def _wanted(slug: str, destination: Destination | None) -> bytes | None:
    newest = _newest(slug, destination)
    return (
        None if newest is None else json.dumps(_told(newest), ensure_ascii=False, indent=1).encode() + b"\n"
    )


def _newest(slug: str, destination: Destination | None) -> ExportFile | None:
    files = ExportFile.objects.stored().filter(dataset_slug=slug, fault=Fault.NONE, destination=destination)
    return files.select_related("run").order_by("-created_at", "-pk").first()


def _told(file: ExportFile) -> dict[str, Any]:
    return {
        "key": file.key,
        "rows": file.rows,
        "bytes": file.bytes,
        "sha256": file.sha256,
        "at": file.created_at.isoformat().replace("+00:00", "Z"),
        "format": file.format,
        "content": file.content,
        # What makes up the dataset, in this order: a full file, then what changed since.
        "files": [one.key for one in chain_of(file)],
        "manifest": file.run.manifest_key or None,
    }
