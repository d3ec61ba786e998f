"""Notices of exports: who hears of which ends, by mail and by signed requests to a real server."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core import mail
from django.core.exceptions import PermissionDenied
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import User
from audit.models import Event
from core import judged, webhooks
from core.clock import now
from core.outgoing import NotAllowedHost
from core.sealing import unseal
from core.tenancy import TenantRef, in_public, in_tenant
from core.webhooks import SIGNATURE, is_signed, sign
from exporter import notices
from exporter.delivering import MOST_TRIES, deliver, give_up
from exporter.models import SEALED_FOR, Delivery, ExportNotice, ExportRun, State, Trigger
from exporter.notices import Mailed, is_to_be_mailed
from exporter.tests.helpers import dataset_with, export, stored_file
from exporter.tests.receiver import Receiver, receiver
from jobs import services as jobs
from jobs.models import Job

AT = datetime(2026, 8, 26, 14, tzinfo=UTC)


@pytest.fixture
def program(settings: Any) -> Iterator[Receiver]:
    settings.ROWHOUSE_WEBHOOK_PRIVATE_HOSTS = ["127.0.0.1"]
    with receiver() as found:
        yield found


def owner() -> User:
    return User.objects.get(email="owner@acme.example")


def notice(**values: Any) -> tuple[ExportNotice, str]:
    plain = {"name": "Ours", "on_success": True}
    if "url" not in values:
        plain["emails"] = ["ops@acme.example"]
    return notices.create_notice(values={**plain, **values}, by=None)


def ended(state: State, at: datetime | None = None, **values: Any) -> ExportRun:
    """End a run, as a worker does."""
    slot = at or AT + timedelta(hours=ExportRun.objects.count())
    if state == State.MISSED:
        return ExportRun.objects.create(
            trigger=Trigger.SCHEDULED, slot=slot, state=state, finished_at=now(), **values
        )
    run = ExportRun.objects.create(trigger=Trigger.SCHEDULED, slot=slot, state=State.RUNNING)
    code = "storage-down" if state == State.FAILED else ""
    run.move(
        old=(State.RUNNING,), new=state, error_code=code, error=values.get("error", ""), finished_at=now()
    )
    return run


def sent(**wanted: Any) -> Delivery:
    """Try the one delivery there is; return it."""
    delivery = Delivery.objects.get(**wanted)
    deliver(delivery.pk, now=now)
    delivery.refresh_from_db()
    return delivery


def asked() -> int:
    """Return how often background work was asked for."""
    with in_public():
        return Job.objects.filter(kind="exporter.notify", slug="acme").count()


def work_is_over() -> None:
    """Let the background work have ended, which these tests do by hand."""
    with in_public():
        Job.objects.filter(kind="exporter.notify").update(state="DONE")


# ---- end to end


def test_a_run_that_succeeds_is_told_by_mail_and_by_a_signed_request(
    t1: TenantRef, program: Receiver
) -> None:
    dataset_with([("1", "a"), ("2", "b")], slug="orders")
    made, secret = notice(url=program.url, emails=["ops@t1.example", "boss@t1.example"])
    try:
        run = export()
        assert jobs.run_pending() >= 2

        [file] = run.files.all()
        [(path, headers, body)] = program.came
        by_request = Delivery.objects.get(channel="WEBHOOK")
        assert path == "/hook?of=ours"
        assert headers["Content-Type"] == "application/json"
        assert is_signed(secret, body, headers[SIGNATURE], int(now().timestamp()))
        assert run.started_at and run.finished_at
        assert json.loads(body) == {
            "id": f"t1/{by_request.pk}",
            "event": "export.succeeded",
            "tenant": "t1",
            "notice": "Ours",
            "run": {
                "id": run.pk,
                "url": f"http://t1.localhost/admin/exporter/exportrun/{run.pk}/change/",
                "trigger": "MANUAL",
                "state": "SUCCEEDED",
                "slot": None,
                "missed": 0,
                "started_at": run.started_at.isoformat(),
                "finished_at": run.finished_at.isoformat(),
                "error_code": "",
                "error": "",
                "n_files": 1,
                "files": [
                    {
                        "dataset": "orders", "key": file.key, "format": "csv", "content": "FULL", "mode": "EXACT",
                        "rows": 2, "bytes": file.bytes, "sha256": file.sha256,
                    }
                ],
                "unchanged": [],
            },
        }  # fmt: skip
        [message] = mail.outbox
        assert message.to == ["ops@t1.example", "boss@t1.example"]
        assert message.subject.startswith("[t1] Export done: ")
        assert "1 file with 2 rows were stored." in message.body
        assert f"http://t1.localhost/admin/exporter/exportrun/{run.pk}/change/" in message.body
        assert {(one.state, one.tries, one.error) for one in made.deliveries.all()} == {("SENT", 1, "")}
    finally:
        ExportNotice.objects.all().delete()


def test_a_run_that_fails_is_told_in_the_transaction_that_ends_it(t1: TenantRef, tmp_path: Path) -> None:
    dataset_with(slug="orders")
    blocked = tmp_path / "storage" / "t1"
    blocked.parent.mkdir(parents=True)
    blocked.write_text("a file where a folder must be")
    notice()
    try:
        run = export()
        jobs.run_pending()
        assert run.state == State.FAILED
        [message] = mail.outbox
        assert message.subject.startswith("[t1] Export failed: ")
        assert run.error in message.body
    finally:
        ExportNotice.objects.all().delete()


# ---- which ends


def test_a_notice_hears_of_the_ends_it_is_for_and_one_switched_off_of_none(as_acme: TenantRef) -> None:
    notice(name="all", url="https://93.184.215.14/all", on_success=True)
    notice(name="bad", url="https://93.184.215.14/bad", on_success=False, on_missed=False)
    notice(name="off", url="https://93.184.215.14/off", is_on=False)
    for state in (State.SUCCEEDED, State.FAILED, State.MISSED, State.CANCELLED):
        ended(state)
    assert sorted(Delivery.objects.values_list("notice__name", "event")) == [
        ("all", "FAILED"), ("all", "MISSED"), ("all", "SUCCEEDED"), ("bad", "FAILED"),
    ]  # fmt: skip
    assert asked() == 4


def test_one_end_of_a_run_is_told_once_and_its_success_after_a_failure_too(as_acme: TenantRef) -> None:
    notice(url="https://93.184.215.14/")
    run = ended(State.FAILED)
    for new in (State.FAILED, State.SUCCEEDED):
        run.move(old=(State.FAILED,), new=State.QUEUED)
        run.move(old=(State.QUEUED,), new=new, error_code="x", finished_at=now())
        run.refresh_from_db()
    assert sorted(Delivery.objects.values_list("event", flat=True)) == ["FAILED", "SUCCEEDED"]


def test_a_storm_of_failing_hours_is_one_mail_and_every_request(as_acme: TenantRef) -> None:
    notice(url="https://93.184.215.14/", emails=["ops@acme.example"], on_success=False)
    for _ in range(20):
        ended(State.FAILED)
    assert Delivery.objects.filter(channel="WEBHOOK").count() == 20
    assert Delivery.objects.filter(channel="MAIL").count() == 1
    ended(State.SUCCEEDED)
    ended(State.SUCCEEDED)
    mails = Delivery.objects.filter(channel="MAIL").order_by("pk")
    assert list(mails.values_list("event", flat=True)) == ["FAILED", "SUCCEEDED"]
    # A day later it fails still: the mail says of how many people were not told.
    mails.update(created_at=now() - timedelta(days=2))
    ExportRun.objects.update(finished_at=now() - timedelta(days=1))
    ended(State.FAILED, error="The storage is full.")
    deliver(mails.last().pk, now=now)
    [message] = mail.outbox
    assert "The storage is full." in message.body
    assert "19 further runs ended like this since the last mail." in message.body


@given(
    ends=st.lists(
        st.tuples(st.sampled_from(["SUCCEEDED", "FAILED", "MISSED"]), st.integers(1, 200)),
        min_size=1,
        max_size=60,
    ),
    wanted=st.sets(st.sampled_from(["SUCCEEDED", "FAILED", "MISSED"])),
)
def test_no_history_of_runs_floods_people_and_no_change_to_the_worse_stays_untold(
    ends: list[tuple[str, int]], wanted: set[str]
) -> None:
    at, last = AT, None
    mailed: list[Mailed] = []
    for event, minutes in ends:
        at += timedelta(minutes=minutes)
        same = next((one.at for one in reversed(mailed) if one.event == event), None)
        is_mailed = is_to_be_mailed(event, is_wanted=event in wanted, last=last, same_at=same, now=at)
        if is_mailed:
            assert same is None or at - same >= timedelta(hours=1)
            last = Mailed(event, at)
            mailed.append(last)
        elif (
            event in wanted
        ):  # what is held back was told within the hour, or stands as it was told within the day
            assert same is not None
            assert at - same < timedelta(hours=1) or (
                last and last.event == event and at - same < timedelta(days=1)
            )
    for one, following in zip(mailed, mailed[1:], strict=False):
        if one.event == following.event != "SUCCEEDED":
            assert following.at - one.at >= timedelta(days=1)


# ---- requests


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (500, "127.0.0.1 answered 500: <b>no</b>"),
        (302, "127.0.0.1 answered 302, a redirect, which is not followed. Enter the address it leads to."),
    ],
)
def test_a_request_that_is_not_taken_is_tried_again_and_at_last_given_up(
    as_acme: TenantRef, program: Receiver, status: int, error: str
) -> None:
    program.answer, program.headers = b"<b>no</b>\n\x00" + b"x" * 10_000, {"Location": program.url}
    notice(url=program.url)
    ended(State.SUCCEEDED)
    program.statuses = [status] * MOST_TRIES
    states = []
    for _ in range(MOST_TRIES + 1):
        delivery = sent()
        states.append((delivery.state, delivery.tries))
        assert delivery.error.startswith(error[:40])
        assert len(delivery.error) <= 500
    assert states == [("WAITING", n) for n in range(1, MOST_TRIES)] + [("FAILED", MOST_TRIES)] * 2
    assert len({json.loads(body)["id"] for _, _, body in program.came}) == 1
    assert len(program.came) == MOST_TRIES  # of the redirects none was followed

    work_is_over()
    notices.send_again(delivery=delivery, by=owner())
    assert sent().state == "SENT"
    with pytest.raises(notices.NotSentAgain):
        Delivery.objects.update(state="WAITING")
        notices.send_again(delivery=delivery, by=owner())


def test_an_answer_that_drips_or_a_host_that_is_silent_ends_in_time(
    as_acme: TenantRef, program: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judged, "TIMEOUT_SECONDS", 0.4)
    notice(url=program.url)
    ended(State.SUCCEEDED)
    program.drips = True
    assert sent().error.startswith("127.0.0.1 did not answer within 0 seconds (")
    program.over.set()
    Delivery.objects.update(state="WAITING")
    ExportNotice.objects.update(url="http://127.0.0.1:1/")
    assert sent().error.startswith("127.0.0.1 did not answer (ConnectionRefusedError")


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/", "https://10.0.0.7/x", "https://[::1]/", "https://[::ffff:10.0.0.1]/",
        "https://169.254.169.254/latest/meta-data", "https://localhost/", "http://93.184.215.14/",
        "https://u:p@93.184.215.14/", "ftp://93.184.215.14/", "https:///x", "https://0/", "https://2130706433/",
        "https://93.184.215.14/\r\nX: y", "https://93.184.215.14:99999/", "https://nowhere.invalid/",
    ],
)  # fmt: skip
def test_an_address_of_the_own_network_is_refused_when_stored_and_when_sent(
    as_acme: TenantRef, url: str
) -> None:
    with pytest.raises(notices.BadNotice) as refused:
        notice(url=url)
    assert refused.value.faults.keys() == {"url"}
    notice(url="https://93.184.215.14/")  # and what leads there by now is not sent
    ExportNotice.objects.update(url=url)
    ended(State.SUCCEEDED)
    delivery = sent()
    assert (delivery.state, delivery.sent_at) == ("WAITING", None)
    assert delivery.error


def test_a_name_is_judged_by_all_of_its_addresses_and_the_request_goes_to_the_judged_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = [["93.184.215.14", "10.0.0.7"], ["93.184.215.14"]]
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda *_a, **_k: [(0, 0, 0, "", (one, 443)) for one in answers.pop(0)],
    )
    with pytest.raises(NotAllowedHost, match="private network"):
        webhooks.target_of("https://rebinding.example/")
    target = webhooks.target_of("https://rebinding.example/a?b=c")
    assert (target.address, target.path, target.port) == ("93.184.215.14", "/a?b=c", 443)


@given(body=st.binary(max_size=200), at=st.integers(0, 10**10), other=st.binary(max_size=200))
def test_a_signature_holds_for_its_secret_body_and_time_alone(body: bytes, at: int, other: bytes) -> None:
    signature = sign("secret", body, at)
    assert is_signed("secret", body, signature, at)
    assert is_signed("secret", other, signature, at) is (other == body)
    assert not is_signed("other", body, signature, at)
    assert not is_signed("secret", body, signature, at + 301)
    assert not is_signed("secret", body, signature.replace(f"t={at}", f"t={at + 1}"), at)
    for broken in ("", "t=,v1=", "v1=x", "t=x", f"t={at}", signature[:-1], f"{signature},v1=0"):
        assert not is_signed("secret", body, broken, at)


# ---- mail


def test_a_platform_without_a_mail_server_says_so(as_acme: TenantRef, settings: Any) -> None:
    settings.MAILERS = {}
    notice()
    ended(State.SUCCEEDED)
    assert sent().error == "This platform has no mail server. Ask an operator to set one."


def test_a_missed_hour_is_mailed_with_its_reason(as_acme: TenantRef) -> None:
    notice()
    ended(State.MISSED, error="3 exports were not made: no worker was there to make them.", missed=3)
    assert sent().state == "SENT"
    [message] = mail.outbox
    assert message.subject == "[acme] Export missed: 26 August 2026, 14:00 UTC"
    assert message.body.startswith("3 exports were not made: no worker was there to make them.")


def test_what_waits_when_its_notice_is_switched_off_or_its_work_ends_is_given_up(as_acme: TenantRef) -> None:
    made, _ = notice()
    ended(State.FAILED)
    values = {"is_on": False}
    notices.change_notice(notice=made, values=values, seen=1, by=owner())
    assert sent().error == "The notice was switched off before this was sent."
    Delivery.objects.update(state="WAITING")
    give_up(Delivery.objects.get().pk, "It was cancelled on request.")
    assert list(Delivery.objects.values_list("state", "error")) == [
        ("FAILED", "It was cancelled on request.")
    ]
    deliver(0, now=now)  # its notice was deleted: nothing to do


# ---- services


def test_the_secret_is_kept_sealed_and_stands_in_no_history_and_no_event(as_acme: TenantRef) -> None:
    made, secret = notice(url="https://93.184.215.14/")
    assert unseal(made.sealed_secret, purpose=SEALED_FOR) == secret
    again = notices.renew_secret(notice=made, seen=1, by=owner())
    made.refresh_from_db()
    assert (unseal(made.sealed_secret, purpose=SEALED_FOR), made.version) == (again, 2)
    assert again != secret
    told = str(list(ExportNotice.history.values())) + str(list(Event.objects.values()))
    for hidden in (secret, again, made.sealed_secret):
        assert hidden not in told
    assert not hasattr(ExportNotice.history.first(), "sealed_secret")


@pytest.mark.case("C19")
def test_who_comes_second_is_told_that_somebody_changed_the_notice(as_acme: TenantRef) -> None:
    made, _ = notice()
    notices.change_notice(notice=made, values={"name": "New"}, seen=1, by=owner())
    for change in (
        lambda: notices.change_notice(notice=made, values={"name": "Other"}, seen=1, by=owner()),
        lambda: notices.renew_secret(notice=made, seen=1, by=owner()),
    ):
        with pytest.raises(notices.NoticeChanged):
            change()
    names = [event.name for event in Event.objects.filter(name__startswith="exporter.notice").order_by("pk")]
    assert names == ["exporter.notice.created", "exporter.notice.changed"]


@pytest.mark.case("A16")
def test_only_who_has_the_right_changes_who_hears(as_acme: TenantRef) -> None:
    made, _ = notice()
    delivery = Delivery.objects.create(notice=made, channel="MAIL", state="SENT")
    editor = User.objects.get(email="editor@acme.example")
    for act in (
        lambda: notices.create_notice(values={"name": "x", "emails": ["a@b.example"]}, by=editor),
        lambda: notices.change_notice(notice=made, values={}, seen=1, by=editor),
        lambda: notices.renew_secret(notice=made, seen=1, by=editor),
        lambda: notices.delete_notice(notice=made, by=editor),
        lambda: notices.send_test(notice=made, by=editor),
        lambda: notices.send_again(delivery=delivery, by=editor),
    ):
        with pytest.raises(PermissionDenied):
            act()


def test_a_notice_that_cannot_be_says_why(as_acme: TenantRef) -> None:
    notice(name="Ours")
    for values, faults in (
        ({"name": "Ours"}, {"name": "There is a notice 'Ours' already. Choose another name."}),
        ({"name": "a", "emails": ["x"]}, {"emails": "'x' is no mail address. Write one on each line."}),
        (
            {"name": "a", "emails": []},
            {"emails": "Enter a mail address, or the address of a webhook, or both."},
        ),
        (
            {"name": "a", "emails": [f"a{n}@b.example" for n in range(21)]},
            {"emails": "A notice goes to 20 addresses at most; make another for the others."},
        ),
    ):
        with pytest.raises(notices.BadNotice) as refused:
            notice(**values)
        assert refused.value.faults == faults
    assert ExportNotice.objects.count() == 1


# ---- pages


PAGE = "/admin/exporter/exportnotice/"


def test_a_notice_is_made_on_its_page_and_its_secret_shown_once(
    acme: TenantRef, globex: TenantRef, client_of: Any
) -> None:
    client = client_of(acme)
    assert "Nobody hears of exports yet." in client.get(PAGE).text
    sent_form = {"name": "<b>Ops</b>", "emails": "a@acme.example\n\n b@acme.example \n", "url": "https://93.184.215.14/x",
                 "on_failure": "on", "is_on": "on"}  # fmt: skip
    page = client.post(f"{PAGE}add/", sent_form).text
    with in_tenant(acme):
        made = ExportNotice.objects.get()
        secret = unseal(made.sealed_secret, purpose=SEALED_FOR)
        assert (made.emails, made.on_failure, made.on_missed, made.on_success) == (
            ["a@acme.example", "b@acme.example"], True, False, False,
        )  # fmt: skip
    assert secret in page
    assert "&lt;b&gt;Ops&lt;/b&gt;" in page and "<b>Ops" not in page
    address = f"{PAGE}{made.pk}/"
    assert secret not in client.get(address).text
    listed = client.get(PAGE, {"q": "b@acme"}).text
    assert address in listed and "failures" in listed
    assert client.post(f"{address}secret/", {"seen": "1"}).text.count("rhsec_") == 1
    assert client.post(address, {**sent_form, "seen": "1"}).status_code == 409
    assert client.post(address, {**sent_form, "seen": "2", "url": "https://10.0.0.1/"}).status_code == 422
    assert client.post(address, {**sent_form, "seen": "2", "name": "Ops"}).status_code == 302
    assert client.post(f"{address}delete/").status_code == 302
    with in_tenant(acme):
        assert not ExportNotice.objects.exists()


def test_the_page_lists_deliveries_with_what_became_of_them_and_sends_again(
    acme: TenantRef, globex: TenantRef, client_of: Any
) -> None:
    client = client_of(acme)
    with in_tenant(globex):
        theirs, _ = notices.create_notice(values={"name": "Theirs", "emails": ["x@globex.example"]}, by=None)
    with in_tenant(acme):
        made, _ = notice()
        stored_file(dataset_with())
        ended(State.FAILED)
        delivery = Delivery.objects.get()
        give_up(delivery.pk, "<script>x</script>")
        work_is_over()
    address = f"{PAGE}{made.pk}/"
    page = client.get(address).text
    assert "✕ failed" in page
    assert "&lt;script&gt;x" in page and "<script>x" not in page
    assert "Nothing is like that." in client.get(address, {"state": "SENT"}).text
    assert client.post(f"{address}again/{delivery.pk}/").status_code == 302
    assert client.post(f"{address}test/").status_code == 302
    with in_tenant(acme):
        assert sorted(Delivery.objects.values_list("event", "state")) == [
            ("FAILED", "WAITING"),
            ("TEST", "WAITING"),
        ]
        assert asked() == 3
    if theirs.pk != made.pk:
        assert client.get(f"{PAGE}{theirs.pk}/").status_code == 404
    assert "Theirs" not in client.get(PAGE).text
