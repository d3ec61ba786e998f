"""Erasing a person's values: asked for and previewed, confirmed by its owners, done by a job, kept as a proof.

In the order of life: `request_erasure` → the job counts what holds the values → `confirm_erasure` and, where the tenant
has more owners than one, `approve_erasure` → the job erases place by place (`datasets.erasing_work`) → the proof.
The values are kept sealed while they are needed. What stays is a hash of each under the platform's key.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import transaction

import jobs.services
from accounts.models import User
from audit.models import Event
from audit.services import record
from core.clock import now as clock
from core.erasing import Needle
from core.errors import RowhouseError
from core.sealing import seal, unseal
from core.tenancy import current_tenant, in_public
from datasets.erasure_models import OPEN, UNCONFIRMED, Erasure, ErasureMode, ErasureState
from datasets.models import Column, Dataset
from jobs.looking import JobNotFound

RIGHT = "datasets.erase_values"
MOST_VALUES, LEAST_CHARACTERS, MOST_CHARACTERS = 20, 3, 300
MOST_RECORDS = 10_000
PURPOSE = "datasets.erasure"
FINISHED = (
    "datasets.erasure.finished"  # in the tenant's log and in the platform's, which no restore puts back
)
# What a value that must be there can be replaced by: a text of ours.
REPLACEABLE = frozenset({"text", "long_text"})


class BadErasure(RowhouseError):
    """What is to be erased cannot be asked for like this."""

    code = "bad-erasure"
    status = 422


class NotErasable(RowhouseError):
    """The erasure is in no state in which this can be done, or its confirmation does not fit."""

    code = "not-erasable"
    status = 409


class UnknownErasure(RowhouseError):
    """There is no erasure of this number to be repeated here."""

    code = "unknown-erasure"
    status = 404


@dataclass(frozen=True, slots=True)
class Wanted:
    """Where values are looked for in one dataset (`find`), and what else of the records found is emptied (`also`)."""

    dataset: Dataset
    find: Sequence[Column]
    also: Sequence[Column] = ()

    def stored(self) -> dict[str, Any]:
        """Return it as an erasure keeps it; the words are for when the columns are gone."""
        words = ", ".join(f"“{column.label}”" for column in self.find)
        if self.also:
            words += "; also " + ", ".join(f"“{column.label}”" for column in self.also)
        return {
            "dataset": self.dataset.pk, "title": self.dataset.title, "words": words,
            "find": [column.pk for column in self.find], "also": [column.pk for column in self.also],
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pending:
    """An erasure that the platform's log has and this tenant, restored to a time before it, has not."""

    uid: UUID
    number: int
    at: str
    where: str
    facts: Mapping[str, Any] = field(default_factory=dict)


def may_erase(user: Any) -> bool:
    """Return whether a person may ask for erasures, confirm and approve them: owners, and no operator inside."""
    return bool(
        isinstance(user, User) and user.is_active and user.entry_ends_at is None and user.has_perm(RIGHT)
    )


def require_eraser(user: Any) -> None:
    """Go on only for an owner, or for nobody: an operator at the command line.

    :raises PermissionDenied: it is somebody else.
    """
    if user is not None and not may_erase(user):
        raise PermissionDenied("Only owners of the tenant may erase a person's values.")


def everywhere() -> list[Wanted]:
    """Return all columns of all datasets, retired ones too, as places to look in."""
    return [Wanted(one, list(one.columns.order_by("position", "pk"))) for one in Dataset.objects.all()]


@transaction.atomic
def request_erasure(
    *, values: Sequence[str], wanted: Sequence[Wanted], mode: ErasureMode, by: Any, note: str = "",
    repeats: UUID | None = None,
) -> Erasure:  # fmt: skip
    """Ask for what would be erased. Nothing is changed before that is confirmed.

    :param values: of the person, as the chosen columns hold them, in any case.
    :param by: an owner, or None for an operator at the command line.
    :raises PermissionDenied: the person is no owner.
    :raises BadErasure: no value, too many, one too short to tell a person; no column; one that cannot be emptied.
    """  # fmt: skip
    require_eraser(by)
    needle = _needle(values)
    note = note.strip()[:300]
    if needle.in_text(note):
        raise BadErasure("The reason holds one of the values, and it stays in the proof. Write it without.")
    chosen = [one for one in wanted if one.find]
    if not chosen:
        raise BadErasure("Choose at least one column to look for the values in.")
    if mode == ErasureMode.EMPTY:
        for one in chosen:
            for column in (*one.find, *one.also):
                _require_emptiable(one.dataset, column)
    made = Erasure.objects.create(
        mode=mode, scope=[one.stored() for one in chosen], note=note, repeats=repeats,
        sealed=seal("\n".join(needle.values), purpose=PURPOSE),
        hashes=[hash_of(value) for value in needle.values],
        requested_by=by if isinstance(by, User) else None,
    )  # fmt: skip
    record(
        "datasets.erasure.requested", actor=by, target=made, mode=mode, values=len(needle.values),
        datasets=[one.dataset.pk for one in chosen],
    )  # fmt: skip
    _submit(made, "datasets.preview_erasure")
    return made


def _needle(values: Sequence[str]) -> Needle:
    found = tuple(dict.fromkeys(value.strip() for value in values if value.strip()))
    if not found:
        raise BadErasure("Give the values to look for, one to a line.")
    if len(found) > MOST_VALUES:
        raise BadErasure(f"At most {MOST_VALUES} values at once. Ask for the others afterwards.")
    for value in found:
        if not LEAST_CHARACTERS <= len(value) <= MOST_CHARACTERS or not value.isprintable():
            raise BadErasure(
                f"A value has {LEAST_CHARACTERS} to {MOST_CHARACTERS} characters on one line:"
                " a shorter one is found everywhere and tells nobody apart."
            )
    return Needle(found)


def _require_emptiable(dataset: Dataset, column: Column) -> None:
    is_needed = (column.is_required and not column.is_retired) or column.pk in dataset.key
    if is_needed and (column.type not in REPLACEABLE or column.options.get("choices")):
        raise BadErasure(
            f"“{column.label}” of “{dataset.title}” needs a value, and no other can stand in its place."
            " Delete the records instead, or leave that column out."
        )


def hash_of(value: str, *, secret: str | None = None) -> str:
    """Return what is kept of a value: a hash under the platform's key, the same in any case, of this tenant alone."""
    key = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"rowhouse.erasure.1").derive(
        (secret or settings.ROWHOUSE_AUDIT_KEYS[0]).encode()
    )
    text = f"{current_tenant().schema}\0{value.strip().casefold()}"
    return hmac.digest(key, text.encode(), "sha256").hex()


def erasures_of(value: str) -> list[Erasure]:
    """Return the erasures a value was part of, by its hash, the newest first."""
    hashes = {hash_of(value, secret=secret) for secret in settings.ROWHOUSE_AUDIT_KEYS}
    return [one for one in Erasure.objects.order_by("-pk") if hashes & set(one.hashes)]


@transaction.atomic
def confirm_erasure(*, erasure: Erasure, by: Any, typed: str) -> Erasure:
    """Confirm what a preview showed. It begins at once, or waits for a second owner where there is one.

    :param typed: the title of its first dataset.
    :raises PermissionDenied: the person is no owner.
    :raises NotErasable: it has no preview, was confirmed already, or something else was typed.
    """
    require_eraser(by)
    if typed.strip() != erasure.first_title:
        raise NotErasable(f"Type the dataset's name, “{erasure.first_title}”, to confirm.")
    waits = isinstance(by, User) and other_owners(by)
    new = ErasureState.APPROVAL_AWAITED if waits else ErasureState.ERASURE_IN_PROGRESS
    who = by if isinstance(by, User) else None
    if not erasure.move(old=ErasureState.PREVIEW_SUCCEEDED, new=new, confirmed_by=who, confirmed_at=clock()):
        raise NotErasable(f"It is {erasure.get_state_display()}. Look at it again.")
    record("datasets.erasure.confirmed", actor=by, target=erasure)
    if not waits:
        _submit(erasure, "datasets.erase")
    return erasure


def other_owners(user: User) -> bool:
    """Return whether somebody else could approve what this person confirms."""
    others = User.objects.filter(is_active=True, entry_ends_at=None, groups__name="owner")
    return others.exclude(pk=user.pk).exists()


@transaction.atomic
def approve_erasure(*, erasure: Erasure, by: Any) -> Erasure:
    """Let a confirmed erasure begin: by another owner than the one who confirmed it.

    :raises PermissionDenied: the person is no owner, or confirmed it.
    :raises NotErasable: it does not wait for this.
    """
    require_eraser(by)
    if by is not None and by.pk == erasure.confirmed_by_id:
        raise PermissionDenied("You confirmed it yourself. Another owner has to approve it.")
    who = by if isinstance(by, User) else None
    if not erasure.move(
        old=ErasureState.APPROVAL_AWAITED, new=ErasureState.ERASURE_IN_PROGRESS, approved_by=who,
        approved_at=clock(),
    ):  # fmt: skip
        raise NotErasable(f"It is {erasure.get_state_display()}. Look at it again.")
    record("datasets.erasure.approved", actor=by, target=erasure)
    _submit(erasure, "datasets.erase")
    return erasure


@transaction.atomic
def cancel_erasure(*, erasure: Erasure, by: Any) -> Erasure:
    """Give up an erasure that has not begun; the values are forgotten.

    :raises PermissionDenied: the person is no owner.
    :raises NotErasable: it began, or is over.
    """
    require_eraser(by)
    if not erasure.move(old=UNCONFIRMED, new=ErasureState.CANCELLED, sealed="", ended_at=clock()):
        raise NotErasable(f"It is {erasure.get_state_display()} and cannot be cancelled any more.")
    erasure.records.all().delete()
    if erasure.job_id is not None:
        try:
            jobs.services.cancel(erasure.job_id)
        except JobNotFound:
            pass
    record("datasets.erasure.cancelled", actor=by, target=erasure)
    return erasure


@transaction.atomic
def resume_erasure(*, erasure: Erasure, by: Any) -> Erasure:
    """Go on with an erasure that could not be finished, from its first place; what is erased stays so.

    :raises PermissionDenied: the person is no owner.
    :raises NotErasable: it did not fail.
    """
    require_eraser(by)
    if not erasure.move(
        old=ErasureState.ERASURE_FAILED, new=ErasureState.ERASURE_IN_PROGRESS, error="", error_code=""
    ):
        raise NotErasable(f"It is {erasure.get_state_display()}. Look at it again.")
    record("datasets.erasure.resumed", actor=by, target=erasure)
    _submit(erasure, "datasets.erase")
    return erasure


def _submit(erasure: Erasure, kind: str) -> None:
    job = jobs.services.submit(kind, target=f"erasure:{erasure.pk}", payload={"erasure": erasure.pk})
    Erasure.objects.filter(pk=erasure.pk).update(job_id=job.pk)
    erasure.job_id = job.pk


def needle_of(erasure: Erasure) -> Needle:
    """Return the values of an erasure that is not over.

    :raises NotOpened: the platform's keys have changed since they were given.
    """
    return Needle(tuple(unseal(erasure.sealed, purpose=PURPOSE).split("\n")))


def are_open() -> bool:
    """Return whether an erasure waits or is at work here."""
    return Erasure.objects.filter(state__in=OPEN).exists()


# ---- after a restore


def to_repeat() -> list[Pending]:
    """Return the erasures that were done here after the time this tenant was restored to, the oldest first."""
    done = Erasure.objects.filter(state=ErasureState.ERASURE_SUCCEEDED).values_list("uid", "repeats")
    known = {uid for both in done for uid in both if uid is not None}
    schema = current_tenant().schema
    with in_public():
        found = list(Event.objects.filter(name=FINISHED, data__schema=schema).order_by("pk"))
    pending = []
    for event in found:
        facts = event.data
        if UUID(facts["uid"]) in known or (facts["repeats"] and UUID(facts["repeats"]) in known):
            continue
        pending.append(
            Pending(UUID(facts["uid"]), facts["number"], f"{event.at:%Y-%m-%d %H:%M} UTC", "", facts)
        )
    return pending


def repeat_erasure(*, uid: UUID, values: Sequence[str], by: Any) -> Erasure:
    """Ask once more for an erasure that a restore has undone. The person's values must be given again.

    :raises UnknownErasure: there is none to be repeated.
    :raises BadErasure: these are not the values it was about, or its datasets are gone.
    """
    pending = next((one for one in to_repeat() if one.uid == uid), None)
    if pending is None:
        raise UnknownErasure("There is no such erasure to be repeated here.")
    given = [value for value in values if value.strip()]
    hashes = {hash_of(value, secret=secret) for value in given for secret in settings.ROWHOUSE_AUDIT_KEYS}
    if not set(pending.facts["hashes"]) <= hashes:
        raise BadErasure(
            "These are not the values that were erased then. Give all of them, and as they were."
        )
    return request_erasure(
        values=given, wanted=_again(pending.facts["scope"]), mode=ErasureMode(pending.facts["mode"]), by=by,
        note=f"Repeats erasure {pending.number} after a restore.", repeats=uid,
    )  # fmt: skip


def _again(scope: Sequence[Mapping[str, Any]]) -> list[Wanted]:
    wanted = []
    for one in scope:
        dataset = Dataset.objects.filter(pk=one["dataset"]).first()
        if dataset is not None:
            columns = Column.objects.filter(dataset=dataset)
            find, also = (list(columns.filter(pk__in=one[name])) for name in ("find", "also"))
            wanted.append(Wanted(dataset, find, also))
    return wanted
