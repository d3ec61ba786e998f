"""The mapping of one import: what is suggested for its file, and what must be settled before a row is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from core.words import count
from datasets import access
from datasets.models import Dataset
from datasets.spec import DatasetSpec
from importer import mapping, rights, saved_mappings
from importer.issues import Issue, shown
from importer.mapping import BadMapping, Match, UnknownColumn, Wish, unused
from importer.models import ImportJob, MappingVersion, Mode, RowFix
from importer.specs import spec_of

SHOWN_LABELS = 20
# What of an import's overrides is its mapping, and no matter of how the file is read.
OF_MAPPING = ("columns", "mapping")


def wanted(dataset: Dataset, columns: Mapping[str, Any] | str | None, by: Any = None) -> dict[str, Any]:
    """Return the part of an import's overrides that says its mapping, as it was given with the file.

    A column that is hidden from `by` does not exist here.

    :param columns: a mapping as people write it (see `importer.mapping.written`), or the name of a saved one.
    :raises UnknownColumn: it names a column the dataset does not have.
    :raises BadMapping: it cannot be read.
    :raises NoSuchMapping: no saved mapping has that name.
    """
    if columns is None:
        return {}
    if isinstance(columns, str):
        version = saved_mappings.named(dataset, columns)
        wishes = saved_mappings.wishes_in(version)
        return _given(wishes, version=version.pk)
    wishes = mapping.read_mapping(columns, access.visible_columns(by, dataset))
    if mapping.is_plain(columns):  # as older programs know it
        return {"columns": {wish.label: wish.column for wish in wishes}}
    return _given(wishes, version=None)


def _given(wishes: Sequence[Wish], *, version: int | None, is_strict: bool = True) -> dict[str, Any]:
    kept = [wish.to_dict() for wish in wishes]
    return {"mapping": {"version": version, "wishes": kept, "is_strict": is_strict}}


def map_labels(job: ImportJob, spec: DatasetSpec) -> list[Issue]:
    """Map the file's labels anew (not saved); return an issue for each label that is asked for and missing."""
    asked, version, wishes = _asked(job)
    is_explicit = asked is not None
    if asked is None:
        wishes, version = saved_mappings.find(job, job.head["labels"])
    matches = _suggested(job, spec, wishes, is_explicit=is_explicit)
    _notice(job, mapping.changes(wishes, matches, spec.columns))
    job.mapping, job.mapping_version = [match.to_dict() for match in matches], version
    return _lost_labels(job.head["labels"], asked or ())


def _asked(job: ImportJob) -> tuple[list[Wish] | None, MappingVersion | None, tuple[Wish, ...]]:
    """Return the wishes given with the file that it must meet (None: nothing was given), and all of them."""
    given, columns = job.overrides.get("mapping"), job.overrides.get("columns")
    if given is None and columns is None:
        return None, None, ()
    if given is None:
        wishes = mapping.plain_wishes(columns, is_explicit=True)
        return list(wishes), None, wishes
    wishes = tuple(Wish.from_dict(wish) for wish in given["wishes"])
    version = MappingVersion.objects.filter(pk=given["version"]).first()
    # A label that a saved mapping leaves out need not be there; one that was written for this file must be.
    asked = [wish for wish in wishes if given["version"] is None or wish.column is not None]
    return asked if given["is_strict"] else [], version, wishes


def is_read_anew(job: ImportJob, overrides: Mapping[str, Any]) -> bool:
    """Return whether these overrides read the file in another way than it was read."""
    return {key: value for key, value in job.overrides.items() if key not in OF_MAPPING} != overrides


def read_anew(job: ImportJob, overrides: Mapping[str, Any]) -> list[str]:
    """Let the next preview match the labels it finds, with what was chosen for those that stay (not saved).

    Corrected rows are given up at once: their numbers may be those of other rows now, and their cells other
    cells. Return sentences about what is lost.
    """
    chosen = [
        wish
        for wish, match in zip(mapping.wishes_of(matches_of(job)), job.mapping, strict=True)
        if match["reason"] in ("chosen", "saved")
    ]
    carried = _given(chosen, version=None, is_strict=False) if chosen else {}
    job.overrides, job.mapping, job.mapping_version = {**overrides, **carried}, [], None
    given_up, _ = RowFix.objects.filter(job=job).delete()
    if not given_up:
        return []
    rows = f"{count(given_up, 'corrected row')} {'was' if given_up == 1 else 'were'}"
    return [f"{rows} given up, because the file is read in another way now."]


def use_named(job: ImportJob, name: str) -> list[str]:
    """Give the job a saved mapping (not saved); return sentences about what of it does not fit.

    :raises NoSuchMapping: the dataset has none of this name.
    """
    version = saved_mappings.named(job.dataset, name)
    spec, wishes = spec_of(job), saved_mappings.wishes_in(version)
    if not job.head.get("labels"):  # the next preview may be able to read them
        job.overrides |= _given(wishes, version=version.pk, is_strict=False)
        job.mapping = []
        return []
    matches = _suggested(job, spec, wishes, is_explicit=True)
    lost = mapping.absent(job.head["labels"], [wish for wish in wishes if wish.column is not None])
    use(job, matches)
    job.mapping_version = version
    missing = [f"The file has no label “{shown(label)}”, which this mapping has." for label in lost]
    return [*mapping.changes(wishes, matches, spec.columns), *missing]


def use(job: ImportJob, matches: Sequence[Match]) -> None:
    """Give the job these matches (not saved)."""
    job.mapping, job.mapping_version = [match.to_dict() for match in matches], None


def checked(job: ImportJob, matches: Sequence[Mapping[str, Any]]) -> tuple[Match, ...]:
    """Return whole matches as a person or a program gave them, when they can stand for the job's file.

    :raises UnknownColumn: a column is not one of the dataset.
    :raises BadMapping: a label is missing or in the wrong place, a column is filled twice, or a recipe is faulty.
    """
    spec, labels = spec_of(job), job.head.get("labels", [])
    try:
        found = tuple(Match.from_dict(match) for match in matches)
        first = mapping.first_matches(found)
    except (TypeError, ValueError, AttributeError) as error:
        raise BadMapping("A match is not written as an import's mapping writes it.") from error
    if [(one.position, one.label) for one in first] != list(enumerate(labels)) or first != list(
        found[: len(first)]
    ):
        raise BadMapping(
            "The matches are not those of this file: first one for each label, in the file's order."
        )
    _check_columns({match.column for match in found if match.column}, spec)
    mapped = [match.column for match in found if match.column]
    titles = {column.name: column.label for column in spec.columns}
    if twice := sorted({name for name in mapped if mapped.count(name) > 1}):
        raise BadMapping(mapping.clash(titles[twice[0]]))
    if wrong := mapping.faults(found, spec, labels):
        place = found[wrong[0].at].label or titles.get(found[wrong[0].at].column or "", "a constant")
        raise BadMapping(f"{place}: {wrong[0].rule}")
    return found


def chosen_matches(job: ImportJob, chosen: Mapping[int, str | None]) -> tuple[Match, ...]:
    """Return the job's matches with a person's choice of columns, by the label's position.

    :raises UnknownColumn: a column is not one of the dataset.
    """
    spec = spec_of(job)
    _check_columns({name for name in chosen.values() if name}, spec)
    return mapping.choose(matches_of(job), chosen, job.head.get("samples", []), spec.columns)


def matches_of(job: ImportJob) -> tuple[Match, ...]:
    """Return the matches a job uses."""
    return tuple(Match.from_dict(match) for match in job.mapping)


def leave_out_gone(job: ImportJob, spec: DatasetSpec) -> None:
    """Take out of the job's mapping what names columns the dataset does not have any more (not saved)."""
    there = {column.name for column in spec.columns}
    kept: list[Match] = []
    left_out = []
    for match in matches_of(job):
        if match.column is None or match.column in there:
            kept.append(replace(match, candidates=tuple(one for one in match.candidates if one in there)))
            continue
        left_out.append(f"“{shown(match.label)}”" if match.label else "a constant")
        # Every label of the file keeps one match; further ones and constants just go.
        if match.position >= 0 and match.position not in {one.position for one in kept}:
            kept.append(replace(match, column=None, reason="none", score=0, candidates=()))
    if left_out:
        job.mapping = [match.to_dict() for match in kept]
        _notice(job, [f"The column that {what} went to is gone; it is left out." for what in left_out])


def blocking(job: ImportJob, spec: DatasetSpec) -> list[Issue]:
    """Return what must be settled before a row of the job's file is read."""
    found = [*_not_permitted(job), *mapping.problems(matches_of(job), spec, job.head.get("labels"))]
    if job.mode != Mode.UPDATE:
        return found
    # Records that exist have their required values; only the key must be in the file.
    key = {column.label for column in spec.key_columns}
    return [issue for issue in found if issue.code != "missing-label" or issue.column in key]


def _not_permitted(job: ImportJob) -> list[Issue]:
    who = job.created_by
    return [
        Issue(
            "column-not-permitted", 0, 0, shown(label), "",
            f"{who} may not set what “{shown(label)}” goes to. Leave this label out, or ask somebody who may set it"
            " to import the file.",
        )
        for label in rights.kept_labels(job)
    ]  # fmt: skip


def blocking_message(found: list[Issue]) -> str:
    """Return the sentence for the page of an import whose labels must be settled."""
    if len(found) == 1 and found[0].rule.endswith("preview again."):
        return found[0].rule
    if found[0].code == "column-not-permitted":
        return f"{found[0].rule} Then preview again."
    if found[0].rule.startswith("The file has no label"):
        return f"{found[0].rule} Correct the mapping, then preview again."
    missing = [issue.column for issue in found if issue.code == "missing-label"]
    said = f"No label of the file goes to {', '.join(missing)}." if missing else found[0].rule
    return f"{said} Match the columns, then preview again."


def _suggested(
    job: ImportJob, spec: DatasetSpec, wishes: Sequence[Wish], *, is_explicit: bool
) -> tuple[Match, ...]:
    """Return the matches, those in doubt without a column: a person chooses it or leaves it."""
    labels, samples = job.head["labels"], job.head["samples"]
    matches = mapping.suggest(labels, samples, spec.columns, wishes, is_explicit=is_explicit)
    return tuple(unused(match) if match.column and not match.is_certain else match for match in matches)


def _lost_labels(labels: Sequence[str], wishes: Sequence[Wish]) -> list[Issue]:
    """Return an issue for each label that the mapping given with the file names and the file lacks."""
    has = ", ".join(f"“{label}”" for label in labels[:SHOWN_LABELS]) + (
        f" and {len(labels) - SHOWN_LABELS:,} more" if len(labels) > SHOWN_LABELS else ""
    )
    return [
        Issue(
            "missing-label", 0, 0, shown(label), "", f"The file has no label “{shown(label)}”; it has {has}."
        )
        for label in mapping.absent(labels, wishes)
    ]


def _check_columns(names: set[str], spec: DatasetSpec) -> None:
    if unknown := names - {column.name for column in spec.columns}:
        raise UnknownColumn(f"The dataset has no column {sorted(unknown)[0]!r}; choose one of the list.")


def _notice(job: ImportJob, sentences: Sequence[str]) -> None:
    if sentences:
        job.notice = " ".join(filter(None, (job.notice, *sentences)))
