"""What imports are called where history names them as the reason of a version."""

from __future__ import annotations

from collections.abc import Sequence

from datasets.causes import Cause, describe_by
from importer.models import ImportJob


def causes_of_imports(numbers: Sequence[int]) -> dict[int, Cause]:
    """Return which import, undo or restore each number is. One query."""
    found = ImportJob.objects.filter(pk__in=numbers).only("pk", "file_name", "undoes_id", "head")
    return {one.pk: _cause(one) for one in found}


def _cause(job: ImportJob) -> Cause:
    if job.is_undo:
        return Cause("undo of an import", f"import {job.undoes_id}")
    # Only a restore is made of an exact file of our own, and says in its name of which file or moment.
    return Cause("restore" if job.head.get("is_exact") else "import of a file", job.file_name)


describe_by("import", causes_of_imports)
