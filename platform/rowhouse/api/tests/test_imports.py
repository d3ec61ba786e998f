"""Imports by the API: what was previewed is what is merged, and who may no longer is refused at once."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from accounts.tokens.services import revoke_token
from core.tenancy import in_tenant
from datasets.services import grant_right, revoke_right
from importer.models import ImportJob, State
from importer.services import set_mapping
from importer.tests.tools import import_text, records, upload, work
from rowhouse.api.tests.conftest import FILE, NEXT, OURS, MakeProgram, Place, hide, token_of
from tenants.models import Tenant
from tenants.standing import make_read_only

BAD = "id,status,amount,note\n1,new,ten,\n2,lost,1.00,\n5,new,3.00,fine\n"


def worked(place: Place, told: dict[str, Any]) -> ImportJob:
    """Do the background work of an import."""
    with in_tenant(place.tenant):
        return work(ImportJob.objects.get(pk=told["id"]))


def test_a_file_goes_from_upload_to_records_and_back(place: Place, program: MakeProgram) -> None:
    client = program(place.tenant, "editor")
    told = client.upload(NEXT.format(word="new"), mode="upsert")
    assert (told["state"], told["preview"], told["by"]) == ("CREATED", None, "editor@acme.example")
    assert client.ask(f"/jobs/{told['job']}")["state"] == "QUEUED"
    worked(place, told)
    assert client.ask(f"/jobs/{told['job']}")["state"] == "DONE"
    told = client.ask(f"/imports/{told['id']}")
    assert told["state"] == "PREVIEW_SUCCEEDED"
    figures = {name: told["figures"][name] for name in ("read", "created", "updated", "rejected")}
    assert figures == {"read": 3, "created": 1, "updated": 1, "rejected": 1}
    assert told["issues"] == {"type-error": 1}
    [issue] = client.ask(f"/imports/{told['id']}/issues")["results"]
    assert (issue["row"], issue["column"], issue["value"], issue["code"]) == (4, "id", "x", "type-error")
    changes = client.ask(f"/imports/{told['id']}/changes")["results"]
    assert [(one["kind"], one["key"]) for one in changes] == [("changed", "1"), ("created", "4")]
    started = client.send(f"/imports/{told['id']}/confirm", 202, preview=told["preview"])
    assert started["state"] == "IMPORT_IN_PROGRESS"
    worked(place, told)
    assert client.ask(f"/imports/{told['id']}")["state"] == "IMPORT_SUCCEEDED"
    assert client.ask("/datasets/orders/records/by-key", key="4")["values"]["note"] == "new"
    undo = client.send(f"/imports/{told['id']}/undo", 201)
    worked(place, undo)
    undo = client.ask(f"/imports/{undo['id']}")
    assert undo["undoes"] == told["id"]
    client.send(f"/imports/{undo['id']}/confirm", 202, preview=undo["preview"], deletes=1)
    worked(place, undo)
    assert client.ask(f"/imports/{told['id']}")["state"] == "UNDONE"
    assert client.ask("/datasets/orders/records/by-key", 404, key="4")["code"] == "not-found"


@pytest.mark.case("C10", "A17")
def test_a_right_that_is_taken_between_preview_and_confirm_is_missed(
    place: Place, program: MakeProgram
) -> None:
    client = program(place.tenant, "editor")
    told = client.upload(NEXT.format(word="new"))
    worked(place, told)
    told = client.ask(f"/imports/{told['id']}")
    with in_tenant(place.tenant):
        editor = User.objects.get(email="editor@acme.example")
        editor.groups.clear()
    assert client.send(f"/imports/{told['id']}/confirm", 404, preview=told["preview"])["code"] == "not-found"
    with in_tenant(place.tenant):
        for right in ("view", "import"):
            grant_right(right=right, to=editor, dataset=place.orders)
    refused = client.send(f"/imports/{told['id']}/confirm", 403, preview=told["preview"])
    assert refused["code"] == "permission-denied"
    with in_tenant(place.tenant):
        for right in ("view", "import"):
            revoke_right(right=right, of=editor, dataset=place.orders)
        assert ImportJob.objects.get(pk=told["id"]).state == State.PREVIEW_SUCCEEDED
        assert len(records(place.orders)) == 3


@pytest.mark.case("A12")
def test_a_token_that_is_revoked_between_preview_and_confirm_is_refused(
    place: Place, program: MakeProgram
) -> None:
    client = program(place.tenant)
    told = client.ask(f"/imports/{place.waiting.pk}")
    token = token_of(place)
    with in_tenant(place.tenant):
        revoke_token(token=token, by=token.user)
    refused = client.send(f"/imports/{told['id']}/confirm", 401, preview=told["preview"])
    assert refused["code"] == "token-revoked"
    with in_tenant(place.tenant):
        assert ImportJob.objects.get(pk=told["id"]).state == State.PREVIEW_SUCCEEDED


@pytest.mark.case("C10", "A17")
def test_what_was_confirmed_by_a_token_is_asked_for_again_when_it_runs(
    place: Place, program: MakeProgram
) -> None:
    client = program(place.tenant, "editor")
    told = client.ask(f"/imports/{place.waiting.pk}")
    client.send(f"/imports/{told['id']}/confirm", 202, preview=told["preview"])
    with in_tenant(place.tenant):
        User.objects.get(email="editor@acme.example").groups.clear()
    job = worked(place, told)
    assert (job.state, job.error_code) == (State.IMPORT_FAILED, "no-longer-permitted")


@pytest.mark.case("C01")
def test_a_preview_made_anew_is_not_confirmed_by_the_former_ones_fingerprint(
    place: Place, program: MakeProgram
) -> None:
    client, pk = program(place.tenant), place.waiting.pk
    former = client.ask(f"/imports/{pk}")["preview"]
    with in_tenant(place.tenant):
        owner = User.objects.get(email="owner@acme.example")
        job = ImportJob.objects.get(pk=pk)
        last = len(job.mapping) - 1
        chosen = {match["position"]: match["column"] for match in job.mapping} | {last: None}
        set_mapping(job=job, by=owner, chosen=chosen)
    assert client.send(f"/imports/{pk}/confirm", 409, preview=former)["code"] == "not-confirmable"
    worked(place, {"id": pk})
    assert client.ask(f"/imports/{pk}")["preview"] != former
    assert client.send(f"/imports/{pk}/confirm", 409, preview=former)["code"] == "stale-preview"
    assert client.send(f"/imports/{pk}/confirm", 409, preview="f" * 32)["code"] == "stale-preview"
    with in_tenant(place.tenant):
        assert len(records(place.orders)) == 3
    client.send(f"/imports/{pk}/confirm", 202, preview=client.ask(f"/imports/{pk}")["preview"])
    assert worked(place, {"id": pk}).state == State.IMPORT_SUCCEEDED


def test_records_that_changed_since_the_preview_are_planned_anew(place: Place, program: MakeProgram) -> None:
    client, pk = program(place.tenant), place.waiting.pk
    former = client.ask(f"/imports/{pk}")["preview"]
    with in_tenant(place.tenant):
        import_text(place.orders, "id,status\n1,sent\n", mode="update")
    client.send(f"/imports/{pk}/confirm", 202, preview=former)
    worked(place, {"id": pk})
    told = client.ask(f"/imports/{pk}")
    assert (told["state"], told["preview"] == former) == ("PREVIEW_SUCCEEDED", False)
    assert told["notice"]
    assert client.send(f"/imports/{pk}/confirm", 409, preview=former)["code"] == "stale-preview"


@pytest.mark.case("C02")
def test_confirming_twice_merges_once(place: Place, program: MakeProgram) -> None:
    client, pk = program(place.tenant), place.waiting.pk
    preview = client.ask(f"/imports/{pk}")["preview"]
    client.send(f"/imports/{pk}/confirm", 202, preview=preview)
    assert client.send(f"/imports/{pk}/confirm", 409, preview=preview)["code"] == "not-confirmable"
    assert worked(place, {"id": pk}).merges == 1


def test_deletions_are_agreed_to_by_their_number(place: Place, program: MakeProgram) -> None:
    client = program(place.tenant)
    told = client.upload("id,status,amount,note\n1,new,10.00,\n", mode="sync")
    worked(place, told)
    told = client.ask(f"/imports/{told['id']}")
    assert told["figures"]["deleted"] == 2
    path = f"/imports/{told['id']}/confirm"
    assert client.send(path, 409, preview=told["preview"])["code"] == "not-confirmable"
    assert client.send(path, 409, preview=told["preview"], deletes=3)["code"] == "not-confirmable"
    client.send(path, 202, preview=told["preview"], deletes=2)
    worked(place, told)
    with in_tenant(place.tenant):
        assert len(records(place.orders)) == 1


def test_an_upload_sent_again_under_its_key_is_the_same_import(place: Place, program: MakeProgram) -> None:
    client, other = program(place.tenant), program(place.tenant, "editor")
    first = client.upload(FILE.format(word="x"), key="nightly-1")
    assert client.upload(FILE.format(word="x"), key="nightly-1")["id"] == first["id"]
    assert client.upload(FILE.format(word="y"), key="nightly-1")["id"] != first["id"]
    assert other.upload(FILE.format(word="x"), key="nightly-1")["id"] != first["id"]  # a key of his own


@pytest.mark.parametrize(
    ("text", "fields", "code"),
    [
        ("", {}, "invalid"),
        ("PK\x03\x04 an archive", {}, "wrong-file-kind"),
        (FILE, {"mode": "replace"}, "invalid"),
        (FILE, {"mapping": "{no json"}, "bad-mapping"),
        (FILE, {"mapping": "no such"}, "no-such-mapping"),
        (FILE, {"encoding": "klingon"}, "invalid"),
        (FILE, {"dataset": "a b"}, "invalid"),
    ],
    ids=["empty", "archive", "mode", "no-json", "no-mapping", "encoding", "slug"],
)
def test_an_upload_that_cannot_be_is_refused_with_a_sentence(
    text: str, fields: dict[str, str], code: str, place: Place, program: MakeProgram
) -> None:
    with in_tenant(place.tenant):
        before = ImportJob.objects.count()
    told = program(place.tenant).upload(text, 422, **fields)
    assert told["code"] == code, told
    assert told["detail"]
    with in_tenant(place.tenant):
        assert ImportJob.objects.count() == before


@pytest.mark.case("F34")
def test_two_files_in_one_field_are_refused(place: Place, program: MakeProgram) -> None:
    files = [BytesIO(FILE.encode()), BytesIO(FILE.encode())]
    for number, file in enumerate(files):
        file.name = f"{number}.csv"
    answer = program(place.tenant).post("/api/v1/imports", {"dataset": "orders", "file": files})
    assert (answer.status_code, answer.json()["errors"].keys()) == (422, {"file"})


@pytest.mark.case("D03")
def test_a_body_that_is_too_large_is_refused_before_it_is_read(place: Place, settings: Any) -> None:
    settings.ROWHOUSE_UPLOAD_MAX_BYTES = 6 * 1024**2
    nobody = Client(HTTP_HOST=place.host)
    more: dict[str, Any] = {"content_type": "multipart/form-data; boundary=x", "HTTP_CONTENT_LENGTH": "0"}
    # One more than an upload may have, and an upload of nobody's that lies about its length.
    large = nobody.generic("POST", "/api/v1/imports", b"x", CONTENT_LENGTH=str(8 * 1024**2), **more)
    assert (large.status_code, large.json()["code"]) == (413, "too-large")
    elsewhere = nobody.generic("POST", "/api/v1/token", b"x", CONTENT_LENGTH=str(6 * 1024**2), **more)
    assert elsewhere.status_code == 413
    unknown = nobody.generic("POST", "/api/v1/imports", b"x", CONTENT_LENGTH=str(6 * 1024**2), **more)
    assert unknown.status_code == 401


def test_an_import_is_cancelled(place: Place, program: MakeProgram) -> None:
    client = program(place.tenant)
    assert client.send(f"/imports/{place.waiting.pk}/cancel", 202)["state"] == "CANCELLED"
    assert client.send(f"/imports/{place.waiting.pk}/cancel", 409)["code"] == "not-cancellable"
    assert client.send(f"/imports/{place.waiting.pk}/undo", 409)["code"] == "not-undoable"


def test_lists_are_narrowed_and_paged(place: Place, program: MakeProgram) -> None:
    with in_tenant(place.tenant):
        for number in range(5):
            upload(place.orders, BAD, name=f"{number}.csv")
    client = program(place.tenant)
    names = [one["file_name"] for one in client.ask("/imports", dataset="orders", n=3)["results"]]
    assert names == ["4.csv", "3.csv", "2.csv"]
    told = client.ask("/imports", state="PREVIEW_SUCCEEDED", n=4)
    rest = client.get(told["next"]).json()
    found = [one["id"] for one in (*told["results"], *rest["results"])]
    assert (len(found), found, rest["next"]) == (6, sorted(found, reverse=True), None)
    pk = found[0]
    [first] = client.ask(f"/imports/{pk}/issues", n=1)["results"]
    issues = client.ask(f"/imports/{pk}/issues", after=first["id"])["results"]
    assert [one["row"] for one in (first, *issues)] == [2, 3]
    assert client.ask(f"/imports/{pk}/issues", code="no-such")["results"] == []
    assert client.ask("/imports", 422, stat="x")["code"] == "unknown-parameter"
    assert client.ask("/imports", 422, n=1000)["errors"].keys() == {"n"}


def test_a_read_only_tenant_is_read_and_not_written_to(place: Place, program: MakeProgram) -> None:
    client = program(place.tenant)
    make_read_only(tenant=Tenant.objects.get(slug="acme"), reason="it is being moved")
    assert client.ask("/datasets/orders/records")["results"]
    assert client.upload(FILE, 409)["code"] == "tenant-read-only"
    assert client.send(f"/imports/{place.waiting.pk}/cancel", 409)["code"] == "tenant-read-only"


def test_somebody_elses_file_is_told_of_without_its_contents(place: Place, program: MakeProgram) -> None:
    hide(place, "note", "editor")
    told = program(place.tenant, "editor").ask(f"/imports/{place.waiting.pk}")
    assert (told["state"], told["unmapped_labels"], told["notice"]) == ("PREVIEW_SUCCEEDED", [], "")
    assert OURS not in str(told)
