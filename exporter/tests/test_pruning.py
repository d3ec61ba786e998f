"""Clean-up, checks and usage: within the tenant's own rows and prefix, nothing else."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from audit.models import Event
from core import storage
from core.space import Use
from core.tenancy import TenantRef, in_tenant
from exporter.models import ExportFile, Fault
from exporter.pruning import prune_exports
from exporter.retention import Policy
from exporter.services import verify_exports
from exporter.space import storage_usage
from exporter.tests.helpers import dataset_with, stored_file, stored_keys

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
LAST_TWO = Policy(keep_days=0, keep_count=2)


def hours_ago(hours: int) -> datetime:
    return NOW - timedelta(hours=hours)


def keys() -> set[str]:
    return set(stored_keys())


@pytest.mark.case("O14")
def test_the_objects_go_and_their_rows_stay(as_acme: TenantRef) -> None:
    dataset = dataset_with()
    files = [stored_file(dataset, at=hours_ago(hours)) for hours in range(4)]

    gone = prune_exports(now=NOW, keep=LAST_TWO)

    assert gone == [files[3], files[2]]
    assert keys() == {files[0].key, files[1].key}
    assert set(ExportFile.objects.filter(deleted_at=NOW)) == {files[2], files[3]}
    assert Event.objects.get(name="exporter.files.pruned").data["files"] == 2
    assert prune_exports(now=NOW, keep=LAST_TWO) == []


def test_a_dry_run_removes_nothing(as_acme: TenantRef) -> None:
    dataset = dataset_with()
    files = [stored_file(dataset, at=hours_ago(hours)) for hours in range(3)]

    assert prune_exports(now=NOW, keep=LAST_TWO, dry_run=True) == [files[2]]

    assert keys() == {file.key for file in files}
    assert not ExportFile.objects.exclude(deleted_at=None).exists()


@pytest.mark.case("O14", "T17")
def test_pruning_touches_nothing_but_what_the_tenants_own_rows_name(pair: list[TenantRef]) -> None:
    t1, t10 = pair
    with in_tenant(t10):
        theirs = [stored_file(dataset_with(), at=hours_ago(hours)) for hours in range(1)]
        storage.save("uploads/7/theirs.csv", io.BytesIO(b"x"))
        before = keys()
    with in_tenant(t1):
        dataset = dataset_with()
        for hours in range(3):
            stored_file(dataset, at=hours_ago(hours))
        storage.save("exports/orders/2020/01/01/orders_20200101T000000Z.csv", io.BytesIO(b"no row knows it"))

        prune_exports(now=NOW, keep=Policy(1, 1))

        assert len(keys()) == 2
    with in_tenant(t10):
        assert keys() == before
        assert [file.fault for file in verify_exports(now=NOW, files=theirs)] == [Fault.NONE]


@pytest.mark.case("T17")
@pytest.mark.parametrize(
    "key",
    [
        "globex/exports/x.csv",
        "acme2/exports/x.csv",
        "acme/../globex/x.csv",
        "/etc/passwd",
        "acme",
        "",
        "acme//x",
    ],
)
def test_a_key_tampered_with_in_the_database_deletes_nothing(as_acme: TenantRef, key: str) -> None:
    from django.core.exceptions import SuspiciousFileOperation  # noqa: PLC0415 -- beside its one use

    dataset = dataset_with()
    stored_file(dataset)
    tampered = stored_file(dataset, at=hours_ago(99_999))
    ExportFile.objects.filter(pk=tampered.pk).update(key=key)

    with pytest.raises(SuspiciousFileOperation):
        prune_exports(now=NOW, keep=Policy(1, 0))


@pytest.mark.case("O14")
def test_a_half_done_clean_up_is_finished_by_the_next(as_acme: TenantRef) -> None:
    dataset = dataset_with()
    files = [stored_file(dataset, at=hours_ago(hours)) for hours in range(4)]
    storage.delete(files[3].key)  # the process died before it could note this

    assert prune_exports(now=NOW, keep=LAST_TWO) == [files[3], files[2]]

    assert keys() == {files[0].key, files[1].key}


def test_pruning_in_portions_comes_to_the_same(as_acme: TenantRef) -> None:
    dataset = dataset_with()
    files = [stored_file(dataset, at=hours_ago(hours)) for hours in range(5)]

    portions = [prune_exports(now=NOW, keep=LAST_TWO, limit=2) for _ in range(3)]

    assert portions == [[files[4], files[3]], [files[2]], []]


def test_a_damaged_newest_file_does_not_cost_the_last_good_one(as_acme: TenantRef, tmp_path: Path) -> None:
    dataset = dataset_with()
    newest, last_good = (stored_file(dataset, at=hours_ago(hours)) for hours in (1, 99))
    (tmp_path / "storage" / newest.key).write_bytes(b"rubbish")
    verify_exports(now=NOW)

    assert prune_exports(now=NOW, keep=Policy(0, 1)) == []

    assert last_good.key in keys()


def test_verifying_finds_what_is_altered_or_missing(as_acme: TenantRef, tmp_path: Path) -> None:
    dataset = dataset_with()
    good, altered, cut, missing = (stored_file(dataset, at=hours_ago(hours)) for hours in range(4))
    folder = tmp_path / "storage"
    (folder / altered.key).write_bytes(b"id,note\n1,b\n")  # as long as before
    (folder / cut.key).write_bytes(b"id,note\n")
    (folder / missing.key).unlink()

    verify_exports(now=NOW)

    faults = dict(ExportFile.objects.values_list("pk", "fault"))
    assert faults == {
        good.pk: Fault.NONE, altered.pk: Fault.ALTERED, cut.pk: Fault.ALTERED, missing.pk: Fault.MISSING,
    }  # fmt: skip
    assert set(ExportFile.objects.values_list("checked_at", flat=True)) == {NOW}


def test_usage_counts_each_kind_and_dataset_of_the_tenant_alone(acme: TenantRef, globex: TenantRef) -> None:
    with in_tenant(globex):
        storage.save("uploads/1/big.csv", io.BytesIO(b"x" * 1000))
    with in_tenant(acme):
        storage.save("uploads/7/a.csv", io.BytesIO(b"abc"))
        for slug in ("orders", "parts"):
            stored_file(dataset_with(slug=slug), data=b"id,note\n")

        assert storage_usage() == [
            Use("exports", "orders", 1, 8),
            Use("exports", "parts", 1, 8),
            Use("uploads", "", 1, 3),
        ]
