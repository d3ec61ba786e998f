"""What a review of access has to show, gathered from the tenant's people, grants and events.

Few queries, whatever the number of people and datasets; of events only the newest LOOKED_AT are looked at, and what
is not among them is said to be unknown.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Max, Min, Q
from guardian.models import GroupObjectPermission, UserObjectPermission

from accounts.factors import TYPES
from accounts.models import User
from accounts.services import ROLES
from accounts.tokens.models import ApiToken
from audit.looking import newest
from audit.models import Event
from audit.services import record
from core.clock import now
from core.tenancy import current_tenant, in_public
from core.words import count
from datasets import access
from datasets.effective import Row, effective_rights
from datasets.models import Dataset
from tenants.entering import entries_of
from tenants.operating_models import EntryGrant

LOOKED_AT = 200_000
QUIET = timedelta(days=90)
MOST_ENTRIES = 200
MOST_GRANTS = 5_000
MONTH = timedelta(days=30.44)
REVIEWED = "rowhouse.access.reviewed"
REVIEWS = "accounts.change_user"  # the right to do it: of whoever may let people in
# The events by which somebody uses a right.
USES: dict[str, tuple[str, ...]] = {
    "changed records": ("datasets.changes.written", "datasets.changes.confirmed"),
    "imported": ("importer.job.confirmed", "importer.job.created"),
    "exported": ("exporter.file.downloaded", "exporter.view.exported", "exporter.run.requested"),
    "changed definitions": (
        "datasets.dataset.created", "datasets.columns.added", "datasets.columns.arranged", "datasets.change.confirmed",
    ),
    "granted rights": ("datasets.right.granted", "datasets.right.revoked", "accounts.user.changed"),
}  # fmt: skip


@dataclass(slots=True)
class Person:
    """Somebody of the tenant as a review shows them. Times are None where nobody knows."""

    user: User
    roles: tuple[str, ...]
    rights: dict[str, int]  # the right, and in how many datasets
    since: datetime | None  # when the roles were last changed
    uses: dict[str, datetime] = field(default_factory=dict)
    has_second_factor: bool = False
    tokens: int = 0

    @property
    def rights_words(self) -> str:
        """Return the rights as a sentence has them."""
        return ", ".join(f"{right} in {number}" for right, number in self.rights.items() if number) or "none"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that stands out: `kind` is a heading, `who` whom or what it is about, `words` say it."""

    kind: str
    who: str
    words: str


@dataclass(slots=True)
class Report:
    """A review of access at one moment. `known_since`: from when on events were looked at."""

    at: datetime
    people: list[Person]
    findings: list[Finding]
    entries: list[EntryGrant]
    known_since: datetime | None
    datasets: int


@dataclass(frozen=True, slots=True)
class Reviewed:
    """That somebody has looked through who may what."""

    at: datetime
    by: str
    note: str
    event: int


def report_of() -> Report:
    """Return who may what in the current tenant now."""
    at = now()
    datasets = list(Dataset.objects.order_by("title", "pk"))
    by_person: dict[int, Counter[str]] = defaultdict(Counter)
    for row in effective_rights(datasets):
        by_person[row.user.pk].update(row.held)
    factors, tokens = _second_factors(), _tokens()
    floor = max(0, newest() - LOOKED_AT)
    uses, since = _uses(floor), _since(floor)
    people = [
        Person(
            user=user,
            roles=tuple(sorted(group.name for group in user.groups.all())),
            rights={right: by_person[user.pk][right] for right in access.RIGHTS},
            since=since.get(user.pk) or user.date_joined,
            uses=uses.get(user.pk, {}),
            has_second_factor=user.pk in factors,
            tokens=tokens.get(user.pk, 0),
        )
        for user in User.objects.filter(entry_ends_at=None).order_by("email").prefetch_related("groups")
    ]
    schema = current_tenant().schema
    with in_public():
        entries = list(entries_of(schema)[:MOST_ENTRIES])
    known = Event.objects.filter(pk__gt=floor).order_by("pk").values_list("at", flat=True).first()
    findings = [*_of_people(people, at), *_of_groups(), *_of_inactive_grants()]
    return Report(at, people, findings, entries, known, len(datasets))


def rows_of() -> Iterator[tuple[Row, dict[str, datetime]]]:
    """Yield each active person's rights in each dataset, with when each right was granted, if it was by a grant."""
    datasets = list(Dataset.objects.order_by("title", "pk"))
    granted = _granted(max(0, newest() - LOOKED_AT))
    for row in effective_rights(datasets):
        if row.held:
            dates: dict[str, datetime] = {}
            for right in row.held:
                keys = [("user", row.user.pk), *(("group", group.pk) for group in row.user.groups.all())]
                found = [granted[key] for who in keys if (key := (row.dataset.pk, *who, right)) in granted]
                if found:
                    dates[right] = min(found)
            yield row, dates


def _granted(floor: int) -> dict[tuple[int, str, int, str], datetime]:
    """Return when each right was last granted, by dataset, kind of holder, holder and right."""
    found: dict[tuple[int, str, int, str], datetime] = {}
    events = Event.objects.filter(name="datasets.right.granted", pk__gt=floor).order_by("pk")
    for target, at, data in events.values_list("target_id", "at", "data"):
        try:
            found[int(target), str(data["whom"]), int(data["whom_id"]), str(data["right"])] = at
        except (KeyError, TypeError, ValueError):
            continue  # of an earlier release, which told less
    return found


def _uses(floor: int) -> dict[int, dict[str, datetime]]:
    kinds = {name: kind for kind, names in USES.items() for name in names}
    events = Event.objects.filter(pk__gt=floor, name__in=kinds, actor_id__isnull=False)
    found: dict[int, dict[str, datetime]] = defaultdict(dict)
    for actor, name, at in events.order_by().values_list("actor_id", "name").annotate(last=Max("at")):
        kind = kinds[name]
        found[actor][kind] = max(at, found[actor].get(kind, at))
    return found


def _since(floor: int) -> dict[int, datetime]:
    """Return when each person's roles were last changed, of those where that is known."""
    events = Event.objects.filter(
        name__in=("accounts.user.changed", "accounts.user.created"), target_type="accounts.user", pk__gt=floor
    ).order_by("pk")
    found: dict[int, datetime] = {}
    for target, at, data in events.values_list("target_id", "at", "data"):
        before, after = data.get("before"), data.get("after")
        same = (
            isinstance(before, dict) and isinstance(after, dict) and before.get("roles") == after.get("roles")
        )
        if not same and target.isdigit():
            found[int(target)] = at
    return found


def _second_factors() -> set[int]:
    return set(Authenticator.objects.filter(type__in=TYPES).values_list("user_id", flat=True))


def _tokens() -> dict[int, int]:
    """Return how many API tokens that are still good each person has."""
    good = ApiToken.objects.filter(revoked_at=None, expiry__gt=now())
    return dict(good.order_by().values_list("user_id").annotate(n=Count("pk")))


def _of_people(people: Sequence[Person], at: datetime) -> Iterator[Finding]:
    for person in people:
        user = person.user
        if not user.is_active:
            if person.tokens:
                yield Finding("Tokens of inactive people", user.email, count(person.tokens, "token"))
            continue
        if user.last_login is None:
            yield Finding("Never signed in", user.email, f"added on {user.date_joined:%Y-%m-%d}")
        elif at - user.last_login > QUIET:
            yield Finding("Not signed in lately", user.email, f"last on {user.last_login:%Y-%m-%d}")
        if not any(person.rights.values()) and not person.roles:
            yield Finding("Without any right", user.email, "has no role and no grant")
        if not person.has_second_factor:
            yield Finding("Without a second factor", user.email, ", ".join(person.roles) or "no role")
        if user.is_superuser:
            yield Finding("Superusers", user.email, "may do everything, whatever the roles say")


def _of_groups() -> Iterator[Finding]:
    empty = Group.objects.annotate(n=Count("user", filter=Q(user__is_active=True))).filter(n=0)
    for group in empty.order_by("name"):
        if group.name not in ROLES:  # those are the product's, whether anybody has them or not
            yield Finding("Groups without members", group.name, "nobody active is in it")


def _of_inactive_grants() -> Iterator[Finding]:
    grants = UserObjectPermission.objects.filter(user__is_active=False).values_list("user__email")
    for email, number in grants.annotate(n=Count("pk")).order_by("user__email")[:MOST_GRANTS]:
        yield Finding("Grants of inactive people", email, count(number, "grant"))
    held = GroupObjectPermission.objects.annotate(
        n=Count("group__user", filter=Q(group__user__is_active=True))
    )
    empty = held.filter(n=0).values_list("group__name", flat=True)
    for name, number in sorted(Counter(empty[:MOST_GRANTS]).items()):
        yield Finding("Grants of groups without members", name, count(number, "grant"))


# ---- that somebody has looked


def mark_reviewed(*, note: str, by: User) -> Event:
    """Record that somebody has looked through who may what.

    :raises PermissionDenied: the person may not.
    """
    _require(by)
    report = report_of()
    return record(
        REVIEWED, actor=by, note=note.strip()[:500], people=len(report.people), findings=len(report.findings),
        entries=len(report.entries),
    )  # fmt: skip


def _require(by: User) -> None:
    if not by.has_perm(REVIEWS):
        raise PermissionDenied("Only an owner reviews who may what.")


def reviews(*, most: int = 10) -> list[Reviewed]:
    """Return the newest reviews of the current tenant."""
    events = Event.objects.filter(name=REVIEWED).order_by("-pk")[:most]
    return [Reviewed(one.at, one.actor_label, str(one.data.get("note", "")), one.pk) for one in events]


@dataclass(frozen=True, slots=True)
class Due:
    """That a review is due; `last` is when the last one was, None if there was none."""

    last: datetime | None


def review_due() -> Due | None:
    """Return that the current tenant's access is to be reviewed, by ROWHOUSE_REVIEW_MONTHS; None: it is not."""
    if not settings.ROWHOUSE_REVIEW_MONTHS:
        return None
    last = Event.objects.filter(name=REVIEWED).order_by("-pk").values_list("at", flat=True).first()
    begun = last or User.objects.aggregate(begun=Min("date_joined"))["begun"] or now()
    return Due(last) if now() - begun > settings.ROWHOUSE_REVIEW_MONTHS * MONTH else None
