"""Secrets at rest: sealed under the platform's keys, so that a copy of the database opens nothing.

AES-256-GCM under a key derived from each entry of ROWHOUSE_SEALING_KEYS. A sealed text is bound to its tenant and to
what it is for: put into another tenant's row, or into another column, it does not open. What goes with a person into a
copy of a tenant, or belongs to nobody's tenant, is bound to what it is for alone (`anywhere`).
"""

from __future__ import annotations

import base64
import binascii
import os
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from core.errors import RowhouseError
from core.tenancy import current_tenant

VERSION = "s1."
NONCE_BYTES = 12


class NotOpened(RowhouseError):
    """A sealed text opens under none of the keys, or not here."""

    code = "secret-not-opened"


def seal(text: str, *, purpose: str, anywhere: bool = False) -> str:
    """Return a text that only `unseal` with this purpose, in the current tenant, turns back.

    :param anywhere: in every tenant, and outside.
    :raises NoTenant: there is none, and it is not for anywhere.
    """
    nonce = os.urandom(NONCE_BYTES)
    bound_to = _bound_to(purpose, anywhere=anywhere)
    closed = _key(settings.ROWHOUSE_SEALING_KEYS[0]).encrypt(nonce, text.encode(), bound_to)
    return _written(nonce + closed)


def _written(whole: bytes) -> str:
    return VERSION + base64.urlsafe_b64encode(whole).decode()


def unseal(sealed: str, *, purpose: str, anywhere: bool = False) -> str:
    """Return the text that was sealed, under whichever of the keys.

    :raises NotOpened: it was sealed under a key that is gone, for another purpose or tenant, or was altered.
    """
    for key in settings.ROWHOUSE_SEALING_KEYS:
        text = _opened(sealed, key, _bound_to(purpose, anywhere=anywhere))
        if text is not None:
            return text
    raise NotOpened(
        "A stored secret cannot be read any more: the platform's keys have changed. Enter it again."
    )


def is_current(sealed: str, *, purpose: str, anywhere: bool = False) -> bool:
    """Return whether a text opens under the first key: the others are not needed for it."""
    bound_to = _bound_to(purpose, anywhere=anywhere)
    return _opened(sealed, settings.ROWHOUSE_SEALING_KEYS[0], bound_to) is not None


def _opened(sealed: str, key: str, bound_to: bytes) -> str | None:
    try:
        whole = base64.b64decode(sealed.removeprefix(VERSION), altchars=b"-_", validate=True)
        if _written(whole) != sealed:  # one text, one spelling
            return None
        return _key(key).decrypt(whole[:NONCE_BYTES], whole[NONCE_BYTES:], bound_to).decode()
    except (InvalidTag, ValueError, binascii.Error):
        return None


def _bound_to(purpose: str, *, anywhere: bool) -> bytes:
    # By the schema, whose name is never used again: a slug is in the file names people see.
    place = "" if anywhere else current_tenant().schema
    return f"{place}\0{purpose}".encode()


@lru_cache(maxsize=16)
def _key(secret: str) -> AESGCM:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"rowhouse.sealing.1").derive(
        secret.encode()
    )
    return AESGCM(derived)
