"""Events sent out: to a real program and a real syslog server, which die and come back. None is lost."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.core import mail
from django.core.exceptions import PermissionDenied
from django.core.management import call_command
from django.db import connection, transaction

from accounts.models import User
from audit.gaps import Place
from audit.models import Event
from audit.reading import end_of_log, next_batch
from audit.services import record
from core import syslog
from core.clock import now
from core.sealing import unseal
from core.tenancy import TenantRef, in_public, in_tenant
from core.webhooks import SIGNATURE, is_signed
from exporter.resealing import reseal
from exporter.tests.receiver import Receiver, receiver
from jobs import services as jobs
from jobs.models import Job
from rowhouse.observing import figures
from tenants import streaming
from tenants.models import EventStream
from tenants.streaming import (
    BadStream,
    NoStream,
    StreamChanged,
    keep_streaming,
    lag_of,
    remove_stream,
    renew_secret,
    resume_stream,
    send_next,
    set_stream,
    stream_of,
)

SERVER = Path(__file__).with_name("syslog_server.py")


@pytest.fixture
def program(settings: Any) -> Iterator[Receiver]:
    settings.ROWHOUSE_WEBHOOK_PRIVATE_HOSTS = ["127.0.0.1"]
    with receiver() as found:
        yield found


def ours(tenant: TenantRef | None) -> EventStream:
    found = stream_of(tenant)
    assert found is not None
    return found


def written(count: int, first: int = 0) -> list[str]:
    return [str(record("tests.thing.done", number=first + n).uid) for n in range(count)]


def came(program: Receiver, name: str = "tests.thing.done") -> list[str]:
    """Return the uids that came, in their order, doubles and all."""
    return [
        event["uid"]
        for _path, _headers, body in program.came
        for event in json.loads(body)["events"]
        if event["name"] == name
    ]


def owner() -> User:
    return User.objects.get(email="owner@acme.example")


# ---- to a program


def test_events_come_signed_in_their_order_and_once(
    as_acme: TenantRef, globex: TenantRef, program: Receiver
) -> None:
    secret = set_stream(url=program.url, by=owner())
    uids = written(5)
    with in_public(), in_tenant(globex):
        written(1)
    sent = send_next(ours(as_acme).pk)
    assert sent is not None and sent.rest_seconds == streaming.LOOK_SECONDS
    assert came(program) == uids
    [(path, headers, body)] = program.came
    assert path == "/hook?of=ours"
    assert is_signed(secret, body, headers[SIGNATURE], int(now().timestamp()))
    told = json.loads(body)
    assert told["tenant"] == "acme"
    first = told["events"][-5]
    assert (first["name"], first["data"], first["words"]) == (
        "tests.thing.done",
        {"number": 0},
        "tests.thing.done",
    )
    send_next(ours(as_acme).pk)
    assert came(program) == uids  # nothing waits: nothing is sent


def test_another_tenant_s_events_go_nowhere(acme: TenantRef, globex: TenantRef, program: Receiver) -> None:
    with in_tenant(acme):
        set_stream(url=program.url, by=None)
        stream = ours(acme).pk
    with in_tenant(globex):
        written(3)
        assert send_next(stream) is None  # acme's stream, asked for in globex
    with in_tenant(acme):
        mine = written(1)
        send_next(stream)
    assert came(program) == mine


def test_what_was_written_before_is_sent_where_that_is_wanted(as_acme: TenantRef, program: Receiver) -> None:
    uids = written(3)
    set_stream(url=program.url, from_beginning=True, by=None)
    send_next(ours(as_acme).pk)
    assert came(program) == uids


def test_a_program_that_dies_and_comes_back_has_lost_nothing(as_acme: TenantRef, program: Receiver) -> None:
    set_stream(url=program.url, by=None)
    stream = ours(as_acme).pk
    uids = written(3)
    program.statuses = [500, 503]  # it took them, and then said that it did not
    rests = []
    for turn in range(3):
        sent = send_next(stream)
        assert sent is not None
        rests.append(sent.rest_seconds)
        if turn == 0:
            held = ours(as_acme)
            assert (held.tries, held.sent, lag_of(held).is_bad) == (1, 0, True)
            assert "answered 500" in held.error
            uids += written(2, 3)
    assert rests == [streaming.RESTS[0], streaming.RESTS[1], streaming.LOOK_SECONDS]
    assert came(program)[:3] == came(program)[3:6] == uids[:3]  # doubles have the same uid
    assert set(came(program)) == set(uids)
    held = ours(as_acme)
    assert (held.tries, held.error, held.failing_since_at, lag_of(held).words) == (
        0,
        "",
        None,
        "all events are sent",
    )


def test_a_program_that_is_not_there_stops_nobody_who_writes(as_acme: TenantRef, settings: Any) -> None:
    settings.ROWHOUSE_WEBHOOK_PRIVATE_HOSTS = ["127.0.0.1"]
    set_stream(url="http://127.0.0.1:9/none", by=None)
    uids = written(2)
    sent = send_next(ours(as_acme).pk)
    assert sent is not None and sent.rest_seconds == streaming.RESTS[0]
    assert Event.objects.filter(uid__in=uids).count() == 2
    assert "did not answer" in ours(as_acme).error


def test_after_some_days_it_is_given_up_its_owners_hear_of_it_and_it_goes_on(
    as_acme: TenantRef, program: Receiver, settings: Any
) -> None:
    set_stream(url=program.url, by=None)
    uids = written(2)
    program.statuses = [500, 500]
    stream = ours(as_acme).pk
    send_next(stream)
    with in_public():
        EventStream.objects.filter(pk=stream).update(failing_since_at=now() - timedelta(days=7, seconds=1))
    assert send_next(stream) is None
    held = ours(as_acme)
    assert held.stopped_at is not None and "given up" in lag_of(held).words
    [message] = mail.outbox
    assert (message.to, "has taken none for 7 days" in message.body) == (["owner@acme.example"], True)
    assert Event.objects.get(name="audit.stream.stopped").data["url"] == program.url
    assert send_next(stream) is None
    uids += written(1)
    program.came.clear()
    resume_stream(by=owner())
    send_next(stream)
    assert came(program) == uids


def test_more_than_one_request_holds_is_sent_in_several(
    as_acme: TenantRef, program: Receiver, monkeypatch: Any
) -> None:
    monkeypatch.setattr(streaming, "MOST_EVENTS", 4)
    set_stream(url=program.url, by=None)
    uids = written(9)
    rests = []
    while len(came(program)) < 9:
        sent = send_next(ours(as_acme).pk)
        assert sent is not None
        rests.append(sent.rest_seconds)
    assert came(program) == uids
    assert set(rests[:-1]) == {0.0}


def test_who_changes_the_stream_while_it_is_sent_has_it_sent_again(
    as_acme: TenantRef, program: Receiver, monkeypatch: Any
) -> None:
    set_stream(url=program.url, by=None)
    stream = ours(as_acme)
    uids = written(1)
    real = streaming._send

    def changed_meanwhile(*given: Any) -> None:
        real(*given)
        set_stream(url=f"{program.url}&other=1", seen=stream.version, by=None)

    monkeypatch.setattr(streaming, "_send", changed_meanwhile)
    send_next(stream.pk)
    monkeypatch.setattr(streaming, "_send", real)
    send_next(stream.pk)
    assert came(program) == uids * 2
    assert [path for path, _, _ in program.came] == ["/hook?of=ours", "/hook?of=ours&other=1"]


def test_a_log_that_was_put_back_is_read_on_from_then(as_acme: TenantRef, program: Receiver) -> None:
    set_stream(url=program.url, by=None)
    first = written(1)
    send_next(ours(as_acme).pk)
    lost = written(1)
    send_next(ours(as_acme).pk)
    number = Event.objects.get(uid=lost[0]).pk
    with connection.cursor() as cursor:  # as a restore does: that event is gone, and its number is used anew
        cursor.execute("GRANT UPDATE, DELETE ON audit_event TO CURRENT_USER")
        cursor.execute("DELETE FROM audit_event WHERE id >= %s", [number])
    [other] = written(1)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE audit_event SET id = %s WHERE uid = %s", [number, other])
    send_next(ours(as_acme).pk)
    assert came(program) == [*first, *lost, other]


# ---- an order that is not that of the numbers


def test_what_commits_late_is_sent_when_it_is_there(
    committed_tenants: list[TenantRef], django_db_blocker: Any, program: Receiver
) -> None:
    first, _ = committed_tenants
    with django_db_blocker.unblock():
        with in_tenant(first):
            set_stream(url=program.url, by=None)
            stream = ours(first).pk
        parameters = connection.get_connection_params()
        slow = psycopg2.connect(
            **{name: value for name, value in parameters.items() if name not in ("cursor_factory", "context")}
        )
        try:
            with slow.cursor() as cursor:  # a transaction that is long at it
                cursor.execute(f"SET LOCAL search_path TO {first.schema}")
                cursor.execute(
                    "INSERT INTO audit_event (at, name, actor_label, target_type, target_id, target_label, data)"
                    " VALUES (now(), 'tests.thing.late', '', '', '', '', '{}') RETURNING id"
                )
                [late] = cursor.fetchone()
            with in_tenant(first):
                uids = written(3)
                assert Event.objects.get(uid=uids[0]).pk > late
                send_next(stream)
                assert came(program) == uids
                assert [gap[:2] for gap in ours(first).gaps] == [[late, late]]
            slow.commit()
            with in_tenant(first):
                more = written(1)
                send_next(stream)
                last = json.loads(program.came[-1][2])["events"]
                assert [event["number"] for event in last][0] == late
                assert came(program) == [*uids, *more]
                assert ours(first).gaps == []
        finally:
            slow.close()


def test_a_reader_who_begins_at_the_end_gets_what_is_on_its_way(as_acme: TenantRef) -> None:
    written(1)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        record("tests.thing.undone")
        1 / 0  # noqa: B018
    [last] = written(1)
    place = end_of_log()
    number = Event.objects.get(uid=last).pk
    assert place.upto == number
    assert (number - 1, number - 1) in [(gap.first, gap.last) for gap in place.gaps]
    assert next_batch(place, most=10).events == []
    assert next_batch(Place(number - 2), most=10).events[0].pk == number


# ---- who may, and how it is entered


def test_only_an_owner_says_where_events_go(as_acme: TenantRef, program: Receiver) -> None:
    editor = User.objects.get(email="editor@acme.example")
    for do in (
        lambda: set_stream(url=program.url, by=editor),
        lambda: renew_secret(seen=1, by=editor),
        lambda: remove_stream(seen=1, by=editor),
        lambda: resume_stream(by=editor),
    ):
        with pytest.raises(PermissionDenied):
            do()
    assert stream_of(as_acme) is None


@pytest.mark.parametrize("url", ["http://10.0.0.1/", "ftp://example.com/", "https://localhost/", ""])
def test_an_address_that_cannot_be_is_refused(as_acme: TenantRef, url: str) -> None:
    with pytest.raises(BadStream):
        set_stream(url=url, by=owner())
    assert stream_of(as_acme) is None


def test_who_comes_second_is_told(as_acme: TenantRef, program: Receiver) -> None:
    set_stream(url=program.url, by=owner())
    for do in (
        lambda: set_stream(url=program.url, by=owner()),
        lambda: set_stream(url=program.url, seen=7, by=owner()),
        lambda: renew_secret(seen=7, by=owner()),
        lambda: remove_stream(seen=7, by=owner()),
    ):
        with pytest.raises(StreamChanged):
            do()


def test_setting_changing_and_removing_are_events_without_the_secret(
    as_acme: TenantRef, program: Receiver, settings: Any
) -> None:
    secret = set_stream(url=program.url, by=owner())
    set_stream(url=f"{program.url}&a=1", seen=1, is_on=False, by=owner())
    again = renew_secret(seen=2, by=owner())
    assert unseal(ours(as_acme).sealed_secret, purpose=streaming.SEALED_FOR) == again != secret
    settings.ROWHOUSE_SEALING_KEYS = [
        "another key of some length, 32 or more",
        *settings.ROWHOUSE_SEALING_KEYS,
    ]
    assert reseal().resealed == 1
    assert unseal(ours(as_acme).sealed_secret, purpose=streaming.SEALED_FOR) == again
    remove_stream(seen=3, by=owner())
    events = Event.objects.filter(name__startswith="audit.stream.").order_by("pk")
    assert [event.name.rpartition(".")[2] for event in events] == [
        "changed", "changed", "secret_renewed", "removed",
    ]  # fmt: skip
    assert events[1].data["before"] == {"url": program.url, "is_on": True}
    assert secret not in str([event.data for event in events])
    with pytest.raises(NoStream):
        resume_stream(by=owner())


# ---- the job


def test_a_job_sends_and_rests_and_another_is_made_where_it_is_gone(
    as_acme: TenantRef, program: Receiver
) -> None:
    set_stream(url=program.url, by=None)
    uids = written(2)
    jobs.run_pending()
    assert came(program) == uids
    with in_public():
        [job] = Job.objects.active().filter(kind="audit.stream", slug="acme")
        assert (job.state, job.not_before > now()) == ("QUEUED", True)
        keep_streaming()
        assert Job.objects.active().filter(kind="audit.stream").count() == 1
        Job.objects.filter(pk=job.pk).update(state="FAILED")
        keep_streaming()
        assert Job.objects.active().filter(kind="audit.stream").count() == 1
        set_off = EventStream.objects.filter(tenant__slug="acme")
        set_off.update(is_on=False)
    jobs.run_pending()
    with in_public():
        assert not Job.objects.active().filter(kind="audit.stream").exists()
        keep_streaming()
        assert not Job.objects.active().filter(kind="audit.stream").exists()


def test_the_command_says_how_it_stands_and_goes_on(
    as_acme: TenantRef, program: Receiver, capsys: Any
) -> None:
    set_stream(url=program.url, by=None)
    with in_public():
        EventStream.objects.update(stopped_at=now())
        call_command("event_streams", "--json")
        [told] = json.loads(capsys.readouterr().out)["streams"]
        assert (told["tenant"], told["is_bad"], told["to"]) == ("acme", True, program.url)
        call_command("event_streams", "--resume", "acme", "--json")
        [told] = json.loads(capsys.readouterr().out)["streams"]
        assert told["is_bad"] is False
    assert Event.objects.filter(name="audit.stream.resumed", actor_label="command line").exists()
    with in_public(), pytest.raises(SystemExit) as ended:
        call_command("event_streams", "--resume", "platform")
    assert ended.value.code == 2


# ---- to a syslog server


@contextmanager
def syslog_server(path: Path, *, port: int = 0, dies_after: int = 0, certificate: str = "") -> Iterator[int]:
    """Run a syslog server until the block ends, and return its port."""
    words = [sys.executable, str(SERVER), str(path), str(port), str(dies_after)]
    with subprocess.Popen(
        [*words, certificate] if certificate else words,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        assert server.stdout is not None
        try:
            yield int(server.stdout.readline())
        finally:
            server.kill()


def logged(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def uids_of(messages: list[str], name: str = "tests.thing.done") -> list[str]:
    bodies = [json.loads(message.partition("\ufeff")[2]) for message in messages]
    return [body["uid"] for body in bodies if body["name"] == name]


MESSAGE = re.compile(
    r"<110>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z localhost rowhouse - tests\.thing\.done"
    r' \[rowhouse@32473 uid="[0-9a-f-]{36}" number="\d+" name="tests\.thing\.done" actor="O\\"Neill \\\]" .*\] \ufeff\{'
)


def test_the_platform_s_events_go_to_a_syslog_server_that_dies_and_comes_back(
    db: None, tmp_path: Path, settings: Any
) -> None:
    path = tmp_path / "messages"
    settings.ROWHOUSE_SYSLOG = "tcp://127.0.0.1:1"
    keep_streaming()
    uids = [str(record("tests.thing.done", actor='O"Neill ]', number=n).uid) for n in range(40)]
    stream = ours(None).pk
    with syslog_server(path, dies_after=7) as port:
        settings.ROWHOUSE_SYSLOG = f"tcp://127.0.0.1:{port}"
        sent = send_next(stream)
        assert sent is not None and sent.events == 0  # it had read seven of them and died
    assert uids_of(logged(path)) == uids[:7]
    assert "did not take it" in ours(None).error
    send_next(stream)  # nobody is there
    assert ours(None).tries == 2
    uids.append(str(record("tests.thing.done", actor='O"Neill ]').uid))
    with syslog_server(path, port=port):
        sent = send_next(stream)
    assert sent is not None and sent.events == 41
    messages = logged(path)
    assert uids_of(messages) == [*uids[:7], *uids]
    assert all(MESSAGE.match(message) for message in messages)


def test_a_server_that_reads_nothing_and_dies_has_taken_nothing(
    db: None, tmp_path: Path, settings: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(syslog, "TIMEOUT_SECONDS", 1.0)
    settings.ROWHOUSE_SYSLOG = "tcp://127.0.0.1:1"
    keep_streaming()
    written(3)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it is connected to, and never answers
        settings.ROWHOUSE_SYSLOG = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        sent = send_next(ours(None).pk)
    assert sent is not None and (sent.events, ours(None).sent, ours(None).tries) == (0, 0, 1)


def certificate_in(folder: Path, name: str) -> str:
    """Make a certificate that vouches for itself, with its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    at = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - timedelta(days=1))
        .not_valid_after(at + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return str(path)


def test_over_tls_the_server_must_be_who_it_says(db: None, tmp_path: Path, settings: Any) -> None:
    path = tmp_path / "messages"
    settings.ROWHOUSE_SYSLOG = "tls://localhost:1"
    keep_streaming()
    uids = written(3)
    certificate = certificate_in(tmp_path, "localhost")
    with syslog_server(path, certificate=certificate) as port:
        settings.ROWHOUSE_SYSLOG = f"tls://localhost:{port}"
        send_next(ours(None).pk)
        assert "certificate verify failed" in ours(None).error
        assert logged(path) == []
        settings.ROWHOUSE_SYSLOG_CA = certificate
        send_next(ours(None).pk)
    assert uids_of(logged(path)) == uids


def test_operators_see_every_lag_with_one_statement(
    as_acme: TenantRef, program: Receiver, settings: Any
) -> None:
    set_stream(url=program.url, by=None)

    def lags(**given: bool) -> dict[str, tuple[int, bool]]:
        with in_public(), connection.cursor() as cursor:
            cursor.execute(figures.STREAMS, {"has_syslog": True, **given})
            return {slug: (int(round(float(lag), -2)), stopped) for slug, lag, stopped in cursor.fetchall()}

    assert lags() == {"acme": (0, False)}
    with in_public():
        EventStream.objects.create(tenant=None, looked_at=now() - timedelta(hours=1))
        EventStream.objects.filter(tenant__slug="acme").update(
            waiting_since_at=now() - timedelta(hours=2), stopped_at=now()
        )
    assert lags() == {"acme": (7200, True), "platform": (3600, False)}
    assert lags(has_syslog=False) == {"acme": (7200, True)}
    with in_public():
        EventStream.objects.update(is_on=False)
    assert lags() == {}


def test_without_the_setting_the_platform_sends_nothing(db: None, settings: Any) -> None:
    settings.ROWHOUSE_SYSLOG = ""
    keep_streaming()
    assert stream_of(None) is None


@pytest.mark.parametrize(
    "url", ["", "logs.example.com", "udp://logs", "tls://:6514", "tcp://logs:99999", "tcp://logs/path"]
)
def test_a_setting_that_names_no_server_is_refused(url: str) -> None:
    with pytest.raises(syslog.BadSyslogAddress):
        syslog.server_of(url)
