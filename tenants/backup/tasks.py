"""Background work on backups: a task loads and calls."""

from __future__ import annotations

from core.clock import now
from jobs.kinds import Ended, Slice, Step
from tenants.backup import restoring, services
from tenants.backup.models import TenantBackup
from tenants.backup.taking import TakingStopped


def back_up(work: Slice) -> Step:
    """Take a backup; the payload is {"backup": pk}. First its row says so, then it is done."""
    backup = TenantBackup.objects.select_related("tenant").get(pk=work.payload["backup"])
    if not work.cursor:
        backup.move(old=(services.State.QUEUED,), new=services.State.RUNNING, started_at=now())
        return Step(done=False, cursor={"begun": True})
    with work.long_statement() as tell:

        def progress(rows: int) -> None:
            tell(rows)
            if work.is_cancelled():
                raise TakingStopped("The backup was stopped.")

        try:
            services.run_backup(backup=backup, attempt=work.attempt, progress=progress)
        except TakingStopped:  # the job ends before its next slice
            return Step(done=False, cursor=work.cursor)
    return Step(done=True)


def backup_ended(work: Ended) -> None:
    backup = TenantBackup.objects.filter(pk=work.payload["backup"]).first()
    if backup is not None:
        services.fail_backup(backup=backup, code=work.code, message=work.message)


def verify(work: Slice) -> Step:
    """Restore a backup on trial; the payload is {"backup": pk}."""
    backup = TenantBackup.objects.select_related("tenant").get(pk=work.payload["backup"])
    with work.long_statement():
        services.verify_backup(found=services.of_row(backup), by="drill")
    return Step(done=True)


def verify_ended(work: Ended) -> None:
    """Note what went wrong: the slice that found it was undone."""
    backup = TenantBackup.objects.select_related("tenant").filter(pk=work.payload["backup"]).first()
    if backup is not None and work.outcome == "failed" and backup.is_kept:
        services.note_verdict(found=services.of_row(backup), findings=[work.message], by="drill")


def drop_left_schema(work: Slice) -> Step:
    """Drop what a restore has replaced; the payload is {"schema": name}."""
    with work.long_statement():
        restoring.drop_left_schema(str(work.payload["schema"]))
    return Step(done=True)
