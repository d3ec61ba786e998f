"""What takes space, and what storage and rows know of each other; each tenant for itself."""

from __future__ import annotations

import io
import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse

from audit.models import Event
from core import space, storage
from core.clock import now
from core.tenancy import TenantRef, in_tenant
from datasets.models import Dataset
from exporter.models import ExportFile, ExportSettings, Fault, SpaceSample
from exporter.pruning import policies, prune_exports
from exporter.retention import Policy
from exporter.space import Day, check_storage, sample_space, trend
from exporter.tests.helpers import dataset_with, export, stored_file
from importer.tests.tools import make_orders, upload

STRAY = "exports/orders/2020/01/01/orders_20200101T000000Z.csv"
LATER = timedelta(days=2)


def keys() -> set[str]:
    return {key for key, _ in storage.list_keys()}


def kinds() -> dict[tuple[str, str], int]:
    return {(use.kind, use.dataset): use.bytes for use in space.used()}


def test_every_kind_is_counted_for_its_dataset(acme: TenantRef, globex: TenantRef) -> None:
    with in_tenant(globex):
        stored_file(dataset_with(slug="orders"), data=b"x" * 5000)
    with in_tenant(acme):
        dataset = make_orders()
        stored_file(dataset, data=b"id,note\n")
        job = upload(dataset)

        found = kinds()

    assert found["exports", dataset.slug] == 8
    assert found["staged rows", dataset.slug] > 0
    assert found["uploads", dataset.slug] == job.bytes
    assert found["records", dataset.slug] > 0 and found["history", dataset.slug] > 0


@pytest.mark.case("T17", "O14")
def test_strays_are_removed_and_missing_files_marked_in_the_tenant_alone(pair: list[TenantRef]) -> None:
    t1, t10 = pair
    for ref in pair:
        with in_tenant(ref):
            storage.save(STRAY, io.BytesIO(b"no row knows it"))
            kept = stored_file(dataset_with())
    with in_tenant(t10):
        theirs = keys()
    with in_tenant(t1):
        gone = stored_file(Dataset.objects.get(), number=2)
        storage.delete(gone.key)

        found = check_storage(now=now() + LATER)

        assert [key for key, _ in found.orphans] == [f"t1/{STRAY}"]
        assert found.missing == [gone]
        assert f"t1/{STRAY}" in keys(), "a check changes nothing"

        check_storage(now=now() + LATER, mend=True)

        assert keys() == {kept.key.replace("t10/", "t1/")}
        gone.refresh_from_db()
        assert gone.fault == Fault.MISSING
        assert Event.objects.get(name="exporter.storage.mended").data == {"removed": 1, "missing": 1}
    with in_tenant(t10):
        assert keys() == theirs


def test_what_was_stored_a_moment_ago_is_no_stray_yet(as_acme: TenantRef) -> None:
    storage.save(STRAY, io.BytesIO(b"its row may be committed next"))

    found = check_storage(now=now(), mend=True)

    assert (found.orphans, found.young) == ([], 1)
    assert f"acme/{STRAY}" in keys()


def test_uploads_of_every_state_are_known(as_acme: TenantRef) -> None:
    dataset = make_orders()
    upload(dataset)

    assert check_storage(now=now() + LATER).orphans == []


@pytest.mark.parametrize("server", ["on_moto", "on_rclone"])
def test_a_check_on_s3_pages_over_a_thousand_objects(
    server: str, pair: list[TenantRef], request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(server)
    strays = 1005 if server == "on_moto" else 3
    with in_tenant(pair[1]):
        storage.save("exports/t1/x.csv", io.BytesIO(b"another tenant's"))
    with in_tenant(pair[0]):
        export_of = dataset_with([["1", "a"]])
        run = export(datasets=[export_of])
        for number in range(strays):
            storage.save(f"exports/orders/2020/01/01/orders_{number}.csv", io.BytesIO(b"x"))

        found = check_storage(now=now() + LATER, mend=True)

        assert len(found.orphans) == strays
        assert keys() >= {file.key for file in run.files.all()}
        assert check_storage(now=now() + LATER).orphans == []
    with in_tenant(pair[1]):
        assert keys() == {"t10/exports/t1/x.csv"}


def test_space_is_noted_once_a_day_and_shown_as_it_grew(as_acme: TenantRef) -> None:
    today = date(2026, 11, 20)
    stored_file(dataset_with(), data=b"x" * 100)
    assert sample_space(today=today - timedelta(days=1))
    assert not sample_space(today=today - timedelta(days=1))
    SpaceSample.objects.exclude(kind="exports").delete()

    grown = trend([space.Use("exports", "orders", 2, 300), space.Use("uploads", "", 1, 7)], today=today)

    assert grown.kinds == ("exports", "uploads")
    assert grown.days == (Day(today - timedelta(days=1), (100, 0)), Day(today, (300, 7)))
    assert grown.most == 307


def test_a_datasets_own_settings_decide_how_long_its_files_stay(as_acme: TenantRef, settings: Any) -> None:
    settings.ROWHOUSE_EXPORT_KEEP_DAYS, settings.ROWHOUSE_EXPORT_KEEP_COUNT = 30, 1000
    own, other = dataset_with(slug="own"), dataset_with(slug="other")
    ExportSettings.objects.create(keep_days=0, keep_daily=2)
    ExportSettings.objects.create(dataset=own, keep_count=1)

    keep = policies()

    assert keep(own.pk) == Policy(keep_days=30, keep_count=1)
    assert keep(other.pk) == keep("deleted") == Policy(keep_days=0, keep_count=1000, keep_daily=2)
    at = datetime(2026, 11, 20, 12, tzinfo=UTC)
    files = [stored_file(one, at=at - timedelta(hours=hours)) for one in (own, other) for hours in (0, 1)]
    assert prune_exports(now=at, dry_run=True) == [files[1]]


# ---- the page ----------------------------------------------------------------------------------------------


def test_the_page_shows_space_the_quota_and_what_would_go(
    as_acme: TenantRef, client_of: Any, settings: Any
) -> None:
    settings.ROWHOUSE_QUOTA_MB, settings.ROWHOUSE_EXPORT_KEEP_COUNT = 1, 1
    dataset = dataset_with(slug="orders")
    old, new = (stored_file(dataset, at=now() - timedelta(hours=hours), number=2 - hours) for hours in (1, 0))
    client, address = client_of(as_acme), reverse("admin:exporter_exportfile_space")

    shown = client.get(address).content.decode()
    assert "of 1.0\xa0MB" in shown and "Orders: 1 file" in shown and old.file_name in shown
    tried = client.get(address, {"try": "yes", "keep_days": 0, "keep_count": 0, "keep_mb": 0, "keep_daily": 0,
                                 "keep_monthly": 0}).content.decode()  # fmt: skip
    assert "With these limits every file would stay." in tried
    wrong = client.get(address, {"try": "yes", "keep_days": "-1"}).content.decode()
    assert "greater than or equal to 0" in wrong
    with in_tenant(as_acme):
        assert ExportFile.objects.stored().count() == 2, "looking removes nothing"

    done = client.post(address, follow=True).content.decode()
    assert "1 file removed" in done
    with in_tenant(as_acme):
        assert list(ExportFile.objects.stored()) == [new]
        assert Event.objects.get(name="exporter.files.pruned").actor_label == "owner@acme.example"


def test_an_empty_tenant_is_told_how_to_begin(as_acme: TenantRef, client_of: Any) -> None:
    shown = client_of(as_acme).get(reverse("admin:exporter_exportfile_space")).content.decode()

    assert "Make a dataset" in shown or "Of no single dataset" in shown


# ---- the command -------------------------------------------------------------------------------------------


def test_the_command_finds_and_mends(acme: TenantRef, tmp_path: Path) -> None:
    from exporter.tests.test_commands import run  # noqa: PLC0415 -- beside its use

    with in_tenant(acme):
        dataset_with()
        key = storage.save(STRAY, io.BytesIO(b"stray")).key
    old = (now() - LATER).timestamp()
    os.utime(tmp_path / "storage" / key, (old, old))

    code, said, _ = run("storage_usage", "--tenant", "acme", "--check")
    assert (code, said["check"]["orphans"]) == (1, [{"key": key, "bytes": 5}])
    code, said, _ = run("storage_usage", "--tenant", "acme", "--check", "--mend")
    assert (code, said["files"], said["check"]["is_mended"]) == (0, 0, True)
    assert run("storage_usage", "--tenant", "acme", "--check")[:2] == (
        0,
        {"usage": [], "files": 0, "bytes": 0,
         "check": {"objects": 0, "orphans": [], "young": 0, "missing": [], "missing_manifests": [],
                   "is_mended": False}},
    )  # fmt: skip
    assert run("storage_usage", "--tenant", "acme", "--mend")[0] == 2
