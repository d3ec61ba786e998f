"""The handlers of background jobs: they load and call."""

from __future__ import annotations

from datasets.editing import purge_column
from jobs.kinds import Slice, Step


def purge(work: Slice) -> Step:
    """Purge a retired column; the payload is {"column": pk, "at": when it was ordered for, "by": user pk or null}."""
    purge_column(column_pk=work.payload["column"], at=work.payload["at"], by_pk=work.payload["by"])
    return Step(done=True, processed=1, total=1)
