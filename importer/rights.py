"""Who may see an import, and who may act on it: always by the rights on its dataset, or on its plain model."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet

from core.errors import RowhouseError
from datasets import access
from datasets.models import Dataset
from importer.models import ImportJob
from importer.targets import rights as of_targets
from importer.targets.proxies import PROXIES


class NoLongerPermitted(RowhouseError):
    """The person who confirmed an import may not do any more what it does."""

    code = "no-longer-permitted"
    status = 403


def jobs_for(user: Any) -> QuerySet[ImportJob]:
    """Return the imports a person may see: those into datasets they may view or import into."""
    viewed = access.datasets_for(user, "view").values("pk")
    filled = access.datasets_for(user, "import").values("pk")
    targets = of_targets.targets_for(user)
    jobs = ImportJob.objects.filter(
        Q(dataset__in=viewed) | Q(dataset__in=filled) | Q(dataset=None, target__in=targets)
    )
    return jobs.select_related("dataset", "created_by", "confirmed_by")


def require_import(user: Any, dataset: Dataset) -> None:
    """Let a person go on who may import into the dataset; `None` is an operator at the command line.

    :raises PermissionDenied: they may not.
    """
    if user is not None:
        access.require(user, "import", dataset)


def require_import_of(user: Any, job: ImportJob) -> None:
    """Let a person go on who may import into what the job is for.

    :raises PermissionDenied: they may not.
    """
    if job.target and job.target not in PROXIES:
        raise PermissionDenied(f"No installed app takes imports into {job.target} any more.")
    if job.target:
        of_targets.require_import(user, PROXIES[job.target])
    else:
        require_import(user, job.dataset)


def rights_of(user: Any, job: ImportJob) -> frozenset[str]:
    """Return the rights a person has in what the job is for."""
    if not job.target:
        return access.rights_of(user, job.dataset)
    return of_targets.rights_of(user, PROXIES[job.target]) if job.target in PROXIES else frozenset()


def may_import(user: Any, job: ImportJob) -> bool:
    """Return whether a person may import into what the job is for."""
    if job.target:
        return job.target in PROXIES and of_targets.may_import(user, PROXIES[job.target])
    return user is None or access.may(user, "import", job.dataset)


def missing_right(user: Any, job: ImportJob) -> str | None:
    """Return the right a person lacks to carry out the job's plan ("import", "add", …), or None."""
    if user is None:
        return None
    if job.target:
        return of_targets.missing_right(user, job)
    wanted = ["import"]
    if job.created_rows:
        wanted.append("add")
    if job.updated_rows:
        wanted.append("change")
    if job.deleted_rows:
        wanted.append("delete")
    return next((right for right in wanted if not access.may(user, right, job.dataset)), None)


def require_merge(user: Any, job: ImportJob) -> None:
    """Let a person go on who may do all that the job's plan does.

    :raises PermissionDenied: a right is missing.
    """
    if right := missing_right(user, job):
        raise PermissionDenied(f"You do not have the right to {right} records of {job.target_title}.")
