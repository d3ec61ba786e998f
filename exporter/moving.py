"""A tenant restored under a new name: its rows speak of keys that are its own."""

from __future__ import annotations

from django.db.models import Value
from django.db.models.functions import Concat, Substr

from exporter.models import Destination, ExportFile, ExportRun


def move_prefix(old: str, new: str) -> None:
    """Let every key of the current tenant begin with its slug instead of the former one.

    No object moves: what is not copied to its new key is missing, as `verify_exports` says. Nothing ever reaches into
    the former tenant's prefix.
    """
    for base, files in [
        ("", ExportFile.objects.filter(destination=None)),
        *((one.prefix, ExportFile.objects.filter(destination=one)) for one in Destination.objects.all()),
    ]:
        before, after = (f"{base}/{slug}/" if base else f"{slug}/" for slug in (old, new))
        moved = Concat(Value(after), Substr("key", len(before) + 1))
        files.filter(key__startswith=before).update(key=moved)
    moved = Concat(Value(f"{new}/"), Substr("manifest_key", len(old) + 2))
    ExportRun.objects.filter(manifest_key__startswith=f"{old}/").update(manifest_key=moved)
