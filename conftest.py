"""Fixtures of every test: a real PostgreSQL, two tenants, people of each role, files in a folder of their own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.test import Client
from hypothesis import HealthCheck, settings
from pytest_django.plugin import DjangoDbBlocker

from core.embedded import EmbeddedServer
from core.logging import forget_request
from core.tenancy import TenantRef, in_tenant, leave_tenant

# No test asserts on time: a slow machine may take as long as it needs to make an example.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


# Workers that tests start are processes of their own, and would make schemas for tenants to come.
os.environ.setdefault("ROWHOUSE_SPARE_SCHEMAS", "0")

PASSWORD = "correct horse battery"
ClientOf = Callable[..., Client]
# Taken now: tests keep their files in folders of their own.
SERVER_FOLDER = django_settings.ROWHOUSE_DATA.resolve() / "postgres"
# What is in it is worth nothing after a power cut; and each test process has its sessions, some of them a hundred.
SERVER_OPTIONS = ("fsync=off", "max_connections=400")


def pytest_itemcollected(item: pytest.Item) -> None:
    mark = item.get_closest_marker("django_db")
    if mark and mark.kwargs.get("transaction"):
        raise pytest.UsageError(
            f"{item.nodeid}: a transactional test empties every table when it ends, and the tests after it miss acme. "
            "What must be committed goes into `committed_tenants`."
        )


_presence = pytest.StashKey[psycopg2.extensions.connection]()


def pytest_configure(config: pytest.Config) -> None:
    if server := _embedded(config):
        server.start()
        # Another run that ends meanwhile stops the server unless somebody is connected.
        config.stash[_presence] = psycopg2.connect(server.url())


def pytest_unconfigure(config: pytest.Config) -> None:
    if _presence in config.stash:
        config.stash[_presence].close()
    if server := _embedded(config):
        server.stop_if_idle()


def _embedded(config: pytest.Config) -> EmbeddedServer | None:
    """Return the server of the tests, unless a database is given or the process that started this one has it."""
    if django_settings.DATABASE_URL or hasattr(config, "workerinput"):
        return None
    return EmbeddedServer(SERVER_FOLDER, SERVER_OPTIONS)


@pytest.fixture(scope="session")
def django_db_modify_db_settings() -> None:
    """Give each run a database of its own, so that two runs share a server."""
    from django.db import connections  # noqa: PLC0415 -- after the settings

    connections["default"].settings_dict["TEST"]["NAME"] = f"test_rowhouse_{os.getpid()}"


@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment: None, django_db_modify_db_settings: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[None]:
    """Make the test database, whichever tests run, and provision acme and globex in it once.

    pytest-django's own fixture makes none when no collected test has its marker, and the tests that commit
    would then work in the real one.
    """
    from django.test.utils import setup_databases, teardown_databases  # noqa: PLC0415 -- after the settings

    with django_db_blocker.unblock():
        made = setup_databases(verbosity=0, interactive=False, aliases={"default": None})
        assert str(connection.settings_dict["NAME"]).startswith("test_")
        from tenants.template import drop_schema  # noqa: PLC0415 -- after the settings
        from tests.committed import provision  # noqa: PLC0415 -- after the settings

        for slug in ("acme", "globex"):
            provision(slug, PASSWORD)
    yield
    with django_db_blocker.unblock():
        with connection.cursor() as cursor:  # roles are the server's, and stay when a database goes
            cursor.execute("SELECT nspname FROM pg_namespace WHERE nspname ~ '^t_'")
            for (schema,) in cursor.fetchall():
                drop_schema(cursor, schema)
        teardown_databases(made, verbosity=0)


def _ref(slug: str) -> TenantRef:
    from tenants.models import Tenant  # noqa: PLC0415 -- after the settings

    return Tenant.objects.get(slug=slug).ref


@pytest.fixture(autouse=True)
def own_folder(settings: Any, tmp_path: Path) -> None:
    """Keep each test's files in its own folder."""
    settings.ROWHOUSE_DATA = tmp_path
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": str(tmp_path / "storage")},
        },
    }


@pytest.fixture(autouse=True)
def nothing_lingers() -> Iterator[None]:
    """Begin and end each test outside of every tenant, with nothing bound to the log's lines."""
    leave_tenant()
    forget_request()
    yield
    leave_tenant()


@pytest.fixture
def acme(db: None) -> TenantRef:
    return _ref("acme")


@pytest.fixture
def globex(db: None) -> TenantRef:
    return _ref("globex")


@pytest.fixture
def as_acme(acme: TenantRef, globex: TenantRef) -> Iterator[TenantRef]:
    """Run the test inside acme, with globex beside it."""
    with in_tenant(acme):
        yield acme


@pytest.fixture
def client_of(db: None) -> ClientOf:
    """Return a function that gives a signed-in client: client_of(acme, "viewer")."""

    def sign_in(tenant: TenantRef, role: str = "owner") -> Client:
        from accounts.models import User  # noqa: PLC0415 -- after the settings

        email = role if "@" in role else f"{role}@{tenant.slug}.example"
        client = Client(HTTP_HOST=f"{tenant.slug}.localhost")
        with in_tenant(tenant):
            user = User.objects.get(email=email)
            client.force_login(user, backend="accounts.backends.TenantBackend")
        return client

    return sign_in


@pytest.fixture
def committed_tenants(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[list[TenantRef]]:
    """Provision two fresh tenants that other processes and threads see; drop them afterwards."""
    from tests.committed import drop, provision  # noqa: PLC0415 -- after the settings

    with django_db_blocker.unblock():
        mark = os.urandom(3).hex()
        refs = [provision(f"{which}-{mark}", PASSWORD) for which in ("first", "second")]
        try:
            yield refs
        finally:
            drop(refs)
