"""The commands: one JSON object, lines for people, exit codes."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from core.tenancy import TenantRef, in_tenant
from exporter.models import ExportFile
from exporter.tests.helpers import dataset_with, stored_file
from tenants.models import Tenant


def run(name: str, *arguments: str, as_json: bool = True) -> tuple[int, Any, str]:
    """Run a command; returns exit code, what it printed (JSON read), and its errors."""
    out, err = io.StringIO(), io.StringIO()
    code = 0
    try:
        call_command(name, *arguments, *(["--json"] if as_json else []), stdout=out, stderr=err)
    except SystemExit as ended:
        code = int(ended.code or 0)
    said = out.getvalue()
    return code, json.loads(said) if as_json and said else said, err.getvalue()


@pytest.fixture
def t1_orders(pair: list[TenantRef]) -> TenantRef:
    """t1 with a dataset of two orders and an empty one of parts; the commands enter it themselves."""
    with in_tenant(pair[0]):
        dataset_with([["1", "a"], ["2", None]], slug="orders")
        dataset_with(slug="parts")
    return pair[0]


def test_export_datasets_exports_all_and_says_what(t1_orders: TenantRef, tmp_path: Path) -> None:
    code, said, _ = run("export_datasets", "--tenant", "t1", "--to", str(tmp_path / "copies"))

    assert (code, said["state"], said["tenant"], said["error"]) == (0, "SUCCEEDED", "t1", "")
    assert [(one["dataset"], one["rows"]) for one in said["exports"]] == [("orders", 2), ("parts", 0)]
    with in_tenant(t1_orders):
        file = ExportFile.objects.get(dataset_slug="orders")
    orders = said["exports"][0]
    assert (orders["key"], orders["sha256"], orders["bytes"]) == (file.key, file.sha256, file.bytes)
    assert Path(orders["path"]).read_bytes() == b"id,note\n1,a\n2,\n"


def test_export_datasets_writes_the_format_and_the_mode_it_is_asked_for(
    t1_orders: TenantRef, tmp_path: Path
) -> None:
    code, said, _ = run(
        "export_datasets", "--tenant", "t1", "--dataset", "orders", "--format", "csv.gz", "--spreadsheet",
        "--to", str(tmp_path / "copies"),
    )  # fmt: skip

    told = said["exports"][0]
    assert (code, told["format"], told["mode"]) == (0, "csv.gz", "SPREADSHEET")
    assert gzip.decompress(Path(told["path"]).read_bytes()) == b"\xef\xbb\xbfid,note\n1,a\n2,\n"


def test_export_datasets_exports_the_named_ones_alone(t1_orders: TenantRef) -> None:
    code, said, _ = run("export_datasets", "--tenant", "t1", "--dataset", "parts", "--as", "owner@t1.example")

    assert (code, [one["dataset"] for one in said["exports"]]) == (0, ["parts"])


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--format", "exe"], "error[bad-form]: 'exe' is no format of export files. "),
        (["--dataset", "nothing"], "error[unknown-dataset]: "),
        (["--as", "nobody@example.com"], "error[unknown-user]: "),
    ],
)
def test_what_cannot_be_exported_is_refused(t1_orders: TenantRef, arguments: list[str], error: str) -> None:
    code, said, errors = run("export_datasets", "--tenant", "t1", *arguments)

    assert (code, said) == (2, "")
    assert errors.startswith(error)


@pytest.mark.case("T33")
def test_a_command_without_its_tenant_is_refused() -> None:
    from django.core.management import CommandError  # noqa: PLC0415 -- beside its one use

    with pytest.raises(CommandError, match="--tenant"):
        call_command("list_exports")


def test_a_failed_export_exits_1_and_says_why(t1_orders: TenantRef, tmp_path: Path) -> None:
    (tmp_path / "storage").write_text("a file where a folder must be")

    code, said, _ = run("export_datasets", "--tenant", "t1")

    assert (code, said["state"], said["error_code"], said["exports"]) == (1, "FAILED", "unexpected", [])
    (tmp_path / "storage").unlink()
    assert run("list_exports", "--tenant", "t1")[1]["failed_runs"][0]["error_code"] == "unexpected"


def test_list_verify_prune_and_usage_agree(acme: TenantRef, settings: Any, tmp_path: Path) -> None:
    settings.ROWHOUSE_EXPORT_KEEP_DAYS, settings.ROWHOUSE_EXPORT_KEEP_COUNT = 0, 1
    with in_tenant(acme):
        dataset = dataset_with()
        old, new = stored_file(dataset, number=1), stored_file(dataset, number=2)
        ExportFile.objects.filter(pk=old.pk).update(created_at="2026-08-01T00:00Z")
    stored = tmp_path / "storage" / old.key

    code, said, _ = run("list_exports", "--tenant", "acme")
    assert (code, [(one["key"], one["state"]) for one in said["exports"]]) == (
        0, [(new.key, "STORED"), (old.key, "STORED")],
    )  # fmt: skip
    assert run("verify_exports", "--tenant", "acme")[:2] == (
        0, {"checked": 2, "faults": [], "bytes": old.bytes + new.bytes, "manifests": 0, "deep": False},
    )  # fmt: skip
    assert run("prune_exports", "--tenant", "acme", "--dry-run")[1]["pruned"] == [old.key]
    assert stored.exists()
    assert run("prune_exports", "--tenant", "acme")[1]["pruned"] == [old.key]
    assert not stored.exists()
    total = new.bytes + (stored.parents[3] / "latest.json").stat().st_size
    usage = {"kind": "exports", "dataset": "orders", "files": 2, "bytes": total}
    assert run("storage_usage", "--tenant", "acme")[1] == {"usage": [usage], "files": 2, "bytes": total}
    assert run("list_exports", "--tenant", "acme")[1]["exports"][1]["state"] == "PRUNED"


def test_verify_exits_1_when_a_file_differs(acme: TenantRef, tmp_path: Path) -> None:
    with in_tenant(acme):
        file = stored_file(dataset_with())
    (tmp_path / "storage" / file.key).write_bytes(b"rubbish")

    code, said, _ = run("verify_exports", "--tenant", "acme", as_json=False)

    assert code == 1
    assert f"{file.key} is altered." in said
    assert "1 file and 0 manifests checked, 1 missing or altered." in said


@pytest.mark.parametrize("name", ["reseal_secrets", "verify_exports", "storage_usage"])
def test_what_an_operator_needs_for_a_suspended_tenant_works_for_it(acme: TenantRef, name: str) -> None:
    Tenant.objects.filter(slug=acme.slug).update(state="SUSPENDED")
    call_command(name, "--tenant", acme.slug, "--json")
    with pytest.raises(SystemExit):
        call_command("list_exports", "--tenant", acme.slug)
