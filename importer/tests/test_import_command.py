"""The import_file and list_imports commands."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from core.tenancy import TenantRef, in_tenant
from importer.models import ImportJob
from importer.tests.tools import GOOD, make_orders, records

KEYS = [
    "job", "state", "created", "updated", "unchanged", "rejected", "missing", "deleted", "issues", "seconds",
]  # fmt: skip
FAULTY = "id,status,amount\n1,new,ten\n2,paid,1.00\n2,paid,1.00\n"


@pytest.fixture
def tenant(acme: TenantRef) -> TenantRef:
    with in_tenant(acme):
        make_orders()
    return acme


def run(tenant: TenantRef, file: Path, *options: str) -> tuple[int, dict[str, Any], str]:
    """Run the command; return exit code, JSON and what it said on stderr."""
    out, err = io.StringIO(), io.StringIO()
    words = [str(file), "--tenant", tenant.slug, "--dataset", "orders", "--json", *options]
    try:
        call_command("import_file", *words, stdout=out, stderr=err)
        code = 0
    except SystemExit as ended:
        code = int(ended.code or 0)
    return code, json.loads(out.getvalue()) if out.getvalue() else {}, err.getvalue()


def write(folder: Path, text: str, name: str = "orders.csv") -> Path:
    file = folder / name
    file.write_text(text)
    return file


def test_a_good_file_and_the_same_again(tenant: TenantRef, tmp_path: Path) -> None:
    file = write(tmp_path, GOOD)
    code, first, _ = run(tenant, file, "--as", f"owner@{tenant.slug}.example")
    assert (code, list(first)) == (0, KEYS)
    assert (first["state"], first["created"]) == ("IMPORT_SUCCEEDED", 3)
    code, again, _ = run(tenant, file)
    assert (code, again["created"], again["updated"], again["unchanged"]) == (0, 0, 0, 3)


def test_rejected_rows_give_exit_code_3_and_a_file(tenant: TenantRef, tmp_path: Path) -> None:
    rejects = tmp_path / "rejects.csv"
    code, done, _ = run(tenant, write(tmp_path, FAULTY), "--rejects", str(rejects))
    assert (code, done["created"], done["rejected"]) == (3, 1, 2)
    assert done["issues"] == {"type-error": 1, "primary-key": 1}
    assert len(rejects.read_text("utf-8-sig").splitlines()) == 3


def test_all_or_nothing_refuses_with_exit_code_2(tenant: TenantRef, tmp_path: Path) -> None:
    code, done, said = run(tenant, write(tmp_path, FAULTY), "--all-or-nothing")
    assert (code, done["state"]) == (2, "PREVIEW_SUCCEEDED")
    assert said.startswith("error[not-confirmable]: 2 of its rows are rejected")
    with in_tenant(tenant):
        assert records(ImportJob.objects.get().dataset) == []


def test_a_preview_writes_nothing(tenant: TenantRef, tmp_path: Path) -> None:
    code, done, _ = run(tenant, write(tmp_path, GOOD), "--preview")
    assert (code, done["state"], done["created"]) == (0, "PREVIEW_SUCCEEDED", 3)


def test_a_mapping_is_given_by_words(tenant: TenantRef, tmp_path: Path) -> None:
    mapping = json.dumps({"zzz": "id", "yyy": "status", "xxx": None})
    file = write(tmp_path, "zzz,yyy,xxx\n1,new,?\n")
    assert run(tenant, file, "--mapping", mapping)[0] == 0
    code, _, said = run(tenant, file, "--mapping", '{"zzz": "nothing"}')
    assert code == 2
    assert said.startswith("error[unknown-column]")


def test_a_mapping_of_a_file_without_labels_is_honoured(tenant: TenantRef, tmp_path: Path) -> None:
    mapping = json.dumps({"column 1": "status", "column 2": "id"})
    file = write(tmp_path, "new,1\npaid,2\n")
    code, done, said = run(tenant, file, "--header-row", "0", "--mapping", mapping)
    assert (code, done.get("created")) == (0, 2), said


def test_without_labels_and_a_mapping_nothing_is_called_a_duplicate(
    tenant: TenantRef, tmp_path: Path
) -> None:
    code, done, said = run(tenant, write(tmp_path, "1,new,1.00,x\n"), "--header-row", "0")
    assert (code, done["issues"]) == (1, {"missing-label": 2})
    assert said.startswith("error[missing-label]")


def test_a_mapping_that_names_a_label_the_file_lacks_is_refused(tenant: TenantRef, tmp_path: Path) -> None:
    code, done, said = run(tenant, write(tmp_path, GOOD), "--mapping", '{"idd": "id"}')
    assert (code, done["state"]) == (1, "PREVIEW_FAILED")
    assert said.startswith(
        "error[missing-label]: The file has no label “idd”; it has “id”, “status”, “amount”, “note”."
    )


def test_a_file_that_lacks_a_required_column_fails_with_the_code(tenant: TenantRef, tmp_path: Path) -> None:
    code, done, said = run(tenant, write(tmp_path, "id,amount\n1,2\n"))
    assert (code, done["state"]) == (1, "PREVIEW_FAILED")
    assert said.startswith("error[missing-label]")


def test_encoding_delimiter_and_header_row_can_be_said(tenant: TenantRef, tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_bytes("made by us\nid;status;note\n1;new;Grüße\n".encode("cp1252"))
    code, done, said = run(tenant, file, "--encoding", "cp1252", "--delimiter", ";", "--header-row", "2")
    assert (code, done["created"]) == (0, 1), said
    with in_tenant(tenant):
        assert records(ImportJob.objects.get().dataset)[0][3] == "Grüße"


def test_imports_are_listed(tenant: TenantRef, tmp_path: Path) -> None:
    run(tenant, write(tmp_path, GOOD))
    out = io.StringIO()
    call_command("list_imports", "--tenant", tenant.slug, "--json", stdout=out)
    (entry,) = json.loads(out.getvalue())["imports"]
    assert (entry["dataset"], entry["file"], entry["created"]) == ("orders", "orders.csv", 3)
