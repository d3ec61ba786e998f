"""The command that proves a log, and the job that seals it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from audit.models import Event, Seal
from audit.services import record
from core.tenancy import TenantRef, in_tenant
from jobs import services as jobs
from jobs.kinds import hourly_kinds
from tenants.backup.models import TenantBackup


def said(*words: str) -> tuple[dict[str, Any], int]:
    out, code = io.StringIO(), 0
    try:
        call_command("verify_audit", *words, "--json", stdout=out)
    except SystemExit as ended:
        code = int(ended.code or 0)
    return json.loads(out.getvalue()), code


def test_an_honest_log_passes_and_an_edited_one_does_not(acme, globex):
    with in_tenant(acme):
        event = record("tests.thing.done")
    told, code = said("--tenant", "acme", "--seal")
    assert (code, told["findings"], told["unsealed"], told["anchors"]) == (0, [], 0, 1)
    with in_tenant(acme), connection.cursor() as cursor:
        cursor.execute("GRANT UPDATE ON audit_event TO CURRENT_USER")  # as its owner could
        Event.objects.filter(pk=event.pk).update(name="tests.thing.left")
    told, code = said("--tenant", "acme")
    assert code == 1
    assert [(one["kind"], one["event"]) for one in told["findings"]] == [("changed", event.pk)]
    assert said("--tenant", "globex")[1] == 0


def test_the_platform_has_a_log_of_its_own(db):
    record("tests.thing.done")
    assert said("--platform", "--seal")[0]["unsealed"] == 0


def test_all_logs_are_sealed_at_once(acme, globex):
    for ref in (acme, globex):
        with in_tenant(ref):
            record("tests.thing.done")
    record("tests.thing.done")
    out = io.StringIO()
    call_command("seal_audit", "--json", stdout=out)
    sealed = {one["tenant"]: one["sealed"] for one in json.loads(out.getvalue())["logs"]}
    assert sealed.keys() >= {None, "acme", "globex"} and min(sealed.values()) >= 0
    assert min(sealed[None], sealed["acme"], sealed["globex"]) >= 1
    out = io.StringIO()
    call_command("seal_audit", "acme", "--json", stdout=out)
    assert json.loads(out.getvalue())["logs"] == [{"tenant": "acme", "sealed": 0}]
    for whose in (("--tenant", "acme"), ("--tenant", "globex")):
        told, code = said(*whose)
        assert (code, told["unsealed"], told["anchors"]) == (0, 0, 1)


@pytest.mark.parametrize("words", [(), ("--tenant", "acme", "--platform")], ids=["neither", "both"])
def test_whose_log_must_be_said(db, words, capsys):
    with pytest.raises(SystemExit) as ended:
        call_command("verify_audit", *words)
    assert ended.value.code == 2


def test_a_job_seals_and_anchors_and_may_run_again(acme):
    assert "audit.seal" in hourly_kinds()
    with in_tenant(acme):
        record("tests.thing.done")
        for _ in range(2):
            job = jobs.submit("audit.seal", target="log", payload={})
            jobs.run_until_done(job.pk)
        assert Seal.objects.count() == 1
    told, code = said("--tenant", "acme")
    assert (code, told["unsealed"], told["anchors"]) == (0, 0, 1)


@pytest.fixture
def lived(committed_tenants: list[TenantRef]) -> Iterator[TenantRef]:
    """Give a tenant that others see, and remove its backups afterwards."""
    yield committed_tenants[0]
    TenantBackup.objects.all().delete()


def test_a_restored_tenant_keeps_its_proof(lived, tmp_path):
    """In place: what was sealed since the backup is gone with it, and that is no finding."""
    ref = lived
    with in_tenant(ref):
        record("tests.thing.done")
    said("--tenant", ref.slug, "--seal")
    path = str(tmp_path / "one.backup")
    call_command("backup_tenant", ref.slug, "--to", path, stdout=io.StringIO())
    with in_tenant(ref):
        record("tests.thing.forgotten")
    assert said("--tenant", ref.slug, "--seal")[0]["seals"] == 2
    call_command("restore_tenant", path, "--as", ref.slug, "--replace", stdout=io.StringIO())
    told, code = said("--tenant", ref.slug)
    assert (told["seals"], told["anchors"], told["findings"], code) == (1, 2, [], 0)
    with in_tenant(ref), connection.cursor() as cursor:
        cursor.execute("GRANT DELETE ON audit_seal TO CURRENT_USER")  # as its owner could
        cursor.execute("DELETE FROM audit_seal")
    told, code = said("--tenant", ref.slug)
    assert ([(one["kind"], one["seal"]) for one in told["findings"]], code) == ([("cut-off", 1)], 1)
