"""What operators tell each other about a tenant."""

from __future__ import annotations

from django.db import transaction

from audit.services import record
from core.errors import RowhouseError
from tenants.models import Tenant
from tenants.operating_models import TenantNote

MOST_LETTERS = 5000


class BadNote(RowhouseError):
    """A note says nothing, or too much."""

    code = "bad-note"
    status = 422


@transaction.atomic
def add_note(*, tenant: Tenant, text: str, by: object) -> TenantNote:
    """Add a note to a tenant. Nobody changes or removes it; the tenant's people do not see it.

    :raises BadNote: it is empty or longer than MOST_LETTERS.
    """
    text = text.strip()
    if not text:
        raise BadNote("Write something: a note without words says nothing.")
    if len(text) > MOST_LETTERS:
        raise BadNote(f"A note has at most {MOST_LETTERS:,} letters; this has {len(text):,}. Shorten it.")
    note = TenantNote.objects.create(tenant=tenant, text=text, by_label=str(by)[:300])
    record("tenants.note.added", actor=by, target=tenant, note=note.pk)
    return note
