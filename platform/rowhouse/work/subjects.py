"""What a job is about, and to whom: by the rights on its dataset, as the import and export pages have them.

A person who may view or import into a dataset sees its imports' jobs; who may view or export one sees the
export jobs it is part of, without any title. Whoever may view every dataset sees all of both, and an owner
the jobs of any other kind too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q
from django.urls import reverse

import exporter.services
import importer.services
from accounts.models import User
from audit.services import record
from core.errors import RowhouseError
from datasets import access
from exporter.models import OPEN_STATES, ExportRun, Trigger
from importer import rights
from importer.addresses import address
from importer.models import REMAPPABLE, ImportJob
from importer.models import State as ImportState
from importer.targets.proxies import title_of
from importer.targets.rights import targets_for
from importer.words import name_of
from jobs import services as jobs
from jobs.models import Job

IMPORTS = ("importer.preview", "importer.merge", "rowhouse.restore")
EXPORTS = ("exporter.run",)
UNITS = {**dict.fromkeys(IMPORTS, "rows"), **dict.fromkeys(EXPORTS, "files")}
CANCELLABLE = (*REMAPPABLE, ImportState.IMPORT_IN_PROGRESS)


@dataclass(frozen=True, slots=True)
class Subject:
    """What a job is about, for one person."""

    text: str = ""
    url: str = ""
    may_cancel: bool = False
    may_read_reason: bool = True


class NotCancellable(RowhouseError):
    """The person may look at this job but not end it, or it has ended."""

    code = "not-cancellable"
    status = 403


def visible(user: User) -> Q:
    """Return the condition of the tenant's jobs this person may see."""
    if not user.is_active:
        return Q(pk__in=())
    seen = Q(kind__in=IMPORTS) & _imports_seen(user) | Q(kind__in=EXPORTS) & _exports_seen(user)
    return seen if not _is_owner(user) else seen | ~Q(kind__in=(*IMPORTS, *EXPORTS))


def found(user: User, words: str) -> Q:
    """Return the condition of jobs about a file or a dataset, of those this person may see, with these words."""
    targets = [one for one in targets_for(user) if words.lower() in title_of(one).lower()]
    imports = rights.jobs_for(user).filter(
        Q(file_name__icontains=words) | Q(dataset__title__icontains=words) | Q(target__in=targets)
    )
    return Q(kind__in=IMPORTS, payload__import__in=list(imports.values_list("pk", flat=True)))


def subjects(user: User, jobs: Sequence[Job]) -> dict[int, Subject]:
    """Return what each job is about. The number of queries does not grow with the jobs."""
    about = {job.pk: Subject(may_read_reason=_is_owner(user)) for job in jobs}
    return (
        about
        | _about_imports(user, [job for job in jobs if job.kind in IMPORTS])
        | _about_exports(user, [job for job in jobs if job.kind in EXPORTS])
    )


def cancel(user: User, job: Job) -> None:
    """Ask for a job's end as its app's own page does, with the same rights and the same event.

    :raises NotCancellable: the person may not, or it has ended.
    """
    if not subjects(user, [job])[job.pk].may_cancel:
        raise NotCancellable(
            "You may not cancel this, or it has ended already. Reload the page to see how it stands."
        )
    if job.kind in IMPORTS:
        importer.services.cancel_import(job=ImportJob.objects.get(pk=job.payload["import"]), by=user)
        return
    run = next(iter(_runs([job]).values()), None)
    if run is not None:
        exporter.services.cancel_export(run=run, by=user)
    elif jobs.cancel(job.pk):  # the hour's run is made when its job begins
        record("exporter.run.cancel-requested", actor=user, target=job)


def _is_owner(user: User) -> bool:
    return user.has_perm("datasets.change_dataset")


def _sees_all(user: User) -> bool:
    return "view" in access.rights_everywhere(user)


def _dataset_pks(user: User, *rights_wanted: str) -> frozenset[int]:
    return frozenset(
        pk for right in rights_wanted for pk in access.datasets_for(user, right).values_list("pk", flat=True)
    )


# ---- imports


def _imports_seen(user: User) -> Q:
    if _sees_all(user):
        hidden = ImportJob.objects.exclude(target="").exclude(target__in=targets_for(user))
        return ~Q(payload__import__in=list(hidden.values_list("pk", flat=True)))
    return Q(payload__import__in=list(rights.jobs_for(user).values_list("pk", flat=True)))


def _about_imports(user: User, jobs: Sequence[Job]) -> dict[int, Subject]:
    if not jobs:
        return {}
    imports = (
        rights.jobs_for(user).select_related("undoes").in_bulk([job.payload.get("import") for job in jobs])
    )
    fillable = _dataset_pks(user, "import")
    about = {}
    for job in jobs:
        one = imports.get(job.payload.get("import"))
        about[job.pk] = Subject("Its dataset was deleted", may_read_reason=_sees_all(user)) if one is None else Subject(
            text=f"{name_of(one)} {'in' if one.is_undo else 'into'} {one.target_title}",
            url=address(one),
            # A preview that a newer one has replaced ends by itself; to cancel it would end the newer one.
            may_cancel=(rights.may_import(user, one) if one.target else one.dataset_id in fillable)
            and one.state in CANCELLABLE
            and one.current_job_id == str(job.pk)
            and _can_end(job),
        )  # fmt: skip
    return about


def _can_end(job: Job) -> bool:
    return not job.has_ended and not job.cancel_requested


# ---- exports


def _exports_seen(user: User) -> Q:
    if _sees_all(user):
        return Q()
    seen = _dataset_pks(user, "view", "export")
    runs = ExportRun.objects.filter(trigger=Trigger.MANUAL).values_list("pk", "requested_by", "chosen")
    pks = [pk for pk, by, chosen in runs if by == user.pk or _overlaps(chosen, seen)]
    hourly = Q(payload__has_key="slot") if seen else Q(pk__in=())
    return Q(payload__run__in=pks) | hourly


def _overlaps(chosen: list[int] | None, seen: frozenset[int]) -> bool:
    return bool(seen) if chosen is None else not seen.isdisjoint(chosen)


def _about_exports(user: User, jobs: Sequence[Job]) -> dict[int, Subject]:
    if not jobs:
        return {}
    runs = _runs(jobs)
    has_pages = exporter.services.may_see_exports(user)
    sees_all, is_owner = _sees_all(user), _is_owner(user)
    seen = frozenset() if sees_all else _dataset_pks(user, "view", "export")
    about = {}
    for job in jobs:
        run = runs.get(job.pk)
        is_theirs = is_owner or run is not None and run.requested_by_id == user.pk
        is_covered = run is not None and run.chosen is not None and seen.issuperset(run.chosen)
        about[job.pk] = Subject(
            text=_export_words(job, run),
            url=reverse("admin:exporter_exportrun_change", args=[run.pk]) if run and has_pages else "",
            may_cancel=is_theirs and _can_end(job) and (run is None or run.state in OPEN_STATES),
            may_read_reason=sees_all or is_covered,
        )
    return about


def _export_words(job: Job, run: ExportRun | None) -> str:
    if slot := _slot(job):
        return f"Every dataset, for {slot.day} {slot:%B %Y, %H:%M} UTC"
    return f"Export run {run.pk}, by hand" if run else "An export whose run was removed"


def _slot(job: Job) -> datetime | None:
    slot = job.payload.get("slot")
    return datetime.fromisoformat(str(slot)) if slot else None


def _runs(jobs: Iterable[Job]) -> dict[int, ExportRun]:
    by_pk = {int(job.payload["run"]): job.pk for job in jobs if "run" in job.payload}
    by_slot = {slot: job.pk for job in jobs if (slot := _slot(job))}
    wanted = Q(pk__in=by_pk) | Q(trigger=Trigger.SCHEDULED, slot__in=by_slot)
    found = {}
    for run in ExportRun.objects.filter(wanted):
        if run.slot is not None and run.slot in by_slot:
            found[by_slot[run.slot]] = run
        if run.pk in by_pk:
            found[by_pk[run.pk]] = run
    return found
