"""What can be done with backups of one tenant, in the order of their life."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import transaction
from django.db.models import OuterRef, Q, QuerySet, Subquery

from audit.services import record
from core.clock import now as clock
from core.errors import RowhouseError
from core.stores import LocalWriter, StorageChanged, Writer
from core.tenancy import TenantRef
from jobs import services as jobs
from tenants.backup import loading, taking
from tenants.backup.format import Contents
from tenants.backup.models import TenantBackup, file_name
from tenants.backup.store import backup_store, opened
from tenants.models import Tenant
from tenants.names import new_schema_name

if TYPE_CHECKING:
    from core.stores import Store

State, Trigger, Verdict = TenantBackup.State, TenantBackup.Trigger, TenantBackup.Verdict
OPEN_STATES = (State.QUEUED, State.RUNNING)
# Tenants with a schema whose people count on it.
BACKED_UP = (Tenant.State.ACTIVE, Tenant.State.SUSPENDED)
# Younger objects may belong to work whose row is not committed yet.
SAFE_AGE = timedelta(days=1)
VERIFY = "tenants.verify_backup"
NUMBER = re.compile(r"#?([0-9]{1,18})")


class UnknownBackup(RowhouseError):
    """There is no such file and no such backup."""

    code = "unknown-backup"
    status = 404


class BackupGone(RowhouseError):
    """The backup was removed, or it never succeeded."""

    code = "backup-gone"


class NoTenantToBackUp(RowhouseError):
    """The tenant is not in a state in which it has data."""

    code = "wrong-state"


# ---- taking


@transaction.atomic
def request_backup(
    *, tenant: Tenant, by: object = None, trigger: TenantBackup.Trigger = Trigger.MANUAL
) -> TenantBackup:
    """Have a worker back up a tenant into the platform's storage.

    :raises NoTenantToBackUp: it has no schema.
    :raises TargetBusy: one is being taken.
    """
    if tenant.state not in (*BACKED_UP, Tenant.State.DELETING):
        raise NoTenantToBackUp(
            f"{tenant.slug!r} is {tenant.get_state_display()}; there is nothing to back up."
        )
    backup = _begun(tenant, by, trigger)
    job = jobs.submit("tenants.backup", target=tenant.schema_name, payload={"backup": backup.pk})
    TenantBackup.objects.filter(pk=backup.pk).update(job_id=job.pk)
    backup.job_id = job.pk
    record("tenants.backup.requested", actor=by, target=tenant, backup=backup.pk)
    return backup


def _begun(tenant: Tenant, by: object, trigger: TenantBackup.Trigger) -> TenantBackup:
    return TenantBackup.objects.create(tenant=tenant, trigger=trigger, asked_by=str(by or "")[:300])


def run_backup(*, backup: TenantBackup, attempt: int, progress: taking.Progress | None = None) -> bool:
    """Take a backup that was asked for into the platform's storage; False if it was done or given up before.

    May run twice: each attempt has an object of its own, and the first that ends is the backup.

    :raises SchemaBusy: a table was being changed all the time.
    """
    if backup.state not in OPEN_STATES:
        return False
    at = clock()
    name = file_name(backup.tenant.slug, at, number=backup.pk, attempt=attempt)
    with backup_store().write(f"{backup.tenant.schema_name}/{name}") as writer:
        contents = taking.take(backup.tenant, writer.write, secret=_secret(), progress=progress)
    return _succeeded(backup, contents, at, key=writer.key)


def back_up_to_file(*, tenant: Tenant, path: Path, by: object = None) -> TenantBackup:
    """Write a backup of a tenant to a file of this machine, here and now. A file of the same name is replaced.

    :raises NoTenantToBackUp: it has no schema.
    :raises SchemaBusy: a table was being changed all the time.
    :raises OSError: the file cannot be written.
    """
    if tenant.state not in (*BACKED_UP, Tenant.State.DELETING):
        raise NoTenantToBackUp(
            f"{tenant.slug!r} is {tenant.get_state_display()}; there is nothing to back up."
        )
    backup = _begun(tenant, by, Trigger.MANUAL)
    at = clock()
    try:
        with _file(path.absolute()) as writer:
            contents = taking.take(tenant, writer.write, secret=_secret())
    except BaseException as error:
        fail_backup(backup=backup, code=getattr(error, "code", "unexpected"), message=str(error))
        raise
    _succeeded(backup, contents, at, path=str(path.absolute()))
    return backup


@contextmanager
def _file(path: Path) -> Iterator[Writer]:
    writer = LocalWriter(str(path), path)
    try:
        yield writer
        writer.finish()
    except BaseException:
        writer.abort()
        raise


def _secret() -> str | None:
    return settings.ROWHOUSE_BACKUP_KEYS[0] if settings.ROWHOUSE_BACKUP_KEYS else None


@transaction.atomic
def _succeeded(
    backup: TenantBackup, contents: Contents, at: datetime, *, key: str = "", path: str = ""
) -> bool:
    moved = backup.move(
        old=OPEN_STATES,
        new=State.SUCCEEDED,
        started_at=at,
        finished_at=clock(),
        key=key,
        path=path,
        bytes=contents.bytes,
        rows=contents.rows,
        tables=len(contents.tables),
        sha256=contents.sha256,
        is_sealed=contents.is_sealed,
        version=contents.about["version"],
        taken_at=datetime.fromisoformat(contents.about["taken_at"]),
        error_code="",
        error="",
    )
    if moved:
        record("tenants.backup.taken", target=backup.tenant, backup=backup.pk, sha256=contents.sha256)
    return moved


def fail_backup(*, backup: TenantBackup, code: str, message: str) -> None:
    """Note that a backup could not be taken."""
    if backup.move(
        old=OPEN_STATES, new=State.FAILED, finished_at=clock(), error_code=code[:60], error=message
    ):
        record("tenants.backup.failed", target=backup.tenant, backup=backup.pk, code=code[:60])


# ---- finding


@dataclass(frozen=True, slots=True)
class Found:
    """A backup to be read: where it is, and its row if there is one."""

    name: str
    open: loading.Opener
    row: TenantBackup | None = None


def find_backup(text: str) -> Found:
    """Return the backup that a path, a number as on the operators' page, or a stored key names.

    :raises UnknownBackup: there is none.
    :raises BackupGone: it was removed, or never succeeded.
    """
    if Path(text).is_file():
        path = Path(text)
        return Found(
            text, lambda: path.open("rb"), TenantBackup.objects.filter(path=str(path.absolute())).first()
        )
    number = NUMBER.fullmatch(text)
    row = TenantBackup.objects.filter(pk=int(number[1])) if number else TenantBackup.objects.filter(key=text)
    backup = row.first() if text else None
    if backup is None:
        raise UnknownBackup(
            f"There is no file and no stored backup {text!r}. Name a file, or the number of a backup as"
            " `rowhouse list_backups` shows it."
        )
    return of_row(backup)


def of_row(backup: TenantBackup) -> Found:
    """Return a backup by its row.

    :raises BackupGone: it was removed, or never succeeded.
    """
    if not backup.is_kept:
        raise BackupGone(
            f"{backup} cannot be read: it {'was removed' if backup.deleted_at else 'never succeeded'}."
        )
    if backup.path:
        return Found(backup.path, lambda: Path(backup.path).open("rb"), backup)
    return Found(backup.key, lambda: opened(backup.key), backup)


# ---- verifying


@dataclass(frozen=True, slots=True)
class Verified:
    """What a restore on trial came to: `findings` says in sentences what differed."""

    contents: Contents
    findings: list[str]


def verify_backup(*, found: Found, by: object = None) -> Verified:
    """Restore a backup into a schema nobody sees, compare every row and sequence with it, and take that back.

    The backup's row, if there is one, says when and how it ended.

    :raises BackupDamaged: it is not what was written.
    :raises BackupSealed: none of the keys opens it.
    :raises BackupTooNew: a later release wrote it.
    """
    try:
        verified = _tried(found)
    except (RowhouseError, OSError) as error:
        message = error.message if isinstance(error, RowhouseError) else str(error)
        note_verdict(found=found, findings=[message], by=by)
        raise
    note_verdict(found=found, findings=verified.findings, by=by)
    return verified


def _tried(found: Found) -> Verified:
    contents = loading.check(found.open)
    scratch = TenantRef(new_schema_name(), "scratch")
    with transaction.atomic():
        loaded = loading.load(found.open, scratch, contents)
        findings = loading.mismatches(scratch.schema, loaded)
        # Nothing of it was ever there: neither a kill nor a mistake leaves a schema behind.
        transaction.set_rollback(True)
    return Verified(contents, findings)


@transaction.atomic
def note_verdict(*, found: Found, findings: list[str], by: object = None) -> None:
    """Write down what a restore on trial came to."""
    if found.row is None:
        return
    verdict = Verdict.BAD if findings else Verdict.GOOD
    TenantBackup.objects.filter(pk=found.row.pk).update(
        verified_at=clock(), verdict=verdict, findings="\n".join(findings[:100])
    )
    found.row.refresh_from_db()
    record(
        "tenants.backup.verified",
        actor=by,
        target=found.row.tenant,
        backup=found.row.pk,
        verdict=str(verdict),
    )


@transaction.atomic
def request_verification(*, backup: TenantBackup, by: object = None) -> int:
    """Have a worker restore a backup on trial; returns the job's number.

    :raises BackupGone: it was removed, or never succeeded.
    :raises TargetBusy: it is being tried.
    """
    of_row(backup)
    job = jobs.submit(VERIFY, target=str(backup.pk), payload={"backup": backup.pk})
    record("tenants.backup.verification-requested", actor=by, target=backup.tenant, backup=backup.pk)
    return job.pk


# ---- by the clock


def look_after_backups() -> None:
    """Once an hour, have a worker ask for what is due and remove what is past its time; a chore of every worker."""
    hour = clock().replace(minute=0, second=0, microsecond=0).isoformat()
    with suppress(jobs.TargetBusy):  # the last hour's goes on
        jobs.submit("tenants.look_after", target="hourly", payload={}, idem_key=f"tenants.look_after:{hour}")


def request_due_backups(*, now: datetime) -> int:
    """Ask for the scheduled backups that are due; returns how many that made.

    A tenant is due when the last one that was begun is older than the interval. No more are asked for at once than
    spread all tenants over the interval twice as fast as needed, so that a new setting does not back up all in an hour.
    """
    due = _due(now)
    most = max(10, -(-2 * Tenant.objects.filter(state__in=BACKED_UP).count() // max(1, _hours())))
    made = 0
    for tenant in due[:most]:
        try:
            with transaction.atomic():
                request_backup(tenant=tenant, by="schedule", trigger=Trigger.SCHEDULED)
        except jobs.TargetBusy:  # one by hand is being taken; the next hour looks again
            continue
        made += 1
    return made


def _hours() -> int:
    return int(settings.ROWHOUSE_BACKUP_HOURS)


def _due(now: datetime) -> QuerySet[Tenant]:
    """Return the tenants whose last scheduled backup was begun longer ago than the interval, the oldest first."""
    tenants = Tenant.objects.filter(state__in=BACKED_UP)
    if not _hours():
        return tenants.none()
    last = TenantBackup.objects.filter(tenant=OuterRef("pk"), trigger=Trigger.SCHEDULED).order_by(
        "-created_at"
    )
    due = tenants.annotate(last_at=Subquery(last.values("created_at")[:1])).filter(
        Q(last_at=None) | Q(last_at__lte=now - timedelta(hours=_hours()) + timedelta(minutes=30))
    )
    found: QuerySet[Tenant] = due.order_by("last_at", "pk")
    return found


def request_backups(*, now: datetime, everyone: bool = False, by: object = None) -> list[TenantBackup]:
    """Ask for the backup of each tenant that is due, or of `everyone`, all at once; one that is being taken counts too.

    Whoever asks waits for their jobs (`TenantBackup.job_id`) and may do them himself; workers take them as well.
    """
    tenants = Tenant.objects.filter(state__in=BACKED_UP).order_by("pk") if everyone else _due(now)
    asked = []
    for tenant in tenants:
        try:
            with transaction.atomic():
                asked.append(request_backup(tenant=tenant, by=by, trigger=Trigger.SCHEDULED))
        except jobs.TargetBusy:
            open_ones = TenantBackup.objects.filter(tenant=tenant, state__in=OPEN_STATES)
            asked += list(open_ones.exclude(job_id=None).order_by("-pk")[:1])
    return asked


def request_due_drill(*, now: datetime) -> TenantBackup | None:
    """Ask for a restore on trial if the last is old enough: of the tenant's newest backup that waited longest."""
    chosen = _due_drill(now)
    if chosen is None:
        return None
    try:
        request_verification(backup=chosen, by="schedule")
    except jobs.TargetBusy:
        return None
    return chosen


def _due_drill(now: datetime) -> TenantBackup | None:
    days = settings.ROWHOUSE_DRILL_DAYS
    if not days:
        return None
    since = now - timedelta(days=days)
    if TenantBackup.objects.filter(verified_at__gt=since).exists():
        return None
    drilled = TenantBackup.objects.filter(tenant=OuterRef("pk"), verified_at__isnull=False).order_by(
        "-verified_at"
    )
    tenants = _with_newest().annotate(drilled_at=Subquery(drilled.values("verified_at")[:1]))
    chosen = (
        tenants.filter(drilled_at=None).order_by("pk").first() or tenants.order_by("drilled_at", "pk").first()
    )
    return TenantBackup.objects.get(pk=chosen.newest) if chosen else None


def _with_newest() -> QuerySet[Any]:
    """Return the tenants that have a stored backup, with the number of their newest."""
    newest = TenantBackup.objects.kept().filter(tenant=OuterRef("pk")).exclude(key="").order_by("-pk")
    tenants = Tenant.objects.filter(state__in=BACKED_UP).annotate(newest=Subquery(newest.values("pk")[:1]))
    found: QuerySet[Any] = tenants.filter(newest__isnull=False)
    return found


def request_drills(
    *, now: datetime, everyone: bool = False, by: object = None
) -> list[tuple[TenantBackup, int]]:
    """Ask for the restore on trial that is due, or for one of `everyone`'s newest backup; returns each with its job.

    One that is being tried counts too.
    """
    if everyone:
        backups = [TenantBackup.objects.get(pk=one.newest) for one in _with_newest().order_by("pk")]
    else:
        backups = [chosen] if (chosen := _due_drill(now)) else []
    asked = []
    for backup in backups:
        try:
            asked.append((backup, request_verification(backup=backup, by=by)))
        except jobs.TargetBusy:
            if job_id := jobs.active_job(VERIFY, str(backup.pk)):
                asked.append((backup, job_id))
    return asked


@dataclass(frozen=True, slots=True)
class Pruned:
    """What retention took, or would take: rows whose objects go, and objects that no row knows."""

    backups: list[TenantBackup]
    strays: list[str]

    @property
    def bytes(self) -> int:
        return sum(one.bytes for one in self.backups)


def prune_backups(*, now: datetime, dry_run: bool = False, by: object = None) -> Pruned:
    """Remove stored backups that are past their time, and objects of attempts that died. Files of commands stay.

    The newest good backup of a tenant that exists is never removed. May run twice: objects go before their rows say so.
    """
    store = backup_store()
    doomed = _past(now)
    strays = _strays(store, now)
    if dry_run:
        return Pruned(doomed, strays)
    store.delete_many([one.key for one in doomed] + strays)
    with transaction.atomic():
        gone = TenantBackup.objects.filter(pk__in=[one.pk for one in doomed], deleted_at=None)
        if gone.update(deleted_at=now):
            record("tenants.backups.pruned", actor=by, backups=[one.pk for one in doomed])
    return Pruned(doomed, strays)


def _past(now: datetime) -> list[TenantBackup]:
    kept = TenantBackup.objects.kept().exclude(key="").select_related("tenant")
    found: list[TenantBackup] = []
    days, final_days = settings.ROWHOUSE_BACKUP_KEEP_DAYS, settings.ROWHOUSE_FINAL_BACKUP_KEEP_DAYS
    newest: dict[int, int] = {}
    for one in kept.order_by("pk"):
        newest[one.tenant_id] = one.pk
    for one in kept.order_by("pk"):
        if one.tenant.state == Tenant.State.DELETED:
            is_past = one.tenant.state_at <= now - timedelta(days=final_days)
        elif not days or newest[one.tenant_id] == one.pk or one.trigger == Trigger.FINAL:
            is_past = False
        else:
            is_past = one.created_at <= now - timedelta(days=days)
        if is_past:
            found.append(one)
    return found


def _strays(store: Store, now: datetime) -> list[str]:
    """Return objects that no row knows: an attempt wrote them and died before it could say so."""
    listed = [key for key, _ in store.list_keys()]
    known = set(TenantBackup.objects.exclude(key="").values_list("key", flat=True))
    strays = []
    for key in listed:
        if key in known:
            continue
        try:
            is_old = store.modified_at(key) <= now - SAFE_AGE
        except StorageChanged:
            continue
        if is_old:
            strays.append(key)
    return strays
