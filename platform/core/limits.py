"""How often something may be asked for, counted for all processes and pods together.

Counted in PostgreSQL, in one small table of `public`: a tenant's roles reach nothing there, and each count stands under
a digest of the tenant, the scope and the subject, so that no tenant takes from another's. One statement each time; a
refusal writes nothing.
"""

from __future__ import annotations

from hashlib import sha256
from math import ceil
from uuid import UUID

from django.db import connection

from core.errors import RowhouseError
from core.tenancy import in_public, tenant_or_none

# The window begins at the first time and ends `per_seconds` later; by the database's clock, which all pods share.
_TAKE = """
INSERT INTO core_taken AS t (id, count, until)
VALUES (%(id)s, 1, clock_timestamp() + make_interval(secs => %(per)s))
ON CONFLICT (id) DO UPDATE SET
  count = CASE WHEN t.until <= clock_timestamp() THEN 1 ELSE t.count + 1 END,
  until = CASE WHEN t.until <= clock_timestamp() THEN excluded.until ELSE t.until END
WHERE t.until <= clock_timestamp() OR t.count < %(limit)s
RETURNING count"""
_LEFT = "SELECT EXTRACT(epoch FROM until - clock_timestamp()) FROM core_taken WHERE id = %s"
_FORGET = "DELETE FROM core_taken WHERE id = %s"
# Of what is past alone, and never waiting for whoever counts just now.
_FORGET_PAST = (
    "DELETE FROM core_taken WHERE id IN (SELECT id FROM core_taken WHERE until < clock_timestamp()"
    " LIMIT 10000 FOR UPDATE SKIP LOCKED)"
)


class TooMany(RowhouseError):
    """Something was asked for more often than it may be; `retry_after` says in how many seconds it may be again.

    Pages answer with status 429 and `Retry-After`.
    """

    code = "too-many-requests"
    status = 429

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


def take(*, scope: str, subject: str, limit: int, per_seconds: int) -> None:
    """Count one more time that a subject asks for something, and go on only if that is not too often.

    Inside a tenant the count is the tenant's own. Call it outside of transactions where that can be done: inside one,
    others who are counted under the same subject wait for its end, and a rollback takes the count back.

    :param scope: what is asked for, such as `upload`.
    :param subject: who asks: a user's number, an address, an account's name; it is stored as a digest alone.
    :param limit: how often in `per_seconds` seconds, which begin at the first time; 0: as often as one likes.
    :raises TooMany: it was so often already.
    """
    if limit <= 0:
        return
    key = _key(scope, subject)
    with in_public(), connection.cursor() as cursor:
        cursor.execute(_TAKE, {"id": key, "limit": limit, "per": per_seconds})
        if cursor.fetchone() is not None:
            return
        cursor.execute(_LEFT, [key])
        found = cursor.fetchone()
    seconds = max(1, ceil(found[0])) if found else 1
    raise TooMany(
        f"This was asked for more often than it may be: {limit:,} times in {_said(per_seconds)}."
        f" Nothing was done. Try again in {_said(seconds)}.",
        seconds,
    )


def forget(*, scope: str, subject: str) -> None:
    """Begin a subject's count anew: what it was counted for has come to a good end."""
    key = _key(scope, subject)  # the tenant's, while it is there
    with in_public(), connection.cursor() as cursor:
        cursor.execute(_FORGET, [key])


def forget_past() -> None:
    """Remove counts whose time is over, at most 10,000; must run in `public`. A chore of every worker."""
    with connection.cursor() as cursor:
        cursor.execute(_FORGET_PAST)


def _key(scope: str, subject: str) -> str:
    tenant = tenant_or_none()
    whole = "\0".join([tenant.schema if tenant else "public", scope, subject])
    return str(UUID(bytes=sha256(whole.encode("utf-8", "surrogatepass")).digest()[:16]))


def _said(seconds: int) -> str:
    """Return a length of time in words, rounded up.

    >>> _said(1), _said(90), _said(600), _said(5400)
    ('1 second', '2 minutes', '10 minutes', '2 hours')
    """
    for size, name in ((3600, "hour"), (60, "minute")):
        if seconds >= size:
            number = ceil(seconds / size)
            return f"{number} {name}{'s' if number != 1 else ''}"
    return f"{seconds} second{'s' if seconds != 1 else ''}"
