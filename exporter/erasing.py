"""Erasing a person's values in export files: a file that holds one goes whole, its row stays as of one that was pruned.

The next file of changes goes on from none that is gone, so a full one is written then. What somebody downloaded, or
copied elsewhere, is out of reach: the proof says how many downloads the log knows.
"""

from __future__ import annotations

from core.clock import now
from core.erasing import Hunt, Json, Needle, Part
from core.errors import RowhouseError
from core.storage import StorageChanged
from exporter.destinations import store_of
from exporter.models import OPEN_STATES, ExportFile, ExportRun
from exporter.pruning import remove_files
from jobs.kinds import Slice

WAIT_SECONDS = 5.0
UNREAD = "export files in a bucket of the tenant's own that did not answer: look for them there"


def export_files(hunt: Hunt, cursor: Json, work: Slice) -> Part:
    """Remove the stored export files that hold one of the values."""
    if hunt.is_real and not cursor and ExportRun.objects.filter(state__in=OPEN_STATES).exists():
        return Part({}, rest_seconds=WAIT_SECONDS)  # what it is writing now is looked at too
    found, after, unread = 0, cursor.get("after", 0), cursor.get("unread", 0)
    files = ExportFile.objects.stored().filter(pk__gt=after).select_related("destination")
    for file in files.order_by("pk").iterator(chunk_size=50):
        try:
            if _holds(hunt.needle, file, work):
                found += 1
                if hunt.is_real:
                    unread += 1 - len(remove_files([file], now()))
        except RowhouseError:
            if file.destination is None:
                raise
            unread += 1
        after = file.pk
        if work.time_left() <= 0:
            return Part({"after": after, "unread": unread}, found)
    return Part(None, found, {UNREAD: unread} if unread else {})


def _holds(needle: Needle, file: ExportFile, work: Slice) -> bool:
    """Return whether a stored file holds a value. One that cannot be read goes: nobody can say that it does not."""
    try:
        with work.long_statement(), store_of(file.destination).open_read(file.key) as stored:
            return needle.in_file(stored, look=work.is_cancelled)
    except StorageChanged:
        return False  # it is gone already
    except ValueError:
        return True
