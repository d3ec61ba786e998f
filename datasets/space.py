"""What records and their history take in the database."""

from __future__ import annotations

from django.db import connection

from core.space import Use
from datasets.models import Dataset

# Indexes and long texts included; whatever else begins with a dataset's name belongs to its records.
SIZES = r"""
SELECT (regexp_match(c.relname, '^ds_(\d+)'))[1]::bigint, c.relname ~ '_history$', sum(pg_total_relation_size(c.oid))
  FROM pg_catalog.pg_class c
 WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND c.relname ~ '^ds_\d+'
 GROUP BY 1, 2"""


def used() -> list[Use]:
    """Return the space of each dataset's records and of their history."""
    slugs = dict(Dataset.objects.values_list("pk", "slug"))
    with connection.cursor() as cursor:
        cursor.execute(SIZES)
        sizes = cursor.fetchall()
    return [
        Use("history" if is_history else "records", slugs[pk], 0, int(size))
        for pk, is_history, size in sizes
        if pk in slugs
    ]
