"""Who may see an import, and who may act on it: always by the rights on its dataset."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet

from core.errors import RowhouseError
from datasets import access
from datasets.models import Dataset
from importer.models import ImportJob


class NoLongerPermitted(RowhouseError):
    """The person who confirmed an import may not do any more what it does."""

    code = "no-longer-permitted"
    status = 403


def jobs_for(user: Any) -> QuerySet[ImportJob]:
    """Return the imports a person may see: those into datasets they may view or import into."""
    viewed = access.datasets_for(user, "view").values("pk")
    filled = access.datasets_for(user, "import").values("pk")
    jobs = ImportJob.objects.filter(Q(dataset__in=viewed) | Q(dataset__in=filled))
    return jobs.select_related("dataset", "created_by", "confirmed_by")


def require_import(user: Any, dataset: Dataset) -> None:
    """Let a person go on who may import into the dataset; `None` is an operator at the command line.

    :raises PermissionDenied: they may not.
    """
    if user is not None:
        access.require(user, "import", dataset)


def missing_right(user: Any, job: ImportJob) -> str | None:
    """Return the right a person lacks to carry out the job's plan ("import", "add", "change"), or None."""
    if user is None:
        return None
    wanted = ["import"]
    if job.created_rows:
        wanted.append("add")
    if job.updated_rows:
        wanted.append("change")
    return next((right for right in wanted if not access.may(user, right, job.dataset)), None)


def require_merge(user: Any, job: ImportJob) -> None:
    """Let a person go on who may do all that the job's plan does.

    :raises PermissionDenied: a right is missing.
    """
    if right := missing_right(user, job):
        raise PermissionDenied(f"You do not have the right to {right} records of {job.dataset.title}.")
