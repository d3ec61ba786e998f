"""What a person may type into an address, and what may be sent to one."""

from __future__ import annotations

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from accounts.operators.models import Operator

OPERATOR_BACKEND = "accounts.backends.OperatorBackend"


@pytest.mark.case("N07")
@pytest.mark.parametrize(
    "address",
    [
        "importer/importjob/?file_name__regex=(",
        "importer/importjob/?created_by__password__startswith=a",
        "exporter/exportfile/?sha256__regex=(a%2B)%2B$",
        "exporter/exportrun/?error__iregex=x",
        "audit/event/?actor_label__regex=(",
        "accounts/user/?password__startswith=md5",
    ],
)
def test_only_listed_fields_are_looked_up_with_plain_comparisons(acme, client_of, address):
    assert client_of(acme).get(f"/admin/{address}").status_code == 400


@pytest.mark.parametrize(
    "address",
    [
        "importer/importjob/?state__exact=CREATED",
        "importer/importjob/?dataset=²",
        "importer/importjob/?created_at_from=2026-01-01&created_at_to=2026-12-31",
        "exporter/exportrun/?state__exact=FAILED",
        "audit/event/?name=accounts.user.signed_in",
        "accounts/user/?is_active__exact=1",
    ],
)
def test_the_filters_of_the_lists_still_work(acme, client_of, address):
    assert client_of(acme).get(f"/admin/{address}").status_code == 200


@pytest.mark.case("N07")
@pytest.mark.parametrize(
    "address", ["operators/operator/?password__startswith=m", "jobs/job/?error__regex=("]
)
def test_operators_cannot_read_hashes_by_filter_either(db, address):
    client = Client(HTTP_HOST="localhost")
    person: object = Operator.objects.create_operator(
        email="op@example.com", password="correct horse battery"
    )
    client.force_login(person, backend=OPERATOR_BACKEND)  # type: ignore[arg-type] # an operator is no User
    assert client.get(f"/operator/{address}").status_code == 400


@pytest.mark.parametrize(
    "address",
    [
        "importer/importjob/²/change/",
        "importer/importjob/99999999999999999999/change/",
        "exporter/exportrun/+1/change/",
        "exporter/exportrun/%201/change/",
        "r/1/1/",
        "search/?s=a&page=x",
        "search/?s=a&page=99",
    ],
)
def test_an_address_that_leads_nowhere_is_not_found(acme, client_of, address):
    assert client_of(acme).get(f"/admin/{address}").status_code == 404


@pytest.mark.case("D03")
@pytest.mark.parametrize("path", ["/admin/login/", "/admin/importer/importjob/upload/"])
def test_a_large_body_of_a_stranger_is_refused_unread(acme, settings, path):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    file = SimpleUploadedFile("large.csv", b"a" * 2000)
    answer = Client(HTTP_HOST="acme.localhost", enforce_csrf_checks=True).post(path, {"file": file})
    assert answer.status_code == 413
    assert answer.wsgi_request._read_started is False  # type: ignore[attr-defined] # nothing parsed it


@pytest.mark.case("D03")
def test_a_large_body_is_read_where_files_are_uploaded_and_up_to_the_limit_there(acme, client_of, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    settings.ROWHOUSE_UPLOAD_MAX_BYTES = 5000

    def status(path: str, size: int) -> int:
        file = SimpleUploadedFile("large.csv", b"a" * size)
        return int(client_of(acme).post(f"/admin/{path}", {"file": file}).status_code)

    assert status("importer/importjob/upload/", 2000) != 413
    assert status("accounts/user/add/", 2000) == 413
    assert status("importer/importjob/upload/", 1024**2 + 6000) == 413
