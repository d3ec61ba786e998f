"""What the tests of the import pages are written with."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from django.test import Client

from accounts.models import User
from core.tenancy import TenantRef, in_tenant
from datasets import services as datasets
from datasets.models import Dataset
from importer.models import ImportJob
from importer.tests.tools import GOOD, merge, upload, work

ClientOf = Callable[..., Client]
BASE = "/admin/importer/importjob/"
FAULTY = "id,status,amount,note\n1,new,ten,call\n2,lost,1.00,\n3,sent,3.00,fine\n"


def at(job: ImportJob, page: str = "change/") -> str:
    return f"{BASE}{job.pk}/{page}"


def preview(tenant: TenantRef, dataset: Dataset, text: str | bytes = GOOD, **options: Any) -> ImportJob:
    with in_tenant(tenant):
        return upload(dataset, text, **options)


def imported(tenant: TenantRef, dataset: Dataset, text: str | bytes = GOOD, **options: Any) -> ImportJob:
    with in_tenant(tenant):
        return merge(upload(dataset, text, **options))


def worked(tenant: TenantRef, job: ImportJob) -> ImportJob:
    with in_tenant(tenant):
        return work(job)


def figures(page: str) -> dict[str, str]:
    """Return the figures of an import's page by their words."""
    return dict(re.findall(r'data-count="([^"]+)">([^<]+)<', page))


def changed(page: str) -> list[tuple[str, ...]]:
    """Return (column, before, after) of the changes a page shows."""
    return re.findall(
        r'<td>([^<]*)</td><td class="im-value im-old">([^<]*)</td><td class="im-value im-new">([^<]*)</td>',
        page,
    )


def restricted(tenant: TenantRef, rights: dict[Dataset, tuple[str, ...]]) -> User:
    """Make a person of the tenant who has these rights on these datasets, and no other."""
    with in_tenant(tenant):
        user = User.objects.create_user("clerk@acme.example", "correct horse battery")
        for dataset, names in rights.items():
            for right in names:
                datasets.grant_right(right=right, to=user, dataset=dataset)
        return user
