"""An import whose file another app of ours makes: announced first, so that people see it, then given its file.

The file is plain CSV as exports write it, one label for each column, and makes the dataset equal to itself (sync).
Where each label goes is given by the column, so nothing is guessed; an empty cell is no value, whatever rules and
defaults the dataset has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from django.db import transaction

from audit.services import record
from core import storage
from core.words import count
from datasets.models import Dataset
from datasets.spec import ColumnSpec
from importer import rights, services
from importer.choices import SHEET_CHOICES
from importer.dialect import sniff_path
from importer.mapping import Match
from importer.models import Blank, ImportJob, Mode, Policy, State
from importer.recipes import Recipe

OVERRIDES: dict[str, Any] = {**SHEET_CHOICES, "header_row": 1, "header_rows": 1, "skip_footer": 0}


@transaction.atomic
def announce_import(
    *, dataset: Dataset, name: str, by: Any, notice: str, submit: Callable[[ImportJob], int]
) -> ImportJob:
    """Make an import whose file is yet to come.

    :param submit: asks for the background work that makes the file, and returns its number.
    :raises PermissionDenied: the person may not import into the dataset.
    :raises NoKey: the dataset has no key to match records by.
    """
    rights.require_import(by, dataset)
    if not dataset.key:
        raise services.NoKey(
            "Records can only be matched by a key, and this dataset has none. Undo the imports and changes instead."
        )
    job = ImportJob.objects.create(
        dataset=dataset, mode=Mode.SYNC, policy=Policy.ALL_OR_NOTHING, file_name=name[-255:], kind="csv",
        overrides=OVERRIDES, created_by=by, notice=notice, head={"is_exact": True},
    )  # fmt: skip
    job.preview_job_id = str(submit(job))
    job.save(update_fields=["preview_job_id"])
    record("importer.job.created", actor=by, target=job, dataset=dataset.slug)
    return job


@transaction.atomic
def give_file(*, job: ImportJob, path: Path, columns: Sequence[ColumnSpec], lost: Sequence[str] = ()) -> bool:
    """Give an announced import its file and ask for its preview; False: it was cancelled meanwhile.

    :param columns: where each label of the file goes, in their order.
    :param lost: labels of what the file has no columns for any more; people are told.
    """
    job = ImportJob.objects.select_for_update().get(pk=job.pk)
    if job.state != State.CREATED:
        return False
    with path.open("rb") as file:
        stored = storage.save(f"uploads/{job.pk}/{services.safe_name(job.file_name)}", file)
    labels = sniff_path(path, overrides=OVERRIDES).labels
    clear = Recipe(blank=str(Blank.CLEAR))
    job.mapping = [
        Match(at, label, column.name, "chosen", 100, recipe=clear).to_dict()
        for at, (label, column) in enumerate(zip(labels, columns, strict=True))
    ]
    job.key, job.bytes, job.sha256 = stored.key, stored.bytes, stored.sha256
    job.head["mark"] = storage.mark(stored.key)
    if notes := _notes(job.dataset, columns, lost):
        job.notice = " ".join(filter(None, (job.notice, *notes)))
    job.save(update_fields=["mapping", "key", "bytes", "sha256", "head", "notice"])
    services.submit_preview(job)
    return True


def _notes(dataset: Dataset, columns: Sequence[ColumnSpec], lost: Sequence[str]) -> list[str]:
    notes = []
    if lost:
        named = ", ".join(f"“{label}”" for label in lost)
        notes.append(
            f"{count(len(lost), 'column')} of then {_are(lost)} not in use any more and left out: {named}."
        )
    given = {column.pk for column in columns}
    if new := [f"“{one.label}”" for one in dataset.spec().columns if one.pk not in given]:
        named = ", ".join(new)
        notes.append(f"{count(len(new), 'column')} {_are(new)} not in the file and not touched: {named}.")
    return notes


def _are(some: Sequence[str]) -> str:
    return "is" if len(some) == 1 else "are"
