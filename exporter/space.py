"""What a tenant's files take, day by day, and whether storage and rows know the same objects."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db import transaction
from django.db.models import Count, Sum

from accounts.models import User
from audit.services import record
from core import space, storage
from core.quotas import Resource, limit_of
from core.space import Use
from exporter.manifests import path_of
from exporter.models import ExportFile, ExportRun, Fault, SpaceSample, State
from exporter.naming import latest_path, path_of_try
from exporter.running import MOST_TRIES, places

# Younger objects may belong to work whose row is not committed yet.
SAFE_AGE = timedelta(days=1)
DAYS_SHOWN = 30
SAMPLES_KEPT = timedelta(days=400)


def used() -> list[Use]:
    """Return the space of each dataset's files in the platform's storage."""
    stored = ExportFile.objects.stored().filter(destination=None).values("dataset_slug")
    stored = stored.annotate(files=Count("pk"), all=Sum("bytes"))
    return [Use("exports", one["dataset_slug"], one["files"], one["all"]) for one in stored.order_by()]


def stored_keys() -> dict[str, str]:
    """Return the keys of files, pointers and manifests, and of what an unfinished run may have written."""
    slugs = set(ExportFile.objects.values_list("dataset_slug", flat=True))
    found = {storage.key_of(latest_path(slug)): slug for slug in slugs}
    found.update(ExportFile.objects.stored().values_list("key", "dataset_slug"))
    runs = ExportRun.objects.exclude(manifest_key="").values_list("manifest_key", flat=True)
    found.update(dict.fromkeys(runs, ""))
    for run in ExportRun.objects.filter(state__in=(State.QUEUED, State.RUNNING)):
        for number in range(1, run.tries + MOST_TRIES + 1):
            paths = (path_of(run, number), *(path_of_try(one, number) for one in places(run.plan)))
            found.update(dict.fromkeys(map(storage.key_of, paths), ""))
    return found


def storage_usage() -> list[Use]:
    """Return the space of each kind of file as the storage itself lists it, by dataset where a row knows it."""
    known = space.stored_keys()
    found: dict[tuple[str, str], list[int]] = defaultdict(list)
    for key, size in storage.list_keys():
        _, kind, *rest = key.split("/")
        dataset = known.get(key) or (rest[0] if kind == "exports" and len(rest) > 1 else "")
        found[kind, dataset].append(size)
    return [Use(*place, len(sizes), sum(sizes)) for place, sizes in sorted(found.items())]


@dataclass(frozen=True, slots=True)
class Check:
    """Where storage and rows differ. `orphans`: objects that no row knows, with their bytes."""

    objects: int
    orphans: list[tuple[str, int]]
    young: int  # objects that no row knows yet, and too new to be sure of it
    missing: list[ExportFile]  # stored files without an object
    missing_manifests: list[str]
    is_mended: bool


@transaction.atomic
def check_storage(*, now: datetime, mend: bool = False, by: User | None = None) -> Check:
    """Compare what the storage lists with what the rows know; with `mend`, remove orphans and mark what is missing.

    Nothing outside the tenant's own prefix is listed or removed, and no orphan younger than SAFE_AGE.
    """
    listed = dict(storage.list_keys())
    known = space.stored_keys()  # after the listing: what was stored meanwhile is known, not an orphan
    unknown = [key for key in listed if key not in known]
    old = [key for key in unknown if now - storage.modified_at(key) > SAFE_AGE]
    missing = [
        file
        for file in ExportFile.objects.stored().filter(destination=None).order_by("pk")
        if file.key not in listed
    ]
    manifests = ExportRun.objects.exclude(manifest_key="").values_list("manifest_key", flat=True)
    lost = sorted(set(manifests) - listed.keys())
    if mend:
        for key in old:
            storage.delete(key)
        for file in missing:
            file.fault, file.checked_at = Fault.MISSING, now
        ExportFile.objects.bulk_update(missing, ["fault", "checked_at"], batch_size=1000)
        if old or missing:
            record("exporter.storage.mended", actor=by, removed=len(old), missing=len(missing))
    orphans = [(key, listed[key]) for key in old]
    return Check(len(listed), orphans, len(unknown) - len(old), missing, lost, mend)


def sample_space(*, today: date) -> bool:
    """Note once a day what everything takes; False: it was noted before."""
    if SpaceSample.objects.filter(day=today).exists():
        return False
    samples = [SpaceSample(day=today, kind=use.kind, dataset_slug=use.dataset, files=use.files, bytes=use.bytes)
               for use in space.used()]  # fmt: skip
    SpaceSample.objects.bulk_create(samples, ignore_conflicts=True)
    SpaceSample.objects.filter(day__lt=today - SAMPLES_KEPT).delete()
    return True


@dataclass(frozen=True, slots=True)
class Day:
    """The space of one day by kind, in the order of `Trend.kinds`."""

    day: date
    bytes: tuple[int, ...]

    @property
    def total(self) -> int:
        return sum(self.bytes)


@dataclass(frozen=True, slots=True)
class Trend:
    """The last days that were noted, oldest first, and today's figures last."""

    kinds: tuple[str, ...]
    days: tuple[Day, ...]

    @property
    def most(self) -> int:
        return max((day.total for day in self.days), default=0)


def trend(now_used: Iterable[Use], *, today: date) -> Trend:
    """Return how the space grew over DAYS_SHOWN days; a day nobody noted is left out."""
    by_day: defaultdict[date, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    first = today - timedelta(days=DAYS_SHOWN - 1)
    rows = SpaceSample.objects.filter(day__gte=first, day__lt=today).values_list("day", "kind").order_by()
    for day, kind, size in rows.annotate(all=Sum("bytes")):
        by_day[day][kind] = size
    for use in now_used:
        by_day[today][use.kind] += use.bytes
    kinds = tuple(sorted({kind for sizes in by_day.values() for kind in sizes}))
    return Trend(
        kinds, tuple(Day(day, tuple(sizes[kind] for kind in kinds)) for day, sizes in sorted(by_day.items()))
    )


def quota_bytes() -> int:
    """Return how much the current tenant may take in all; 0: as much as there is."""
    return limit_of(Resource.BYTES)
