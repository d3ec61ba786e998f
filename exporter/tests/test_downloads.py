"""Handing out a file: to whom, under which name, and from where."""

from __future__ import annotations

from time import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import Group
from django.core import signing
from django.core.signing import TimestampSigner, b62_encode
from django.test import Client

import jobs.services
from accounts.models import User
from audit.models import Event
from core import storage
from core.clock import now
from core.tenancy import TenantRef, in_tenant
from datasets.granting import limit_column
from datasets.models import ColumnAccess
from datasets.services import delete_dataset, grant_right, revoke_right
from exporter.links import LINK_SECONDS, SALT, token_of
from exporter.models import ExportFile
from exporter.services import ColumnsHidden, NothingToExport, request_export, visible_files
from exporter.tests.helpers import dataset_with, stored_file
from exporter.tests.s3 import S3Server

DATA = b'id,note\n1,"a ""b"""\n'


def address(file: ExportFile) -> str:
    return f"/admin/exporter/exportfile/{file.pk}/download/"


def body(client: Client, file: ExportFile) -> bytes:
    """Return what a client gets, read to the end."""
    response: Any = client.get(address(file), follow=True)
    assert response.streaming
    return b"".join(response)  # read to the end, the test client closes it


def status(client: Client, file: ExportFile) -> int:
    response = client.get(address(file), follow=True)
    b"".join(response)
    return response.status_code


@pytest.mark.case("O10")
def test_a_file_is_handed_out_as_an_attachment(as_acme: TenantRef, client_of: Any) -> None:
    file = stored_file(dataset_with(), data=DATA)

    response = client_of(as_acme).get(address(file), follow=True)

    assert b"".join(response) == DATA
    assert response["Content-Disposition"] == 'attachment; filename="orders_20260826T140000Z.csv"'
    assert response["Content-Type"].startswith("text/csv; charset=utf-8")
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Length"] == str(len(DATA))
    assert "no-store" in response["Cache-Control"] or "private" in response["Cache-Control"]


def test_a_download_is_an_event(as_acme: TenantRef, client_of: Any) -> None:
    file = stored_file(dataset_with())

    body(client_of(as_acme, "editor"), file)

    with in_tenant(as_acme):
        event = Event.objects.get(name="exporter.file.downloaded")
    assert (event.actor_label, event.target_id) == ("editor@acme.example", str(file.pk))
    assert event.data == {"key": file.key, "sha256": file.sha256}


@pytest.mark.case("T08", "O11")
def test_another_tenants_file_is_not_there(acme: TenantRef, globex: TenantRef, client_of: Any) -> None:
    with in_tenant(globex):
        theirs = stored_file(dataset_with())
    client = client_of(acme)

    assert client.get(address(theirs)).status_code == 404

    with in_tenant(acme):  # the same number exists here now, and it is ours that comes
        ours = stored_file(dataset_with(), data=DATA)
        ExportFile.objects.filter(pk=ours.pk).update(id=theirs.pk)
    assert body(client, theirs) == DATA


@pytest.mark.case("O11", "T17")
def test_a_path_from_the_client_is_ignored(as_acme: TenantRef, client_of: Any) -> None:
    file = stored_file(dataset_with(), data=DATA)
    client = client_of(as_acme)

    response = client.get(
        address(file), {"key": "globex/x", "path": "../../etc/passwd", "file_id": "1"}, follow=True
    )

    assert b"".join(response) == DATA
    assert client.get("/admin/exporter/exportfile/../../etc/passwd/download/").status_code in {302, 404}


def test_only_those_who_may_export_the_dataset_get_its_file(as_acme: TenantRef, client_of: Any) -> None:
    orders, parts = dataset_with(slug="orders"), dataset_with(slug="parts")
    file, other = stored_file(orders), stored_file(parts)
    viewer = User.objects.get(email="viewer@acme.example")
    client = client_of(as_acme, "viewer")
    assert status(client, file) == 404

    with in_tenant(as_acme):
        grant_right(right="export", to=viewer, dataset=orders)
    assert status(client, file) == 200
    assert status(client, other) == 404

    with in_tenant(as_acme):
        revoke_right(right="export", of=viewer, dataset=orders)
    assert status(client, file) == 404


def test_the_file_of_a_deleted_dataset_is_for_those_from_whom_no_column_can_be_kept(
    as_acme: TenantRef, client_of: Any
) -> None:
    dataset = dataset_with()
    file = stored_file(dataset)
    grant_right(right="export", to=User.objects.get(email="viewer@acme.example"), dataset=dataset)
    delete_dataset(dataset=dataset)

    assert status(client_of(as_acme, "viewer"), file) == 404
    assert status(client_of(as_acme, "editor"), file) == 404
    assert status(client_of(as_acme, "owner"), file) == 200


def test_a_pruned_file_is_gone_with_a_sentence(as_acme: TenantRef, client_of: Any) -> None:
    file = stored_file(dataset_with())
    storage.delete(file.key)
    ExportFile.objects.filter(pk=file.pk).update(deleted_at=now())

    response = client_of(as_acme).get(address(file))

    assert response.status_code == 410
    assert "was removed on" in response.content.decode()


def test_a_file_lost_by_the_storage_is_said_so(as_acme: TenantRef, client_of: Any) -> None:
    file = stored_file(dataset_with())
    storage.delete(file.key)

    response = client_of(as_acme).get(address(file))

    assert response.status_code == 409
    assert "no longer in the storage" in response.content.decode()


def test_nobody_gets_a_file_without_signing_in(as_acme: TenantRef, client: Any) -> None:
    file = stored_file(dataset_with())

    response = client.get(address(file), HTTP_HOST="acme.localhost")

    assert response.status_code == 302
    assert "/login/" in response["Location"]


def test_a_file_is_not_handed_out_by_post(as_acme: TenantRef, client_of: Any) -> None:
    file = stored_file(dataset_with())

    assert client_of(as_acme).post(address(file)).status_code == 405


def test_a_file_on_s3_is_handed_out_by_s3_for_five_minutes(
    as_acme: TenantRef, client_of: Any, on_rclone: S3Server
) -> None:
    import requests  # slow import  # noqa: PLC0415

    file, other = stored_file(dataset_with(), data=DATA), stored_file(dataset_with(slug="parts"))
    response = client_of(as_acme).get(address(file))

    link = response["Location"]
    answer = requests.get(link, timeout=10)
    assert (response.status_code, answer.status_code, answer.content) == (302, 200, DATA)
    query = parse_qs(urlsplit(link).query)
    assert (query["X-Amz-Expires"], query["response-content-type"]) == (
        ["60"],
        ["text/csv; charset=utf-8; header=present"],
    )
    assert query["response-content-disposition"] == ['attachment; filename="orders_20260826T140000Z.csv"']
    assert "no-store" in response["Cache-Control"]
    assert requests.get(link.replace(file.key, other.key), timeout=10).status_code == 403
    with in_tenant(as_acme):
        assert Event.objects.filter(name="exporter.file.downloaded").count() == 1


def test_a_bucket_that_browsers_do_not_reach_is_read_for_them(
    as_acme: TenantRef, client_of: Any, on_moto: S3Server, settings: Any
) -> None:
    settings.ROWHOUSE_S3_LINK_ENDPOINT = "none"
    data = b"id,note\n" + b"1,abcdefghij\n" * 100_000
    file = stored_file(dataset_with(), data=data)

    assert body(client_of(as_acme), file) == data


def test_a_link_may_be_signed_for_another_address_of_the_server(
    as_acme: TenantRef, client_of: Any, on_moto: S3Server, settings: Any
) -> None:
    settings.ROWHOUSE_S3_LINK_ENDPOINT = "https://files.rowhouse.example"
    file = stored_file(dataset_with())

    link = client_of(as_acme).get(address(file))["Location"]

    assert link.startswith(f"https://files.rowhouse.example/{on_moto.bucket}/{file.key}?")


class _LongAgo(TimestampSigner):
    def timestamp(self) -> str:
        return b62_encode(int(time()) - LINK_SECONDS - 5)


@pytest.mark.case("O11", "T08")
def test_our_own_link_is_for_one_file_of_one_tenant_for_five_minutes(
    acme: TenantRef, globex: TenantRef, client_of: Any
) -> None:
    with in_tenant(acme):
        file, other = stored_file(dataset_with(), data=DATA), stored_file(dataset_with(slug="parts"))
        token = token_of(file)
        values = signing.loads(token, salt=SALT)
        ended = _LongAgo(salt=SALT).sign_object(values)
    with in_tenant(globex):
        theirs = stored_file(dataset_with(), data=DATA)
        ExportFile.objects.filter(pk=theirs.pk).update(id=file.pk, key=file.key)

    def asked(client: Client, pk: int, token: str) -> int:
        answer = client.get(f"/admin/exporter/exportfile/{pk}/file/{token}/")
        b"".join(answer)
        return answer.status_code

    client = client_of(acme)
    assert asked(client, file.pk, token) == 200
    assert asked(client, file.pk, ended) == 410
    altered = token[:-1] + ("A" if token[-1] != "A" else "B")
    for foreign in (token_of_other(acme, other), altered, "x", signing.dumps(values)):
        assert asked(client, file.pk, foreign) == 403
    assert asked(client, other.pk, token) == 403
    assert asked(client_of(globex), file.pk, token) == 403
    assert asked(client_of(acme, "viewer"), file.pk, token) == 404
    assert asked(Client(HTTP_HOST="acme.localhost"), file.pk, token) == 302  # to sign in


@pytest.mark.case("A12")
def test_a_link_is_worth_nothing_from_the_moment_its_person_lost_the_right(
    acme: TenantRef, globex: TenantRef, client_of: Any
) -> None:
    with in_tenant(acme):
        file = stored_file(dataset_with(), data=DATA)
        address = f"/admin/exporter/exportfile/{file.pk}/file/{token_of(file)}/"
        editor = User.objects.get(email="editor@acme.example")
    client, owner = client_of(acme, "editor"), client_of(acme)
    before = client.get(address)
    assert (before.status_code, b"".join(before)) == (200, DATA)
    with in_tenant(acme):
        editor.groups.clear()

    assert client.get(address).status_code == 404
    still = owner.get(address)  # the link is good, for those who may have the file
    assert (still.status_code, b"".join(still)) == (200, DATA)


def token_of_other(tenant: TenantRef, file: ExportFile) -> str:
    with in_tenant(tenant):
        return token_of(file)


def test_a_file_of_all_columns_is_not_for_whom_one_is_hidden(as_acme: TenantRef, client_of: Any) -> None:
    dataset = dataset_with()
    file = stored_file(dataset)
    editor = User.objects.get(email="editor@acme.example")
    client = client_of(as_acme, "editor")
    assert status(client, file) == 200
    with in_tenant(as_acme):
        column = dataset.columns.exclude(pk__in=dataset.key).first()
        assert column is not None
        limit_column(column=column, to=Group.objects.get(name="editor"), how=ColumnAccess.HIDDEN)
    answer = client.get(f"/admin/exporter/exportfile/{file.pk}/download/")
    assert (answer.status_code, "hidden from you" in answer.content.decode()) == (403, True)
    with in_tenant(as_acme):
        with pytest.raises(ColumnsHidden):
            request_export(by=editor, datasets=[dataset])
        with pytest.raises(NothingToExport):
            request_export(by=editor)
        assert not visible_files(editor).exists()
        limit_column(column=column, to=Group.objects.get(name="editor"), how=ColumnAccess.READ_ONLY)
    assert status(client, file) == 200


@pytest.mark.case("A17")
def test_a_column_hidden_after_the_request_leaves_the_dataset_out_of_the_run(as_acme: TenantRef) -> None:
    dataset = dataset_with()
    editor = User.objects.get(email="editor@acme.example")
    run = request_export(by=editor, datasets=[dataset])
    column = dataset.columns.exclude(pk__in=dataset.key).first()
    assert column is not None
    limit_column(column=column, to=editor, how=ColumnAccess.HIDDEN)
    jobs.services.run_pending()
    run.refresh_from_db()
    assert list(run.files.all()) == []
