"""Each of the doctor's lines, made to fail by what it is there for."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.db import connection

from core.clock import now
from core.embedded import EmbeddedServer
from core.tenancy import TenantRef, in_tenant
from exporter.tests.s3 import S3Server, moto, on_moto, on_rclone, rclone
from jobs.models import Job, TenantShare
from rowhouse.doctor import database, examining, network, storing, surroundings, working
from rowhouse.doctor.findings import Finding, Level, failure, warning, well, worst
from tenants.models import SchemaTemplate
from tenants.tests.test_domains import NameServer, server

__all__ = ["moto", "on_moto", "on_rclone", "rclone", "server"]
KEY = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
OTHER, THIRD = KEY[::-1], KEY[20:] + KEY[:20]
Findings = Callable[[], Iterator[Finding]]


def levels(found: Iterator[Finding] | list[Finding]) -> dict[str, Level]:
    """Return the worst level of each check."""
    all_of_them = list(found)
    return {one.check: worst(each for each in all_of_them if each.check == one.check) for one in all_of_them}


def said(found: Iterator[Finding] | list[Finding], check: str) -> str:
    (text,) = [f"{one.message} {one.advice}" for one in found if one.check == check]
    return text


# ---- what it says of it all


def test_the_worst_decides() -> None:
    fine, doubt, bad = well("a", ""), warning("b", "", ""), failure("c", "", "")
    assert [worst(given) for given in ([], [fine], [fine, doubt], [doubt, bad, fine])] == [
        Level.OK, Level.OK, Level.WARNING, Level.FAILURE,
    ]  # fmt: skip


def test_what_cannot_be_looked_at_stops_nothing_else(
    monkeypatch: pytest.MonkeyPatch, acme: TenantRef
) -> None:
    def broken() -> Iterator[Finding]:
        yield well("begun", "")
        raise KeyError("on purpose")

    monkeypatch.setattr(examining, "ASK", (broken, surroundings.versions))
    found = levels(examining.examine())
    assert (found["begun"], found["test_doctor.broken"], found["versions"]) == (
        Level.OK, Level.FAILURE, Level.OK,
    )  # fmt: skip


def test_the_command_exits_by_the_worst(
    monkeypatch: pytest.MonkeyPatch, acme: TenantRef, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*given: Finding, strict: bool = False) -> tuple[int, dict[str, Any]]:
        monkeypatch.setattr(examining, "ASK", (lambda: iter(given),))
        monkeypatch.setattr(examining, "ASK_OF_DATABASE", ())
        monkeypatch.setattr(database, "reach", lambda: iter(()))
        code = 0
        try:
            call_command("doctor", "--json", strict=strict)
        except SystemExit as end:
            code = int(str(end.code))
        return code, json.loads(capsys.readouterr().out)

    assert run(well("a", "fine"))[0] == 0
    assert run(warning("a", "hm", "do")) == (
        0,
        {
            "level": "warning",
            "findings": [{"check": "a", "level": "warning", "message": "hm", "advice": "do"}],
        },
    )
    assert run(warning("a", "hm", "do"), strict=True)[0] == 1
    assert run(failure("a", "no", "do"))[0] == 1


def test_settings_that_refuse_to_be_read_are_told_in_the_same_form() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rowhouse", "doctor", "--json"],
        env={**os.environ, "ROWHOUSE_PRODUCTION": "true", "ROWHOUSE_SECRET_KEY": "short"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert json.loads(done.stdout)["findings"][0] == {
        "check": "settings",
        "level": "failure",
        "message": "ROWHOUSE_SECRET_KEY: set 50 or more random characters.",
        "advice": "Nothing else was looked at.",
    }


# ---- surroundings


def test_a_variable_that_nothing_reads_is_named_with_the_one_that_is_meant() -> None:
    found = list(surroundings.place({"ROWHOUSE_WEB_WORKRES": "4", "ROWHOUSE_DATA": "x", "HOME": "/"}))
    assert said(found, "settings") == (
        "ROWHOUSE_WEB_WORKRES is set, and nothing reads it here. ROWHOUSE_WEB_WORKERS may be meant."
    )


@pytest.mark.parametrize(
    "name",
    [
        "ROWHOUSE_SECRET_KEY_FILE", "ROWHOUSE_WEB_SERVICE_HOST", "ROWHOUSE_WEB_SERVICE_PORT_HTTP", "ROWHOUSE_WEB_PORT",
        "ROWHOUSE_WEB_PORT_8000_TCP_ADDR", "ROWHOUSE_BROWSER",
    ],
)  # fmt: skip
def test_what_others_set_for_good_reason_is_not_told(name: str) -> None:
    assert surroundings.unread_variables({name: "x"}) == []


def test_what_djangos_checks_find_is_told(settings: Any) -> None:
    assert "check rowhouse.E002" not in levels(surroundings.django_checks())
    settings.SESSION_COOKIE_DOMAIN = ".example.org"
    assert levels(surroundings.django_checks())["check rowhouse.E002"] == Level.FAILURE


def test_development_is_told(settings: Any) -> None:
    assert levels(surroundings.place({}))["production"] == Level.WARNING
    settings.IS_PRODUCTION = True
    assert levels(surroundings.place({}))["production"] == Level.OK


def keyed(
    settings: Any, secret: str, sealing: list[str], backup: list[str], audit: list[str]
) -> dict[str, Level]:
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = secret, []
    settings.ROWHOUSE_SEALING_KEYS, settings.ROWHOUSE_BACKUP_KEYS = sealing or [secret], backup
    settings.ROWHOUSE_AUDIT_KEYS = audit or settings.ROWHOUSE_SEALING_KEYS
    return levels(surroundings.secrets())


@pytest.mark.parametrize(
    ("secret", "sealing", "backup", "told"),
    [
        pytest.param(KEY, [OTHER], [THIRD], "", id="good"),
        pytest.param("development", [OTHER], [THIRD], "secret key", id="development"),
        pytest.param("short", [OTHER], [THIRD], "secret key", id="short"),
        pytest.param("a" * 60, [OTHER], [THIRD], "secret key", id="monotonous"),
        pytest.param(KEY, [], [THIRD], "sealing keys", id="no-sealing-key"),
        pytest.param(KEY, ["short"], [THIRD], "sealing keys", id="short-sealing-key"),
        pytest.param(KEY, [OTHER], [], "backup keys", id="no-backup-key"),
        pytest.param(KEY, [OTHER], ["short"], "backup keys", id="short-backup-key"),
        pytest.param(KEY, [OTHER], [OTHER], "backup keys", id="one-key-for-two"),
    ],
)
def test_secrets_are_judged(
    settings: Any, secret: str, sealing: list[str], backup: list[str], told: str
) -> None:
    if secret == "development":
        secret = settings.DEVELOPMENT_KEY
    found = keyed(settings, secret, sealing, backup, [KEY[5:] + KEY[:5]])
    assert {check for check, level in found.items() if level != Level.OK} == ({told} if told else set())


def test_a_log_of_events_without_a_key_of_its_own_is_told(settings: Any) -> None:
    assert keyed(settings, KEY, [OTHER], [THIRD], [])["audit keys"] == Level.WARNING
    assert keyed(settings, KEY, [OTHER], [THIRD], ["short"])["audit keys"] == Level.WARNING


def test_no_secret_is_shown(settings: Any) -> None:
    settings.SECRET_KEY, settings.ROWHOUSE_SEALING_KEYS, settings.ROWHOUSE_BACKUP_KEYS = (
        "s3cr3t",
        ["s34l"],
        ["b4ck"],
    )
    told = " ".join(map(str, surroundings.secrets()))
    assert not any(word in told for word in ("s3cr3t", "s34l", "b4ck"))


@pytest.mark.parametrize("name", ["ROWHOUSE_DATA", "ROWHOUSE_RUN_DIR"])
def test_a_folder_that_cannot_be_written_to_fails(settings: Any, tmp_path: Path, name: str) -> None:
    settings.ROWHOUSE_RUN_DIR = tmp_path / "run"
    assert set(levels(surroundings.folders()).values()) == {Level.OK}
    (tmp_path / "file").touch()
    setattr(settings, name, tmp_path / "file" / "below")
    assert levels(surroundings.folders())[name] == Level.FAILURE


def test_a_disk_that_is_nearly_full_is_told(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ROWHOUSE_RUN_DIR = tmp_path
    for free, level in ((5000, Level.OK), (900, Level.WARNING), (60, Level.FAILURE)):
        monkeypatch.setattr(surroundings, "free_mb", lambda _folder, free=free: free)
        assert levels(surroundings.folders())["ROWHOUSE_DATA"] == level


def test_static_files_that_were_not_collected_fail(settings: Any, tmp_path: Path) -> None:
    settings.STATIC_ROOT = str(tmp_path)
    assert levels(surroundings.folders())["static files"] == Level.FAILURE
    (tmp_path / "staticfiles.json").touch()
    assert levels(surroundings.folders())["static files"] == Level.OK


# ---- database


def test_the_tests_own_database_is_well_but_for_what_tests_switch_off(acme: TenantRef) -> None:
    found = list(database.reach())
    assert {one.check for one in found if one.level == Level.FAILURE} == set()
    assert {one.message for one in found if one.level == Level.WARNING} <= {"fsync is off."}
    assert said(found, "database role").startswith("rowhouse is no superuser, and made")


def test_a_server_that_does_not_answer_fails_and_is_the_end_of_it(
    acme: TenantRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        monkeypatch.setitem(connection.settings_dict, "HOST", "127.0.0.1")
        monkeypatch.setitem(connection.settings_dict, "PORT", str(taken.getsockname()[1]))
        monkeypatch.setattr(examining, "ASK", ())
        found = examining.examine()
    assert [(one.check, one.level) for one in found] == [("database", Level.FAILURE)]


@pytest.mark.parametrize(
    ("number", "level"), [(150_009, Level.FAILURE), (160_000, Level.OK), (180_006, Level.OK)]
)
def test_a_server_that_is_too_old_fails(number: int, level: Level) -> None:
    assert database.version(number).level == level


@pytest.fixture
def superuser(django_db_setup: None) -> Iterator[Any]:
    """Give a superuser's cursor in the tests' own database."""
    host = connection.settings_dict["HOST"]
    if connection.settings_dict["USER"] != "rowhouse" or not str(host).startswith("/"):
        pytest.skip("the server of the tests is somebody else's")
    link = psycopg2.connect(host=host, user="postgres", dbname=connection.settings_dict["NAME"])
    link.autocommit = True
    with link.cursor() as cursor:
        yield cursor
    link.close()


@pytest.fixture
def guest(superuser: Any) -> Iterator[str]:
    """Make a role with no rights of its own, and drop it in the end; two runs may share a server."""
    name = f"doctor_guest_{os.getpid()}"
    superuser.execute(f"CREATE ROLE {name} LOGIN")
    superuser.execute(f"GRANT EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) TO {name}")
    yield name
    superuser.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


def as_role(name: str, look: Callable[[Any], Iterator[Finding]]) -> list[Finding]:
    with database.linked(user=name) as cursor:
        return list(look(cursor))


def test_a_superuser_fails(superuser: Any) -> None:
    assert levels(as_role("postgres", database.role)) == {"database role": Level.FAILURE}


def test_a_role_without_rights_fails_with_what_gives_them(superuser: Any, guest: str) -> None:
    name = connection.settings_dict["NAME"]
    rights = (
        f"ALTER ROLE {guest} CREATEROLE",
        f"GRANT CREATE ON DATABASE {name} TO {guest}",
        f"GRANT CREATE ON SCHEMA public TO {guest}",
    )
    for done in range(len(rights)):
        text = said(as_role(guest, database.role), "database role")
        assert text.endswith(f"As a superuser: {'; '.join(rights[done:])}")
        superuser.execute(rights[done])
    # It may not yet write functions, as the platform must for the history of records.
    assert "permission denied for language plpgsql" in said(as_role(guest, database.role), "database role")
    superuser.execute(f"GRANT USAGE ON LANGUAGE plpgsql, sql TO {guest}")
    assert levels(as_role(guest, database.role)) == {"database role": Level.OK, "hardening": Level.OK}


def test_a_trial_leaves_nothing(superuser: Any) -> None:
    superuser.execute("SELECT count(*) FROM pg_roles")
    before = superuser.fetchone()
    as_role("rowhouse", database.role)
    superuser.execute("SELECT count(*) FROM pg_roles")
    assert superuser.fetchone() == before


@pytest.fixture
def bare(superuser: Any) -> Iterator[str]:
    """Make a database that was not hardened, in another encoding, and drop it in the end."""
    name = f"test_doctor_{os.getpid()}"
    superuser.execute(
        f"CREATE DATABASE {name} OWNER rowhouse TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'"
    )
    yield name
    superuser.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_database_that_was_not_hardened_or_keeps_latin_is_told(bare: str) -> None:
    with database.linked(dbname=bare) as cursor:
        assert levels(database.role(cursor))["hardening"] == Level.WARNING
        assert levels(database.encoding(cursor)) == {"encoding": Level.FAILURE}


def test_indexes_in_an_older_order_of_letters_are_told(superuser: Any, bare: str) -> None:
    superuser.execute("UPDATE pg_database SET datcollversion = '2.28' WHERE datname = %s", [bare])
    with database.linked(dbname=bare) as cursor:
        assert "collation" in levels(database.encoding(cursor))


def test_search_without_trigrams_is_told(acme: TenantRef, monkeypatch: pytest.MonkeyPatch) -> None:
    with database.linked() as cursor:
        assert database.extension(cursor).level == Level.OK
        # A server without contrib offers it as little as an extension that never was.
        monkeypatch.setattr(database, "_TRIGRAMS", database._TRIGRAMS.replace("pg_trgm", "pg_trgm_absent"))
        assert "does not offer pg_trgm" in database.extension(cursor).message


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        pytest.param({"max_locks_per_transaction": "64"}, "max_locks_per_transaction is 64", id="locks"),
        pytest.param({"max_connections": "12"}, "It takes 9 connections", id="connections"),
        pytest.param({"autovacuum": "off"}, "autovacuum is off", id="autovacuum"),
        pytest.param({"fsync": "off"}, "fsync is off", id="fsync"),
        pytest.param({"statement_timeout": "30s"}, "statement_timeout is 30000 ms", id="timeout"),
    ],
)
@pytest.mark.slow
def test_a_server_whose_settings_do_not_carry_it_is_told(
    tmp_path: Path, changes: dict[str, str], told: str
) -> None:
    other = EmbeddedServer(tmp_path / "server", tuple(f"{name}={value}" for name, value in changes.items()))
    other.start()
    try:
        with database.linked(host=str(other.socket_folder), dbname="rowhouse") as cursor:
            found = list(database.many_schemas(cursor))
    finally:
        other.remove()
    assert [one.level for one in found] == [Level.WARNING]
    assert told in found[0].message


def test_settings_of_a_session_are_judged_too(acme: TenantRef) -> None:
    with database.linked() as cursor:
        cursor.execute("SET statement_timeout = '30s'; SET default_transaction_read_only = on")
        found = list(database.many_schemas(cursor))
    assert any("statement_timeout is 30000 ms" in one.message for one in found)
    assert any("read-only" in one.message and one.level == Level.FAILURE for one in found)


@pytest.mark.parametrize(
    ("seconds", "level"), [(0, Level.OK), (10, Level.WARNING), (-10, Level.WARNING), (-600, Level.FAILURE)]
)
def test_a_clock_that_goes_wrong_is_told(
    acme: TenantRef, monkeypatch: pytest.MonkeyPatch, seconds: int, level: Level
) -> None:
    monkeypatch.setattr(database, "now", lambda: now() + timedelta(seconds=seconds))
    with database.linked() as cursor:
        assert database.clock(cursor).level == level


# ---- storage


def test_a_server_that_checks_signatures_is_well(on_rclone: S3Server) -> None:
    found = list(storing.storage())
    assert set(levels(found).values()) == {Level.OK}
    assert "several parts" in said(found, "storage")
    assert list(on_rclone.keys()) == []


def test_a_folder_is_well_where_one_machine_is_all_and_told_in_production(settings: Any) -> None:
    assert set(levels(storing.storage()).values()) == {Level.OK}
    settings.IS_PRODUCTION = True
    assert levels(storing.storage())["storage"] == Level.WARNING


def test_a_folder_that_cannot_be_written_to_fails_as_storage(tmp_path: Path, settings: Any) -> None:
    place = tmp_path / "file"
    place.touch()
    options = {"OPTIONS": {"location": str(place)}}
    settings.STORAGES = {**settings.STORAGES, "default": {**settings.STORAGES["default"], **options}}
    assert levels(storing.storage()) == {"storage": Level.FAILURE}


def test_a_bucket_that_anybody_reads_fails(on_moto: S3Server) -> None:
    found = list(storing.storage())
    assert levels(found)["download links"] == Level.FAILURE
    assert "without a signature" in said(found, "download links")


def on(settings: Any, storages: dict[str, Any]) -> None:
    settings.STORAGES = {**settings.STORAGES, "default": storages}


@pytest.mark.parametrize(
    ("keys", "advice"),
    [({"secret_key": "wrong"}, "ROWHOUSE_S3_ACCESS_KEY"), ({"access_key": "nobody"}, "rights")],
)
def test_a_key_that_does_not_open_fails(
    rclone: S3Server, settings: Any, keys: dict[str, str], advice: str
) -> None:
    on(settings, rclone.storages(**keys))
    assert advice in said(list(storing.storage()), "storage")


def test_a_bucket_that_is_not_there_fails(moto: S3Server, settings: Any) -> None:
    storages = moto.storages()
    storages["OPTIONS"]["bucket_name"] = "nobodys"
    on(settings, storages)
    assert "Make the bucket" in said(list(storing.storage()), "storage")


def test_a_server_that_is_away_fails(moto: S3Server, settings: Any) -> None:
    storages = moto.storages()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        storages["OPTIONS"]["endpoint_url"] = f"http://127.0.0.1:{taken.getsockname()[1]}"
        on(settings, storages)
        assert "ROWHOUSE_S3_ENDPOINT" in said(list(storing.storage()), "storage")


@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE"])
def test_each_thing_that_a_server_refuses_fails(on_moto: S3Server, method: str) -> None:
    on_moto.faults.plan("500", 1, frozenset({method}))
    assert Level.FAILURE in levels(storing.storage()).values()


def test_a_link_that_leads_nowhere_is_told(on_rclone: S3Server, settings: Any) -> None:
    settings.ROWHOUSE_S3_LINK_ENDPOINT = "http://127.0.0.1:9"
    assert levels(storing.storage())["download links"] == Level.WARNING
    settings.ROWHOUSE_S3_LINK_ENDPOINT = "none"
    assert levels(storing.storage())["download links"] == Level.OK


def test_a_storage_whose_clock_goes_wrong_is_told(
    on_rclone: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storing, "now", lambda: now() + timedelta(seconds=30))
    assert levels(storing.storage())["clock of the storage"] == Level.WARNING


def test_a_server_that_signs_by_another_time_fails(on_moto: S3Server) -> None:
    on_moto.faults.plan("skewed", 1)
    assert "time server" in said(list(storing.storage()), "storage")


def test_nothing_of_a_look_stays_and_no_tenant_sees_it(settings: Any, acme: TenantRef) -> None:
    list(storing.storage())
    kept = [file for file in Path(default_storage.path("")).rglob("*") if file.is_file()]
    assert kept == []


# ---- names and neighbours


def test_hosts_that_lead_nowhere_fail(server: NameServer, settings: Any) -> None:
    settings.ROWHOUSE_BASE_DOMAIN, settings.ROWHOUSE_PUBLIC_HOSTS = "rows.example", ["ops.rows.example"]
    assert levels(network.names()) == {"DNS of tenants": Level.FAILURE, "DNS of operators": Level.FAILURE}
    server.addresses = {"*.rows.example": ["192.0.2.7"]}
    assert set(levels(network.names()).values()) == {Level.OK}
    server.addresses = {"ops.rows.example": ["192.0.2.7"]}
    found = list(network.names())
    assert levels(found) == {"DNS of tenants": Level.FAILURE, "DNS of operators": Level.OK}
    assert "Add a record *.rows.example" in said(found, "DNS of tenants")


def test_a_resolver_that_is_silent_fails(server: NameServer, settings: Any) -> None:
    server.is_silent = True
    settings.ROWHOUSE_BASE_DOMAIN, settings.ROWHOUSE_PUBLIC_HOSTS = "rows.example", []
    assert levels(network.names()) == {"DNS of tenants": Level.FAILURE}


def test_without_a_named_resolver_the_machine_is_asked(settings: Any) -> None:
    settings.ROWHOUSE_DNS_RESOLVERS = []
    settings.ROWHOUSE_BASE_DOMAIN, settings.ROWHOUSE_PUBLIC_HOSTS = "localhost", ["localhost", "127.0.0.1"]
    assert set(levels(network.names()).values()) == {Level.OK}


class MailServer:
    """Greets whoever comes and takes nobody's password."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        while True:
            try:
                link, _ = self.socket.accept()
            except OSError:
                return
            with link, link.makefile("rwb") as file:
                file.write(b"220 mail.example\r\n")
                file.flush()
                for line in file:
                    word = line.split()[0].upper()
                    answers = {
                        b"EHLO": b"250-mail.example\r\n250 AUTH PLAIN\r\n",
                        b"AUTH": b"535 5.7.8 No.\r\n",
                    }
                    file.write(answers.get(word, b"250 ok\r\n"))
                    file.flush()
                    if word == b"QUIT":
                        break

    def close(self) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join(10)


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    found = MailServer()
    yield found
    found.close()


def mailing(settings: Any, port: int, **more: str) -> list[Finding]:
    options = {"host": "127.0.0.1", "port": port, "timeout": 5, **more}
    settings.MAILERS = {
        "default": {"BACKEND": "django.core.mail.backends.smtp.EmailBackend", "OPTIONS": options}
    }
    return list(network.mail())


def test_a_mail_server_is_signed_in_at(settings: Any, mail_server: MailServer) -> None:
    assert levels(mailing(settings, mail_server.port)) == {"mail": Level.OK}
    found = mailing(settings, mail_server.port, username="rowhouse", password="wrong")
    assert levels(found) == {"mail": Level.FAILURE}
    assert "535" in said(found, "mail")


def test_a_mail_server_that_is_away_fails_and_none_is_told(settings: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        assert levels(mailing(settings, taken.getsockname()[1])) == {"mail": Level.FAILURE}
    settings.MAILERS = {}
    assert levels(network.mail()) == {"mail": Level.WARNING}


# ---- what goes on


def test_a_schema_that_is_behind_fails(acme: TenantRef, globex: TenantRef) -> None:
    assert levels(working.migrations()) == {"template": Level.OK, "migrations": Level.OK}
    with in_tenant(acme), connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'exporter'")
    assert "1 tenant behind this release: acme." in said(list(working.migrations()), "migrations")
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM public.django_migrations WHERE app = 'jobs'")
    assert "The platform's own schema" in said(list(working.migrations()), "migrations")


def test_a_template_that_is_not_of_this_release_is_told(acme: TenantRef) -> None:
    SchemaTemplate.objects.update(digest="old")
    assert levels(working.migrations())["template"] == Level.WARNING


def job(ref: TenantRef, minutes: int) -> None:
    at = now() - timedelta(minutes=minutes)
    Job.objects.create(schema=ref.schema, slug=ref.slug, kind="tests.x", target="x", not_before=at)
    Job.objects.update(created_at=at)


def test_work_that_nobody_does_fails(acme: TenantRef) -> None:
    assert levels(working.workers()) == {"workers": Level.WARNING}
    job(acme, minutes=4)
    assert levels(working.workers()) == {"workers": Level.WARNING}
    Job.objects.all().delete()
    job(acme, minutes=20)
    found = list(working.workers())
    assert levels(found) == {"workers": Level.FAILURE}
    assert "waited for 20 minutes" in said(found, "workers")
    TenantShare.objects.update_or_create(schema=acme.schema, defaults={"state": TenantShare.State.PAUSED})
    assert levels(working.workers()) == {"workers": Level.WARNING}


def test_workers_are_seen_wherever_they_run(acme: TenantRef, settings: Any) -> None:
    with database.linked(application_name=settings.WORKER_NAME):
        assert said(list(working.workers()), "workers").startswith("1 connection of workers")
    settings.ROWHOUSE_JOB_ENGINE = "immediate"
    assert levels(working.workers()) == {"workers": Level.OK}
