"""Addresses and answers of the records pages."""

from __future__ import annotations

import re
from typing import Any

from django.test import Client

from core.tenancy import bind_tenant, tenant_or_none
from datasets.models import Dataset

RANDOM = re.compile(r'(csrfmiddlewaretoken" value="|nonce=")[^"]+')


def by_name(dataset: Dataset, values: dict[str, Any]) -> dict[str, Any]:
    """Return values by physical name instead of by label."""
    names = {column.label.replace(" ", "_"): f"c{column.pk}" for column in dataset.columns.all()}
    return {names[label]: value for label, value in values.items()}


class Visitor:
    """A signed-in client that leaves a test in the tenant it was in: a request ends outside of every tenant."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def get(self, url: str, data: dict[str, Any] | None = None) -> Any:
        return self._send(self.client.get, url, data)

    def post(self, url: str, data: dict[str, Any] | None = None) -> Any:
        return self._send(self.client.post, url, data)

    def _send(self, method: Any, url: str, data: dict[str, Any] | None) -> Any:
        before = tenant_or_none()
        answer = method(url, data or {})
        if before is not None:
            bind_tenant(before)
        return answer


def rows_url(dataset: Dataset, *parts: object) -> str:
    """Return the address of a records page: rows_url(orders, 5, "change")."""
    return f"/admin/datasets/dataset/{dataset.pk}/rows/" + "".join(f"{part}/" for part in parts)


def posted(dataset: Dataset, **values: Any) -> dict[str, Any]:
    """Return a filled-in record form, by labels; what is not given is empty."""
    empty = {f"c{column.pk}": "" for column in dataset.columns.all()}
    return {**empty, **by_name(dataset, values)}


def page(client: Visitor, url: str, status: int = 200, *, data: dict[str, str] | None = None) -> str:
    """Return a page's HTML without its random signs, in which any short text may stand; it answers with `status`."""
    answer = client.get(url, data)
    assert answer.status_code == status, answer.content[:2000]
    return RANDOM.sub(r"\1", answer.content.decode())
