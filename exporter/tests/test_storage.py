"""The storage below exports, on a folder and on S3 over HTTP: whole or absent, and never another tenant's."""

from __future__ import annotations

import hashlib
import io
import resource
import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import SuspiciousFileOperation

from core import clock, storage
from core.s3 import Account, BucketMissing, ClockSkewed, S3Store, StorageDenied, StorageUnreachable
from core.s3http import Patience
from core.storage import ForeignKey, StorageChanged, StorageError
from core.tenancy import NoTenant, TenantRef, in_tenant
from exporter.tests.s3 import HOWS, WRITES, S3Server

DAY = timedelta(days=1)

MB = 1024 * 1024
ACME, ACME2 = TenantRef("t_aaaaaaaa", "acme"), TenantRef("t_bbbbbbbb", "acme2")
BIG = bytes(range(256)) * (14 * MB // 256)  # three parts

TAMPERED = (
    "", "/", ".", "..", "../x", "acme/../acme2/x", "acme2/x", "acme", "acme/", "acme//x", "/acme/x", "acme/./x",
    "acme/a\\b", "acme/a\nb", "acme/a\0b", "ACME/x", "acme%2fx", "acme\u2215x",
)  # fmt: skip


@pytest.fixture(params=["folder", "s3"])
def anywhere(request: pytest.FixtureRequest) -> str:
    """Run the test on the local folder and on moto."""
    if request.param == "s3":
        request.getfixturevalue("on_moto")
    return str(request.param)


def read(key: str) -> bytes:
    with storage.open_read(key) as stored:
        return stored.read()


@pytest.mark.parametrize(
    "data", [b"", b"a,b\n", b"x" * (5 * MB), BIG], ids=["empty", "small", "one part", "three"]
)
def test_what_is_written_is_read_back(anywhere: str, data: bytes) -> None:
    with in_tenant(ACME):
        with storage.write("exports/a/b.csv") as writer:
            for start in range(0, len(data), 700_001):
                writer.write(data[start : start + 700_001])

        assert read(writer.key) == data
        assert (writer.key, writer.bytes) == ("acme/exports/a/b.csv", len(data))
        assert writer.sha256 == hashlib.sha256(data).hexdigest()
        assert list(storage.list_keys()) == [(writer.key, len(data))]
        assert storage.size(writer.key) == len(data)


@pytest.mark.case("I02")
@pytest.mark.parametrize("written", [0, 1000, 9 * MB, 14 * MB])
def test_an_error_while_writing_leaves_nothing(
    anywhere: str, written: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with in_tenant(ACME):
        with pytest.raises(ZeroDivisionError), storage.write("exports/a.csv") as writer:
            writer.write(BIG[:written])
            1 / 0  # noqa: B018 -- any error will do

        assert not storage.exists("acme/exports/a.csv")
        assert list(storage.list_keys()) == []
    if anywhere == "s3":
        server: S3Server = request.getfixturevalue("moto")
        assert (server.keys(), server.open_uploads()) == ([], [])
    else:
        assert not [file for file in tmp_path.rglob("*") if file.is_file()]


def test_an_error_while_writing_over_a_file_leaves_the_old_one(anywhere: str) -> None:
    with in_tenant(ACME):
        storage.save("a.csv", io.BytesIO(b"old"))
        with pytest.raises(ZeroDivisionError), storage.write("a.csv") as writer:
            writer.write(BIG)
            1 / 0  # noqa: B018

        assert read("acme/a.csv") == b"old"


@pytest.mark.case("T17")
@pytest.mark.parametrize("key", TAMPERED)
def test_a_key_outside_the_tenants_prefix_is_refused(anywhere: str, key: str) -> None:
    with in_tenant(ACME2):
        storage.save("x", io.BytesIO(b"theirs"))
    with in_tenant(ACME):
        for act in (storage.open_read, storage.delete, storage.exists, storage.size):
            with pytest.raises(SuspiciousFileOperation):
                act(key)
        with pytest.raises(SuspiciousFileOperation):
            storage.local_copy(key, "0" * 64)
    with in_tenant(ACME2):
        assert read("acme2/x") == b"theirs"


@pytest.mark.case("T17")
@pytest.mark.parametrize("path", ["", "..", "../acme2/x", "a/../../acme2/x", "/x", "a//b", "a\\b", "a\nb"])
def test_a_path_that_leaves_the_prefix_is_refused(anywhere: str, path: str) -> None:
    with in_tenant(ACME), pytest.raises(SuspiciousFileOperation), storage.write(path) as writer:
        writer.write(b"x")


@pytest.mark.case("T17")
@pytest.mark.parametrize("path", ["%2e%2e/x", "．．/x", "．．／x", "naïve ☃.csv", "a b+c&d=e?f#g", "…/x"])
def test_an_odd_path_stays_inside_the_prefix(anywhere: str, path: str) -> None:
    with in_tenant(ACME):
        stored = storage.save(path, io.BytesIO(b"x"))

        assert [key for key, _ in storage.list_keys()] == [stored.key] == [f"acme/{path}"]
        assert read(stored.key) == b"x"


@pytest.mark.case("T17", "O14")
def test_a_prefix_that_begins_like_another_is_kept_apart(anywhere: str) -> None:
    for tenant in (ACME, ACME2):
        with in_tenant(tenant):
            storage.save("exports/a.csv", io.BytesIO(b"x"))
            storage.save("exports2/a.csv", io.BytesIO(b"x"))

    with in_tenant(ACME):
        assert [key for key, _ in storage.list_keys()] == ["acme/exports/a.csv", "acme/exports2/a.csv"]
        assert [key for key, _ in storage.list_keys("exports")] == ["acme/exports/a.csv"]


def test_keys_come_in_the_same_order_from_every_storage(anywhere: str) -> None:
    paths = ["a/x", "a-b/x", "a.b", "a0", "A", "ä", "b/1/2", "b/1", "_"]
    with in_tenant(ACME):
        for path in paths:
            if path != "b/1":  # a folder cannot be a file too
                storage.save(path, io.BytesIO(b"x"))

        listed = [key for key, _ in storage.list_keys()]

    assert listed == sorted(f"acme/{path}" for path in paths if path != "b/1")


@pytest.mark.case("T18")
def test_one_process_serves_two_tenants(anywhere: str) -> None:
    for tenant in (ACME, ACME2, ACME):
        with in_tenant(tenant):
            stored = storage.save("a.csv", io.BytesIO(tenant.slug.encode()))
            assert read(stored.key) == tenant.slug.encode()
    with in_tenant(ACME2):
        assert read("acme2/a.csv") == b"acme2"


@pytest.mark.case("T21")
def test_outside_of_a_tenant_there_is_no_storage() -> None:
    with pytest.raises(NoTenant):
        storage.key_of("a.csv")
    with pytest.raises(NoTenant):
        list(storage.list_keys())


def test_a_file_that_is_gone_is_said_so(anywhere: str) -> None:
    with in_tenant(ACME):
        with pytest.raises(StorageChanged):
            storage.open_read("acme/gone.csv")
        storage.delete("acme/gone.csv")


@pytest.mark.case("F45")
def test_a_local_copy_is_checked(anywhere: str) -> None:
    with in_tenant(ACME):
        stored = storage.save("a.csv", io.BytesIO(b"right"))
        assert storage.local_copy(stored.key, stored.sha256).read_bytes() == b"right"

        storage.save("b.csv", io.BytesIO(b"wrong"))
        with pytest.raises(StorageChanged):
            storage.local_copy("acme/b.csv", hashlib.sha256(b"what was stored").hexdigest())


def test_a_listing_has_more_than_one_page(on_moto: S3Server) -> None:
    from moto.s3.models import s3_backends  # slow import  # noqa: PLC0415

    # Put in by the back door: a thousand requests take a quarter of a minute.
    backend = s3_backends["123456789012"]["aws"]
    for number in range(1005):
        backend.put_object(on_moto.bucket, f"acme/{number:04}", b"x")
    backend.put_object(on_moto.bucket, "acme2/0000", b"x")

    with in_tenant(ACME):
        assert len(list(storage.list_keys())) == 1005


# The first begins the upload, three are its parts, the fifth completes it.
USUAL = {
    (1, "lost"),
    (1, "timeout"),
    (2, "500"),
    (3, "partial"),
    (4, "reset"),
    (5, "503"),
    (5, "lost"),
    (5, "skewed"),
}
FAULTS = [
    pytest.param(number, how, marks=[] if (number, how) in USUAL else pytest.mark.slow)
    for number in range(1, 6)
    for how in HOWS
]


@pytest.mark.case("I02")
@pytest.mark.parametrize(("number", "how"), FAULTS)
def test_when_a_call_fails_the_object_is_whole_or_absent(
    on_moto: S3Server, number: int, how: str, settings: Any
) -> None:
    on_moto.faults.plan(how, number, WRITES)
    settings.STORAGES = {**settings.STORAGES, "default": on_moto.storages()}
    with in_tenant(ACME), pytest.raises(StorageError):
        storage.save("a.csv", io.BytesIO(BIG))

    is_complete = (number, how) == (5, "lost")
    assert (on_moto.keys(), on_moto.open_uploads()) == (["acme/a.csv"] if is_complete else [], [])
    with in_tenant(ACME):
        assert read(storage.save("a.csv", io.BytesIO(BIG)).key) == BIG


@pytest.mark.case("I02")
def test_a_completion_whose_answer_was_lost_is_found_out_when_it_is_repeated(on_moto: S3Server) -> None:
    on_moto.faults.plan("lost", 4, WRITES)
    store = S3Store.of_account(account_of(on_moto, patience=Patience(5, 30, 60, attempts=3)))
    with in_tenant(ACME):
        stored = store.save("a.csv", io.BytesIO(BIG[: 9 * MB]))

        assert (store.sha256_of(stored.key), on_moto.open_uploads()) == (stored.sha256, [])
        assert sum("uploadId=" in call and call.startswith("POST") for call in on_moto.faults.seen) == 2


def test_a_full_disk_leaves_no_part(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    import signal  # noqa: PLC0415 -- beside its one use

    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the write fails instead of the process
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 * MB, hard))
    try:
        with in_tenant(ACME), pytest.raises(OSError), storage.write("a.csv") as writer:
            for _ in range(9):
                writer.write(BIG[: MB // 2 + 100])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)

    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


class TestRclone:
    """Against a server that checks every signature, and is a process of its own."""

    def test_writing_and_reading_take_bounded_memory(self, on_rclone: S3Server) -> None:
        chunk, size = b"x" * MB, 96
        with in_tenant(ACME):
            tracemalloc.start()
            try:
                with storage.write("big.csv") as writer:
                    for _ in range(size):
                        writer.write(chunk)
                written = tracemalloc.get_traced_memory()[1] / MB
                tracemalloc.reset_peak()
                with storage.open_read(writer.key) as stored:
                    assert sum(len(data) for data in iter(lambda: stored.read(MB), b"")) == size * MB
                read = tracemalloc.get_traced_memory()[1] / MB
            finally:
                tracemalloc.stop()

        assert written < 48
        assert read < 48

    def test_a_round_trip_of_several_parts(self, on_rclone: S3Server) -> None:
        with in_tenant(ACME):
            stored = storage.save("exports/a.csv", io.BytesIO(BIG))

            assert read(stored.key) == BIG
            assert list(storage.list_keys("exports")) == [(stored.key, len(BIG))]
            storage.delete(stored.key)
            assert not storage.exists(stored.key)

    @pytest.mark.case("T17")
    def test_a_listing_has_more_than_one_page_and_no_neighbour(
        self, on_rclone: S3Server, tmp_path: Path
    ) -> None:
        for slug in ("acme", "acme2"):
            folder = tmp_path / "rclone" / on_rclone.bucket / slug / "exports"
            folder.mkdir(parents=True)
            for number in range(1005):
                (folder / f"{number:04}.csv").touch()

        with in_tenant(ACME):
            assert list(storage.list_keys()) == [
                (f"acme/exports/{number:04}.csv", 0) for number in range(1005)
            ]

    def test_an_aborted_write_leaves_nothing(self, on_rclone: S3Server) -> None:
        with in_tenant(ACME), pytest.raises(ZeroDivisionError), storage.write("a.csv") as writer:
            writer.write(BIG)
            1 / 0  # noqa: B018

        assert (on_rclone.keys(), on_rclone.open_uploads()) == ([], [])

    @pytest.mark.parametrize("keys", [{"secret_key": "wrong"}, {"access_key": "wrong"}])
    def test_a_wrong_secret_is_refused(self, rclone: S3Server, settings: Any, keys: dict[str, str]) -> None:
        settings.STORAGES = {**settings.STORAGES, "default": rclone.storages(**keys)}
        with in_tenant(ACME), pytest.raises(StorageDenied, match="refuses access"):
            storage.save("a.csv", io.BytesIO(b"x"))

        assert rclone.keys() == []

    def test_a_signed_link_works_until_it_is_tampered_with(self, on_rclone: S3Server) -> None:
        with in_tenant(ACME):
            stored = storage.save("a.csv", io.BytesIO(b"mine"))
            link = storage.platform_store().link(
                stored.key, header='attachment; filename="a.csv"', content_type="text/csv", seconds=300
            )
        with in_tenant(ACME2):
            storage.save("a.csv", io.BytesIO(b"theirs"))

        assert link is not None
        assert get(link) == (200, b"mine")
        for tampered in (
            link.replace("/acme/", "/acme2/"),
            link.replace("X-Amz-Expires=300", "X-Amz-Expires=30000"),
            link.replace("text%2Fcsv", "text%2Fhtml"),
            link.replace("attachment", "inline"),
            link.split("?")[0],
            link[:-4] + "0000",
        ):
            assert tampered != link
            assert get(tampered)[0] in {400, 403}, tampered

    @pytest.mark.case("T19")
    def test_without_a_signature_nothing_is_listed_read_or_written(self, on_rclone: S3Server) -> None:
        import requests  # slow import  # noqa: PLC0415

        with in_tenant(ACME):
            key = storage.save("a.csv", io.BytesIO(b"mine")).key
        bucket = f"{on_rclone.endpoint}/{on_rclone.bucket}"
        for address in (
            f"{bucket}/{key}",
            f"{bucket}/",
            f"{bucket}?list-type=2&prefix=acme/",
            f"{bucket}?acl",
        ):
            status, body = get(address)
            assert (status in {400, 403}, b"mine" in body, b"a.csv" in body) == (True, False, False), address
        for call in (requests.put, requests.delete):
            assert call(f"{bucket}/{key}", timeout=10).status_code in {400, 403}
        assert on_rclone.keys() == [key]

    @pytest.mark.case("T19")
    def test_a_link_is_for_one_object_and_for_reading_it(self, on_rclone: S3Server) -> None:
        import requests  # slow import  # noqa: PLC0415

        with in_tenant(ACME):
            key = storage.save("a.csv", io.BytesIO(b"mine")).key
            link = storage.platform_store().link(
                key, header="attachment", content_type="text/csv", seconds=300
            )
        assert link is not None
        assert requests.put(link, data=b"forged", timeout=10).status_code in {400, 403}
        assert requests.delete(link, timeout=10).status_code in {400, 403}
        query = link.split("?")[1]
        assert get(f"{on_rclone.endpoint}/{on_rclone.bucket}?{query}")[0] in {400, 403}
        assert get(link) == (200, b"mine")

    def test_a_link_ends(self, on_rclone: S3Server) -> None:
        with in_tenant(ACME):
            stored = storage.save("a.csv", io.BytesIO(b"mine"))
            link = storage.platform_store().link(
                stored.key, header="attachment", content_type="text/csv", seconds=1
            )
        assert link is not None

        while get(link)[0] == 200:  # its second passes
            time.sleep(0.1)

        assert get(link)[0] in {400, 403}

    def test_what_a_killed_writer_left_is_found_and_removed(self, on_rclone: S3Server) -> None:
        with in_tenant(ACME):
            abandon(on_rclone, "acme/exports/dead.csv")
            abandon(on_rclone, "acme2/exports/alive.csv")

            assert storage.remove_unfinished(before=clock.now() - DAY) == 0
            assert storage.remove_unfinished(before=clock.now() + DAY) == 1

        assert on_rclone.open_uploads() == ["acme2/exports/alive.csv"]


def get(link: str) -> tuple[int, bytes]:
    import requests  # slow import  # noqa: PLC0415

    answer = requests.get(link, timeout=10)
    return answer.status_code, answer.content


def account_of(server: S3Server, **options: Any) -> Account:
    return Account(server.bucket, server.access_key, server.secret_key, endpoint=server.endpoint, **options)


def abandon(server: S3Server, key: str) -> None:
    """Begin an object and die before it is whole."""
    client = server.client()
    upload = client.create_multipart_upload(Bucket=server.bucket, Key=key)["UploadId"]
    client.upload_part(Bucket=server.bucket, Key=key, UploadId=upload, PartNumber=1, Body=BIG[: 5 * MB])


class TestUnfinished:
    """What a writer leaves that was killed without a last word."""

    def test_its_parts_go_and_no_others(self, on_moto: S3Server) -> None:
        for key in ("acme/exports/dead.csv", "acme2/exports/alive.csv"):
            abandon(on_moto, key)
        with in_tenant(ACME):
            storage.save("exports/whole.csv", io.BytesIO(b"x"))

            assert storage.remove_unfinished(before=clock.now() + DAY) == 1
            assert storage.exists("acme/exports/whole.csv")
        assert on_moto.open_uploads() == ["acme2/exports/alive.csv"]

    def test_in_a_folder_too(self, tmp_path: Path) -> None:
        with in_tenant(ACME2):
            storage.save("exports/whole.csv", io.BytesIO(b"x"))
            theirs = tmp_path / "storage" / "acme2" / "exports" / ".part-theirs"
            theirs.touch()
        with in_tenant(ACME):
            storage.save("exports/whole.csv", io.BytesIO(b"x"))
            dead = tmp_path / "storage" / "acme" / "exports" / ".part-dead"
            dead.touch()

            assert storage.remove_unfinished(before=clock.now() - DAY) == 0
            assert storage.remove_unfinished(before=clock.now() + DAY) == 1
            assert storage.exists("acme/exports/whole.csv")
        assert (dead.exists(), theirs.exists()) == (False, True)


class TestDeletingMany:
    """In one call where the server can, one by one where not; in neither case another tenant's."""

    @pytest.mark.parametrize("has_batches", [True, False])
    def test_all_of_them_go_and_no_other(self, on_moto: S3Server, has_batches: bool) -> None:
        on_moto.faults.has_batches = has_batches
        with in_tenant(ACME):
            keys = [storage.save(f"{number}.csv", io.BytesIO(b"x")).key for number in range(5)]
            storage.delete_many([*keys[:3], "acme/gone.csv"])

        assert on_moto.keys() == keys[3:]

    def test_a_foreign_key_among_them_is_refused_before_any_goes(self, anywhere: str) -> None:
        with in_tenant(ACME2):
            theirs = storage.save("a.csv", io.BytesIO(b"x")).key
        with in_tenant(ACME):
            ours = storage.save("a.csv", io.BytesIO(b"x")).key
            with pytest.raises(ForeignKey):
                storage.delete_many([ours, theirs])
            assert storage.exists(ours)


@pytest.mark.case("T17")
def test_a_bucket_of_the_tenants_own_keeps_to_its_prefix(moto: S3Server) -> None:
    store = S3Store.of_account(account_of(moto), base="from/rowhouse")
    for tenant in (ACME, ACME2):
        with in_tenant(tenant):
            store.save("exports/a.csv", io.BytesIO(tenant.slug.encode()))
    moto.client().put_object(Bucket=moto.bucket, Key="from/rowhouse/acme", Body=b"theirs")

    with in_tenant(ACME):
        assert list(store.list_keys()) == [("from/rowhouse/acme/exports/a.csv", 4)]
        for key in ("acme/exports/a.csv", "from/rowhouse/acme", "from/rowhouse/acme2/exports/a.csv", "from/x",
                    "from/rowhouse/acme/../acme2/exports/a.csv", "/from/rowhouse/acme/exports/a.csv"):  # fmt: skip
            for act in (store.open_read, store.delete, store.exists, store.size, store.mark):
                with pytest.raises(ForeignKey):
                    act(key)
    for base in ("../x", "/x", "x/", "a//b", "a\b"):
        with pytest.raises(ForeignKey):
            S3Store.of_account(account_of(moto), base=base)


class TestSentences:
    """What a person reads when a store fails him."""

    @pytest.mark.parametrize(
        ("change", "kind", "words"),
        [
            ({"bucket": "no-such-bucket"}, BucketMissing, "has no bucket 'no-such-bucket'. Check its name."),
            ({"secret_key": "wrong"}, StorageDenied, "refuses access (SignatureDoesNotMatch). Check its key"),
            ({"endpoint": "http://127.0.0.1:9"}, StorageUnreachable, "check its endpoint"),
        ],
    )
    def test_say_what_happened_and_what_to_do(
        self, rclone: S3Server, change: dict[str, Any], kind: type[StorageError], words: str
    ) -> None:
        account = account_of(rclone, title="Our bucket", patience=Patience(2, 5, 5, attempts=1))
        store = S3Store.of_account(replace(account, **change))

        with in_tenant(ACME), pytest.raises(kind) as failed:
            store.save("a.csv", io.BytesIO(b"x"))

        assert failed.value.message.startswith("Our bucket ")
        assert words in failed.value.message
        assert failed.value.is_passing

    def test_name_neither_bucket_nor_server_of_the_platform(self, on_moto: S3Server) -> None:
        on_moto.faults.plan("skewed", 1)
        with in_tenant(ACME), pytest.raises(ClockSkewed) as failed:
            list(storage.list_keys())

        assert on_moto.bucket not in failed.value.message
        assert on_moto.endpoint not in failed.value.message


@contextmanager
def slow_server(head: bytes) -> Iterator[str]:
    """Answer at once with `head`, then with one byte after another, for longer than anybody should wait."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ended = threading.Event()

        def serve() -> None:
            while not ended.is_set():
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection, suppress(OSError):
                    connection.recv(65536)
                    connection.sendall(head)
                    for _ in range(200):
                        connection.sendall(b"x")
                        if ended.wait(0.1):
                            return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            ended.set()
            listening.close()


@pytest.mark.case("I02")
@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n"]
)
def test_a_server_that_sends_a_byte_at_a_time_is_not_waited_for(head: bytes) -> None:
    with slow_server(head) as endpoint:
        account = Account(
            "bucket", "key", "secret", endpoint=endpoint, patience=Patience(5, 1, 1, attempts=1)
        )
        store = S3Store.of_account(account)
        with in_tenant(ACME):
            with pytest.raises(StorageUnreachable):
                list(store.list_keys())
            with pytest.raises(StorageUnreachable), store.open_read("acme/a.csv") as stored:
                stored.read()
