"""The wheel and its locked dependencies alone: read-only code, nobody's user, a database role without powers."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exporter.tests.s3 import S3Server, rclone
from tenants.tests.test_domains import NameServer
from tests.conftest import free_port
from tests.installation import Browser, Installation, Running, in_image, installed, wait_for
from tests.servers import postgres
from tests.source import ROOT

__all__ = ["rclone"]
SECRETS = {
    "ROWHOUSE_SECRET_KEY": "signing-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJ",
    "ROWHOUSE_SEALING_KEYS": "sealing-0123456789abcdefghijklmnopqrstuvwxyz",
    "ROWHOUSE_AUDIT_KEYS": "signs-events-0123456789abcdefghijklmnopqrstuvwxyz",
    "ROWHOUSE_BACKUP_KEYS": "backups-0123456789abcdefghijklmnopqrstuvwxyz",
}
OWNER, PASSWORD = "owner@acme.example", "correct horse battery"
HOST = "acme.rows.example"
FILE = b"id,city,founded\n1,Rome,-753\n2,Alexandria,-331\n3,Baghdad,762\n"
CHANGED = b"id,city,founded\n2,Alexandria,-332\n4,Cairo,969\nx,Nowhere,1\n"


IMAGE = os.environ.get(
    "ROWHOUSE_IMAGE_ROOT", ""
)  # what deploy/dev/image.sh has printed: the same in that image


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    with in_image(Path(IMAGE)) if IMAGE else installed() as found:
        yield found


# ---- what is in it


def test_the_installation_holds_what_the_lock_says_and_us(installation: Installation) -> None:
    lines = installation.run(
        "python", "-c", "import importlib.metadata as m\nfor d in m.distributions(): print(d.name, d.version)"
    ).stdout.splitlines()
    names = {line.split()[0].lower().replace("_", "-") for line in lines}
    lock = (ROOT / "requirements-runtime.lock").read_text(encoding="utf-8")
    # A package for other machines alone stands in the lock with a condition.
    locked = dict(re.findall(r"^([a-z0-9._-]+)==\S+( ;)?", lock, re.M))
    assert names - {"rowhouse"} <= locked.keys()
    assert {name for name, condition in locked.items() if not condition} <= names
    assert "rowhouse" in names


def test_nobody_may_write_to_the_code_and_it_is_compiled(installation: Installation) -> None:
    site = next(
        installation.code.glob("lib/python3*/site-packages" if IMAGE else "venv/lib/python3*/site-packages")
    )
    assert list((site / "rowhouse" / "__pycache__").glob("settings.*.pyc"))
    assert not list(site.glob("rowhouse/tests"))
    asked = (
        "import os, core.env as e; at = os.path.dirname(e.__file__);"
        " print(os.access(e.__file__, os.W_OK), os.access(at, os.W_OK), os.access(os.path.dirname(at), os.W_OK),"
        " os.access(os.environ['ROWHOUSE_STATIC_ROOT'], os.W_OK))"
    )
    assert installation.run("python", "-c", asked).stdout.split() == ["False"] * 4


def test_static_files_are_there_under_hashed_names(installation: Installation) -> None:
    names = [path.name for path in (installation.code / "static" / "rowhouse").iterdir()]
    assert [name for name in names if re.fullmatch(r"rowhouse\.[0-9a-f]{12}\.css", name)]
    assert [name for name in names if re.fullmatch(r"rowhouse\.[0-9a-f]{12}\.css\.gz", name)]
    assert (installation.code / "static" / "staticfiles.json").is_file()


def test_the_checks_of_a_deployment_find_nothing(installation: Installation) -> None:
    installation.environment = {
        **SECRETS, "ROWHOUSE_PRODUCTION": "true", "DATABASE_URL": "postgresql://nobody@127.0.0.1:9/nothing",
    }  # fmt: skip
    done = installation.run(installation.command, "check", "--deploy", "--fail-level", "WARNING")
    assert "no issues" in done.stdout


def test_a_web_that_may_not_start_says_why_and_ends(installation: Installation) -> None:
    installation.environment = {"ROWHOUSE_PRODUCTION": "true"}
    running = installation.start("refused", "gunicorn", "-c", "python:rowhouse.gunicorn", "rowhouse.wsgi")
    assert running.process.wait(60) == 1
    assert "ROWHOUSE_SECRET_KEY: set 50 or more random characters." in running.log.read_text()


@pytest.mark.parametrize(
    "words",
    [("gunicorn", "-c", "python:rowhouse.gunicorn", "rowhouse.wsgi"), ("rowhouse", "worker")],
    ids=["web", "worker"],
)
def test_process_one_hears_of_its_end_while_it_still_loads(
    installation: Installation, words: tuple[str, ...]
) -> None:
    installation.environment = {**SECRETS, "DATABASE_URL": "postgresql://nobody@127.0.0.1:9/nothing"}
    running = installation.start("loading", *words)
    if not running.is_wrapped:
        running.kill()
        pytest.skip("only root can start a process as process 1 here")
    try:
        wait_for("its handler", lambda: catches(running, signal.SIGTERM), [running])
        assert running.told(signal.SIGTERM) == 0
    finally:
        running.kill()


def catches(running: Running, number: signal.Signals) -> bool:
    """Return whether process 1 has a handler for a signal."""
    try:
        found = re.search(r"^SigCgt:\t(\w+)$", Path(f"/proc/{running.pid}/status").read_text(), re.M)
    except (OSError, ValueError):  # it is about to be
        return False
    return found is not None and bool(int(found[1], 16) >> (number - 1) & 1)


# ---- the whole of it


@pytest.fixture(params=[16, 18])
def running_on(
    request: pytest.FixtureRequest, installation: Installation, rclone: S3Server
) -> Iterator[Installation]:
    """Point the installation at a PostgreSQL of this version, at a bucket, and at a name server."""
    names = NameServer()
    names.addresses = {"*.rows.example": ["192.0.2.7"]}
    try:
        with postgres(request.param) as server:
            installation.environment = {
                **SECRETS,
                "ROWHOUSE_PRODUCTION": "true",
                "DATABASE_URL": server.url,
                "ROWHOUSE_BASE_DOMAIN": "rows.example",
                "ROWHOUSE_PUBLIC_HOSTS": "ops.rows.example",
                "ROWHOUSE_DNS_RESOLVERS": "{}:{}".format(*names.place),
                "ROWHOUSE_PROXIES": "1",
                "ROWHOUSE_S3_BUCKET": rclone.bucket,
                "ROWHOUSE_S3_ENDPOINT": rclone.endpoint,
                "ROWHOUSE_S3_ACCESS_KEY": rclone.access_key,
                "ROWHOUSE_S3_SECRET_KEY": rclone.secret_key,
            }
            yield installation
    finally:
        names.close()


@pytest.mark.slow
def test_a_whole_import_and_export_on_either_server(running_on: Installation, rclone: S3Server) -> None:
    rows = running_on
    assert rows.rowhouse("migrate_tenants")["schemas"][0] == {
        "schema": "public", "tenant": "", "outcome": "migrated",
    }  # fmt: skip
    assert rows.rowhouse("migrate_tenants")["schemas"] == []
    made = rows.rowhouse(
        "provision_tenant", "acme", "--name", "Acme", "--admin", OWNER, "--password", PASSWORD
    )
    assert (made["state"], made["domain"]) == ("ACTIVE", HOST)
    (rows.writable / "cities.csv").write_bytes(FILE)
    rows.rowhouse(
        "create_dataset", "--tenant", "acme", "--name", "Cities", "--infer", rows.seen("cities.csv"),
        "--key", "id",
    )  # fmt: skip
    port = free_port()
    web = rows.start(
        "web", "gunicorn", "-c", "python:rowhouse.gunicorn", "rowhouse.wsgi",
        ROWHOUSE_WEB_BIND=f"127.0.0.1:{port}",
    )  # fmt: skip
    worker = rows.start("worker", rows.command, "worker")
    try:
        wait_for("the web", lambda: is_open(port), [web, worker])
        import_by_pages(rows, Browser(port, HOST), [web, worker])
        export_and_read_back(rows, rclone)
        look_by_doctor(rows)
        assert_alone(rows, web)
        assert (web.told(signal.SIGTERM), worker.told(signal.SIGTERM)) == (0, 0)
    finally:
        web.kill()
        worker.kill()


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def import_by_pages(rows: Installation, browser: Browser, running: list[Running]) -> None:
    """Sign in, upload, look at the preview, confirm, and do it again with a file of changes and a fault."""
    login = browser.get("/admin/login/")
    page = browser.post(
        "/admin/login/?next=/admin/",
        {"username": OWNER, "password": PASSWORD, "csrfmiddlewaretoken": login.field("csrfmiddlewaretoken")},
    )
    assert page.status == 200, page.text
    assert "__Host-session" in browser.cookies
    style = re.search(r'href="(/static/rowhouse/rowhouse\.[0-9a-f]{12}\.css)"', page.text)
    assert style, page.text[:2000]
    sheet = browser.get(style[1])
    assert (sheet.status, "immutable" in sheet.headers["Cache-Control"]) == (200, True)
    for content, counts in ((FILE, (3, 0, 0)), (CHANGED, (1, 1, 1))):
        upload = browser.get("/admin/importer/importjob/upload/?dataset=1")
        values = {
            "dataset": "1",
            "mode": "upsert",
            "policy": "good_rows",
            "request_key": upload.field("request_key"),
            "csrfmiddlewaretoken": upload.field("csrfmiddlewaretoken"),
        }
        page = browser.post("/admin/importer/importjob/upload/", values, [("file", "cities.csv", content)])
        assert re.fullmatch(r"/admin/importer/importjob/\d+/change/", page.url), page.text
        wait_for("the preview", lambda: newest(rows)["state"] == "PREVIEW_SUCCEEDED", running)
        preview = browser.get(page.url)
        browser.post(
            page.url.replace("change", "confirm"),
            {
                "seen": preview.field("seen"),
                "policy": "good_rows",
                "csrfmiddlewaretoken": preview.field("csrfmiddlewaretoken"),
            },
        )
        wait_for("the import", lambda: newest(rows)["state"] == "IMPORT_SUCCEEDED", running)
        done = newest(rows)
        assert (done["created"], done["updated"], done["rejected"]) == counts
    assert "Cairo" in browser.get("/admin/datasets/dataset/1/rows/").text


def newest(rows: Installation) -> dict[str, Any]:
    found: dict[str, Any] = rows.rowhouse("list_imports", "--tenant", "acme", "--limit", "1")["imports"][0]
    return found


def export_and_read_back(rows: Installation, bucket: S3Server) -> None:
    (done,) = rows.rowhouse("export_datasets", "--tenant", "acme")["exports"]
    assert done["rows"] == 4
    stored = bucket.client().get_object(Bucket=bucket.bucket, Key=done["key"])["Body"].read()
    assert b"4,Cairo,969" in stored
    assert rows.run(rows.command, "verify_exports", "--tenant", "acme", "--deep").returncode == 0


def look_by_doctor(rows: Installation) -> None:
    """All is well but for what this place really lacks."""
    found = wait_for(
        "the doctor",
        lambda: [
            one for one in [rows.rowhouse("doctor")] if "No worker is connected" not in str(one["findings"])
        ],
    )[0]
    told = {(one["check"], one["level"]) for one in found["findings"] if one["level"] != "ok"}
    contrib = {("extensions", "warning")}  # the wheel of PostgreSQL 16 brings none of them
    assert told - contrib == {("mail", "warning"), ("server", "warning")}, found["findings"]
    (server,) = [one["message"] for one in found["findings"] if one["check"] == "server"]
    assert server == "fsync is off."


def assert_alone(rows: Installation, web: Running) -> None:
    """The web has forked what it loaded with no thread but the one of metrics, and runs without a capability."""
    status = Path(f"/proc/{web.pid}/status").read_text()
    assert re.search(r"^Threads:\t[12]$", status, re.M)
    if web.is_wrapped:
        user = "10001" if rows.image else "65534"
        assert "Uid:" + f"\t{user}" * 4 + "\n" in status
        assert "CapEff:\t0000000000000000\n" in status
        assert "NoNewPrivs:\t1\n" in status
        assert re.search(r"^NSpid:\t\d+\t1$", status, re.M)
