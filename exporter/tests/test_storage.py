"""The storage below exports, on a folder and on S3 over HTTP: whole or absent, and never another tenant's."""

from __future__ import annotations

import hashlib
import io
import resource
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import SuspiciousFileOperation

from core import storage
from core.storage import StorageChanged
from core.tenancy import NoTenant, TenantRef, in_tenant
from exporter.tests.s3 import S3Server

MB = 1024 * 1024
ACME, ACME2 = TenantRef("t_aaaaaaaa", "acme"), TenantRef("t_bbbbbbbb", "acme2")
BIG = bytes(range(256)) * (20 * MB // 256)  # three parts

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
    "data", [b"", b"a,b\n", b"x" * (8 * MB), BIG], ids=["empty", "small", "one part", "three"]
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
@pytest.mark.parametrize("written", [0, 1000, 9 * MB, 20 * MB])
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


FAULTS = [
    *((number, "500 Internal Server Error", is_lost) for number in (1, 2, 4, 5) for is_lost in (False, True)),
    (2, "503 Slow Down", False),
    (5, "403 Forbidden", False),
]


@pytest.mark.case("I02")
@pytest.mark.parametrize(("number", "status", "is_lost"), FAULTS)
def test_when_a_call_fails_the_object_is_whole_or_absent(
    on_moto: S3Server, number: int, status: str, is_lost: bool
) -> None:
    # 1 starts the upload, 2 to 4 are its parts, 5 completes it.
    from botocore.exceptions import ClientError  # slow import  # noqa: PLC0415

    on_moto.faults.number, on_moto.faults.status, on_moto.faults.is_lost = number, status, is_lost
    with in_tenant(ACME), pytest.raises(ClientError):
        storage.save("a.csv", io.BytesIO(BIG))

    is_complete = is_lost and number == 5
    assert on_moto.keys() == (["acme/a.csv"] if is_complete else [])
    if not (is_lost and number == 1):  # an upload whose number never arrived cannot be aborted by us
        assert on_moto.open_uploads() == []
    with in_tenant(ACME):
        assert read(storage.save("a.csv", io.BytesIO(BIG)).key) == BIG


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

    def test_an_aborted_write_leaves_nothing(self, on_rclone: S3Server) -> None:
        with in_tenant(ACME), pytest.raises(ZeroDivisionError), storage.write("a.csv") as writer:
            writer.write(BIG)
            1 / 0  # noqa: B018

        assert (on_rclone.keys(), on_rclone.open_uploads()) == ([], [])

    @pytest.mark.parametrize("keys", [{"secret_key": "wrong"}, {"access_key": "wrong"}])
    def test_a_wrong_secret_is_refused(self, rclone: S3Server, settings: Any, keys: dict[str, str]) -> None:
        from botocore.exceptions import ClientError  # slow import  # noqa: PLC0415

        settings.STORAGES = {**settings.STORAGES, "default": rclone.storages(**keys)}
        with in_tenant(ACME), pytest.raises(ClientError):
            storage.save("a.csv", io.BytesIO(b"x"))

        assert rclone.keys() == []

    def test_a_signed_link_works_until_it_is_tampered_with(self, on_rclone: S3Server) -> None:
        import requests  # slow import  # noqa: PLC0415
        from django.core.files.storage import default_storage  # noqa: PLC0415

        with in_tenant(ACME):
            stored = storage.save("a.csv", io.BytesIO(b"mine"))
        with in_tenant(ACME2):
            storage.save("a.csv", io.BytesIO(b"theirs"))
        link = default_storage.url(stored.key)

        assert requests.get(link, timeout=10).content == b"mine"
        for tampered in (
            link.replace("/acme/", "/acme2/"),
            link.replace("X-Amz-Expires=300", "X-Amz-Expires=30000"),
            link.split("?")[0],
            link[:-4] + "0000",
        ):
            assert requests.get(tampered, timeout=10).status_code in {400, 403}, tampered
