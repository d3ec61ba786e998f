"""Buckets of the tenant's own: entered by an owner, tested, written to, and never a way into our own network."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.core.management import call_command

from accounts.models import User
from audit.models import Event
from core import storage
from core.clock import now
from core.outgoing import NotAllowedHost, allowed_address, checked_url, is_public
from core.sealing import NotOpened, unseal
from core.tenancy import TenantRef, in_tenant
from exporter.destinations import (
    DestinationChanged,
    DestinationInUse,
    DestinationRefused,
    Entered,
    change_destination,
    check_destination,
    create_destination,
    delete_destination,
    remove_unfinished,
    store_of,
)
from exporter.models import SEALED_FOR, Destination, ExportFile, ExportRun, ExportSettings, Fault, State
from exporter.notices import create_notice
from exporter.pruning import prune_exports
from exporter.resealing import Resealed, reseal
from exporter.retention import Policy
from exporter.services import verify_exports
from exporter.tests.helpers import content, dataset_with, export
from exporter.tests.s3 import S3Server

PAGES = "/admin/exporter/destination/"


@pytest.fixture
def private(settings: Any) -> None:
    """Allow what the tests' servers are: private and unencrypted."""
    settings.ROWHOUSE_DESTINATION_PRIVATE_HOSTS = ["127.0.0.1"]


def entered(server: S3Server, **values: Any) -> Entered:
    own = Entered(
        "Our bucket", server.bucket, server.access_key, server.secret_key, server.endpoint, prefix="from/us"
    )
    return replace(own, **values)


def owner() -> User:
    return User.objects.get(email="owner@acme.example")


def rows() -> list[dict[str, Any]]:
    return [dict(row) for row in Destination.objects.values("name", "bucket", "prefix", "version", "error")]


class TestEntering:
    def test_a_destination_is_tested_and_kept_with_its_secret_sealed(
        self, as_acme: TenantRef, rclone: S3Server, private: None
    ) -> None:
        made = create_destination(entered=entered(rclone, prefix="/from/us/"), by=owner())

        assert rows() == [
            {"name": "Our bucket", "bucket": rclone.bucket, "prefix": "from/us", "version": 1, "error": ""}
        ]
        assert made.tested_at is not None
        assert rclone.keys() == []  # the test left nothing
        assert rclone.secret_key not in str(Destination.objects.values().get())
        assert rclone.secret_key not in str(list(Destination.history.values()))
        event = Event.objects.get(name="exporter.destination.created")
        assert event.actor_label == "owner@acme.example"
        assert event.data == {"bucket": rclone.bucket, "endpoint": rclone.endpoint, "prefix": "from/us"}
        with store_of(made).write("exports/a.csv") as file:
            file.write(b"x")
        assert rclone.keys() == ["from/us/acme/exports/a.csv"]

    @pytest.mark.parametrize(
        ("change", "field", "words"),
        [
            ({"secret": "wrong"}, "", "Writing a small test object failed. The destination “Our bucket” refuses"),
            ({"bucket": "nobodys"}, "", "has no bucket 'nobodys'"),
            ({"secret": ""}, "secret", "Enter the secret key."),
            ({"access_key": " "}, "access_key", "Enter the access key."),
            ({"name": ""}, "name", "Give it a name."),
            ({"bucket": "a/b"}, "bucket", "A bucket's name has"),
            ({"bucket": "arn:aws:s3:us-east-1:1:accesspoint/x"}, "bucket", "A bucket's name has"),
            ({"region": "x.evil.example/#"}, "region", "A region is a word"),
            ({"prefix": "../globex"}, "prefix", "A prefix is folders"),
            ({"prefix": "a//b"}, "prefix", "A prefix is folders"),
            ({"endpoint": "ftp://127.0.0.1"}, "endpoint", "no address of a server"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_written_to_is_not_kept(
        self,
        as_acme: TenantRef,
        rclone: S3Server,
        private: None,
        change: dict[str, str],
        field: str,
        words: str,
    ) -> None:
        with pytest.raises(DestinationRefused) as refused:
            create_destination(entered=entered(rclone, **change), by=owner())

        assert (refused.value.field, words in refused.value.message) == (field, True), refused.value.message
        assert rows() == []

    def test_only_an_owner_may(self, as_acme: TenantRef, rclone: S3Server, private: None) -> None:
        made = create_destination(entered=entered(rclone), by=None)
        editor = User.objects.get(email="editor@acme.example")

        with pytest.raises(PermissionDenied):
            create_destination(entered=entered(rclone, name="b"), by=editor)
        with pytest.raises(PermissionDenied):
            change_destination(destination=made, version=1, entered=entered(rclone), by=editor)
        with pytest.raises(PermissionDenied):
            check_destination(destination=made, by=editor)
        with pytest.raises(PermissionDenied):
            delete_destination(destination=made, version=1, by=editor)

    def test_a_change_keeps_the_secret_and_is_for_one_version(
        self, as_acme: TenantRef, rclone: S3Server, private: None
    ) -> None:
        made = create_destination(entered=entered(rclone), by=owner())

        changed = change_destination(
            destination=made, version=1, entered=entered(rclone, name="Archive", secret=""), by=owner()
        )

        assert (changed.name, changed.version) == ("Archive", 2)
        assert list(store_of(changed).list_keys()) == []
        with pytest.raises(DestinationChanged):
            change_destination(destination=made, version=1, entered=entered(rclone), by=owner())
        with pytest.raises(DestinationRefused):
            change_destination(
                destination=made, version=2, entered=entered(rclone, secret="wrong"), by=owner()
            )
        create_destination(entered=entered(rclone, name="Other"), by=owner())
        with pytest.raises(DestinationRefused, match="has this name"):
            change_destination(destination=made, version=2, entered=entered(rclone, name="Other"), by=owner())

    def test_a_secret_of_another_tenant_does_not_open_here(
        self, acme: TenantRef, globex: TenantRef, rclone: S3Server, private: None
    ) -> None:
        with in_tenant(acme):
            made = create_destination(entered=entered(rclone), by=None)
        with in_tenant(globex):
            stolen = Destination.objects.create(
                name="x", bucket=made.bucket, endpoint=made.endpoint, access_key=made.access_key,
                sealed_secret=made.sealed_secret,
            )  # fmt: skip
            with pytest.raises(NotOpened):
                store_of(stolen)

    def test_secrets_move_to_a_new_key_by_a_command(
        self, acme: TenantRef, rclone: S3Server, private: None, settings: Any
    ) -> None:
        settings.ROWHOUSE_SEALING_KEYS = ["old"]
        with in_tenant(acme):
            made = create_destination(entered=entered(rclone), by=None)
            notice, secret = create_notice(values={"name": "Ours", "emails": ["a@b.example"]}, by=None)
        settings.ROWHOUSE_SEALING_KEYS = ["new", "old"]
        told = io.StringIO()

        call_command("reseal_secrets", tenant="acme", stdout=told)

        assert told.getvalue() == "2 secrets sealed anew, 0 already under the first key.\n"
        settings.ROWHOUSE_SEALING_KEYS = ["new"]
        with in_tenant(acme):
            made.refresh_from_db()
            assert list(store_of(made).list_keys()) == []
            Destination.objects.create(name="Lost", bucket="bbb", sealed_secret="none")
            notice.refresh_from_db()
            assert unseal(notice.sealed_secret, purpose=SEALED_FOR) == secret
            assert (made.history.count(), notice.history.count()) == (1, 1)
            assert reseal() == Resealed(0, 2, ["destination Lost"])


class TestOurOwnNetwork:
    """An endpoint is an address somebody typed; ours are not his to reach."""

    @pytest.mark.parametrize(
        "address",
        [
            "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
            "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:10.0.0.1",
            "2002:7f00:1::", "64:ff9b::7f00:1", "2001:0:4136:e378:8000:63bf:f5ff:fffe", "nonsense", "",
        ],
    )  # fmt: skip
    def test_a_private_address_is_known_in_each_of_its_forms(self, address: str) -> None:
        assert not is_public(address)

    @pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"])
    def test_a_public_one_too(self, address: str) -> None:
        assert is_public(address)

    @pytest.mark.parametrize(
        "url",
        [
            "https://127.0.0.1", "https://localhost:9000", "https://[::1]", "https://2130706433", "https://0x7f000001",
            "https://127.1", "https://169.254.169.254/latest/meta-data", "http://93.184.215.14", "https://user@host.example",
            "https://93.184.215.14?x=1", "https://93.184.215.14#x", "https://", "file:///etc/passwd", "gopher://x",
            "https://93.184.215.14\\@127.0.0.1", "https://no-such-host.invalid", "https://[::ffff:127.0.0.1]", "https://x:y",
        ],
    )  # fmt: skip
    def test_an_endpoint_into_it_is_refused(self, url: str) -> None:
        with pytest.raises(NotAllowedHost):
            checked_url(url)

    def test_what_an_operator_allows_is_allowed(self) -> None:
        assert checked_url("http://127.0.0.1:9000/", private=["127.0.0.1"]) == "http://127.0.0.1:9000"
        assert allowed_address("localhost", 1, private=["localhost"])
        assert checked_url("https://93.184.215.14/base") == "https://93.184.215.14/base"

    def test_a_destination_there_is_refused_before_a_connection(
        self, as_acme: TenantRef, rclone: S3Server
    ) -> None:
        with pytest.raises(DestinationRefused) as refused:
            create_destination(
                entered=entered(rclone, endpoint=rclone.endpoint.replace("http:", "https:")), by=None
            )

        assert refused.value.field == "endpoint"
        assert "private network" in refused.value.message

    def test_a_name_that_has_got_another_address_meanwhile_is_refused_when_connected(
        self, as_acme: TenantRef, moto: S3Server, private: None, settings: Any
    ) -> None:
        made = create_destination(entered=entered(moto), by=None)
        settings.ROWHOUSE_DESTINATION_PRIVATE_HOSTS = []  # as if the name had been public when it was entered
        moto.faults.plan("500", 0)

        with pytest.raises(storage.StorageError):
            store_of(made).exists("from/us/acme/a.csv")

        assert moto.faults.seen == []


class TestExports:
    @pytest.fixture
    def destination(self, t1: TenantRef, moto: S3Server, private: None) -> Destination:
        made = create_destination(entered=entered(moto), by=None)
        ExportSettings.objects.create(destination=made)
        return made

    @pytest.fixture(autouse=True)
    def none_left(self, t1: TenantRef) -> Any:
        yield
        ExportFile.objects.all().delete()
        ExportSettings.objects.all().delete()
        Destination.objects.all().delete()

    def test_files_go_where_the_settings_say(self, destination: Destination, moto: S3Server) -> None:
        dataset_with([["1", "a"]])

        run = export()

        file = run.files.get()
        assert (run.state, file.destination) == (State.SUCCEEDED, destination)
        manifest, pointer = f"from/us/{run.manifest_key}", "from/us/t1/exports/orders/latest.json"
        assert sorted(moto.keys()) == sorted([manifest, file.key, pointer])
        assert file.key.startswith("from/us/t1/exports/orders/")
        # By the platform's own copy `verify_exports` proves what lies in buckets that are not its own.
        assert [key for key, _size in storage.list_keys()] == [run.manifest_key]
        assert content(file) == b"id,note\n1,a\n"
        assert [one.fault for one in verify_exports(now=now())] == [Fault.NONE]
        assert prune_exports(now=now(), keep=Policy(0, 1)) == []
        then = export()
        assert prune_exports(now=now(), keep=Policy(0, 1)) == [file]
        assert sorted(moto.keys()) == sorted([f"from/us/{then.manifest_key}", then.files.get().key, pointer])
        assert [key for key, _size in storage.list_keys()] == [then.manifest_key]

    def test_a_dataset_of_its_own_may_go_elsewhere(self, destination: Destination, moto: S3Server) -> None:
        parts = dataset_with([["1", "a"]], slug="parts")
        dataset_with([["1", "a"]])
        ExportSettings.objects.create(dataset=parts)

        run = export()

        ours, theirs = run.files.get(dataset=parts), run.files.exclude(dataset=parts).get()
        beside = {run.manifest_key, "t1/exports/parts/latest.json"}
        assert {key for key, _size in storage.list_keys()} == {ours.key, *beside}
        beside = {f"from/us/{run.manifest_key}", "from/us/t1/exports/orders/latest.json"}
        assert set(moto.keys()) == {theirs.key, *beside}

    def test_one_that_fails_lets_the_run_keep_no_file_and_say_why(
        self, destination: Destination, moto: S3Server
    ) -> None:
        parts = dataset_with([["1", "a"]], slug="parts")
        dataset_with([["1", "a"]])
        ExportSettings.objects.create(dataset=parts)
        moto.client().delete_bucket(Bucket=moto.bucket)

        run = export()

        assert (run.state, run.error_code) == (State.FAILED, "storage-bucket-missing")
        assert run.error == f"The destination “Our bucket” has no bucket {moto.bucket!r}. Check its name."
        assert (run.files.count(), list(storage.list_keys())) == (0, [])

    def test_nothing_is_sent_to_one_that_failed_its_test(
        self, destination: Destination, moto: S3Server
    ) -> None:
        dataset_with([["1", "a"]])
        Destination.objects.update(error="It refuses access.")
        moto.faults.plan("500", 0)

        run = export()

        removals = ("DELETE", "POST delete")  # of what was never there
        sent = [call for call in moto.faults.seen if not call.startswith(removals)]
        assert (run.state, run.error_code, sent) == (State.FAILED, "destination-failing", [])
        assert check_destination(destination=destination, by=None).error == ""
        assert export().state == State.SUCCEEDED

    def test_what_is_depended_on_stays(self, destination: Destination, moto: S3Server) -> None:
        dataset = dataset_with([["1", "a"]])
        with pytest.raises(DestinationInUse, match="settings"):
            delete_destination(destination=destination, version=1, by=None)
        export()
        with pytest.raises(DestinationInUse, match="Stored files lie"):
            change_destination(
                destination=destination, version=1, entered=entered(moto, prefix="elsewhere"), by=None
            )
        changed = change_destination(
            destination=destination, version=1, entered=entered(moto, name="New name"), by=None
        )
        ExportSettings.objects.all().delete()
        with pytest.raises(DestinationInUse, match="history"):
            delete_destination(destination=changed, version=2, by=None)
        ExportFile.objects.all().delete()
        run = ExportRun.objects.create(
            trigger="MANUAL", plan=[{"dataset": dataset.pk, "path": "exports/a", "destination": changed.pk}]
        )
        with pytest.raises(DestinationInUse, match="not ended"):
            delete_destination(destination=changed, version=2, by=None)
        run.delete()
        delete_destination(destination=changed, version=2, by=None)
        assert rows() == []

    def test_what_a_killed_writer_left_there_goes_with_the_next_export(
        self, destination: Destination, moto: S3Server
    ) -> None:
        for key in ("from/us/t1/exports/dead.csv", "from/us/t10/exports/alive.csv", "t1/exports/alive.csv"):
            moto.client().create_multipart_upload(Bucket=moto.bucket, Key=key)

        assert remove_unfinished(now=now()) == 1

        assert moto.open_uploads() == ["from/us/t10/exports/alive.csv", "t1/exports/alive.csv"]


class TestPages:
    def form(self, server: S3Server, **values: Any) -> dict[str, Any]:
        own = entered(server)
        return {**own.stored(), "folder": own.prefix, "secret": own.secret, **values}

    def test_without_one_the_list_says_what_to_do(self, acme: TenantRef, client_of: Any) -> None:
        shown = client_of(acme).get(PAGES).content.decode()

        assert "No destination yet: export files stay in this platform" in shown

    def test_the_list_is_searched_and_filtered(self, as_acme: TenantRef, client_of: Any) -> None:
        for name, bucket, error in (("Archive", "aaa", ""), ("Backup", "bbb", "It refuses access.")):
            Destination.objects.create(name=name, bucket=bucket, sealed_secret="x", error=error)
        client = client_of(as_acme)

        def shown(**query: str) -> list[str]:
            page = client.get(PAGES, query).content.decode()
            return [name for name in ("Archive", "Backup") if f">{name}</a>" in page]

        assert shown() == ["Archive", "Backup"]
        assert (shown(q="bbb"), shown(q="nothing")) == (["Backup"], [])
        assert (shown(outcome="fine"), shown(outcome="failed")) == (["Archive"], ["Backup"])

    def test_an_owner_enters_changes_tests_and_forgets_one(
        self, acme: TenantRef, client_of: Any, rclone: S3Server, private: None
    ) -> None:
        client = client_of(acme)

        assert client.post(f"{PAGES}add/", self.form(rclone))["Location"] == PAGES
        with in_tenant(acme):
            made = Destination.objects.get()
        listed = client.get(PAGES).content.decode()
        assert "from/us/acme/" in listed
        page = client.get(f"{PAGES}{made.pk}/change/").content.decode()
        assert "Files go to from/us/acme/" in page
        assert rclone.secret_key not in page + listed
        assert made.sealed_secret not in page + listed
        changed = self.form(rclone, name="Archive", secret="", version=1)
        assert client.post(f"{PAGES}{made.pk}/change/", changed)["Location"] == PAGES
        stale = client.post(f"{PAGES}{made.pk}/change/", changed)
        assert (stale.status_code, "meanwhile" in stale.content.decode()) == (422, True)
        tested = client.post(f"{PAGES}{made.pk}/test/", follow=True).content.decode()
        assert "“Archive” can be written to, read, listed and removed from." in tested
        client.post(f"{PAGES}{made.pk}/delete/", {"version": "2"})
        with in_tenant(acme):
            assert rows() == []

    def test_a_test_that_fails_shows_why_and_gives_no_secret_back(
        self, acme: TenantRef, client_of: Any, rclone: S3Server, private: None
    ) -> None:
        answer = client_of(acme).post(f"{PAGES}add/", self.form(rclone, secret="not-the-secret"))

        shown = answer.content.decode()
        assert answer.status_code == 422
        assert "refuses access" in shown
        assert "not-the-secret" not in shown
        assert f'value="{rclone.bucket}"' in shown

    @pytest.mark.case("T06")
    def test_another_tenants_destination_is_not_there(
        self, acme: TenantRef, globex: TenantRef, client_of: Any, rclone: S3Server, private: None
    ) -> None:
        with in_tenant(globex):
            theirs = create_destination(entered=entered(rclone, name="Theirs"), by=None)
        client = client_of(acme)

        assert client.get(f"{PAGES}{theirs.pk}/change/").status_code == 404
        assert client.post(f"{PAGES}{theirs.pk}/test/").status_code == 404
        assert "Theirs" not in client.get(PAGES).content.decode()

    @pytest.mark.case("O07")
    def test_names_are_inert(self, as_acme: TenantRef, client_of: Any) -> None:
        payload = "<img src=x onerror=alert(1)>"
        made = Destination.objects.create(
            name=payload, bucket="bbb", access_key=payload, sealed_secret="x", error=payload, prefix=payload
        )
        client = client_of(as_acme)

        for address in (PAGES, f"{PAGES}{made.pk}/change/"):
            assert not re.search("<img src=x", client.get(address).content.decode())
