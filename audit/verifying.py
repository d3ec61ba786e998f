"""Proving that nobody has edited the log of events."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from django.conf import settings
from django.db import connection
from django.utils.dateparse import parse_datetime

from audit.anchors import Anchor, read_anchors
from audit.chain import DIGEST_BYTES, FIRST, Link, digest, is_signed
from audit.models import Event, Seal
from audit.sealing import CHUNK, LATEST, is_believed, read, unsigned_until
from core.clock import now
from core.tenancy import tenant_or_none


class Kind(StrEnum):
    """What can be wrong."""

    CHANGED = "changed"  # an event is not what it was when it was sealed
    REMOVED = "removed"  # a sealed event is gone
    INSERTED = "inserted"  # an event the platform did not write
    SEAL_CHANGED = "seal-changed"
    SEAL_REMOVED = "seal-removed"
    CUT_OFF = "cut-off"  # an anchor names a seal that is not there any more
    ANCHOR_DIFFERS = "anchor-differs"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it was written; `event` and `seal` are numbers, 0 where it is about none."""

    kind: Kind
    sentence: str
    event: int = 0
    seal: int = 0


@dataclass(frozen=True, slots=True)
class Return:
    """A tenant was put back, at `restored`, to what it was when a backup was `taken`."""

    taken: datetime
    restored: datetime


@dataclass(slots=True)
class Verdict:
    """What was looked at, and what was found."""

    events: int = 0
    sealed: int = 0
    seals: int = 0
    anchors: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def unsealed(self) -> int:
        """How many events wait for their seal."""
        return self.events - self.sealed


class Runs:
    """A set of whole numbers that come mostly in order and in a row; keeps its runs alone."""

    def __init__(self) -> None:
        self._begins: list[int] = []
        self._ends: list[int] = []

    def add(self, number: int) -> bool:
        """Take a number in; False: it was in already."""
        if self._ends and number == self._ends[-1] + 1:
            self._ends[-1] = number
            return True
        place = bisect_right(self._begins, number)
        if place and number <= self._ends[place - 1]:
            return False
        self._begins.insert(place, number)
        self._ends.insert(place, number)
        return True

    def __contains__(self, number: int) -> bool:
        place = bisect_right(self._begins, number)
        return bool(place) and number <= self._ends[place - 1]


def verify(*, returns: Sequence[Return] = (), origins: Iterable[str] = ()) -> Verdict:
    """Look at every event, seal and anchor of the current tenant, or of the platform outside of all.

    :param returns: when the tenant was put back to a backup: what was anchored since that was taken went with it.
    :param origins: slugs of the tenants it was restored from, whose events are its own.
    """
    tenant = tenant_or_none()
    ours = {tenant.slug if tenant else "", *origins}
    verdict = Verdict()
    held = Runs()
    hashes = _seals(verdict, held, ours)
    _loose(verdict, held, ours)
    _twice(verdict)
    for one in read_anchors():
        verdict.anchors += 1
        if finding := _judge(one, hashes, returns):
            verdict.findings.append(finding)
    return verdict


def _seals(verdict: Verdict, held: Runs, ours: set[str]) -> list[bytes]:
    """Follow the seals from the first, each with its events; return their hashes, empty for one that is gone."""
    hashes: list[bytes] = []
    before = FIRST
    for seal in Seal.objects.order_by("number").iterator(chunk_size=20):
        verdict.seals += 1
        link, whole = seal.link(), bytes(seal.hash)
        while len(hashes) + 1 < link.number:
            missing = len(hashes) + 1
            verdict.findings.append(Finding(Kind.SEAL_REMOVED, f"Seal {missing} is gone.", seal=missing))
            hashes.append(b"")
            before = b""
        verdict.findings.extend(_of_seal(link, whole, bytes(seal.signature), before, ours))
        verdict.findings.extend(_of_events(verdict, link, held))
        hashes.append(whole)
        before = whole
    return hashes


def _of_seal(link: Link, whole: bytes, signature: bytes, before: bytes, ours: set[str]) -> Iterator[Finding]:
    if link.hash() != whole or not is_signed(whole, signature, settings.ROWHOUSE_AUDIT_KEYS):
        wrong = "is not what was written"
    elif before and link.previous != before:
        wrong = "does not follow the one before"
    elif link.origin not in ours:
        wrong = f"was made of the events of {link.origin or 'the platform'!r}"
    else:
        return
    yield Finding(Kind.SEAL_CHANGED, f"Seal {link.number} {wrong}.", seal=link.number)


def _of_events(verdict: Verdict, link: Link, held: Runs) -> Iterator[Finding]:
    """Compare a seal's events with what it keeps of them."""
    rows = read(link.ids)
    if len(link.digests) != len(link.ids) * DIGEST_BYTES:
        return  # the seal itself was changed, as has been said
    for place, number in enumerate(link.ids):
        if not held.add(number):
            continue  # an earlier seal has it
        row = rows.get(number)
        if row is None:
            yield Finding(Kind.REMOVED, f"Event {number} is gone.", event=number, seal=link.number)
            continue
        verdict.sealed += 1
        _number, facts, signature = row
        if digest(number, signature, facts.text()) != link.digest_of(place):
            yield Finding(
                Kind.CHANGED, f"Event {number} is not what was written.", event=number, seal=link.number
            )


def _loose(verdict: Verdict, held: Runs, ours: set[str]) -> None:
    """Look at the events no seal holds: new ones, signed and of this place; others were put there."""
    until, oldest = unsigned_until(), now() - LATEST
    at = -(2**63)
    while ids := list(Event.objects.filter(pk__gt=at).order_by("pk").values_list("pk", flat=True)[:CHUNK]):
        at = ids[-1]
        verdict.events += len(ids)
        rows = read([number for number in ids if number not in held])
        for number, facts, signature in rows.values():
            if not is_believed(facts, facts.text(), signature, unsigned_until=until):
                wrong = "was not written by the platform"
            elif facts.origin not in ours and signature:
                wrong = f"was written in {facts.origin or 'the platform'!r}"
            elif facts.at < oldest and verdict.seals:
                wrong = "came after the seals of its time"
            else:
                continue
            verdict.findings.append(Finding(Kind.INSERTED, f"Event {number} {wrong}.", event=number))


def _twice(verdict: Verdict) -> None:
    """Find events that were written once and stand there again."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY uid ORDER BY id) AS place FROM audit_event"
            " WHERE uid IN (SELECT uid FROM audit_event WHERE uid IS NOT NULL GROUP BY uid HAVING count(*) > 1))"
            " AS every WHERE place > 1 ORDER BY id"
        )
        known = {finding.event for finding in verdict.findings}
        for (number,) in cursor.fetchall():
            if number not in known:
                verdict.findings.append(
                    Finding(Kind.INSERTED, f"Event {number} is a copy of an earlier one.", event=number)
                )


def _judge(anchor: Anchor, hashes: Sequence[bytes], returns: Sequence[Return]) -> Finding | None:
    """Compare an anchor with the seal it names."""
    at = parse_datetime(anchor.at) if anchor.at else None
    if at is None:
        return Finding(Kind.ANCHOR_DIFFERS, f"The anchor {anchor.path} is not what was written.")
    if 0 < anchor.seal <= len(hashes) and hashes[anchor.seal - 1].hex() == anchor.hash:
        return None
    if any(one.taken < at <= one.restored for one in returns):
        return None
    if anchor.seal > len(hashes):
        return Finding(
            Kind.CUT_OFF,
            f"The log ends before seal {anchor.seal}, which {anchor.path} knows.",
            seal=anchor.seal,
        )
    return Finding(
        Kind.ANCHOR_DIFFERS, f"Seal {anchor.seal} is not the one that {anchor.path} knows.", seal=anchor.seal
    )
