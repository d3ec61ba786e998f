"""What a job is worked with: its staged rows, its validator, its fixes. Each is made anew of what the job keeps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from core import storage
from datasets.spec import ColumnSpec, DatasetSpec
from importer.dialect import Dialect
from importer.keys import KeyReader
from importer.mapping import Match
from importer.matching import matches_of
from importer.models import Blank, ImportJob, RowFix
from importer.readers.xlsx import hazards_from_json
from importer.refusals import Staged
from importer.specs import spec_of
from importer.validation import Validator


def matches_in_use(job: ImportJob) -> tuple[Match, ...]:
    """Return the job's matches, each with what an empty cell means: by its recipe, else by the dataset's rules.

    In a column with a default it keeps the value of a record that is there.

    A workbook has one type for days and moments, so its days may fill timestamps, and its midnights dates.
    """
    return in_use(job, matches_of(job))


def in_use(job: ImportJob, matches: Iterable[Match]) -> tuple[Match, ...]:
    """Return other matches as they would be used for the job's file."""
    usual = str(job.head.get("blank", Blank.CLEAR))
    # Otherwise the same file once more would clear what its first import put there.
    with_default = {column.name for column in spec_of(job).columns if column.options.default is not None}

    def blank_of(match: Match) -> str:
        return match.recipe.blank or (Blank.KEEP if match.column in with_default else usual)

    return tuple(
        replace(
            match,
            recipe=replace(match.recipe, blank=str(blank_of(match))),
            reading=replace(match.reading, whole_days=job.kind == "xlsx"),
        )
        for match in matches
    )


def validator_of(job: ImportJob) -> Validator:
    """Return what judges the rows of a job's file, those that people corrected too."""
    return Validator(
        spec_of(job),
        matches_in_use(job),
        Dialect.from_dict(job.dialect),
        hazards_of(job),
        labels=job.head["labels"],
        fixes=fixes_of(job),
    )


def hazards_of(job: ImportJob) -> dict[tuple[int, int], str]:
    """Return the cells of the job's workbook that show something but hold no value to trust."""
    key = job.sheet.get("hazards")
    if not key:
        return {}
    with storage.open_read(key) as file:
        return hazards_from_json(file.read().decode())


def keys_of(job: ImportJob) -> KeyReader:
    """Return what reads the keys of a job's rejected rows."""
    return KeyReader(spec_of(job), matches_in_use(job), len(job.head["labels"]))


def staged_of(job: ImportJob, spec: DatasetSpec) -> Staged:
    """Return a job's staged rows as SQL works with them."""
    matches = matches_in_use(job)
    kept = frozenset(match.column for match in matches if match.column and match.recipe.blank == Blank.KEEP)
    return Staged(job, spec, mapped_columns(spec, matches), kept, has_table=not job.target)


def fixes_of(job: ImportJob) -> dict[int, list[str | None]]:
    """Return the rows that people corrected, with the cells that stand for them."""
    return dict(RowFix.objects.filter(job=job).values_list("row", "cells"))


def mapped_columns(spec: DatasetSpec, matches: tuple[Match, ...]) -> tuple[ColumnSpec, ...]:
    """Return the columns a mapping fills, in the dataset's order."""
    names = {match.column for match in matches}
    return tuple(column for column in spec.columns if column.name in names)
