"""The page that maps a file's labels, through the real admin."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from core.tenancy import TenantRef, in_tenant
from datasets.models import Dataset
from importer import saved_mappings
from importer.models import ImportJob, MappingVersion, SavedMapping, State
from importer.tests.tools import GOOD, make_orders, merge, person, records, upload, work

ClientOf = Callable[..., Client]


@pytest.fixture
def dataset(acme: TenantRef, globex: TenantRef) -> Dataset:
    with in_tenant(acme):
        return make_orders()


def preview(tenant: TenantRef, dataset: Dataset, text: str = GOOD, **options: Any) -> ImportJob:
    with in_tenant(tenant):
        return upload(dataset, text, **options)


def url(job: ImportJob) -> str:
    return f"/admin/importer/importjob/{job.pk}/mapping/"


def names(tenant: TenantRef, dataset: Dataset) -> list[str]:
    with in_tenant(tenant):
        return [column.name for column in dataset.spec().columns]


def fields(job: ImportJob, **changes: Any) -> dict[str, Any]:
    """What the page sends when only these fields were changed."""
    columns = {f"column_{at}": match["column"] or "" for at, match in enumerate(job.mapping)}
    return {**columns, "seen": job.previews, **changes}


def test_first_values_and_what_they_become_stand_beside_each_label(
    acme: TenantRef, dataset: Dataset, client_of: ClientOf
) -> None:
    job = preview(acme, dataset, "id,status,amount\n 7 ,new,1.5\n8,lost,2\n")
    page = client_of(acme).get(url(job)).text
    assert '<div class="im-sample"> 7 </div>' in page
    assert '<div class="im-sample">1.50</div>' in page
    assert '<div class="im-sample ma-wrong">lost<div class="ma-rule">' in page


def test_how_numbers_are_read_is_said_beside_the_label(
    acme: TenantRef, dataset: Dataset, client_of: ClientOf
) -> None:
    job = preview(acme, dataset, 'id,status,amount\n1,new,"1.234,50"\n')
    assert "numbers as 1.234,5" in client_of(acme).get(url(job)).text


def test_a_recipe_is_filled_in_and_previewed(acme: TenantRef, dataset: Dataset, client_of: ClientOf) -> None:
    job = preview(acme, dataset, "id,status,amount,note\n1,NEU,1,  x \n2,paid,,\n")
    answer = client_of(acme).post(
        url(job),
        fields(
            job, more_1="1", case_1="lower", values_1="neu => new", more_2="1", default_2="9",
            more_3="1", trim_3="on", join_1_3="id", separator_3="-",
        ),
    )  # fmt: skip
    assert answer.status_code == 302, answer.text
    with in_tenant(acme):
        job = merge(work(job))
        assert job.state == State.IMPORT_SUCCEEDED
        assert [tuple(map(str, row)) for row in records(dataset)] == [
            ("1", "new", "1.00", "x -1"), ("2", "paid", "9.00", "2"),
        ]  # fmt: skip


def test_showing_the_result_saves_nothing(acme: TenantRef, dataset: Dataset, client_of: ClientOf) -> None:
    job = preview(acme, dataset)
    answer = client_of(acme).post(
        url(job), fields(job, do="look", more_3="1", case_3="upper", save_as="Mine")
    )
    assert answer.status_code == 200
    assert '<div class="im-sample">CALL</div>' in answer.text
    assert answer.text.count("<details open>") == 1
    with in_tenant(acme):
        again = ImportJob.objects.get(pk=job.pk)
        assert (again.previews, again.mapping) == (job.previews, job.mapping)
        assert not SavedMapping.objects.exists()


def test_what_is_wrong_is_said_at_its_field(acme: TenantRef, dataset: Dataset, client_of: ClientOf) -> None:
    job = preview(acme, dataset)
    answer = client_of(acme).post(
        url(job),
        fields(
            job, more_0="1", blank_0="keep", more_1="1", values_1="neu", more_2="1", part_2="2",
            default_2="many", more_3="1", join_1_3="nothing", column_new="", constant_new="x",
        ),
    )  # fmt: skip
    assert answer.status_code == 422
    assert "Line 1: write the old text" in answer.text
    assert "The file has no label “nothing”" in answer.text
    assert "Choose the column that this text goes to" in answer.text
    answer = client_of(acme).post(
        url(job), fields(job, more_0="1", blank_0="keep", more_2="1", part_2="2", default_2="many")
    )
    assert answer.status_code == 422
    assert "nothing to keep" in answer.text
    assert "Say at which text to split" in answer.text


def test_two_labels_for_one_column_are_an_error_at_the_second(
    acme: TenantRef, dataset: Dataset, client_of: ClientOf
) -> None:
    job, (first, *_) = preview(acme, dataset), names(acme, dataset)
    answer = client_of(acme).post(url(job), fields(job, column_3=first))
    assert answer.status_code == 422
    assert "id is filled twice" in answer.text


def test_a_constant_and_a_second_column_of_one_label_are_added_and_taken_away(
    acme: TenantRef, dataset: Dataset, client_of: ClientOf
) -> None:
    _, status, amount, note = names(acme, dataset)
    job, client = preview(acme, dataset, "id,both\n1,a 5\n2,b 6\n"), client_of(acme)
    assert job.state == State.PREVIEW_FAILED
    answer = client.post(
        url(job),
        fields(job, column_1=note, more_1="1", split_1=" ", part_1="1", also_1=amount, column_new=status,
               constant_new="new"),
    )  # fmt: skip
    assert answer.status_code == 302, answer.text
    with in_tenant(acme):
        job = work(job)
        assert [(match["position"], match["column"]) for match in job.mapping[2:]] == [
            (1, amount),
            (-1, status),
        ]
        merge(job)
        assert [tuple(map(str, row[1:])) for row in records(dataset)] == [
            ("new", "5.00", "a"), ("new", "6.00", "b"),
        ]  # fmt: skip
    job = preview(acme, dataset, "id,both\n3,c 7\n")
    assert job.state == State.PREVIEW_SUCCEEDED
    page = client.get(url(job)).text
    assert "once more" in page
    assert 'value="new"' in page
    client.post(url(job), fields(job, column_2="", column_3="", constant_3=""))
    with in_tenant(acme):
        assert len(work(job).mapping) == 2


def test_a_constant_that_the_column_cannot_hold_is_refused_at_once(
    acme: TenantRef, dataset: Dataset, client_of: ClientOf
) -> None:
    job, (_, status, *_) = preview(acme, dataset, "id,note\n1,x\n"), names(acme, dataset)
    answer = client_of(acme).post(url(job), fields(job, column_new=status, constant_new="lost"))
    assert answer.status_code == 422
    assert "status: " in answer.text


@pytest.mark.case("C19")
def test_who_comes_second_is_told_that_somebody_changed_the_mapping(
    acme: TenantRef, dataset: Dataset, client_of: ClientOf
) -> None:
    job, client = preview(acme, dataset), client_of(acme)
    assert client.post(url(job), fields(job, column_3="")).status_code == 302
    with in_tenant(acme):
        work(job)
    answer = client.post(url(job), fields(job))
    assert answer.status_code == 409
    assert "Somebody changed this mapping" in answer.text


def test_a_mapping_is_saved_under_a_name_used_and_deleted(
    acme: TenantRef, dataset: Dataset, client_of: ClientOf
) -> None:
    job, client = preview(acme, dataset), client_of(acme)
    client.post(url(job), fields(job, more_3="1", case_3="upper", save_as=" Shop  A "))
    with in_tenant(acme):
        work(job)
    other = preview(acme, dataset, "note,amount,id,status\nx,1,1,new\n")
    page = client.get(url(other)).text
    assert "Shop A (version 1)" in page
    assert client.post(url(other), {"do": "use", "name": "Shop A"}).status_code == 302
    with in_tenant(acme):
        merge(work(other))
        assert records(dataset)[0][3] == "X"
    assert client.post(url(other), {"do": "delete", "name": "Shop A"}).status_code == 302
    with in_tenant(acme):
        assert saved_mappings.names(dataset) == []


@pytest.mark.case("T11")
def test_another_tenants_saved_mapping_can_not_be_chosen(
    acme: TenantRef, globex: TenantRef, dataset: Dataset, client_of: ClientOf
) -> None:
    with in_tenant(globex):
        theirs = upload(make_orders())
        saved_mappings.save_as(job=theirs, name="Theirs", by=person())
    job, client = preview(acme, dataset), client_of(acme)
    assert "Theirs" not in client.get(url(job)).text
    for do in ("use", "delete"):
        assert client.post(url(job), {"do": do, "name": "Theirs"}).status_code == 422
    with in_tenant(globex):
        assert MappingVersion.objects.count() == 1


@pytest.mark.case("A16")
def test_who_may_not_import_maps_nothing(acme: TenantRef, dataset: Dataset, client_of: ClientOf) -> None:
    job, viewer = preview(acme, dataset), client_of(acme, "viewer")
    assert viewer.get(url(job) + "?format=json").status_code == 403
    for do in ("use", "delete", "look", ""):
        assert viewer.post(url(job), {"do": do, "name": "x"}).status_code == 403


def test_a_mapping_is_downloaded_as_the_command_takes_it(
    acme: TenantRef, dataset: Dataset, client_of: ClientOf
) -> None:
    job, client = preview(acme, dataset), client_of(acme)
    client.post(url(job), fields(job, column_2="", more_3="1", case_3="upper"))
    with in_tenant(acme):
        work(job)
    answer = client.get(url(job) + "?format=json")
    assert json.loads(answer.content) == {
        "id": "id", "status": "status", "amount": None, "note": {"column": "note", "case": "upper"},
    }  # fmt: skip


def test_reading_the_file_anew_keeps_what_was_chosen_for_the_labels_that_stay(
    acme: TenantRef, dataset: Dataset, client_of: ClientOf
) -> None:
    job, (*_, note) = preview(acme, dataset, "id,status,zzz\n1,new,x\n"), names(acme, dataset)
    client = client_of(acme)
    client.post(url(job), fields(job, column_2=note))
    with in_tenant(acme):
        job = work(job)
    client.post(url(job), fields(job, delimiter=","))
    with in_tenant(acme):
        job = work(job)
        assert (job.overrides["delimiter"], job.mapping[2]["column"]) == (",", note)
