"""Who may see an import, and who may act on it: always by the rights on its dataset, or on its plain model."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet

from core.errors import RowhouseError
from datasets import access
from datasets.models import Dataset
from datasets.spec import ColumnSpec
from importer.models import ImportJob, Mode
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
    if not may_see_contents(user, job):
        raise PermissionDenied("The file of this import may hold columns that are hidden from you.")
    if job.target:
        of_targets.require_import(user, PROXIES[job.target])
    else:
        require_import(user, job.dataset)


def rights_of(user: Any, job: ImportJob) -> frozenset[str]:
    """Return the rights a person has in what the job is for."""
    if not job.target:
        held = access.rights_of(user, job.dataset)
        return held if may_see_contents(user, job) else held - {"view", "import"}
    return of_targets.rights_of(user, PROXIES[job.target]) if job.target in PROXIES else frozenset()


def may_import(user: Any, job: ImportJob) -> bool:
    """Return whether a person may import into what the job is for."""
    if job.target:
        return job.target in PROXIES and of_targets.may_import(user, PROXIES[job.target])
    return user is None or (access.may(user, "import", job.dataset) and may_see_contents(user, job))


def may_see_contents(user: Any, job: ImportJob) -> bool:
    """Return whether a person may see the cells of an import's file, and what it changes.

    A file holds whatever its labels say, also what goes to no column: where a column is hidden from somebody,
    he sees the contents of what he brought himself, and of nothing else.
    """
    if user is None or job.target or job.created_by_id == user.pk:
        return True
    return not access.has_hidden(user, job.dataset)


def columns_set(job: ImportJob) -> frozenset[str]:
    """Return the physical names of the columns that an import, or an undo, sets in records."""
    if job.undoes is not None:
        names = columns_set(job.undoes)
        return names | _all_columns(job) if job.created_rows else names
    names = frozenset(match["column"] for match in job.mapping if match["column"])
    # Without new records the key only says which ones are meant.
    return names - set(job.dataset.spec().key) if job.mode == Mode.UPDATE else names


def columns_undone(job: ImportJob) -> frozenset[str]:
    """Return the physical names of the columns that taking back an import, or an undo, would set."""
    return columns_set(job) | _all_columns(job) if job.deleted_rows else columns_set(job)


def _all_columns(job: ImportJob) -> frozenset[str]:
    return frozenset(column.name for column in job.dataset.spec().columns)


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
    held = access.rights_of(user, job.dataset)
    if lacks := next((right for right in wanted if right not in held), None):
        return lacks
    kept = access.uneditable_columns(user, job.dataset, columns_set(job)) if wanted != ["import"] else []
    return f"set {_labels(user, job.dataset, kept)} in" if kept else None


def _labels(user: Any, dataset: Dataset, columns: list[ColumnSpec]) -> str:
    seen = {column.name for column in access.visible_columns(user, dataset)}
    labels = [f"“{column.label}”" for column in columns if column.name in seen]
    return ", ".join(labels) or "some columns"


def kept_labels(job: ImportJob) -> list[str]:
    """Return the labels, of the file or else of the column, that go to columns its uploader may not set."""
    if job.target or job.is_undo or job.created_by is None:
        return []
    kept = access.uneditable_columns(job.created_by, job.dataset, columns_set(job))
    labels = {match["column"]: match["label"] for match in job.mapping if match["column"]}
    return [labels.get(column.name) or column.label for column in kept]


def require_merge(user: Any, job: ImportJob) -> None:
    """Let a person go on who may do all that the job's plan does.

    :raises PermissionDenied: a right is missing.
    """
    if right := missing_right(user, job):
        raise PermissionDenied(f"You do not have the right to {right} records of {job.target_title}.")
