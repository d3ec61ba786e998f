"""Spares: schemas made beforehand. A new tenant gets one by a change of its name, which takes a few milliseconds."""

from __future__ import annotations

import logging
from typing import Any

from django.conf import settings
from django.db import transaction

from core.tenancy import connection
from jobs import services as jobs
from tenants import template
from tenants.models import SpareSchema
from tenants.names import new_schema_name

KIND = "tenants.spares"

logger = logging.getLogger(__name__)


def take(cursor: Any, schema: str) -> bool:
    """Give a spare of this code the name `schema`; False: there is none. Must be inside a transaction.

    Whoever takes one at the same time gets another. One whose schema is gone is forgotten.
    """
    while True:
        cursor.execute(
            "DELETE FROM tenants_spareschema WHERE id = (SELECT id FROM tenants_spareschema WHERE digest = %s"
            " ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING schema_name, to_regnamespace(schema_name) IS NULL",
            [template.digest()],
        )
        found = cursor.fetchone()
        if found is None:
            return False
        name, is_gone = found
        if is_gone:
            logger.warning("The spare %s is gone", name)
            continue
        template.rename_schema(cursor, name, schema)
        return True


def refill() -> None:
    """Have a worker make spares until there are as many as there should be. Changes nothing if one is at it."""
    if settings.ROWHOUSE_SPARE_SCHEMAS <= 0:
        return
    try:
        jobs.submit(KIND, target="spares", payload={})
    except jobs.TargetBusy:
        pass


def are_few() -> bool:
    """Return whether spares are to be made. One query."""
    wanted = settings.ROWHOUSE_SPARE_SCHEMAS
    return wanted > 0 and SpareSchema.objects.filter(digest=template.digest()).count() < wanted


def make_one() -> SpareSchema:
    """Make a spare. Must be outside of every tenant.

    :raises NotCopied: an app's migrations make what no script can be read of.
    """
    script = template.ensure().script
    with transaction.atomic(), connection.cursor() as cursor:
        schema = new_schema_name()
        template.create_schema(cursor, schema, script)
        return SpareSchema.objects.create(schema_name=schema, digest=template.digest())


def drop_stale() -> int:
    """Drop the spares that earlier code made, and return how many those were. Must be outside of every tenant."""
    dropped = 0
    newest = template.current()
    if newest is None:
        return 0
    for spare in SpareSchema.objects.exclude(digest=newest.digest).filter(created_at__lt=newest.created_at):
        with transaction.atomic(), connection.cursor() as cursor:
            if SpareSchema.objects.filter(pk=spare.pk).delete()[0]:
                template.drop_schema(cursor, spare.schema_name)
                dropped += 1
    return dropped
