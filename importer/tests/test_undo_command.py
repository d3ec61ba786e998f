"""The undo_import command."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import call_command

from accounts.services import create_user
from core.tenancy import TenantRef, in_tenant
from datasets.models import Dataset
from importer.models import ImportJob
from importer.tests.tools import import_text, make_orders, records
from importer.tests.undo_tools import edit

KEYS = ["job", "undoes", "state", "removed", "restored", "brought_back", "kept", "kept_keys", "seconds"]
CHANGED = "id,status,amount,note\n1,sent,10.00,called\n2,paid,20.50,\n4,new,4.00,fresh\n"


@pytest.fixture
def job(acme: TenantRef, globex: TenantRef) -> ImportJob:
    """An import that changed one order and added one."""
    with in_tenant(acme):
        orders = make_orders()
        import_text(orders)
        return import_text(orders, CHANGED)


def run(tenant: TenantRef, *words: object) -> tuple[int, dict[str, Any], str]:
    """Run the command; return exit code, JSON and what it said on stderr."""
    out, err = io.StringIO(), io.StringIO()
    try:
        options = [*map(str, words), "--tenant", tenant.slug, "--json"]
        call_command("undo_import", *options, stdout=out, stderr=err)
        code = 0
    except SystemExit as ended:
        code = int(ended.code or 0)
    return code, json.loads(out.getvalue()) if out.getvalue() else {}, err.getvalue()


def test_an_import_is_undone_and_the_undo_too(acme: TenantRef, job: ImportJob) -> None:
    code, done, _ = run(acme, job.pk, "--as", "owner@acme.example")
    assert (code, list(done)) == (0, KEYS)
    assert [done[key] for key in KEYS[1:-1]] == [job.pk, "IMPORT_SUCCEEDED", 1, 1, 0, 0, []]
    code, again, _ = run(acme, done["job"])
    assert (code, [again[key] for key in KEYS[1:-1]]) == (
        0,
        [done["job"], "IMPORT_SUCCEEDED", 0, 1, 1, 0, []],
    )
    with in_tenant(acme):
        assert [row[:2] for row in records(Dataset.objects.get())] == [
            (1, "sent"),
            (2, "paid"),
            (3, "sent"),
            (4, "new"),
        ]


def test_a_preview_writes_nothing_and_is_gone_on_with(acme: TenantRef, job: ImportJob) -> None:
    code, previewed, _ = run(acme, job.pk, "--preview")
    assert (code, previewed["state"], previewed["removed"]) == (0, "PREVIEW_SUCCEEDED", 1)
    with in_tenant(acme):
        assert len(records(Dataset.objects.get())) == 4
    code, done, _ = run(acme, job.pk)
    assert (code, done["job"], done["state"]) == (0, previewed["job"], "IMPORT_SUCCEEDED")


def test_kept_records_give_exit_code_3_and_their_keys(acme: TenantRef, job: ImportJob) -> None:
    with in_tenant(acme):
        edit(Dataset.objects.get(), 4, note="by hand")
    code, done, _ = run(acme, job.pk)
    assert (code, done["kept"], done["kept_keys"], done["restored"]) == (3, 1, ["4"], 1)


def test_what_is_undone_already_is_refused(acme: TenantRef, job: ImportJob) -> None:
    run(acme, job.pk)
    code, data, said = run(acme, job.pk)
    assert (code, data) == (2, {})
    assert said.startswith("error[not-undoable]: ")


def test_an_unknown_import_and_another_tenants_are_refused(
    acme: TenantRef, globex: TenantRef, job: ImportJob
) -> None:
    assert run(acme, 10**9)[0] == 2
    code, _, said = run(globex, job.pk)
    assert (code, said.startswith("error[unknown-import]")) == (2, True)


def test_somebody_without_the_rights_is_refused(acme: TenantRef, job: ImportJob) -> None:
    with in_tenant(acme):
        create_user(email="guest@acme.example", password="correct horse battery", role="viewer")
    code, _, said = run(acme, job.pk, "--as", "guest@acme.example")
    assert (code, said.startswith("error[not-permitted]")) == (2, True)


def test_without_json_it_says_what_was_done(acme: TenantRef, job: ImportJob) -> None:
    out = io.StringIO()
    call_command("undo_import", str(job.pk), "--tenant", acme.slug, stdout=out)
    assert "1 record removed, 1 restored, 0 brought back, 0 kept." in out.getvalue()
