"""The import_file and list_imports commands."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from core.tenancy import TenantRef, in_tenant
from importer import saved_mappings
from importer.models import ImportJob
from importer.tests.tools import GOOD, make_orders, records

KEYS = [
    "job", "state", "created", "updated", "unchanged", "rejected", "missing", "deleted", "issues",
    "warnings", "doubts", "unmapped", "seconds",
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
    assert said.startswith("error[not-confirmable]: The file has 2 rejected rows")
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


def test_a_mapping_says_more_than_columns(tenant: TenantRef, tmp_path: Path) -> None:
    mapping = {
        "zzz": {"column": "id", "trim": True},
        "what": [
            {"column": "status", "split": "/", "case": "lower", "values": {"neu": "new"}},
            {"column": "note", "split": "/", "part": 2, "join": ["zzz"], "separator": " of "},
        ],
        "": [{"column": "amount", "constant": "1,5", "decimal_mark": ","}],
    }
    file = write(tmp_path, "zzz,what\n 1 ,Neu/x\n")
    code, done, said = run(tenant, file, "--mapping", json.dumps(mapping))
    assert (code, done.get("created")) == (0, 1), said
    with in_tenant(tenant):
        job = ImportJob.objects.get()
        assert [str(value) for value in records(job.dataset)[0]] == ["1", "new", "1.50", "x of  1 "]
    # What the import used is shown as it was written, and can be used again.
    shown = describe(tenant, "--job", str(job.pk))
    assert shown == mapping | {"zzz": {"column": "id", "trim": True}}
    code, done, said = run(tenant, file, "--mapping", json.dumps(shown))
    assert (code, done.get("unchanged")) == (0, 1), said


def test_a_mapping_is_given_by_name(tenant: TenantRef, tmp_path: Path) -> None:
    file = write(tmp_path, "zzz,yyy\n1,new\n")
    run(tenant, file, "--mapping", '{"zzz": "id", "yyy": "status"}', "--preview")
    with in_tenant(tenant):
        saved_mappings.save_as(job=ImportJob.objects.get(), name="Shop", by=None)
    code, done, said = run(tenant, write(tmp_path, "yyy,zzz\nnew,1\n", "other.csv"), "--mapping", "Shop")
    assert (code, done.get("created")) == (0, 1), said
    code, _, said = run(tenant, file, "--mapping", "Shopp")
    assert (code, said) == (
        2,
        "error[no-such-mapping]: This dataset has no mapping 'Shopp'. It has 'Shop'.\n",
    )
    assert describe(tenant, "--dataset", "orders", "--name", "Shop") == {"zzz": "id", "yyy": "status"}
    out = io.StringIO()
    call_command("list_mappings", "--tenant", tenant.slug, "--dataset", "orders", "--json", stdout=out)
    assert [entry["name"] for entry in json.loads(out.getvalue())["mappings"]] == ["Shop"]


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        ('{"id": ', "error[usage]: --mapping is no JSON"),
        ('{"id": "id", "id": null}', "error[usage]: --mapping says “id” twice."),
        ('{"id": 1}', "error[bad-mapping]"),
        (
            '{"id": {"column": "id", "colour": "red"}}',
            "error[bad-mapping]: “id”: there is no option 'colour'",
        ),
    ],
)
def test_a_mapping_that_cannot_be_read_is_refused(
    tenant: TenantRef, tmp_path: Path, mapping: str, said: str
) -> None:
    code, _, words = run(tenant, write(tmp_path, GOOD), "--mapping", mapping)
    assert code == 2
    assert words.startswith(said)
    with in_tenant(tenant):
        assert not ImportJob.objects.exists()


def test_a_recipe_that_cannot_work_fails_before_a_row_is_read(tenant: TenantRef, tmp_path: Path) -> None:
    mapping = json.dumps(
        {"": [{"column": "note", "constant": "x"}], "amount": {"column": "amount", "default": "much"}}
    )
    code, done, said = run(tenant, write(tmp_path, "id,status,amount\n1,new,\n"), "--mapping", mapping)
    assert (code, done["state"]) == (1, "PREVIEW_FAILED")
    assert said.startswith("error[type-error]: “much” for amount: ")


def describe(tenant: TenantRef, *options: str) -> Any:
    out = io.StringIO()
    call_command("describe_mapping", "--tenant", tenant.slug, "--json", *options, stdout=out)
    return json.loads(out.getvalue())


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
