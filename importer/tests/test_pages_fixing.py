"""Correcting rejected rows on the page, and by their file."""

from __future__ import annotations

import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from core.tenancy import TenantRef, in_tenant
from datasets.models import Dataset
from importer.admin import rejects
from importer.models import ImportJob, State
from importer.tests.tools import counts, make_orders, merge, records
from importer.tests.visits import FAULTY, ClientOf, at, figures, imported, preview, restricted, worked

# Row 2: two wrong cells; 3: a cell too few; 4: one too many; 5: a byte that is no text; 6: a note of two lines.
AWKWARD = (
    b"id,status,amount,note\n"
    b"1,nwe,ten,call\n"
    b"2,new\n"
    b"3,new,3.00,a,b\n"
    b"4,new,4.00,caf\xe9\n"
    b'5,lost,5.00,"one\ntwo"\n'
    b"6,new,6.00,good\n"
)


def inputs(page: str) -> dict[str, str]:
    """Return the inputs of the rejected rows by name."""
    found = dict(re.findall(r'<input type="text" name="(c-[0-9]+-[0-9]+)" value="([^"]*)"', page))
    return found | dict(re.findall(r'<textarea name="(c-[0-9]+-[0-9]+)"[^>]*>\n([^<]*)</textarea>', page))


def wrong(page: str) -> set[str]:
    return set(re.findall(r'aria-describedby="(c-[0-9]+-[0-9]+)-rule"', page))


def rejected_page(client: Client, job: ImportJob) -> str:
    return client.get(at(job) + "?tab=rejects").text


@pytest.fixture
def job(acme: TenantRef, acme_orders: Dataset) -> ImportJob:
    return preview(acme, acme_orders, AWKWARD, overrides={"encoding": "utf-8"})


def test_each_rejected_row_is_shown_cell_by_cell_with_the_wrong_ones_marked(
    acme: TenantRef, job: ImportJob, client_of: ClientOf
) -> None:
    page = rejected_page(client_of(acme), job)
    shown = inputs(page)
    assert {name.rpartition("-")[0] for name in shown} == {"c-2", "c-3", "c-4", "c-5", "c-6"}
    assert [shown[f"c-2-{n}"] for n in range(4)] == ["1", "nwe", "ten", "call"]
    assert [shown[f"c-3-{n}"] for n in range(4)] == ["2", "new", "", ""]
    assert [shown[f"c-4-{n}"] for n in range(5)] == ["3", "new", "3.00", "a", "b"]
    assert shown["c-6-3"] == "one\ntwo"
    assert {"c-2-1", "c-2-2", "c-5-3", "c-6-1"} <= wrong(page)
    assert 'aria-label="amount, row 2" aria-invalid="true"' in page
    assert "The row has 5 cells, the header 4." in page


def test_only_the_changed_rows_are_checked_again_and_the_wrong_ones_come_back(
    acme: TenantRef, acme_orders: Dataset, job: ImportJob, client_of: ClientOf
) -> None:
    client = client_of(acme)
    # As a browser without scripts sends it: every cell, line ends as its own.
    sent = {name: value.replace("\n", "\r\n") for name, value in inputs(rejected_page(client, job)).items()}
    sent |= {"c-2-1": "new", "c-2-2": "10.00", "c-6-1": "gone", "after": "0"}
    answer = client.post(at(job, "fix/"), sent)
    assert answer.headers["Location"] == at(job) + "?tab=rejects&after=0"
    with in_tenant(acme):
        assert [(fix.row, fix.cells) for fix in job.fixes.order_by("row")] == [
            (2, ["1", "new", "10.00", "call"]),
            (6, ["5", "gone", "5.00", "one\ntwo"]),
        ]
    job = worked(acme, job)
    page = rejected_page(client, job)
    assert (job.state, counts(job), job.read_rows) == (State.PREVIEW_SUCCEEDED, (2, 0, 0, 4), 6)
    assert figures(page)["rejected"] == "4"
    assert "2 rows checked." in page
    assert inputs(page)["c-6-1"] == "gone"
    assert "c-2-0" not in inputs(page)


def test_ragged_and_undecodable_rows_are_mended_too(
    acme: TenantRef, acme_orders: Dataset, job: ImportJob, client_of: ClientOf
) -> None:
    client = client_of(acme)
    sent = {"c-2-1": "new", "c-2-2": "", "take-3": "1", "c-4-4": "", "c-5-3": "café", "c-6-1": "paid"}
    client.post(at(job, "fix/"), sent)
    job = worked(acme, job)
    assert (counts(job), job.issue_counts) == ((6, 0, 0, 0), {})
    page = client.get(at(job)).text
    assert "Rejected rows (" not in page
    with in_tenant(acme):
        merge(job)
        assert [(row[0], row[1], str(row[2]), row[3]) for row in records(acme_orders)] == [
            (1, "new", "None", "call"),
            (2, "new", "None", None),
            (3, "new", "3.00", "a"),
            (4, "new", "4.00", "café"),
            (5, "paid", "5.00", "one\ntwo"),
            (6, "new", "6.00", "good"),
        ]


def test_a_row_emptied_on_the_page_is_left_out(acme: TenantRef, job: ImportJob, client_of: ClientOf) -> None:
    client_of(acme).post(at(job, "fix/"), {f"c-4-{n}": "" for n in range(5)})
    job = worked(acme, job)
    assert (job.read_rows, job.rejected_rows, job.blank_rows) == (5, 4, 1)


def test_sending_what_was_shown_changes_nothing(acme: TenantRef, job: ImportJob, client_of: ClientOf) -> None:
    client = client_of(acme)
    client.post(
        at(job, "fix/"), inputs(rejected_page(client, job)) | {"c-99-1": "x", "c-2-77": "x", "take-99": "1"}
    )
    assert "No cell was changed." in rejected_page(client, job)
    with in_tenant(acme):
        assert job.fixes.count() == 0


def test_a_repeated_key_is_marked_at_the_cells_of_the_key(
    acme: TenantRef, acme_orders: Dataset, client_of: ClientOf
) -> None:
    job = preview(acme, acme_orders, "status,Id\nnew,1\npaid,1\n")
    page = rejected_page(client_of(acme), job)
    assert wrong(page) == {"c-3-1"}
    assert "already; the first row counts." in page


def test_rejected_rows_come_in_pages_and_stay_where_they_were(
    acme: TenantRef, acme_orders: Dataset, client_of: ClientOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rejects, "PAGE", 2)
    job = preview(acme, acme_orders, "id,status\n" + "".join(f"{n},bad\n" for n in range(1, 6)))
    client = client_of(acme)
    first = rejected_page(client, job)
    assert "?tab=rejects&amp;after=3#parts" in first
    second = client.get(at(job) + "?tab=rejects&after=3").text
    assert sorted(inputs(second)) == ["c-4-0", "c-4-1", "c-5-0", "c-5-1"]
    answer = client.post(at(job, "fix/"), {"c-4-1": "new", "c-5-1": "new", "after": "3"})
    worked(acme, job)
    rest = client.get(answer.headers["Location"]).text
    assert sorted(inputs(rest)) == ["c-6-0", "c-6-1"]
    assert "Back to the first" in client.get(at(job) + "?tab=rejects&after=6").text


def test_a_row_too_long_for_a_form_is_shown_and_not_offered(
    acme: TenantRef, acme_orders: Dataset, client_of: ClientOf
) -> None:
    job = preview(acme, acme_orders, f"id,status,note\n1,bad,{'x' * 20_000}\n")
    page = rejected_page(client_of(acme), job)
    assert inputs(page) == {}
    assert "Too long to correct here" in page
    assert "x" * 250 not in page


def test_a_row_of_thousands_of_cells_does_not_flood_the_page(
    acme: TenantRef, acme_orders: Dataset, client_of: ClientOf
) -> None:
    job = preview(acme, acme_orders, "id,status\n1,new" + ",x" * 5_000 + "\n2,new\n3,bad\n")
    page = rejected_page(client_of(acme), job)
    assert "Too long to correct here" in page
    assert sorted(inputs(page)) == ["c-4-0", "c-4-1"]
    assert page.count("beyond the labels") == 50


@pytest.mark.parametrize("state", ["imported", "cancelled"])
def test_after_the_decision_rows_are_shown_and_cannot_be_corrected_here(
    acme: TenantRef, acme_orders: Dataset, client_of: ClientOf, state: str
) -> None:
    client = client_of(acme)
    if state == "imported":
        job = imported(acme, acme_orders, FAULTY)
    else:
        job = preview(acme, acme_orders, FAULTY)
        client.post(at(job, "cancel/"))
    page = rejected_page(client, job)
    assert inputs(page) == {}
    assert "ten" in page
    assert f"/upload/?dataset={acme_orders.pk}" in page
    assert client.post(at(job, "fix/"), {"c-2-2": "1.00"}).status_code == 409


def test_the_corrected_file_of_rejected_rows_takes_their_place(
    acme: TenantRef, acme_orders: Dataset, client_of: ClientOf
) -> None:
    job, client = preview(acme, acme_orders, FAULTY), client_of(acme)
    answer = client.get(at(job, "rejected-rows/"))
    text = b"".join(answer.streaming_content).decode("utf-8-sig")  # type: ignore[attr-defined]
    file = SimpleUploadedFile("mended.csv", text.replace('"ten"', '"10.00"').encode())
    answer = client.post(at(job, "corrections/"), {"file": file})
    assert answer.headers["Location"] == at(job) + "?tab=rejects"
    assert "1 row of mended.csv taken." in rejected_page(client, job)
    assert counts(worked(acme, job)) == (2, 0, 0, 1)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "The file is empty."),
        (b"id,status\n1,new\n", "Download the rejected rows and"),
        (b"\x89PNG\r\n\x1a\n" + bytes(300), "mended.csv"),
    ],
)
def test_a_file_of_something_else_is_refused_beside_its_field(
    acme: TenantRef, acme_orders: Dataset, client_of: ClientOf, content: bytes, said: str
) -> None:
    job, client = preview(acme, acme_orders, FAULTY), client_of(acme)
    answer = client.post(at(job, "corrections/"), {"file": SimpleUploadedFile("mended.csv", content)})
    assert answer.status_code == 422
    assert said in answer.text
    assert 'aria-current="page">Rejected rows (2)' in answer.text
    assert client.post(at(job, "corrections/")).status_code == 422


@pytest.mark.case("A10", "A16", "T07")
def test_rejected_rows_are_for_those_who_may_import(
    acme: TenantRef, globex: TenantRef, acme_orders: Dataset, client_of: ClientOf
) -> None:
    job = preview(acme, acme_orders, FAULTY)
    with in_tenant(acme):
        other = make_orders("Other")
    restricted(acme, {other: ("view", "import")})
    for client, status in (
        (client_of(acme, "viewer"), 403),
        (client_of(acme, "clerk@acme.example"), 404),
        (client_of(globex), 404),
    ):
        assert client.post(at(job, "fix/"), {"c-2-2": "1.00"}).status_code == status
        file = SimpleUploadedFile("mended.csv", b"row,problem\n")
        assert client.post(at(job, "corrections/"), {"file": file}).status_code == status
    viewers = client_of(acme, "viewer").get(at(job) + "?tab=rejects").text
    assert "Rejected rows" not in viewers
    assert "lost" not in viewers
    with in_tenant(acme):
        assert job.fixes.count() == 0


def test_a_cell_that_no_text_can_hold_is_told_and_what_was_typed_stays(
    acme: TenantRef, job: ImportJob, client_of: ClientOf
) -> None:
    client = client_of(acme)
    answer = client.post(at(job, "fix/"), {"c-2-1": "new", "c-2-3": "a\x00b", "take-3": "1", "after": "0"})
    assert answer.status_code == 422
    assert "Row 2, note: the character NUL cannot stand in a text." in answer.text
    shown = inputs(answer.text.replace(" data-sent", ""))
    assert (shown["c-2-1"], shown["c-2-3"], shown["c-4-1"]) == ("new", "a\\x00b", "new")
    assert answer.text.count("data-sent") == 2
    assert 'name="take-3" value="1" checked' in answer.text
    with in_tenant(acme):
        assert job.fixes.count() == 0


def test_rows_of_a_page_opened_before_the_preview_was_made_again_are_refused(
    acme: TenantRef, acme_orders: Dataset, client_of: ClientOf
) -> None:
    job, client = preview(acme, acme_orders, FAULTY), client_of(acme)
    page = rejected_page(client, job)
    assert page.count(f'<input type="hidden" name="seen" value="{job.previews}">') == 2
    old = {"seen": str(job.previews)}
    client.post(at(job, "fix/"), {"c-2-2": "1.00", **old})
    job = worked(acme, job)
    for cells in ({"c-3-1": "new"}, {}):  # also where none of the rows sent is rejected any more
        answer = client.post(at(job, "fix/"), {**cells, **old})
        assert answer.status_code == 409
        assert "The preview was made again since this page was opened." in answer.text
    file = SimpleUploadedFile("mended.csv", b"row,problem,id,status,amount,note\n3,,2,new,1.00,\n")
    answer = client.post(at(job, "corrections/"), {"file": file, **old})
    assert answer.status_code == 422
    assert "The preview was made again since this page was opened." in answer.text
    assert f'name="seen" value="{job.previews}"' in answer.text
    assert counts(worked(acme, job)) == (2, 0, 0, 1)
