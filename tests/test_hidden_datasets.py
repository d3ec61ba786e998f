"""Whoever has every right on one dataset and none on another learns nothing of the other by odd ways of asking."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from core.tenancy import TenantRef, in_tenant
from datasets.models import Dataset
from datasets.rows import get_row_model
from exporter.models import ExportRun
from importer.models import ImportJob
from tests.test_pages_need_rights import CANARY, Place, elsewhere, place

__all__ = ["elsewhere", "place"]
# What a form of the admin, a list or a script could send; {other} is the hidden dataset, {own} the visitor's.
ODD_ADDRESSES = [
    "/admin/",
    "/admin/datasets/",
    "/admin/datasets/dataset/?q=Orders",
    "/admin/datasets/dataset/?all=",
    "/admin/datasets/dataset/?o=-1.2&_to_field=id&_popup=1",
    "/admin/datasets/dataset/?id__in={other},{own}",
    "/admin/datasets/dataset/{other}/change/?_to_field=slug",
    "/admin/datasets/dataset/{other}/rows/?q=CANARY",
    "/admin/datasets/dataset/{own}/rows/?q=CANARY",
    "/admin/datasets/dataset/{own}/rows/?_to_field=dataset__title",
    "/admin/datasets/dataset/{other}/rows/{record}/history/{version}/",
    "/admin/datasets/dataset/{own}/rows/{record}/history/{version}/",
    "/admin/autocomplete/?app_label=importer&model_name=importjob&field_name=dataset&term=Ord",
    "/admin/autocomplete/?app_label=exporter&model_name=exportfile&field_name=dataset&term=",
    "/admin/autocomplete/?app_label=datasets&model_name=changeset&field_name=dataset&term=C",
    "/admin/importer/importjob/?q=CANARY",
    "/admin/importer/importjob/?dataset__id__exact={other}",
    "/admin/importer/importjob/?dataset__title__startswith=Ord",
    "/admin/importer/importjob/{job}/change/",
    "/admin/importer/importjob/{job}/rejected/",
    "/admin/importer/importjob/upload/?dataset={other}",
    "/admin/exporter/exportfile/?q=orders",
    "/admin/exporter/exportfile/?dataset__id__exact={other}",
    "/admin/exporter/exportfile/?run__id__exact={run}",
    "/admin/exporter/exportfile/{file}/download/",
    "/admin/exporter/exportfile/{file}/file/{token}/",
    "/admin/exporter/exportrun/?q=orders",
    "/admin/exporter/exportsettings/",
    "/admin/datasets/changeset/?q=CANARY",
    "/admin/datasets/changeset/?dataset__id__exact={other}",
    "/admin/r/1/{record}/",
]


def addresses(place: Place, own: Dataset) -> list[str]:
    named = {
        "other": place.dataset.pk, "own": own.pk, "record": place.record, "version": place.version,
        "job": place.job.pk, "file": place.file.pk, "run": place.file.run_id, "token": place.token,
    }  # fmt: skip
    return [each.format(**named) for each in ODD_ADDRESSES]


def body_of(client: Client, address: str) -> str:
    """Return all that an answer says, where it leads to as well."""
    answer = client.get(address)
    assert answer.status_code < 500, address
    content = b"".join(answer) if getattr(answer, "streaming", False) else answer.content
    return content.decode(errors="replace") + answer.headers.get("Location", "")


@pytest.mark.case("A10")
def test_nothing_of_a_hidden_dataset_comes_by_odd_ways_of_asking(
    acme: TenantRef, globex: TenantRef, place: Place, elsewhere: User, client_of: Any
) -> None:
    with in_tenant(acme):
        own = Dataset.objects.get(title="Others")
        Dataset.objects.filter(pk=place.dataset.pk).update(title="TITLE-OF-HIDDEN")
    visitor, owner = client_of(acme, elsewhere.email), client_of(acme)
    found, shown = [], 0
    for address in addresses(place, own):
        body = body_of(visitor, address)
        if CANARY in body or "TITLE-OF-HIDDEN" in body:
            found.append(address)
        seen = body_of(owner, address)
        shown += CANARY in seen or "TITLE-OF-HIDDEN" in seen
    assert found == []
    assert shown > 10  # they are real ways: to an owner they do show it


@pytest.mark.case("A10")
def test_an_action_on_a_hidden_dataset_s_file_or_import_does_nothing(
    acme: TenantRef, place: Place, elsewhere: User, client_of: Any
) -> None:
    visitor = client_of(acme, elsewhere.email)
    for address, form in (
        ("/admin/exporter/exportrun/now/", {"datasets": [place.dataset.pk], "dataset": place.dataset.pk}),
        (
            "/admin/importer/importjob/",
            {"action": "delete_selected", "_selected_action": [place.job.pk], "post": "yes"},
        ),
        (
            "/admin/datasets/dataset/",
            {"action": "delete_selected", "_selected_action": [place.dataset.pk], "post": "yes"},
        ),
        (
            f"/admin/datasets/dataset/{place.dataset.pk}/rows/",
            {
                "action": "delete_selected",
                "_selected_action": [place.record],
                "confirmed": "yes",
                "count": "1",
            },
        ),
    ):
        answer = visitor.post(address, form)
        assert answer.status_code < 500, address
        assert CANARY not in answer.text
    with in_tenant(acme):
        assert Dataset.objects.filter(pk=place.dataset.pk).exists()
        assert get_row_model(place.dataset)._default_manager.filter(pk=place.record).exists()
        assert ImportJob.objects.filter(pk=place.job.pk).exists()
        assert [run.pk for run in ExportRun.objects.all()] == [place.file.run_id]
