"""create_dataset, list_datasets and describe_dataset."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from core.tenancy import TenantRef, in_tenant
from datasets.models import Dataset


def run(name: str, *args: str) -> Any:
    """Return what a command prints with --json."""
    out = StringIO()
    call_command(name, *args, "--json", stdout=out)
    return json.loads(out.getvalue())


def refused(name: str, *args: str) -> str:
    """Return what a refused command says."""
    errors = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command(name, *args, stderr=errors)
    assert ended.value.code == 2
    return errors.getvalue()


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    path = tmp_path / "orders.csv"
    path.write_bytes(
        b"\xef\xbb\xbfOrder no;Amount;Ordered on;Note\r\n"
        b'A-1;12.50;2026-11-20;"two\nlines; here"\r\n'
        b"A-2;3.00;2026-11-21;\r\n"
    )
    return path


def test_a_dataset_is_inferred_from_a_file(acme: TenantRef, globex: TenantRef, sample: Path) -> None:
    made = run(
        "create_dataset", "--tenant", "acme", "--name", "Orders", "--infer", str(sample), "--key", "Order no"
    )
    assert (made["dataset"], made["key"]) == ("orders", ["Order no"])
    fields = {field["name"]: field["type"] for field in made["definition"]["fields"]}
    assert fields == {"Order no": "string", "Amount": "number", "Ordered on": "date", "Note": "string"}
    assert run("list_datasets", "--tenant", "acme")["datasets"] == [
        {"dataset": "orders", "title": "Orders", "records": 0, "is_exact": True, "definition_version": 1}
    ]
    assert run("list_datasets", "--tenant", "globex")["datasets"] == []


def test_a_definition_goes_out_and_in_again(
    acme: TenantRef, globex: TenantRef, sample: Path, tmp_path: Path
) -> None:
    run("create_dataset", "--tenant", "acme", "--name", "Orders", "--infer", str(sample))
    described = run("describe_dataset", "--tenant", "acme", "orders")
    path = tmp_path / "orders.json"
    path.write_text(json.dumps(described))
    run("create_dataset", "--tenant", "globex", "--definition", str(path))
    assert run("describe_dataset", "--tenant", "globex", "--dataset", "orders") == described
    with in_tenant(globex):
        assert Dataset.objects.get().title == "Orders"


def test_faults_are_named(acme: TenantRef, sample: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.csv"
    empty.write_bytes(b"")
    create = ("create_dataset", "--tenant", "acme", "--name", "X", "--infer")
    assert "No such file" in refused(*create, str(tmp_path / "none.csv"))
    assert "is empty" in refused(*create, str(empty))
    assert "which is no column" in refused(*create, str(sample), "--key", "Nothing")
    assert "error[unknown-dataset]" in refused("describe_dataset", "--tenant", "acme", "nothing")
    assert "is no JSON" in refused("create_dataset", "--tenant", "acme", "--definition", str(sample))


def test_a_definition_is_compared_with_a_dataset(
    acme: TenantRef, globex: TenantRef, sample: Path, tmp_path: Path
) -> None:
    run("create_dataset", "--tenant", "acme", "--name", "Orders", "--infer", str(sample))
    schema = run("describe_dataset", "orders", "--tenant", "acme")
    file = tmp_path / "orders.json"
    file.write_text(json.dumps(schema))
    compared = ("describe_dataset", "orders", "--tenant", "acme", "--compare", str(file))
    assert run(*compared) == {"dataset": "orders", "differences": []}
    schema["fields"].append({"name": "Weight", "type": "integer"})
    file.write_text(json.dumps(schema))
    assert run(*compared)["differences"] == [
        {"kind": "added", "label": "Weight", "here": "", "there": "Whole number"}
    ]
    file.write_text('{"fields": [,]}')
    assert "in line 1, column 13" in refused(*compared)
