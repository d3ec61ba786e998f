"""Putting a job into the table: in the caller's transaction, once per key, one at a target at a time."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from zlib import crc32

from django.db import connection

from core.clock import now as clock
from core.errors import RowhouseError
from core.tenancy import TenantRef
from jobs import engine
from jobs.kinds import Json, kind_of
from jobs.limits import DEFAULT_CAP
from jobs.models import PUBLIC, Job

# Work that waits for ever holds its target for ever; whoever plans further ahead keeps a plan of their own.
MAX_AHEAD = timedelta(days=31)

INSERT = """
INSERT INTO jobs_job (schema, slug, kind, target, idem_key, payload, priority, state, not_before,
                      step, cursor, processed, busy_seconds, attempts, cancel_requested, error_code, error)
VALUES (%s, %s, %s, %s, %s, %s, %s, 'QUEUED', COALESCE(%s, statement_timestamp()),
        0, '{}', 0, 0, 0, false, '', '')
ON CONFLICT DO NOTHING RETURNING id"""
# A share is never missing: without one the work would never get its turn.
SHARE = """
INSERT INTO jobs_tenantshare (schema, slug, state, vtime, weight, cap, spread)
VALUES (%s, %s, 'ACTIVE', 0, 1, %s, %s) ON CONFLICT DO NOTHING"""


class TargetBusy(RowhouseError):
    """Another job of the same kind is at the same target."""

    code = "target-busy"


def put(
    tenant: TenantRef | None,
    *,
    kind: str,
    target: str,
    payload: Json,
    idem_key: str | None,
    priority: int,
    not_before: datetime | None,
) -> Job:
    """Insert the job and ring; must run in `public` inside a transaction.

    :raises TargetBusy: another job of this kind is at this target.
    :raises UnknownKind: no app declares the kind.
    """
    kind_of(kind)
    if not_before is not None and not_before > clock() + MAX_AHEAD:
        raise ValueError(f"work is asked for at most {MAX_AHEAD.days} days ahead, not for {not_before}")
    schema, slug = (tenant.schema, tenant.slug) if tenant else (PUBLIC, "")
    ensure_share(schema, slug)
    values = [schema, slug, kind, target, idem_key, json.dumps(payload), priority, not_before]
    for _ in range(3):
        with connection.cursor() as cursor:
            cursor.execute(INSERT, values)
            row = cursor.fetchone()
        if row:
            engine.ring()
            return Job.objects.get(pk=row[0])
        same = Job.objects.filter(schema=schema, idem_key=idem_key).first() if idem_key else None
        if same:
            return same
        if Job.objects.active().filter(schema=schema, kind=kind, target=target).exists():
            break
        # The one in the way ended between the two looks.
    raise TargetBusy(f"Another job is working on {target} now; try again when it has ended.")


def ensure_share(schema: str, slug: str) -> None:
    """Give the schema its place in the order of turns if it has none."""
    with connection.cursor() as cursor:
        cursor.execute(SHARE, [schema, slug, DEFAULT_CAP, crc32(schema.encode())])
