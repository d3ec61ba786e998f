"""The pages of a change: asked for beside a column, looked at, confirmed, reverted; and the command."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.management import call_command

import jobs.services
from core.tenancy import TenantRef, in_public, in_tenant, leave_tenant
from datasets import changing
from datasets.change_models import Change
from datasets.models import Column, Dataset
from datasets.rules import NewColumn
from datasets.tests.conftest import add_record, make_dataset
from datasets.tests.pages import Visitor, page

CHANGES = "/admin/datasets/change/"


@pytest.fixture
def things(as_acme: TenantRef) -> Dataset:
    """A dataset with a text column of which one value is no number and one looks like a formula."""
    dataset = make_dataset("Things", [NewColumn("No"), NewColumn("Size")], key=["No"])
    for number, size in (("A1", "1"), ("A2", " 2"), ("A3", "<b>what</b>"), ("A4", "=1+1")):
        add_record(dataset, No=number, Size=size)
    return dataset


def asked(visitor: Visitor, dataset: Dataset, label: str = "Size", **wanted: Any) -> Change:
    column = dataset.columns.get(label=label)
    answer = visitor.post(f"{CHANGES}of-column/{column.pk}/", {"type": column.type, **wanted})
    assert answer.status_code == 302, answer.content
    jobs.services.run_pending()
    return Change.objects.latest("pk")


def test_a_person_changes_a_type_looks_at_what_fails_decides_and_reverts(
    things: Dataset, at_acme: Visitor
) -> None:
    column = things.columns.get(label="Size")
    definition = page(at_acme, f"/admin/datasets/dataset/{things.pk}/change/")
    assert f"{CHANGES}of-column/{column.pk}/" in definition
    assert "No definition was changed yet" in page(at_acme, CHANGES)
    change = asked(at_acme, things, type="integer")
    at = f"{CHANGES}{change.pk}/"
    shown = page(at_acme, f"{at}change/")
    assert "2 records of 4 would fail" in shown
    assert "&lt;b&gt;what&lt;/b&gt;" in shown
    assert "<b>what</b>" not in shown
    assert "A3" not in page(at_acme, f"{at}change/?text=%3D1")
    assert "No records like this" in page(at_acme, f"{at}change/?text=nobody")
    file = b"".join(at_acme.get(f"{at}failing-records/").streaming_content).decode()
    assert [line.split(",")[1:4] for line in file.splitlines()[1:]] == [
        ["A3", "<b>what</b>", "type-error"],
        ["A4", "'=1+1", "type-error"],
    ]
    refused = at_acme.post(f"{at}confirm/", {"on_failure": "stop"})
    assert (refused.status_code, Change.objects.get().state) == (409, "CHECK_SUCCEEDED")
    assert at_acme.post(f"{at}confirm/", {"on_failure": "empty"}).status_code == 302
    assert "change/progress" not in page(at_acme, f"{at}progress/")
    jobs.services.run_pending()
    assert "The new definition is in force. 2 records lost the value" in page(at_acme, f"{at}change/")
    assert at_acme.post(f"{at}cancel/").status_code == 409
    assert at_acme.post(f"{at}revert/").status_code == 302
    jobs.services.run_pending()
    back = Change.objects.latest("pk")
    at_acme.post(f"{CHANGES}{back.pk}/confirm/", {"on_failure": "stop"})
    jobs.services.run_pending()
    assert "This change was taken back" in page(at_acme, f"{at}change/")
    assert Column.objects.get(label="Size").type == "text"
    listed = page(at_acme, f"{CHANGES}?state__exact=REVERTED")
    assert "Size: Text to Whole number" in listed
    assert "revert of" not in listed.split("result_list")[-1]


def test_another_key_is_asked_for_and_what_cannot_be_is_said_in_the_form(
    things: Dataset, at_acme: Visitor
) -> None:
    at = f"{CHANGES}of-key/{things.pk}/"
    assert at_acme.post(at, {"part_0": "No"}).status_code == 422
    answer = at_acme.post(at, {"part_0": "Size", "part_1": "Size"})
    assert (answer.status_code, Change.objects.count()) == (422, 0)
    assert "more than once" in answer.content.decode()
    assert at_acme.post(at, {"part_0": "Size"}).status_code == 302
    column = things.columns.get(label="Size")
    wrong = at_acme.post(f"{CHANGES}of-column/{column.pk}/", {"type": "integer", "option_max_length": "3"})
    assert (wrong.status_code, "no maximum length" in wrong.content.decode()) == (422, True)


@pytest.mark.parametrize("role", ["editor", "viewer"])
def test_who_may_not_change_the_definition_sees_none_of_it(
    acme: TenantRef,
    globex: TenantRef,
    at_globex: Visitor,
    things: Dataset,
    at_acme: Visitor,
    client_of: Any,
    role: str,
) -> None:
    change = asked(at_acme, things, type="integer")
    column = things.columns.get(label="Size")
    for who, status in ((Visitor(client_of(acme, role)), 403), (at_globex, 404)):
        for part in ("change/", "progress/", "failing-records/"):
            assert who.get(f"{CHANGES}{change.pk}/{part}").status_code == 404
        for part in ("confirm/", "cancel/", "revert/"):
            assert who.post(f"{CHANGES}{change.pk}/{part}", {"on_failure": "empty"}).status_code == 404
        assert who.post(f"{CHANGES}of-column/{column.pk}/", {"type": "date"}).status_code == status
        assert who.post(f"{CHANGES}of-key/{things.pk}/", {}).status_code == status
    assert Change.objects.get().state == "CHECK_SUCCEEDED"
    leave_tenant()
    with in_tenant(globex):
        assert Change.objects.count() == 0


def told(capsys: Any, *words: str, code: int = 0) -> dict[str, Any]:
    """Run the command; return what it says as JSON."""
    try:
        with in_public():
            call_command("change_column", "--json", *words)
        ended = 0
    except SystemExit as error:
        ended = int(str(error.code))
    said = capsys.readouterr()
    assert ended == code, said.err
    summary: dict[str, Any] = json.loads(said.out) if said.out else {"error": said.err}
    return summary


def test_the_command_checks_changes_and_reverts(acme: TenantRef, things: Dataset, capsys: Any) -> None:
    where = ("--tenant", "acme", "--dataset", things.slug)
    dry = told(capsys, *where, "--column", "Size", "--type", "integer", "--dry-run", code=3)
    assert (dry["state"], dry["records"], dry["failing"]) == ("CHECK_SUCCEEDED", 4, 2)
    assert [one["name"] for one in dry["failing_records"]] == ["A3", "A4"]
    told(capsys, *where, "--column", "Size", "--type", "integer", code=2)
    done = told(capsys, *where, "--column", "Size", "--type", "integer", "--on-failure", "empty", code=3)
    assert (done["state"], done["rewritten"]) == ("CHANGE_SUCCEEDED", 1)
    back = told(capsys, "--tenant", "acme", "--revert", str(done["change"]))
    assert back["state"] == "CHANGE_SUCCEEDED"
    assert told(capsys, *where, "--no-key")["failing"] == 0
    assert (
        "error[unknown-column]" in told(capsys, *where, "--column", "Nope", "--type", "date", code=2)["error"]
    )
    assert "error[usage]" in told(capsys, *where, code=2)["error"]
    assert changing.why_not_revertible(
        Change.objects.get(pk=done["change"]), Change.objects.latest("pk").created_at
    )
