"""The manifest of each run, the pointer to each dataset's newest file, and what proves them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from frictionless import Package

from core import storage
from core.tenancy import TenantRef, in_tenant
from datasets.models import Dataset
from exporter import latest
from exporter.models import Content, ExportFile, ExportRun, ExportSettings, Fault
from exporter.pruning import prune_exports
from exporter.retention import Policy
from exporter.services import verify_exports
from exporter.tests.helpers import column, content, dataset_with, export, insert, stored_file
from exporter.tests.test_commands import run
from exporter.tests.test_schedule import come

SLOT = datetime(2026, 8, 26, 14, tzinfo=UTC)
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def read(key: str) -> Any:
    with storage.open_read(key) as stored:
        return json.loads(stored.read())


def pointer(slug: str = "orders") -> dict[str, Any]:
    found: dict[str, Any] = read(storage.key_of(f"exports/{slug}/latest.json"))
    return found


def wide() -> Dataset:
    return dataset_with(
        [["1", "a", "1.50", "true", "2026-08-26", "2026-08-26T14:00:00Z", "new", "14:00:00", '{"a": 1}']],
        column("id", "integer"),
        column("note", is_required=True),
        column("amount", "decimal", precision=10, scale=2, minimum="0"),
        column("paid", "boolean"),
        column("day", "date"),
        column("at", "timestamp"),
        column("state", "choice", choices=("new", "done")),
        column("opens", "time"),
        column("data", "json"),
        slug="wide",
    )


def test_a_manifest_says_what_the_run_left(t1: TenantRef) -> None:
    dataset = dataset_with([["1", "a"], ["2", None]])

    made = export()

    file, manifest = made.files.get(), read(made.manifest_key)
    assert made.manifest_key == f"t1/exports/_run_{made.created_at:%Y%m%dT%H%M%SZ}_{made.pk}.json"
    assert storage.sha256_of(made.manifest_key) == made.manifest_sha256
    assert manifest["rowhouse"] == {
        "version": 1, "tenant": "t1", "run": made.pk, "trigger": "MANUAL", "slot": None,
        "snapshot": made.snapshot, "skipped": [],
    }  # fmt: skip
    [resource] = manifest["resources"]
    columns = [[one.pk, one.label] for one in dataset.spec().columns]
    assert resource == {
        "name": "orders", "title": "Orders", "path": file.key.removeprefix("t1/exports/"), "format": "csv",
        "mediatype": "text/csv", "encoding": "utf-8", "bytes": file.bytes, "hash": f"sha256:{file.sha256}",
        "dialect": {
            "delimiter": ",", "quoteChar": '"', "doubleQuote": True, "lineTerminator": "\n",
            "skipInitialSpace": False, "header": True,
        },
        "schema": {
            "fields": [
                {"name": "id", "type": "integer", "constraints": {"required": True}},
                {"name": "note", "type": "string"},
            ],
            "missingValues": [""],
            "primaryKey": ["id"],
        },
        "rowhouse": {
            "key": file.key, "rows": 2, "mode": "EXACT", "content": "FULL", "base": None,
            "definition_version": dataset.definition_version, "history_id": file.history_id, "columns": columns,
        },
    }  # fmt: skip


def test_other_programs_read_the_package_and_find_its_files_valid(t1: TenantRef, tmp_path: Path) -> None:
    ExportSettings.objects.create(content=Content.INCREMENTAL)
    wide()
    orders = dataset_with([["1", "a"], ["2", None]])
    export()
    insert(orders, [["3", "b"]])

    made = export()

    report = Package(str(tmp_path / "storage" / made.manifest_key)).validate()
    assert report.valid, report.flatten(["title", "message"])
    assert {task.name: task.stats.get("rows") or 0 for task in report.tasks} == {"orders": 1, "wide": 0}
    assert {one["rowhouse"]["content"] for one in read(made.manifest_key)["resources"]} == {"INCREMENTAL"}
    full = Package(str(tmp_path / "storage" / ExportRun.objects.earliest("pk").manifest_key)).validate()
    assert full.valid, full.flatten(["title", "message"])


def test_verify_proves_rows_files_and_manifests_against_each_other(
    pair: list[TenantRef], tmp_path: Path
) -> None:
    with in_tenant(pair[0]):
        dataset_with([["1", "a"]])
        gone, altered, other, counted = (export() for _ in range(4))
        file = counted.files.get()
        folder = tmp_path / "storage"
        checked = {"checked": 4, "manifests": 4, "bytes": 4 * file.bytes, "deep": True}
    assert run("verify_exports", "--tenant", "t1", "--deep")[:2] == (0, {**checked, "faults": []})

    with in_tenant(pair[0]):
        (folder / gone.manifest_key).unlink()
        data = (folder / altered.manifest_key).read_bytes()
        (folder / altered.manifest_key).write_bytes(data.replace(b'"rows": 1', b'"rows": 2'))
        ExportFile.objects.filter(run__in=[other, counted]).update(rows=7)

    code, said, _ = run("verify_exports", "--tenant", "t1", "--deep")

    faults = [
        {"key": gone.manifest_key, "fault": "MISSING"},
        {"key": altered.manifest_key, "fault": "ALTERED"},
        {"key": other.manifest_key, "fault": "DIFFERENT"},
        {"key": counted.manifest_key, "fault": "DIFFERENT"},
    ]
    with in_tenant(pair[0]):
        wrong = ExportFile.objects.filter(run__in=[other, counted]).values_list("key", flat=True)
        faults += [{"key": key, "fault": "ROWS"} for key in wrong]
    assert (code, said) == (1, {**checked, "faults": faults})
    assert len(run("verify_exports", "--tenant", "t1")[1]["faults"]) == 4


def test_the_pointer_names_the_newest_file_and_all_it_takes(t1: TenantRef) -> None:
    ExportSettings.objects.create(content=Content.INCREMENTAL)
    dataset_with([["1", "a"]])
    first = export().files.get()
    assert pointer()["files"] == [first.key]

    made = export()

    second = made.files.get()
    assert pointer() == {
        "key": second.key, "rows": 0, "bytes": second.bytes, "sha256": second.sha256,
        "at": second.created_at.isoformat().replace("+00:00", "Z"), "format": "csv", "content": "INCREMENTAL",
        "files": [first.key, second.key], "manifest": made.manifest_key,
    }  # fmt: skip


def test_the_pointer_is_mended_after_pruning_and_when_its_file_is_damaged(
    as_acme: TenantRef, tmp_path: Path
) -> None:
    dataset = dataset_with()
    newest, older, oldest = (stored_file(dataset, at=NOW - timedelta(hours=hours)) for hours in (1, 2, 3))
    latest.point(["orders"])
    assert pointer()["key"] == newest.key

    (tmp_path / "storage" / newest.key).write_bytes(b"rubbish")
    verify_exports(now=NOW)
    assert pointer()["key"] == older.key

    ExportFile.objects.filter(pk=older.pk).update(fault=Fault.MISSING)
    prune_exports(now=NOW, keep=Policy(0, 1))
    assert pointer()["key"] == oldest.key

    ExportFile.objects.filter(pk=oldest.pk).update(deleted_at=NOW)
    latest.point(["orders"])
    assert not storage.exists("acme/exports/orders/latest.json")


def test_a_slow_worker_does_not_take_the_pointer_back(
    as_acme: TenantRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it writes what it has read, another stores a newer file."""
    dataset = dataset_with()
    stored_file(dataset, at=NOW - timedelta(hours=1))
    newer: list[ExportFile] = []
    save = storage.LocalStore.save

    def slow(store: storage.LocalStore, path: str, file: Any) -> storage.Stored:
        if path.endswith("/latest.json") and not newer:
            newer.append(stored_file(dataset, at=NOW))
        return save(store, path, file)

    monkeypatch.setattr(storage.LocalStore, "save", slow)

    latest.point(["orders"])

    assert pointer()["key"] == newer[0].key


def test_a_run_of_no_files_has_no_manifest_and_one_of_some_says_what_was_skipped(t1: TenantRef) -> None:
    dataset_with([["1", "a"]])
    first = come(SLOT)
    assert first is not None
    none = come(SLOT + timedelta(hours=1))
    dataset_with([["1", "a"]], slug="parts")
    some = come(SLOT + timedelta(hours=2))

    assert none is not None and (none.manifest_key, len(none.skipped)) == ("", 1)
    assert some is not None
    manifest = read(some.manifest_key)
    assert [one["name"] for one in manifest["resources"]] == ["parts"]
    assert manifest["rowhouse"]["skipped"] == none.skipped == some.skipped
    assert pointer()["manifest"] == first.manifest_key


def test_changes_go_on_from_the_file_that_was_not_written_again(t1: TenantRef) -> None:
    ExportSettings.objects.create(content=Content.INCREMENTAL)
    dataset = dataset_with([["1", "a"]])
    base, unchanged = (come(SLOT + timedelta(hours=hours)) for hours in (0, 1))
    insert(dataset, [["2", "b"]])
    changed = come(SLOT + timedelta(hours=2))

    assert base is not None and unchanged is not None and changed is not None
    assert (unchanged.files.count(), changed.files.get().base) == (0, base.files.get())
    assert content(changed.files.get()) == b"_change,id,note\ncreated,2,b\n"
    ExportFile.objects.filter(run=base).update(fault=Fault.ALTERED)
    again = come(SLOT + timedelta(hours=3))
    assert again is not None and again.files.get().content == Content.FULL  # no chain, no file that holds
