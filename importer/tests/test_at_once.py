"""Many people at one import at the same moment: real connections, real commits."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import connection

from audit.actor import actor
from core.tenancy import TenantRef, in_tenant
from datasets.rows import get_row_model
from importer import services
from importer.models import ImportJob, State
from importer.tests.tools import import_text, make_orders, merge, person, records, upload, versions, work

AT_ONCE = 12


@pytest.mark.case("C01", "C04")
def test_of_many_confirms_at_once_exactly_one_merges(committed_tenants: list[TenantRef]) -> None:
    tenant = committed_tenants[0]
    with in_tenant(tenant):
        dataset = make_orders()
        first, second = upload(dataset), upload(dataset)
    ready = Barrier(AT_ONCE)

    def confirm(number: int) -> str:
        try:
            with in_tenant(tenant):
                job = ImportJob.objects.get(pk=(first if number % 2 else second).pk)
                ready.wait()
                services.confirm_import(job=job, by=person())
                return "confirmed"
        except services.NotConfirmable as error:
            return error.code
        finally:
            connection.close()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(confirm, range(AT_ONCE)))
    assert sorted(answers) == ["confirmed"] + ["not-confirmable"] * (AT_ONCE - 1)
    with in_tenant(tenant):
        jobs = [work(job) for job in (first, second)]
        assert sorted(job.state for job in jobs) == sorted([State.IMPORT_SUCCEEDED, State.PREVIEW_SUCCEEDED])
        assert (len(records(dataset)), versions(dataset)) == (3, 3)


def test_an_edit_committed_by_somebody_else_after_the_preview_is_noticed(
    committed_tenants: list[TenantRef],
) -> None:
    with in_tenant(committed_tenants[0]):
        dataset = make_orders()
        assert import_text(dataset).state == State.IMPORT_SUCCEEDED
        quiet, late = upload(dataset), upload(dataset, "id,status\n1,paid\n")
        assert merge(quiet).notice == ""
        model, status = get_row_model(dataset), dataset.spec().columns[1].name
        with actor(person().pk, "by hand"):
            model._default_manager.order_by("pk").filter(pk=model._default_manager.earliest("pk").pk).update(
                **{status: "sent"}
            )
        late = merge(late)
        assert (late.state, late.notice.split(".")[0]) == (
            State.PREVIEW_SUCCEEDED,
            "1 record changed since the preview",
        )
