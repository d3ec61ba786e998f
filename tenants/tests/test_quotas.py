"""Limits of a tenant: asked where something is added, with figures, and nowhere exceeded."""

from __future__ import annotations

import json
import threading
from io import BytesIO

import pytest
from django.core.management import call_command
from django.db import connection, transaction

import jobs.services
from accounts.models import User
from accounts.services import create_user
from audit.models import Event
from core.quotas import QuotaReached, Resource, require_room, uses
from core.tenancy import in_public, in_tenant
from datasets.models import Dataset
from datasets.services import create_dataset
from importer.models import ImportJob
from importer.services import confirm_import, create_import
from importer.tests.tools import GOOD, ORDERS, import_text, make_orders, person, records, upload
from importer.undo import undo_import
from jobs.models import Job
from tenants import quotas
from tenants.models import Tenant
from tenants.quotas import BadLimit, set_quota


def limit(slug: str = "acme", **limits: int | None) -> None:
    with in_public():
        set_quota(
            tenant=Tenant.objects.get(slug=slug), limits={Resource(name): n for name, n in limits.items()}
        )


ADD = "/admin/datasets/dataset/{}/rows/add/"
MORE = "id,status,amount,note\n7,new,1.00,\n8,new,1.00,\n"


def test_without_a_limit_everything_is_taken(as_acme):
    require_room(Resource.ROWS, 10**12)
    assert uses() == []


def test_a_dataset_beyond_the_limit_is_not_made(as_acme):
    limit(datasets=Dataset.objects.count() + 1)
    make_orders()
    with pytest.raises(QuotaReached, match="acme has 1 of 1 datasets. Delete a dataset that nobody needs"):
        make_orders("Others")
    assert not Dataset.objects.filter(title="Others").exists()


def test_an_import_is_confirmed_only_if_its_records_fit(as_acme):
    orders = make_orders()
    import_text(orders)
    limit(rows=4)
    job = upload(orders, MORE)
    with pytest.raises(QuotaReached, match="acme has 3 of 4 records; 2 more were asked for"):
        confirm_import(job=job, by=person())
    job.refresh_from_db()
    assert (job.state, len(records(orders))) == ("PREVIEW_SUCCEEDED", 3)
    limit(rows=5)
    confirm_import(job=job, by=person())
    jobs.services.run_pending()
    assert len(records(orders)) == 5


def test_records_that_are_on_their_way_count(as_acme):
    orders, others = make_orders(), make_orders("Others")
    limit(rows=5)
    first, second = upload(orders), upload(others)
    confirm_import(job=first, by=person())
    with pytest.raises(QuotaReached, match="has 3 of 5 records; 3 more"):
        confirm_import(job=second, by=person())


def test_an_import_that_changes_records_needs_no_room(as_acme):
    orders = make_orders()
    import_text(orders)
    limit(rows=3)
    import_text(orders, GOOD.replace("new", "paid"))


def test_an_undo_is_never_refused(as_acme):
    orders = make_orders()
    import_text(orders)
    gone = import_text(orders, MORE)
    limit(rows=1)
    undo = undo_import(job=gone, by=person())
    jobs.services.run_pending()
    undo.refresh_from_db()
    confirm_import(job=undo, by=person())
    jobs.services.run_pending()
    assert len(records(orders)) == 3


def test_a_record_beyond_the_limit_is_not_added_by_hand(acme, client_of):
    with in_tenant(acme):
        orders = make_orders()
        import_text(orders)
        limit(rows=3)
        names = [column.name for column in orders.spec().columns]
        address = ADD.format(orders.pk)
    answer = client_of(acme).post(address, dict(zip(names, ("9", "new", "1.00", ""), strict=True)))
    assert (answer.status_code, "acme has 3 of 3 records." in answer.text) == (409, True)
    limit(rows=4)
    answer = client_of(acme).post(address, dict(zip(names, ("9", "new", "1.00", ""), strict=True)))
    assert answer.status_code == 302
    with in_tenant(acme):
        assert len(records(orders)) == 4


def test_a_file_beyond_the_space_is_not_kept(as_acme, settings):
    orders = make_orders()
    limit(bytes=10)
    with pytest.raises(QuotaReached, match=r"acme has .* of 10 bytes of space; .* more were asked for"):
        create_import(dataset=orders, file=BytesIO(GOOD.encode()), name="a.csv", by=person())
    assert ImportJob.objects.count() == 0
    assert not list((settings.ROWHOUSE_DATA / "storage").rglob("*.csv"))


def test_work_beyond_the_limit_is_not_taken(as_acme):
    limit(jobs=1)
    jobs.services.submit("importer.preview", target="a", payload={})
    with pytest.raises(QuotaReached, match="acme has 1 of 1 jobs waiting or running. Wait until"):
        jobs.services.submit("importer.preview", target="b", payload={})
    with in_public():
        assert Job.objects.filter(schema=as_acme.schema).count() == 1


def test_a_user_beyond_the_limit_is_not_added_nor_woken(acme, client_of):
    client = client_of(acme)
    with in_tenant(acme):
        limit(users=User.objects.filter(is_active=True).count())
        with pytest.raises(
            QuotaReached, match="acme has 3 of 3 active users. Make somebody who left inactive"
        ):
            create_user(email="new@acme.example", password=None, role="viewer")
        sleeper = User.objects.create_user("sleeper@acme.example", None, is_active=False)
    form = {"email": "n@acme.example", "usable_password": "false", "groups": []}
    assert "acme has 3 of 3 active users." in client.post("/admin/accounts/user/add/", form).text
    form = {"email": "sleeper@acme.example", "is_active": "on", "groups": []}
    answer = client.post(f"/admin/accounts/user/{sleeper.pk}/change/", form)
    assert "acme has 3 of 3 active users." in answer.text
    with in_tenant(acme):
        sleeper.refresh_from_db()
        assert not sleeper.is_active
        assert not User.objects.filter(email="n@acme.example").exists()


@pytest.mark.case("T35", "D09")
def test_a_tenants_limit_is_its_own_and_the_settings_are_everybodys(acme, globex, settings):
    settings.ROWHOUSE_QUOTA_DATASETS = 7
    settings.ROWHOUSE_QUOTA_MB = 2
    limit("acme", datasets=3, rows=0)
    assert quotas.limits_of(acme.schema)[Resource.DATASETS] == 3
    assert quotas.limits_of(globex.schema)[Resource.DATASETS] == 7
    assert quotas.limits_of(globex.schema)[Resource.BYTES] == 2 * 1024 * 1024
    limit("acme", datasets=None)
    assert quotas.limits_of(acme.schema)[Resource.DATASETS] == 7


@pytest.mark.parametrize("number", [-1, 2**61])
def test_what_is_no_limit_is_refused(acme, number):
    with pytest.raises(BadLimit):
        limit(rows=number)


def test_the_tenant_sees_use_and_limit_and_is_warned_from_80_percent_on(acme, client_of):
    with in_tenant(acme):
        for number in range(4):
            create_dataset(title=f"Set {number}", columns=ORDERS, key=("id",), by=None)
    limit(datasets=6)
    for page in ("/admin/", "/admin/exporter/exportfile/space/"):
        text = client_of(acme).get(page).text
        assert "4 of 6 datasets" in text
        assert "% is taken</div>" not in text
    limit(datasets=5)
    text = client_of(acme).get("/admin/").text
    assert "4 of 5 datasets: 80 % is taken" in text
    assert "Delete a dataset that nobody needs" in text
    limit(datasets=4)
    assert "4 of 4 datasets: no more can be added" in client_of(acme).get("/admin/").text


def test_setting_one_is_recorded_and_leaves_the_others(acme):
    limit(rows=10)
    limit(users=3)
    limits = quotas.limits_of(acme.schema)
    assert (limits[Resource.ROWS], limits[Resource.USERS]) == (10, 3)
    assert [one.data for one in Event.objects.filter(name="tenants.quota.set").order_by("pk")] == [
        {"rows": 10},
        {"users": 3},
    ]


def test_the_command_sets_and_shows_limits(acme, capsys):
    call_command("set_quota", "acme", "--rows", "1000", "--megabytes", "5", "--json")
    found = json.loads(capsys.readouterr().out)["limits"]
    assert found["rows"] == {"limit": 1000, "used": 0}
    assert found["bytes"]["limit"] == 5 * 1024 * 1024
    assert found["users"] == {"limit": 0, "used": None}
    call_command("set_quota", "acme", "--rows", "default")
    assert "rows: no limit" in capsys.readouterr().out
    for wrong in (["--rows", "many"], []):
        with pytest.raises(SystemExit, match="2"):
            call_command("set_quota", "acme", *wrong)


@pytest.mark.case("D09")
def test_of_many_who_ask_at_once_no_more_get_in_than_fit(committed_tenants, django_db_blocker):
    with django_db_blocker.unblock():
        ref = committed_tenants[0]
        limit(ref.slug, users=5)  # three are there
        start, results = threading.Barrier(6), []

        def ask(number: int) -> None:
            try:
                start.wait(30)
                with in_tenant(ref), transaction.atomic():
                    create_user(email=f"n{number}@x.example", password=None, role="viewer")
                results.append("in")
            except QuotaReached:
                results.append("refused")
            finally:
                connection.close()

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(results) == ["in"] * 2 + ["refused"] * 4
        with in_tenant(ref):
            assert User.objects.filter(is_active=True).count() == 5
