"""The mappings a dataset remembers: by the header they were used for, or by the name a person gave.

Each keeps all its versions; imports point at the one they used.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from django.db import transaction

from audit.services import record
from core import clock
from core.errors import RowhouseError
from datasets.models import Dataset
from importer import rights
from importer.mapping import Match, Wish, normalise, plain_wishes, saved_from, wishes_of
from importer.models import ImportJob, MappingVersion, SavedMapping
from importer.specs import spec_of, version_of

# The two columns in front of a file of rejected rows; more brackets where a dataset has such columns itself.
REJECTS_LABELS = (r"row( \(rejects\))*", r"problem( \(rejects\))*")


class NoSuchMapping(RowhouseError):
    """A saved mapping was named that the dataset does not have."""

    code = "no-such-mapping"
    status = 422


class BadName(RowhouseError):
    """A mapping cannot be saved under this name."""

    code = "bad-name"
    status = 422


class NothingMapped(RowhouseError):
    """An import was asked for its mapping before it had one."""

    code = "nothing-mapped"


def fingerprint(labels: Sequence[str]) -> str:
    """Return what names a header: the sha256 of its labels in order."""
    return hashlib.sha256("\x1f".join(labels).encode()).hexdigest()


@transaction.atomic
def remember(job: ImportJob) -> None:
    """Keep the job's mapping for the next file with the same labels, and note which version it used."""
    labels = job.head.get("labels", [])
    if job.is_undo or job.dataset_id is None or not labels or job.head.get("is_exact"):
        return
    saved, _ = SavedMapping.objects.update_or_create(
        dataset=job.dataset,
        fingerprint=fingerprint(labels),
        name="",
        defaults={"columns": saved_from(_matches(job.mapping)), "used_at": clock.now()},
    )
    version = _keep(saved, job, by=job.confirmed_by)
    if job.mapping_version is None or not _fills_the_same(job.mapping_version, version):
        job.mapping_version = version
        job.save(update_fields=["mapping_version"])


def find(job: ImportJob, labels: Sequence[str]) -> tuple[tuple[Wish, ...], MappingVersion | None]:
    """Return what is remembered of these labels for the job's dataset, and the version it comes from.

    A file of rejected rows is known by the labels behind its own two in front: of a mapping that is
    remembered, or else of the import it came from.
    """
    if found := _remembered(job, labels):
        return found
    if not is_rejects_file(job, labels):
        return (), None
    own = tuple(Wish(label, None, is_left_out=True) for label in labels[:2])
    if found := _remembered(job, labels[2:]):
        return (*own, *found[0]), found[1]
    origin = ImportJob.objects.filter(
        dataset=job.dataset_id, target=job.target, head__labels=list(labels[2:])
    ).exclude(pk=job.pk)
    before = origin.order_by("-pk").first()
    if before is None or not before.mapping or before.target and before.definition_version != version_of(job):
        return own, None
    return (*own, *wishes_of(_matches(before.mapping), spec_of(before).columns)), None


def is_rejects_file(job: ImportJob, labels: Sequence[str]) -> bool:
    """Return whether the first two labels are those of a file of rejected rows, and no columns of the dataset."""
    if len(labels) < 3 or not all(map(re.fullmatch, REJECTS_LABELS, labels[:2])):
        return False
    columns = {normalise(column.label) for column in spec_of(job).columns}
    return columns.isdisjoint(map(normalise, labels[:2]))


@transaction.atomic
def save_as(*, job: ImportJob, name: str, by: Any) -> MappingVersion:
    """Keep the job's mapping under a name; a name that is there already gets a new version.

    :raises PermissionDenied: the person may not import into the dataset.
    :raises NothingMapped: the file's labels are not known yet.
    :raises BadName: it is empty, too long or looks like JSON; or the import is into a plain model.
    """
    if job.target:
        raise BadName("Only mappings into datasets are saved. This file's labels are matched anew each time.")
    rights.require_import(by, job.dataset)
    if not job.mapping:
        raise NothingMapped(
            "The file's labels are not known yet. Wait for its preview, then save the mapping."
        )
    saved, _ = SavedMapping.objects.update_or_create(
        dataset=job.dataset,
        name=checked_name(name),
        defaults={"columns": saved_from(_matches(job.mapping)), "used_at": clock.now()},
    )
    version = _keep(saved, job, by=by)
    job.mapping_version = version
    job.save(update_fields=["mapping_version"])
    record("importer.mapping.saved", actor=by, target=job, mapping=saved.name, version=version.number)
    return version


def checked_name(name: str) -> str:
    """Return the name as it is kept.

    :raises BadName: it is empty, too long or looks like JSON.
    """
    name = " ".join(name.split())
    if not name or len(name) > 100 or name.startswith("{") or "\x00" in name:
        raise BadName("Give the mapping a name of 1 to 100 characters that does not begin with a bracket.")
    return name


def named(dataset: Dataset, name: str) -> MappingVersion:
    """Return the newest version of the mapping with this name.

    :raises NoSuchMapping: the dataset has none.
    """
    versions = MappingVersion.objects.filter(saved__dataset=dataset, saved__name=name).exclude(saved__name="")
    if version := versions.select_related("saved").order_by("-number").first():
        return version
    has = names(dataset)
    offer = f"It has {', '.join(map(repr, has))}." if has else "It has none with a name."
    raise NoSuchMapping(f"This dataset has no mapping {name!r}. {offer}")


def newest(dataset: Dataset) -> list[MappingVersion]:
    """Return the newest version of each of a dataset's named mappings."""
    versions = MappingVersion.objects.filter(saved__dataset=dataset).exclude(saved__name="")
    ordered = versions.order_by("saved__name", "-number").distinct("saved__name")
    return list(ordered.select_related("saved"))


def names(dataset: Dataset) -> list[str]:
    """Return the names of a dataset's mappings."""
    saved = SavedMapping.objects.filter(dataset=dataset).exclude(name="")
    return list(saved.order_by("name").values_list("name", flat=True))


@transaction.atomic
def delete(*, dataset: Dataset, name: str, by: Any) -> None:
    """Forget a mapping with a name. Imports that used it keep their own copy.

    :raises PermissionDenied: the person may not import into the dataset.
    :raises NoSuchMapping: the dataset has none of this name.
    """
    rights.require_import(by, dataset)
    saved = named(dataset, name).saved
    record("importer.mapping.deleted", actor=by, target=dataset, mapping=name)
    saved.delete()


def wishes_in(version: MappingVersion) -> tuple[Wish, ...]:
    """Return what a version of a mapping wants of a file, whatever its labels' order."""
    types = {entry["column"]: entry.get("type", "") for entry in version.matches if entry["column"]}
    wishes = wishes_of(_matches(version.matches))
    return tuple(replace(wish, type=types.get(wish.column or "", "")) for wish in wishes)


def matches_in(version: MappingVersion) -> list[Match]:
    """Return the matches of a version, for a file with the labels it was saved with."""
    return _matches(version.matches)


def _remembered(
    job: ImportJob, labels: Sequence[str]
) -> tuple[tuple[Wish, ...], MappingVersion | None] | None:
    saved = SavedMapping.objects.filter(
        dataset=job.dataset_id, fingerprint=fingerprint(labels), name=""
    ).first()
    if saved is None:
        return None
    version = saved.versions.first()
    # An older program remembers without a version, and may have done so since the last one.
    if version is None or saved_from(_matches(version.matches)) != saved.columns:
        return plain_wishes(saved.columns, is_explicit=False), None
    return wishes_in(version), version


def _keep(saved: SavedMapping, job: ImportJob, *, by: Any) -> MappingVersion:
    """Return the saved mapping's newest version, made now if the job's mapping is not the same."""
    types = {column.name: column.type for column in job.dataset.spec().columns}
    matches = [{**match, "type": types.get(match["column"], "")} for match in job.mapping]
    last = saved.versions.first()
    if last is not None and _is_same(last.matches, matches):
        return last
    number = last.number + 1 if last is not None else 1
    return MappingVersion.objects.create(saved=saved, number=number, matches=matches, by=by)


def _is_same(one: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]) -> bool:
    return _essence(one) == _essence(other)


def _essence(matches: Sequence[Mapping[str, Any]]) -> list[Any]:
    found: list[Any] = []
    for match, entry in zip(_matches(matches), matches, strict=True):
        if match.column is None:
            found.append((match.position, match.label, match.reason in ("chosen", "saved")))
        else:
            plain = replace(match, reason="", score=0, candidates=())
            found.append((plain, entry.get("type", "")))
    return found


def _fills_the_same(one: MappingVersion, other: MappingVersion) -> bool:
    """Return whether two versions fill the same columns in the same way, wherever the labels stand."""
    first, second = (
        {wish.column: wish for wish in wishes_in(version) if wish.column} for version in (one, other)
    )
    return {name: replace(wish, is_further=False) for name, wish in first.items()} == {
        name: replace(wish, is_further=False) for name, wish in second.items()
    }


def _bare(match: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in match.items() if name != "type"}


def _matches(saved: Sequence[Mapping[str, Any]]) -> list[Match]:
    return [Match.from_dict(_bare(match)) for match in saved]
