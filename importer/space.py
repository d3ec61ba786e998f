"""What uploaded files take, and the rows of imports that are kept beside the records."""

from __future__ import annotations

from collections import defaultdict

from django.db import connection
from django.db.models import QuerySet

from core.space import Use
from importer.models import ImportJob, Proposal, RejectedRow
from importer.staging import PREFIXES

SIZES = """
SELECT split_part(c.relname, '_', 2)::bigint, sum(pg_total_relation_size(c.oid))
  FROM pg_catalog.pg_class c
 WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND c.relname ~ %s
 GROUP BY 1"""


def used() -> list[Use]:
    """Return the space of uploads by dataset, of rows on their way in, and of rows that were rejected."""
    uploads: defaultdict[str, list[int]] = defaultdict(list)
    for slug, size, sheet in _kept().values_list("dataset__slug", "bytes", "sheet"):
        uploads[slug or ""] += [size, *([sheet["bytes"]] if sheet.get("bytes") else [])]
    slugs = dict(ImportJob.objects.values_list("pk", "dataset__slug"))
    with connection.cursor() as cursor:
        cursor.execute(SIZES, [f"^({'|'.join(PREFIXES)})_[0-9]+$"])
        staged: defaultdict[str, int] = defaultdict(int)
        for pk, size in cursor.fetchall():
            staged[slugs.get(pk) or ""] += int(size)
        cursor.execute("SELECT pg_total_relation_size(to_regclass(%s))", [RejectedRow._meta.db_table])
        rejected = int(cursor.fetchone()[0] or 0)
    return [
        *(Use("uploads", slug, len(sizes), sum(sizes)) for slug, sizes in uploads.items()),
        *(Use("staged rows", slug, 0, size) for slug, size in staged.items()),
        Use("rejected rows", "", 0, rejected),
    ]


def stored_keys() -> dict[str, str]:
    """Return the keys of uploads and of what was made of them, each with its dataset's slug."""
    found: dict[str, str] = {}
    for pk, slug, key, sheet in _kept().values_list("pk", "dataset__slug", "key", "sheet"):
        prefix = key.split("/", 1)[0]
        # A sheet is written before the row that names it: its keys follow from the job's.
        own = (key, sheet.get("key"), sheet.get("hazards"), f"{prefix}/uploads/{pk}/sheet.csv",
               f"{prefix}/uploads/{pk}/hazards.json")  # fmt: skip
        found.update(dict.fromkeys(filter(None, own), slug or ""))
    found.update(dict.fromkeys(Proposal.objects.exclude(key="").values_list("key", flat=True), ""))
    return found


def _kept() -> QuerySet[ImportJob]:
    return ImportJob.objects.exclude(key="")
