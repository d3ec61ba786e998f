from __future__ import annotations

import io

import pytest
from django.core.exceptions import SuspiciousFileOperation

from core import storage
from core.tenancy import NoTenant, TenantRef, in_tenant


def stored(path: str, content: bytes) -> storage.Stored:
    return storage.save(path, io.BytesIO(content))


def test_a_file_lies_under_its_tenant(as_acme):
    file = stored("exports/a.csv", b"hello")
    assert (file.key, file.bytes) == ("acme/exports/a.csv", 5)
    with storage.open_read(file.key) as read:
        assert read.read() == b"hello"


def test_nothing_is_stored_outside_a_tenant():
    with pytest.raises(NoTenant):
        stored("a.csv", b"hello")


@pytest.mark.case("T17")
@pytest.mark.parametrize(
    "path", ["../globex/a", "a/../../b", "/etc/passwd", "", "a//b", ".", "a\\b", "a\nb", "a/.."]
)
def test_a_path_cannot_leave_the_tenant(as_acme, path):
    with pytest.raises(SuspiciousFileOperation):
        stored(path, b"x")


@pytest.mark.case("T17")
@pytest.mark.parametrize(
    "key", ["globex/a.csv", "acme2/a.csv", "acme", "acme/../globex/a.csv", "/acme/a.csv"]
)
def test_another_tenants_key_is_refused_for_reading_and_deleting(as_acme, key):
    for verb in (storage.open_read, storage.delete, storage.exists, storage.size):
        with pytest.raises(SuspiciousFileOperation):
            verb(key)


@pytest.mark.case("T17")
def test_listing_stops_at_the_tenants_own_prefix(acme, globex):
    longer = TenantRef(globex.schema, "acme2")
    with in_tenant(longer):
        stored("a.csv", b"theirs")
    with in_tenant(acme):
        ours = stored("a.csv", b"ours")
        assert list(storage.list_keys()) == [(ours.key, 4)]


@pytest.mark.case("T18")
def test_each_save_lands_under_the_acting_tenant(acme, globex):
    keys = []
    for tenant in (acme, globex, acme):
        with in_tenant(tenant):
            keys.append(stored("a.csv", b"x").key)
    assert keys == ["acme/a.csv", "globex/a.csv", "acme/a.csv"]


def test_a_file_that_fails_half_way_never_appears(as_acme):
    with pytest.raises(ZeroDivisionError), storage.write("a.csv") as writer:
        writer.write(b"half")
        1 / 0  # noqa: B018
    assert list(storage.list_keys()) == []


def test_a_half_written_replacement_leaves_the_former_file(as_acme):
    former = stored("a.csv", b"former")
    with pytest.raises(ZeroDivisionError), storage.write("a.csv") as writer:
        writer.write(b"half")
        1 / 0  # noqa: B018
    with storage.open_read(former.key) as read:
        assert read.read() == b"former"


@pytest.mark.case("F45")
def test_a_file_changed_in_storage_is_noticed(as_acme):
    first = stored("a.csv", b"first")
    second = stored("a.csv", b"second")
    assert storage.local_copy(second.key, second.sha256).read_bytes() == b"second"
    with pytest.raises(storage.StorageChanged):
        storage.local_copy(first.key, first.sha256)


def test_a_file_that_is_gone_is_said_to_be(as_acme):
    file = stored("a.csv", b"x")
    storage.delete(file.key)
    with pytest.raises(storage.StorageChanged):
        storage.open_read(file.key)


def test_every_writing_of_a_file_leaves_another_mark(as_acme):
    stored = storage.save("uploads/1/a.csv", io.BytesIO(b"id\n1\n"))
    first = storage.mark(stored.key)
    assert storage.mark(stored.key) == first
    again = storage.save("uploads/1/a.csv", io.BytesIO(b"id\n2\n"))
    assert storage.mark(again.key) != first
    assert storage.sha256_of(again.key) == again.sha256
    storage.delete(stored.key)
    with pytest.raises(storage.StorageChanged):
        storage.mark(stored.key)
