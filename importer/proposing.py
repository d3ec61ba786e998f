"""A new dataset from a file: read all of it, propose its columns, make what a person decided."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, BinaryIO

from django.core.exceptions import PermissionDenied
from django.db import transaction

import jobs.services
from accounts.models import User
from audit.services import record
from core import storage
from core.errors import RowhouseError
from core.tenancy import current_tenant
from datasets import access, rules
from datasets.inference import Inferred, infer, suggest_key
from datasets.models import Dataset
from datasets.rules import MAX_COLUMNS, NewColumn
from datasets.services import create_dataset
from importer import services
from importer.models import ImportJob, Proposal
from importer.services import gate_file, require_room_for_upload, safe_name
from importer.tables import Table, open_table
from jobs.kinds import Slice, Step, Tell

SAMPLES = 3
SAMPLE_CHARACTERS = 60
MOST_CHOICES = 30  # different values of a column that might be a choice
LOOK_SECONDS = 1.0
ESTIMATED_FROM = 1_000  # rows after which the rest is estimated


class ProposalOver(RowhouseError):
    """A dataset was to be made of a proposal that is not ready, or made one already."""

    code = "proposal-over"


class _Cancelled(Exception):
    """Somebody asked for the end of the reading."""


@dataclass(slots=True)
class _Seen:
    """What of a column's values people are shown. `different` is None once there are too many."""

    samples: list[str] = field(default_factory=list)
    different: dict[str, None] | None = field(default_factory=dict)


def create_proposal(*, file: BinaryIO, name: str, by: User) -> Proposal:
    """Store an upload and ask for its columns to be proposed. No dataset is made.

    :raises PermissionDenied: the person may not make datasets.
    :raises Unreadable: the file is empty or neither CSV nor XLSX.
    :raises FileTooLarge: it is beyond the limit.
    :raises QuotaReached: the tenant has no room for it, or too much background work waiting.
    :raises TenantReadOnly: the tenant is read-only.
    """
    _require(by)
    gate_file(file, name)
    require_room_for_upload(file)
    with transaction.atomic():
        made = Proposal.objects.create(file_name=name[-255:], created_by=by)
        stored = storage.save(f"proposals/{made.pk}/{safe_name(name)}", file)
        submitted = jobs.services.submit(
            "importer.propose", target=f"proposal:{made.pk}", payload={"proposal": made.pk},
            idem_key=f"{current_tenant().schema}:importer.propose:{made.pk}",
        )  # fmt: skip
        made.key, made.sha256, made.job_id = stored.key, stored.sha256, submitted.pk
        made.save()
        record("importer.proposal.created", actor=by, target=made, sha256=made.sha256)
    return made


def _require(by: User) -> None:
    if not by.has_perm("datasets.add_dataset"):
        raise PermissionDenied("You may not make datasets. Ask an owner.")


def read(proposal: Proposal, work: Slice) -> Step:
    """Read the whole file and propose its columns, in one long slice: what is known of it fits no cursor."""
    if proposal.state != Proposal.State.READING:
        return Step(done=True)
    try:
        with work.long_statement() as tell:
            path = storage.local_copy(proposal.key, proposal.sha256)
            with open_table(path) as table:
                if len(table.labels) > MAX_COLUMNS:
                    fail(
                        proposal,
                        f"The file has {len(table.labels):,} columns; a dataset can have {MAX_COLUMNS}."
                        " Leave some out, then upload it again.",
                    )
                    return Step(done=True)
                columns, rows = _propose(table, work, tell)
    except _Cancelled:
        return Step(done=False)  # the runner ends the job
    except RowhouseError as error:
        fail(proposal, error.message)
        return Step(done=True)
    proposal.move(old=Proposal.State.READING, new=Proposal.State.READY, columns=columns, rows=rows)
    return Step(done=True, total=rows)


def fail(proposal: Proposal, message: str) -> None:
    """End the reading of a file, with the reason."""
    if proposal.move(old=Proposal.State.READING, new=Proposal.State.FAILED, error=message):
        record("importer.proposal.failed", target=proposal)


def _propose(table: Table, work: Slice, tell: Tell) -> tuple[list[dict[str, Any]], int]:
    seen = [_Seen() for _ in table.labels]
    counted = [0]
    rows = _watched(table, seen, counted, work, tell)
    found = infer([rules.clean_label(label) for label in table.labels], rows)
    key = suggest_key(found)
    return [_column(one, of, is_key=one.label in key) for one, of in zip(found, seen, strict=True)], counted[
        0
    ]


def _watched(
    table: Table, seen: Sequence[_Seen], counted: list[int], work: Slice, tell: Tell
) -> Iterator[list[str | None]]:
    """Yield the rows; keep what is shown of them, tell how far it is, and hear of a cancel."""
    looked, characters = monotonic(), 0
    total: int | None = None
    for row in table.rows:
        counted[0] += 1
        if counted[0] <= ESTIMATED_FROM:
            characters += sum(len(cell or "") + 1 for cell in row)
            if counted[0] == ESTIMATED_FROM:
                total = max(counted[0], table.bytes * counted[0] // max(1, characters))
        elif counted[0] % ESTIMATED_FROM == 0 and monotonic() - looked > LOOK_SECONDS:
            looked = monotonic()
            tell(counted[0], total)
            if work.is_cancelled():
                raise _Cancelled
        for cell, of in zip(row, seen, strict=True):
            if cell:
                _look(of, cell)
        yield row


def _look(of: _Seen, cell: str) -> None:
    if of.different is None:
        return
    if cell not in of.different:
        if len(of.samples) < SAMPLES:
            of.samples.append(cell[:SAMPLE_CHARACTERS])
        of.different[cell] = None
        if len(of.different) > MOST_CHOICES:
            of.different = None


def _column(found: Inferred, seen: _Seen, *, is_key: bool) -> dict[str, Any]:
    may_be_choice = found.type == "text" and bool(seen.different) and not found.is_distinct
    choices = sorted(seen.different or ()) if may_be_choice else []
    fitting = [one for one in choices if not rules.label_problem(one, limit=rules.MAX_CHOICE)]
    return {
        "label": found.label,
        "type": found.type,
        "evidence": found.evidence,
        "against": [list(one) for one in found.against],
        "precision": found.options.precision,
        "scale": found.options.scale,
        "is_required": found.is_required,
        "is_key": is_key,
        "samples": seen.samples,
        "choices": choices if len(fitting) == len(choices) else [],
    }


def make_dataset(
    *,
    proposal: Proposal,
    title: str,
    columns: Sequence[NewColumn],
    key: Sequence[str],
    by: User,
    import_file: bool = False,
) -> tuple[Dataset, ImportJob | None]:
    """Make the dataset a person decided on; with `import_file` the file is then uploaded into it, for a preview.

    :raises PermissionDenied: the person may not make datasets.
    :raises ProposalOver: it is not ready, or it made a dataset already.
    :raises InvalidDefinition: the definition has problems; the message lists them.
    """
    _require(by)
    with transaction.atomic():
        if not proposal.move(old=Proposal.State.READY, new=Proposal.State.USED):
            raise ProposalOver(
                "This file made a dataset already, or it was not read to its end. Upload it again."
            )
        dataset = create_dataset(title=title, columns=columns, key=key, by=by)
        record("importer.proposal.used", actor=by, target=proposal, dataset=dataset.slug)
    job = None
    if import_file and access.may(by, "import", dataset):
        # What comes from a bucket can be read only once, and its size is wanted first.
        with tempfile.TemporaryFile() as file:
            with storage.open_read(proposal.key) as stored:
                shutil.copyfileobj(stored, file, storage.COPY_BYTES)
            file.seek(0)
            job = services.create_import(dataset=dataset, file=file, name=proposal.file_name, by=by)
    storage.delete(proposal.key)
    Proposal.objects.filter(pk=proposal.pk).update(key="")
    return dataset, job
