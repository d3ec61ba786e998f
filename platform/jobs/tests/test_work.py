"""A tenant's own page of background work: who sees what of it, and what can be done there."""

from __future__ import annotations

import io
import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from audit.models import Event
from core.clock import now
from core.tenancy import TenantRef, in_public, in_tenant
from datasets.models import Dataset
from datasets.services import grant_right
from exporter.services import request_export
from exporter.tests.helpers import dataset_with
from importer.services import create_import
from importer.tests.tools import person
from jobs import services
from jobs.models import Job

WORK = "/admin/jobs/job/"
ROWS = b"id,note\n1,a\n2,b\n"


def ask_import(dataset: Dataset, name: str = "orders.csv") -> Job:
    """Upload a file and leave its preview in the queue."""
    made = create_import(dataset=dataset, file=io.BytesIO(ROWS), name=name, by=person())
    return _job(made.preview_job_id)


def _job(pk: Any) -> Job:
    with in_public():
        return Job.objects.get(pk=pk)


def job_of(tenant: TenantRef, kind: str, **fields: Any) -> Job:
    return Job.objects.create(schema=tenant.schema, slug=tenant.slug, kind=kind, **fields)


@pytest.fixture
def clerk(acme: TenantRef) -> str:
    """A person of acme without any role."""
    with in_tenant(acme):
        User.objects.create_user("clerk@acme.example", "correct horse battery")
    return "clerk@acme.example"


def grant(tenant: TenantRef, email: str, right: str, slug: str) -> None:
    with in_tenant(tenant):
        dataset = Dataset.objects.get(slug=slug)
        grant_right(right=right, to=User.objects.get(email=email), dataset=dataset)


class Scene:
    """Acme with two datasets and work on each, an export of each and of both, and globex beside it."""

    def __init__(self, acme: TenantRef, globex: TenantRef) -> None:
        with in_tenant(acme):
            orders, secret = dataset_with(slug="orders"), dataset_with(slug="secret-salaries")
            self.orders = ask_import(orders).pk
            self.secret = ask_import(secret, "salaries.csv").pk
            self.secret_export = request_export(by=person("editor"), datasets=[secret]).job_id
            self.owners_export = request_export(by=person(), datasets=[orders, secret]).job_id
        with in_tenant(globex):
            self.theirs = ask_import(dataset_with(slug="theirs"), "theirs.csv").pk
        slot = "2026-11-20T23:00:00+00:00"
        self.hourly = job_of(acme, "exporter.run", target=slot, payload={"slot": slot}).pk
        self.other = job_of(acme, "test.append", target="odd").pk
        self.platform = Job.objects.create(schema="public", kind="test.append", target="platform").pk

    def names(self, pks: set[int]) -> set[str]:
        return {name for name, pk in vars(self).items() if pk in pks}


@pytest.fixture
def scene(acme: TenantRef, globex: TenantRef) -> Scene:
    Job.objects.all().delete()
    return Scene(acme, globex)


def listed(client: Client, **query: str) -> set[int]:
    answer = client.get(WORK, query)
    assert answer.status_code == 200
    return {int(pk) for pk in re.findall(r'id="job-(\d+)-state"', answer.text)}


ALL = {"orders", "secret", "secret_export", "owners_export", "hourly"}


@pytest.mark.parametrize(("who", "expected"), [("owner", {*ALL, "other"}), ("editor", ALL), ("viewer", ALL)])
def test_a_role_sees_the_work_its_rights_reach(scene, acme, client_of, who, expected):
    assert scene.names(listed(client_of(acme, who))) == expected


def test_somebody_without_rights_sees_nothing_and_reads_what_to_do(scene, acme, client_of, clerk):
    client = client_of(acme, clerk)
    assert listed(client) == set()
    assert "No background work yet" in client.get(WORK).text


@pytest.mark.parametrize("right", ["view", "import"])
def test_a_right_on_a_dataset_shows_its_work_and_no_other_title(scene, acme, client_of, clerk, right):
    grant(acme, clerk, right, "orders")
    client = client_of(acme, clerk)
    expected = {"orders", "owners_export", "hourly"} if right == "view" else {"orders"}
    assert scene.names(listed(client)) == expected
    shown = client.get(WORK).text
    assert "orders.csv into Orders" in shown
    for word in ("salaries", "Salaries", "theirs", "Theirs"):
        assert word not in shown


def test_another_tenants_work_is_not_there(scene, globex, client_of):
    client = client_of(globex)
    assert scene.names(listed(client)) == {"theirs"}
    for pk in (scene.orders, scene.hourly, scene.platform, 99_999_999):
        for page in (f"{pk}/", f"{pk}/status.json"):
            assert client.get(WORK + page).status_code == 404, page
        assert client.post(f"{WORK}{pk}/cancel/").status_code == 404
    assert not Job.objects.filter(cancel_requested=True).exists()


def test_work_on_a_dataset_one_may_not_see_is_not_there(scene, acme, client_of, clerk):
    grant(acme, clerk, "view", "orders")
    client = client_of(acme, clerk)
    for pk in (scene.secret, scene.secret_export, scene.other):
        assert client.get(f"{WORK}{pk}/").status_code == 404
        assert client.get(f"{WORK}{pk}/status.json").status_code == 404
        assert client.post(f"{WORK}{pk}/cancel/").status_code == 404


def test_searching_finds_no_more_than_the_list_shows(scene, acme, client_of, clerk):
    owner = client_of(acme)
    assert scene.names(listed(owner, q="salaries")) == {"secret"}
    assert scene.names(listed(owner, q="preview")) == {"orders", "secret"}
    assert scene.names(listed(owner, q=str(scene.hourly))) == {"hourly"}
    assert scene.names(listed(owner, q="theirs")) == set()
    assert "Nothing fits this search" in owner.get(WORK, {"q": "theirs"}).text
    grant(acme, clerk, "view", "orders")
    assert listed(client_of(acme, clerk), q="salaries") == set()
    assert listed(client_of(acme, clerk), q=str(scene.secret)) == set()


def test_the_list_is_filtered_by_state_and_kind(scene, acme, client_of):
    Job.objects.filter(pk=scene.orders).update(state="FAILED", error="No.", finished_at=now())
    owner = client_of(acme)
    assert scene.names(listed(owner, state="failed")) == {"orders"}
    assert scene.names(listed(owner, kind="importer.preview", state="active")) == {"secret"}
    assert scene.names(listed(owner, kind="test.append")) == {"other"}


def test_a_long_list_is_paged(scene, acme, client_of):
    for count in range(30):
        job_of(acme, "test.append", target=f"n{count}")
    owner = client_of(acme)
    first, second = listed(owner, page="1"), listed(owner, page="2")
    assert (len(first), len(second), first & second) == (25, 11, set())
    assert listed(owner, page="nonsense") == first


def test_the_reason_of_an_export_is_for_those_who_may_know_its_datasets(scene, acme, client_of, clerk):
    why = {"state": "FAILED", "error": "secret-salaries broke", "error_code": "odd", "finished_at": now()}
    Job.objects.filter(pk=scene.owners_export).update(**why)
    grant(acme, clerk, "view", "orders")
    client, address = client_of(acme, clerk), f"{WORK}{scene.owners_export}/status.json"
    assert "secret-salaries" not in client.get(WORK).text
    assert "An owner can see why." in client.get(WORK).text
    assert (client.get(address).json()["error"], client.get(address).json()["error_code"]) == ("", "")
    assert client_of(acme).get(address).json()["error"] == "secret-salaries broke"


def test_progress_pace_and_what_remains_are_shown(scene, acme, client_of):
    begun = now() - timedelta(seconds=10)
    Job.objects.filter(pk=scene.orders).update(step=3, processed=5000, total=20_000, started_at=begun)
    shown = client_of(acme).get(WORK).text
    assert 'max="100" value="25"' in shown
    assert "5,000 of 20,000 rows" in shown
    assert re.search(r"\d{3} rows per second, about 3\d s left", shown)


# ---- cancelling


def test_whoever_may_cancel_the_import_may_cancel_its_job(scene, acme, client_of):
    viewer, editor = client_of(acme, "viewer"), client_of(acme, "editor")
    cancel = f"{WORK}{scene.orders}/cancel/"
    assert cancel not in viewer.get(WORK).text
    assert viewer.post(cancel).status_code == 403
    assert not Job.objects.get(pk=scene.orders).cancel_requested

    assert cancel in editor.get(WORK).text
    assert editor.post(cancel).status_code == 302
    assert Job.objects.get(pk=scene.orders).cancel_requested
    with in_tenant(acme):
        event = Event.objects.get(name="importer.job.cancelled")
        assert event.actor_label == "editor@acme.example"


def test_an_export_is_cancelled_by_whoever_asked_for_it_or_an_owner(scene, acme, client_of):
    editor, owner = client_of(acme, "editor"), client_of(acme)
    assert editor.post(f"{WORK}{scene.owners_export}/cancel/").status_code == 403
    assert editor.post(f"{WORK}{scene.hourly}/cancel/").status_code == 403
    assert editor.post(f"{WORK}{scene.secret_export}/cancel/").status_code == 302
    assert owner.post(f"{WORK}{scene.hourly}/cancel/").status_code == 302  # whose run does not exist yet
    asked = Job.objects.filter(cancel_requested=True).values_list("pk", flat=True)
    assert scene.names(set(asked)) == {"secret_export", "hourly"}


def test_following_a_link_or_a_form_from_elsewhere_cancels_nothing(scene, acme, client_of):
    assert client_of(acme).get(f"{WORK}{scene.orders}/cancel/").status_code == 405
    forged = client_of(acme)
    forged.handler.enforce_csrf_checks = True
    assert forged.post(f"{WORK}{scene.orders}/cancel/").status_code == 403
    assert not Job.objects.get(pk=scene.orders).cancel_requested


def test_what_has_ended_cannot_be_cancelled(scene, acme, client_of):
    Job.objects.filter(pk=scene.owners_export).update(state="DONE", finished_at=now())
    assert client_of(acme).post(f"{WORK}{scene.owners_export}/cancel/").status_code == 403


# ---- for scripts, and while the work is paused


def test_a_script_reads_how_a_job_stands(scene, acme, client_of):
    told = client_of(acme).get(f"{WORK}{scene.orders}/status.json").json()
    assert {name: told[name] for name in ("job", "kind", "title", "state", "has_ended", "percent")} == {
        "job": scene.orders,
        "kind": "importer.preview",
        "title": "Preview of an import",
        "state": "QUEUED",
        "has_ended": False,
        "percent": None,
    }
    assert told["about"] == "orders.csv into Orders"


def test_a_script_that_is_not_signed_in_is_told_so(scene, acme):
    answer = Client(HTTP_HOST="acme.localhost").get(f"{WORK}{scene.orders}/status.json")
    assert (answer.status_code, answer.json()["code"]) == (401, "not-signed-in")


def test_paused_work_says_that_it_waits_and_for_whom(scene, acme, globex, client_of):
    services.pause_tenant(acme.schema)
    owner = client_of(acme)
    assert "An operator has paused the background work here" in owner.get(WORK).text
    assert owner.get(f"{WORK}{scene.orders}/status.json").json()["is_paused"]
    about = owner.get(f"{WORK}{scene.orders}/status.json").json()["url"]
    words = "an operator has paused the background work here"
    assert words in owner.get(about).text
    assert words in owner.get(owner.get(f"{WORK}{scene.owners_export}/status.json").json()["url"]).text
    assert words not in client_of(globex).get(WORK).text.lower()


def test_what_a_person_typed_is_escaped(scene, acme, client_of):
    with in_tenant(acme):
        dataset = dataset_with(slug="odd")
        Dataset.objects.filter(pk=dataset.pk).update(title="<img src=x onerror=alert(1)>")
        ask_import(Dataset.objects.get(pk=dataset.pk), "<script>.csv")
    shown = client_of(acme).get(WORK).text
    assert "&lt;img src=x onerror" in shown
    assert "<img src=x onerror" not in shown
    assert "<script>.csv" not in shown
