"""A new dataset from a file: all of it is read, the columns are proposed with their reasons, a person decides."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

import jobs.services
from core import clock, storage
from core.tenancy import TenantRef, in_tenant
from datasets.models import Dataset
from datasets.rules import NewColumn
from datasets.tests.conftest import newcomer
from importer import expiry, proposing
from importer.models import ImportJob, Proposal
from importer.tests.tools import person, records

URL = "/admin/importer/importjob/new-dataset/"
FILE = (
    "Article no,Name,Price,Pieces,Kind,Since,Code\n"
    "A1,Bolt,1.50,10,metal,2026-01-01,007\n"
    "A2,Nut,2.25,,metal,2026-01-02,\n"
    "A3,Cap,3,n/a,plastic,2026-02-03,8\n"
)


def proposed(text: str = FILE, name: str = "price_list.csv") -> Proposal:
    made = proposing.create_proposal(file=io.BytesIO(text.encode()), name=name, by=person())
    jobs.services.run_pending()
    made.refresh_from_db()
    return made


def decided(proposal: Proposal, **changes: Any) -> dict[str, Any]:
    """Return the posted form as the page shows it, with changes by name such as c-1-type."""
    form: dict[str, Any] = {
        "c-TOTAL_FORMS": str(len(proposal.columns)), "c-INITIAL_FORMS": str(len(proposal.columns)),
        "c-MIN_NUM_FORMS": "0", "c-MAX_NUM_FORMS": "500", "title": "Prices", "import_file": "on",
    }  # fmt: skip
    for at, column in enumerate(proposal.columns):
        form |= {f"c-{at}-take": "on", f"c-{at}-label": column["label"], f"c-{at}-type": column["type"]}
        form |= {f"c-{at}-{name}": "on" for name in ("is_key", "is_required") if column[name]}
        form |= {
            f"c-{at}-{name}": column[name] for name in ("precision", "scale") if column[name] is not None
        }
        form[f"c-{at}-choices"] = "\n".join(column["choices"])
    form |= changes
    return {name: value for name, value in form.items() if value is not None}


def test_every_column_is_proposed_with_its_reason_and_the_first_counter_example(as_acme: TenantRef) -> None:
    made = proposed()
    assert (made.state, made.rows) == (Proposal.State.READY, 3)
    columns = {column["label"]: column for column in made.columns}
    assert [(one["label"], one["type"], one["is_key"]) for one in made.columns] == [
        ("Article no", "text", True), ("Name", "text", False), ("Price", "decimal", False),
        ("Pieces", "text", False), ("Kind", "text", False), ("Since", "date", False), ("Code", "text", False),
    ]  # fmt: skip
    assert columns["Pieces"]["evidence"].startswith("Row 4 holds 'n/a', so text")
    assert ["integer", 4, "n/a"] in columns["Pieces"]["against"]
    assert (columns["Kind"]["choices"], columns["Kind"]["samples"]) == (["metal", "plastic"],) * 2
    assert columns["Name"]["choices"] == []


def test_a_person_changes_what_is_proposed_and_the_file_goes_into_the_dataset(
    acme: TenantRef, globex: TenantRef, client_of: Any
) -> None:
    client: Client = client_of(acme)
    upload = SimpleUploadedFile("price_list.csv", FILE.encode(), "text/csv")
    answer = client.post(URL, {"file": upload})
    with in_tenant(acme):
        proposal = Proposal.objects.get()
        assert answer["Location"] == f"{URL}{proposal.pk}/"
    html = client.get(answer["Location"]).content.decode()
    assert "is being read" in html and "hx-get" in html
    with in_tenant(acme):
        jobs.services.run_pending()
        proposal.refresh_from_db()
    assert client.get(f"{URL}{proposal.pk}/progress/")["HX-Refresh"] == "true"
    html = client.get(answer["Location"]).content.decode()
    assert "3 rows were read" in html and "Whole number: row 4 holds &#x27;n/a&#x27;" in html
    assert "Only 2 different values" in html and 'value="Price list"' in html
    twice = client.post(answer["Location"], decided(proposal, **{"c-1-label": "Kind"}))
    assert twice.status_code == 422 and "stands more than once" in twice.content.decode()
    changes = {"c-3-take": None, "c-4-type": "choice", "c-1-label": "Article name"}
    done = client.post(answer["Location"], decided(proposal, **changes))
    assert done.status_code == 302
    with in_tenant(acme):
        dataset = Dataset.objects.get()
        assert [(one.label, one.type) for one in dataset.spec().columns] == [
            ("Article no", "text"), ("Article name", "text"), ("Price", "decimal"), ("Kind", "choice"),
            ("Since", "date"), ("Code", "text"),
        ]  # fmt: skip
        job = ImportJob.objects.get(dataset=dataset)
        assert done["Location"].startswith(f"/admin/importer/importjob/{job.pk}/")
        jobs.services.run_pending()
        job.refresh_from_db()
        assert (job.state, job.rejected_rows) == ("PREVIEW_SUCCEEDED", 0)
        assert records(dataset) == []
        proposal.refresh_from_db()
        assert (proposal.state, proposal.key) == (Proposal.State.USED, "")
        assert list(storage.list_keys("proposals")) == []
    assert client.post(answer["Location"], decided(proposal)).status_code == 200  # it made its dataset
    with in_tenant(acme):
        assert Dataset.objects.count() == 1
    with in_tenant(globex):
        assert (Dataset.objects.count(), Proposal.objects.count()) == (0, 0)


def test_of_two_decisions_one_makes_the_dataset(as_acme: TenantRef) -> None:
    made = proposed("a,b\n1,2\n")
    again = Proposal.objects.get()
    columns = [NewColumn("a"), NewColumn("b")]
    proposing.make_dataset(proposal=made, title="One", columns=columns, key=[], by=person())
    with pytest.raises(proposing.ProposalOver):
        proposing.make_dataset(proposal=again, title="Two", columns=columns, key=[], by=person())
    assert Dataset.objects.get().title == "One"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (",".join(f"c{n}" for n in range(501)) + "\n" + ",".join("1" * 501) + "\n", "a dataset can have 500"),
        ("PK\x03\x04xl/[Content_Types].xml", "damaged"),
    ],
)
def test_a_file_that_cannot_be_proposed_from_says_why(
    acme: TenantRef, client_of: Any, text: str, problem: str
) -> None:
    with in_tenant(acme):
        made = proposed(text)
    assert made.state == Proposal.State.FAILED and problem in made.error, made.error
    html = client_of(acme).get(f"{URL}{made.pk}/").content.decode()
    assert "Choose another file" in html and problem in html
    refused = client_of(acme).post(URL, {"file": SimpleUploadedFile("a.csv", b"%PDF-1.7")})
    assert refused.status_code == 422 and "a PDF document" in refused.content.decode()


def test_a_file_is_its_uploaders_alone_and_needs_the_right_to_make_datasets(
    acme: TenantRef, globex: TenantRef, client_of: Any
) -> None:
    with in_tenant(acme):
        made = proposed()
        newcomer("nobody@acme.example")
        other = newcomer("other@acme.example")
        other.groups.set(person().groups.all())
    for role in ("editor", "nobody@acme.example"):
        client = client_of(acme, role)
        assert client.get(URL).status_code == 403
        assert client.get(f"{URL}{made.pk}/").status_code == 403
        assert client.post(URL, {"file": SimpleUploadedFile("a.csv", b"a\n1\n")}).status_code == 403
    for client in (client_of(acme, "other@acme.example"), client_of(globex)):
        for at in ("", "progress/"):
            assert client.get(f"{URL}{made.pk}/{at}").status_code == 404
        assert client.post(f"{URL}{made.pk}/", decided(made)).status_code == 404
    with in_tenant(acme):
        assert Dataset.objects.count() == 0


def test_what_nobody_decides_about_is_removed_after_a_while(as_acme: TenantRef) -> None:
    made = proposed()
    expiry.remove_proposals(lambda: 5)
    assert storage.exists(made.key)
    Proposal.objects.update(created_at=clock.now() - timedelta(days=400))
    assert expiry.remove_proposals(lambda: 5)
    assert (Proposal.objects.count(), list(storage.list_keys("proposals"))) == (0, [])
