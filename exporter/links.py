"""Links to one stored file: good for a minute, for that file in that tenant, and for no other.

A bucket signs them itself (`Store.link`) and hands the file out. Where a store cannot, this platform signs an address
of its own, whose page asks for the person's right once more.
"""

from __future__ import annotations

from django.core import signing
from django.utils.http import content_disposition_header

from core.errors import RowhouseError
from core.tenancy import current_tenant
from exporter.destinations import store_of
from exporter.models import ExportFile

# A bucket keeps to a link whatever becomes of the tenant meanwhile: a suspension ends the last of them in this time.
LINK_SECONDS = 60
SALT = "exporter.links"


class LinkEnded(RowhouseError):
    """A link is older than LINK_SECONDS."""

    code = "link-ended"
    status = 410


class LinkRefused(RowhouseError):
    """A link was altered, or was made for another file."""

    code = "link-refused"
    status = 403


def signed_by_store(file: ExportFile, *, content_type: str) -> str | None:
    """Return the address at which the file's store hands it out, or None: it does not.

    :raises StorageChanged: the object is gone.
    :raises StorageError: the store does not answer.
    """
    store = store_of(file.destination)
    store.size(file.key)  # a link to nothing would tell about it in the server's words
    header = content_disposition_header(as_attachment=True, filename=file.file_name)
    assert header is not None
    return store.link(file.key, header=header, content_type=content_type, seconds=LINK_SECONDS)


def token_of(file: ExportFile) -> str:
    """Return what `require_link` accepts for this file of the current tenant, for LINK_SECONDS."""
    return signing.dumps(_bound_to(file), salt=SALT)


def require_link(file: ExportFile, token: str) -> None:
    """Go on only if a token is this file's and still good.

    :raises LinkEnded: it was.
    :raises LinkRefused: it never was.
    """
    try:
        found = signing.loads(token, salt=SALT, max_age=LINK_SECONDS)
    except signing.SignatureExpired:
        raise LinkEnded("This link has ended: it is good for a minute. Download the file again.") from None
    except signing.BadSignature:
        found = None
    if found != _bound_to(file):
        raise LinkRefused("This is no link to this file. Download it from the list of exports.")


def _bound_to(file: ExportFile) -> list[object]:
    # By the schema, whose name is never used again, and by what the file was when it was written.
    return [current_tenant().schema, file.pk, file.key, file.sha256]
