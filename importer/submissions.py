"""A form that is sent twice makes one import: by the key it carries, and by the file."""

from __future__ import annotations

from typing import Any

from django.db import connection

from core import storage
from importer.models import ImportJob


def made_before(key: str | None, stored: storage.Stored, **asked: Any) -> ImportJob | None:
    """Return the import this very submission made the first time, and forget its second upload.

    `asked` is what else it says: another mode is another submission. Until the transaction ends the same key
    waits, so that of two at once the second finds the first.
    """
    if not key:
        return None
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtext(current_schema() || '.submission'), hashtext(%s))", [key]
        )
    made = ImportJob.objects.filter(request_key=key, sha256=stored.sha256, **asked).first()
    if made is not None:
        storage.delete(stored.key)
    return made


def free_key(key: str | None) -> str | None:
    """Return the key if it is free: a page that the browser kept sends another file with the first one's key."""
    return None if not key or ImportJob.objects.filter(request_key=key).exists() else key
