"""A dataset for the tests of imports."""

from __future__ import annotations

import pytest

from core.tenancy import TenantRef, in_tenant
from datasets.models import Dataset
from importer.tests.tools import make_orders


@pytest.fixture
def orders(as_acme: TenantRef) -> Dataset:
    """A dataset of acme; its key is the id."""
    return make_orders()


@pytest.fixture
def acme_orders(acme: TenantRef, globex: TenantRef) -> Dataset:
    """The same for tests that come through the site, outside of every tenant; globex is beside it."""
    with in_tenant(acme):
        return make_orders()
