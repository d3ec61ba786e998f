"""Behind PgBouncer in transaction mode, where all tenants share two sessions, nobody gets another tenant's rows."""

from __future__ import annotations

import io
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connection, transaction
from django.test import Client

from accounts.models import User
from core.backend.cursors import Cursor
from core.backend.places import PUBLIC, Role
from core.tenancy import TenantRef, as_owner, in_public, in_tenant, leave_tenant
from tenants.models import Tenant
from tests.committed import drop, provision
from tests.pooler import Pooler, pooling, program

REQUESTS = int(os.environ.get("POOLED_REQUESTS", "2000"))
THREADS = 6
pytestmark = pytest.mark.skipif(program() is None, reason="there is no PgBouncer")


def emails() -> list[str]:
    return list(User.objects.values_list("email", flat=True))


def alone(ref: TenantRef) -> list[str]:
    return emails()


def twice(ref: TenantRef) -> list[str]:
    with transaction.atomic():
        return emails() + emails()


def rolled_back(ref: TenantRef) -> list[str]:
    try:
        with transaction.atomic():
            found = emails()
            User.objects.update(last_name="nobody")
            raise DatabaseError("on purpose")
    except DatabaseError:
        return found + emails()


def failed(ref: TenantRef) -> list[str]:
    with transaction.atomic():
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SELECT 1 / 0")
        except DatabaseError:
            pass
        return emails()


def copied(ref: TenantRef) -> list[str]:
    out = io.StringIO()
    with connection.cursor() as cursor:
        cursor.copy_expert("COPY (SELECT email FROM accounts_user) TO STDOUT", out)
    return out.getvalue().split()


def declared(ref: TenantRef) -> list[str]:
    with transaction.atomic(), connection.chunked_cursor() as cursor:
        cursor.execute("SELECT email FROM accounts_user")
        return [email for (email,) in cursor.fetchall()]


def many(ref: TenantRef) -> list[str]:
    with connection.cursor() as cursor:
        cursor.executemany("SELECT email FROM accounts_user WHERE id > %s", [[0], [-1]])
        return [email for (email,) in cursor.fetchall()]


def as_the_owner(ref: TenantRef) -> list[str]:
    with as_owner():
        return emails()


def written(ref: TenantRef) -> list[str]:
    User.objects.filter(email__startswith="viewer@").update(first_name=ref.slug)
    return [*emails(), *User.objects.exclude(first_name="").values_list("first_name", flat=True)]


def by_way_of_the_platform(ref: TenantRef) -> list[str]:
    with in_public():
        Tenant.objects.filter(slug=ref.slug).first()
    return emails()


WAYS: tuple[Callable[[TenantRef], list[str]], ...] = (
    alone, twice, rolled_back, failed, copied, declared, many, as_the_owner, written, by_way_of_the_platform,
)  # fmt: skip


def wrong(ref: TenantRef, way: Callable[[TenantRef], list[str]], chance: random.Random) -> list[str]:
    """Return what is not the tenant's of what it was given; a page of its own is asked for now and then."""
    try:
        if chance.random() < 0.05:
            page = Client(HTTP_HOST=f"{ref.slug}.localhost").get("/admin/login/")
            if page.status_code != 200:
                return [str(page)]
        with in_tenant(ref, role=chance.choice(list(Role))):
            found = way(ref)
    except (DatabaseError, ImproperlyConfigured) as error:  # it came to where its tables are not
        return [str(error)]
    return [each for each in found if ref.slug not in each] or ([] if found else ["nothing"])


@pytest.fixture(scope="module")
def refs(django_db_setup: None, django_db_blocker: Any) -> Iterator[list[TenantRef]]:
    with django_db_blocker.unblock():
        mark = os.urandom(3).hex()
        made = [provision(f"{which}-{mark}", "correct horse battery") for which in ("left", "right")]
        connection.close()
        yield made
        drop(made)


@pytest.fixture
def pooler() -> Iterator[Pooler]:
    with pooling(sessions=2) as running, running.used():
        yield running


def play(refs: list[TenantRef], requests: int, seed: int) -> Counter[str]:
    """Let threads ask in both tenants at once, each in its own random order; count what was not the tenant's."""

    def one(number: int) -> Counter[str]:
        chance = random.Random(f"{seed} {number}")
        found: Counter[str] = Counter()
        try:
            for _ in range(requests // THREADS + 1):
                way = chance.choice(WAYS)
                found[way.__name__] += len(wrong(chance.choice(refs), way, chance))
        finally:
            leave_tenant()
            connection.close()
        return found

    with ThreadPoolExecutor(THREADS) as pool:
        return +sum(pool.map(one, range(THREADS)), Counter())


@pytest.mark.case("T12")
def test_nothing_of_others_comes_by_a_shared_session(refs, pooler, django_db_blocker):
    seed = random.randrange(1 << 32)
    with django_db_blocker.unblock():
        assert play(refs, REQUESTS, seed) == Counter(), f"seed {seed}"


def test_with_a_path_set_beforehand_it_does_come(refs, pooler, django_db_blocker, monkeypatch):
    """The detector detects: this is how django-tenants does it by itself."""

    def placed(cursor: Cursor, query: Any) -> Any:
        place = cursor.connection.place
        if place is not None and place.schema != PUBLIC:
            super(Cursor, cursor).execute(f"SET search_path TO {place.schema}")
        return query

    monkeypatch.setattr(Cursor, "_placed", placed)
    with django_db_blocker.unblock():
        assert play(refs, 600, seed=1).total() > 0
