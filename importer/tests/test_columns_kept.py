"""Imports by somebody from whom columns are kept: refused when uploaded, when confirmed and when they run."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied

from accounts.models import User
from core.tenancy import TenantRef, in_tenant
from datasets.granting import grant_preset, limit_column
from datasets.models import ColumnAccess, Dataset
from importer import services
from importer.mapping import UnknownColumn
from importer.models import ImportIssue
from importer.tests.tools import GOOD, import_text, make_orders, merge, person, records, upload, work
from importer.undo import undo_import

HIDDEN, READ_ONLY = ColumnAccess.HIDDEN, ColumnAccess.READ_ONLY
WITHOUT = "id,status\n1,new\n2,paid\n"
SECRET = "id,status,note\n1,new,CANARY\nx,new,CANARY\n"


@pytest.fixture
def clerk(as_acme: TenantRef, orders: Dataset) -> User:
    return a_clerk(orders)


def a_clerk(orders: Dataset) -> User:
    """Somebody with every right on the orders but to manage them."""
    user = User.objects.create_user("clerk@acme.example", "correct horse battery")
    user.groups.add(Group.objects.create(name="clerks"))
    grant_preset(preset="editor", to=Group.objects.get(name="clerks"), dataset=orders)
    return user


def keep(dataset: Dataset, label: str, how: ColumnAccess | None) -> None:
    limit_column(column=dataset.columns.get(label=label), to=Group.objects.get(name="clerks"), how=how)


def fresh(user: User) -> User:
    return User.objects.get(pk=user.pk)


@pytest.mark.parametrize("how", [HIDDEN, READ_ONLY])
def test_a_file_that_sets_a_kept_column_is_refused_by_its_preview(
    orders: Dataset, clerk: User, how: ColumnAccess
) -> None:
    keep(orders, "note", how)
    job = upload(orders, by=fresh(clerk))
    assert (job.state, job.error_code) == ("PREVIEW_FAILED", "column-not-permitted")
    rule = (
        "clerk@acme.example may not set what “note” goes to. Leave this label out, or ask somebody who may set it"
        " to import the file."
    )
    assert [(one.code, one.column, one.rule) for one in ImportIssue.objects.filter(job=job)] == [
        ("column-not-permitted", "note", rule)
    ]
    left_out = {at: None for at, label in enumerate(job.head["labels"]) if label == "note"}
    services.set_mapping(job=job, by=fresh(clerk), chosen=left_out)
    assert merge(work(job), by=fresh(clerk)).state == "IMPORT_SUCCEEDED"
    assert [row[-1] for row in records(orders)] == [None, None, None]
    assert import_text(orders, GOOD).state == "IMPORT_SUCCEEDED"  # an owner's own


def test_a_hidden_column_cannot_be_named_by_a_mapping(orders: Dataset, clerk: User) -> None:
    keep(orders, "note", HIDDEN)
    with pytest.raises(UnknownColumn):
        upload(orders, by=fresh(clerk), columns={"note": "note"})
    assert upload(orders, columns={"note": "note"}).mapping


@pytest.mark.case("A06", "A17")
def test_a_column_that_is_kept_after_the_preview_stops_the_confirm_and_the_queued_merge(
    orders: Dataset, clerk: User
) -> None:
    waiting = upload(orders, by=fresh(clerk))
    keep(orders, "note", READ_ONLY)
    with pytest.raises(PermissionDenied, match="set “note” in records of Orders"):
        services.confirm_import(job=waiting, by=fresh(clerk))
    keep(orders, "note", HIDDEN)
    with pytest.raises(PermissionDenied, match="set some columns in records of Orders"):
        services.confirm_import(job=waiting, by=fresh(clerk))
    keep(orders, "note", None)
    services.confirm_import(job=waiting, by=fresh(clerk))
    keep(orders, "note", READ_ONLY)
    job = work(waiting)
    assert (job.state, job.error_code, records(orders)) == ("IMPORT_FAILED", "no-longer-permitted", [])


def test_only_the_key_may_be_read_only_when_records_are_updated(orders: Dataset, clerk: User) -> None:
    import_text(orders, GOOD)
    keep(orders, "id", READ_ONLY)
    assert upload(orders, WITHOUT, by=fresh(clerk)).error_code == "column-not-permitted"
    job = import_text(orders, "id,status\n1,sent\n", by=fresh(clerk), mode="update")
    assert (job.state, records(orders)[0][:2]) == ("IMPORT_SUCCEEDED", (1, "sent"))


def test_an_undo_needs_the_columns_that_it_would_set(orders: Dataset, clerk: User) -> None:
    own = import_text(orders, WITHOUT, by=fresh(clerk))
    keep(orders, "note", READ_ONLY)
    assert undo_import(job=own, by=fresh(clerk)).undoes == own
    theirs = import_text(orders, GOOD, mode="sync")
    with pytest.raises(PermissionDenied, match="“note”"):
        undo_import(job=theirs, by=fresh(clerk))
    keep(orders, "note", HIDDEN)
    with pytest.raises(PermissionDenied, match="hidden from you"):
        undo_import(job=theirs, by=fresh(clerk))


def test_the_pages_of_an_import_show_no_hidden_column(
    acme: TenantRef, globex: TenantRef, client_of: Any
) -> None:
    with in_tenant(acme):
        orders = make_orders()
        clerk = a_clerk(orders)
        theirs, own = upload(orders, SECRET, name="theirs.csv"), upload(orders, WITHOUT, by=clerk)
        undone = undo_import(job=merge(upload(orders, "id,status,note\n7,new,CANARY\n")), by=person())
        work(undone)
        keep(orders, "note", HIDDEN)
        by_owner, by_clerk = client_of(acme), client_of(acme, clerk.email)
    pages = {
        "change/": 200, "change/?tab=changes": 200, "change/?tab=issues": 200, "change/?tab=rejects": 200,
        "mapping/": 403, "rejected-rows/": 404, "file/": 404,
    }  # fmt: skip
    seen_by_owner = ""
    for job in (theirs, undone):
        for path, status in pages.items():
            url = f"/admin/importer/importjob/{job.pk}/{path}"
            answer = by_clerk.get(url)
            shown = b"".join(answer) if answer.streaming else answer.content
            assert (answer.status_code, b"CANARY" in shown, b"note" in _words(shown)) == (
                status,
                False,
                False,
            ), url
            answer = by_owner.get(url)
            seen_by_owner += (b"".join(answer) if answer.streaming else answer.content).decode(
                errors="replace"
            )
    assert seen_by_owner.count("CANARY") > 5
    mapping = by_clerk.get(f"/admin/importer/importjob/{own.pk}/mapping/")
    assert (mapping.status_code, "amount" in mapping.content.decode()) == (200, True)
    assert b"note" not in _words(mapping.content)


def _words(html: bytes) -> set[bytes]:
    """Return what stands between tags: class names may say anything."""
    return {part.split(b"<")[0].strip() for part in html.split(b">")}
