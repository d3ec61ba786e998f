"""A random play of contexts, threads, rollbacks, generators and streams: what is read is the tenant's the code is in.

Two committed tenants with equal ids and names stand beside each other; every row says whose it is. Threads take steps
drawn by chance, each step followed by the oracle: where the database says the code is, and whose rows it reads there.
The oracle keeps its own account of where the code should be and asks the product nothing.

`FUZZ_STEPS=100000` for the long form; `FUZZ_SEED` plays one again, as far as threads do.
"""

from __future__ import annotations

import io
import os
import random
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from typing import Any, cast

import psycopg2
import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.cache import cache
from django.db import DatabaseError, InterfaceError, connection, transaction
from django.http import HttpRequest, StreamingHttpResponse
from django.test import RequestFactory

from accounts.models import User
from core.backend.cursors import Cursor
from core.backend.places import PUBLIC, Role
from core.tenancy import (
    NoTenant,
    TenantCrossing,
    TenantRef,
    as_owner,
    bind_connection,
    bind_tenant,
    in_public,
    in_tenant,
    leave_tenant,
    tenant_or_none,
)
from tenants.middleware import TenantMiddleware

STEPS = int(os.environ.get("FUZZ_STEPS", "6000"))
THREADS = 4
DEEPEST = 6
REFUSED = (DatabaseError, InterfaceError, psycopg2.Error)  # COPY's errors come as psycopg2's own
KEPT = 6  # generators, streams and lazy querysets that wait to be read elsewhere
ANOTHERS = "another's"  # the findings that are leaks of rows; the others say that something is not where it should be


class OnPurpose(Exception):
    """Thrown by a step, so that blocks are left by an exception."""


class Broken(Exception):
    """The connection is gone: every transaction of it ends."""


class Here:
    """Where the code should be: one object for each entering."""

    def __init__(self, ref: TenantRef | None = None, role: Role = Role.OWNER) -> None:
        self.ref, self.role = ref, role


class Scene:
    """The two tenants, and what is known of them beforehand."""

    def __init__(self, refs: list[TenantRef]) -> None:
        self.refs = refs
        _renumber_types(refs[1])
        self.types: dict[TenantRef, int | None] = {}
        for ref in refs:
            with in_tenant(ref):
                self.types[ref] = _type_by_query()
                for number in range(THREADS):
                    User.objects.create_user(email=f"player{number}@{ref.slug}.example", last_name=ref.slug)

    def strangers(self) -> list[str]:
        """Return what stands in a tenant and is not its own, once all is over."""
        found = []
        for ref in self.refs:
            with in_tenant(ref):
                rows = [" ".join(row) for row in User.objects.values_list("email", "last_name")]
                found += [row for row in rows for other in self.refs if other != ref and other.slug in row]
        return found


def _renumber_types(ref: TenantRef) -> None:
    ours = "(SELECT id FROM django_content_type WHERE app_label = 'accounts' AND model = 'user')"
    with in_tenant(ref), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE auth_permission SET content_type_id = content_type_id + 1000 WHERE content_type_id = {ours}"
        )
        cursor.execute(f"UPDATE django_content_type SET id = id + 1000 WHERE id = {ours}")


def _type_by_query() -> int | None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM django_content_type WHERE app_label = 'accounts' AND model = 'user'")
        row = cursor.fetchone()
    return int(row[0]) if row else None


# ---- ways to read: each returns texts that say whose they are ------------------------------------------------


def by_orm() -> list[str]:
    return list(User.objects.values_list("email", flat=True))


def by_object() -> list[str]:
    return [user.email for user in User.objects.filter(pk__gt=0)[:3]]


def by_one_id() -> list[str]:
    return [User.objects.get(pk=1).email]


def by_cursor() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT email FROM accounts_user WHERE id > %s", [0])
        return [email for (email,) in cursor.fetchall()]


def by_copy() -> list[str]:
    out = io.StringIO()
    with connection.cursor() as cursor:
        cursor.copy_expert("COPY (SELECT email FROM accounts_user) TO STDOUT", out)
    return out.getvalue().split()


def by_many() -> list[str]:
    with connection.cursor() as cursor:
        cursor.executemany("SELECT email FROM accounts_user WHERE id > %s", [[0], [-1]])
        return [email for (email,) in cursor.fetchall()]


def on_the_server() -> list[str]:
    with transaction.atomic(), connection.chunked_cursor() as cursor:
        cursor.execute("SELECT email FROM accounts_user")
        return [email for (email,) in [*cursor.fetchmany(2), *cursor.fetchall()]]


def by_iterator() -> list[str]:
    return [user.email for user in User.objects.iterator(chunk_size=2)]


READING: tuple[Callable[[], list[str]], ...] = (
    by_orm, by_object, by_one_id, by_cursor, by_copy, by_many, on_the_server, by_iterator,
)  # fmt: skip
BY_HAND = (
    "SET search_path TO {other}, public",
    "SET LOCAL search_path TO {other}",
    "SET search_path TO public",
    "SET ROLE {other}_owner",
    "SET LOCAL ROLE {other}",
    "SET ROLE NONE",
    "RESET ROLE",
    "RESET search_path",
    "SET SESSION AUTHORIZATION DEFAULT",
    "RESET ALL",
)
TRESPASSING = (
    "SELECT email FROM {other}.accounts_user",
    "UPDATE {other}.accounts_user SET last_name = 'nobody' RETURNING email",
    "SELECT slug FROM public.tenants_tenant",
    "SELECT email FROM {other}.accounts_user UNION ALL SELECT email FROM accounts_user",
)


# ---- what is begun in one place and read on in another --------------------------------------------------------


def fetched() -> Iterator[str]:
    """One query, made where it is begun."""
    for user in User.objects.order_by("pk").iterator(chunk_size=1):
        yield user.email


def query_by_query() -> Iterator[str]:
    """A query for each item, made where it is asked for."""
    for number in range(1, 5):
        yield User.objects.get(pk=number % 2 + 1).email


def held(ref: TenantRef) -> Iterator[str]:
    """A block that stays open while others run, which the house rules forbid."""
    with in_tenant(ref):
        yield by_one_id()[0]
        yield "-"


def held_public() -> Iterator[str]:
    with in_public():
        yield "-"


def answering(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(item.encode() for item in query_by_query())


# ---- the play -------------------------------------------------------------------------------------------------


class Player:
    """One thread's steps; `found` is what went astray."""

    def __init__(self, scene: Scene, number: int, seed: int, steps: int) -> None:
        self.scene, self.number, self.left = scene, number, steps
        self.chance = random.Random(f"{seed} {number}")
        self.found: list[str] = []
        self.taken: Counter[str] = Counter()
        self.here = Here()
        self.is_broken = False
        self.doing = ""
        self.kept: list[tuple[str, TenantRef | None, Any]] = []
        self.middleware = TenantMiddleware(answering)
        self.blocks = (
            self.enter, self.enter, self.enter, self.own, self.go_public, self.bind, self.transact, self.transact,
        )  # fmt: skip
        self.leaves = (
            self.read, self.read, self.read, self.write, self.fail, self.set_by_hand, self.trespass, self.second,
            self.begin, self.go_on, self.go_on, self.go_on, self.ask, self.types, self.cached, self.throw, self.crowd,
        )  # fmt: skip
        self.seldom = (self.close, self.killed, self.be_bound, self.hold, self.let_go)
        self.loose: list[tuple[Here, Here, Iterator[str]]] = []

    def play(self) -> Player:
        try:
            while self.left > 0:
                try:
                    self.step(0)
                except (OnPurpose, Broken):
                    pass
                except Exception as error:  # noqa: BLE001 -- what no block took is a finding
                    self.found.append(f"error: {type(error).__name__}: {error}")
                self.mend()
        finally:
            for iterator in [each[-1] for each in (*self.kept, *self.loose)]:
                if hasattr(iterator, "close"):
                    iterator.close()
            leave_tenant()
            connection.close()
        return self

    def some(self, depth: int) -> None:
        for _ in range(self.chance.randint(1, 4)):
            self.step(depth)

    def step(self, depth: int) -> None:
        """Take one step, and look where it has led."""
        if self.left <= 0:
            return
        self.left -= 1
        luck = self.chance.random()
        if depth < DEEPEST and luck < 0.35:
            block = self.chance.choice(self.blocks)
            self.taken[block.__name__] += 1
            self.doing = block.__name__
            self.guarded(lambda: block(depth + 1))
        else:
            leaf = self.chance.choice(self.seldom if luck > 0.97 else self.leaves)
            self.taken[leaf.__name__] += 1
            self.doing = leaf.__name__
            self.guarded(leaf)
        self.guarded(self.look)

    def guarded(self, act: Callable[[], None]) -> None:
        try:
            act()
        except REFUSED as error:
            if not self.is_broken:
                self.found.append(f"error: {self.doing}: {type(error).__name__}: {error}")
            if connection.in_atomic_block:
                raise (Broken if self.is_broken else OnPurpose) from error
            self.mend()

    def mend(self) -> None:
        if self.is_broken and not connection.in_atomic_block:
            connection.close()
            self.is_broken = False

    # ---- the oracle ----

    def look(self) -> None:
        """Ask the database where this is, and for a row there."""
        ref = self.here.ref
        with connection.cursor() as cursor:
            if ref is None:
                cursor.execute(
                    "SELECT current_schema(), current_user = session_user, to_regclass('accounts_user')::text"
                )
                self.expect("outside", cursor.fetchone(), (PUBLIC, True, None))
            else:
                cursor.execute(
                    "SELECT current_schema(), current_user::text, min(email), max(email) FROM accounts_user"
                )
                schema, user, *emails = cursor.fetchone()
                self.expect("place", (schema, user), (ref.schema, ref.schema + self.here.role.value))
                self.own_rows("look", emails, ref)
        self.expect("bound", tenant_or_none(), ref)

    def expect(self, what: str, found: object, wanted: object) -> None:
        if found != wanted:
            self.found.append(f"{what}: {found}, not {wanted}")

    def own_rows(self, what: str, rows: list[str], ref: TenantRef | None) -> None:
        """Note rows that are not the tenant's; outside of all there may be none."""
        if ref is None:
            if rows:
                self.found.append(f"{ANOTHERS} outside: {what} {rows[:2]}")
            return
        if astray := [row for row in rows if ref.slug not in row]:
            self.found.append(f"{ANOTHERS}: {what} {astray[:2]} in {ref.slug}")
        if not rows:
            self.found.append(f"nothing: {what} in {ref.slug}")

    def reading(self, what: str, read: Callable[[], list[str]]) -> None:
        """Read where the code is: outside it must be refused."""
        if self.here.ref is not None:
            self.own_rows(what, read(), self.here.ref)
            return
        rows: list[str] = []
        with suppress(*REFUSED), transaction.atomic():
            rows = read()
        self.own_rows(what, rows, None)

    @contextmanager
    def refused(self, error: type[Exception]) -> Iterator[None]:
        try:
            yield
        except error:
            return
        self.found.append(f"{self.doing}: no {error.__name__}")

    # ---- blocks ----

    def somewhere(self) -> TenantRef:
        return self.chance.choice(self.scene.refs)

    def other(self) -> TenantRef:
        return next(ref for ref in self.chance.sample(self.scene.refs, 2) if ref != self.here.ref)

    @contextmanager
    def at(self, mine: Here) -> Iterator[None]:
        """Be somewhere; a block that is not the innermost when it ends leads outside."""
        before, self.here = self.here, mine
        try:
            yield
        finally:
            self.here = before if self.here is mine else Here()

    def enter(self, depth: int) -> None:
        ref, role, now = self.somewhere(), self.chance.choice(list(Role)), self.here
        if now.ref is not None and now.ref != ref:
            with self.refused(TenantCrossing), in_tenant(ref, role=role):
                self.found.append(f"{ANOTHERS}: entered {ref.slug} from {now.ref.slug}")
            return
        with self.at(Here(ref, now.role if now.ref else role)), in_tenant(ref, role=role):
            self.some(depth)

    def own(self, depth: int) -> None:
        if self.here.ref is None:
            with self.refused(NoTenant), as_owner():
                pass
            return
        now, before = self.here, self.here.role
        now.role = Role.OWNER
        try:
            with as_owner():
                self.some(depth)
        finally:
            if self.here is now:
                now.role = before

    def go_public(self, depth: int) -> None:
        with self.at(Here()), in_public():
            self.some(depth)

    def bind(self, depth: int) -> None:
        """Do as the middleware does."""
        self.be_bound()
        try:
            self.some(depth)
        finally:
            leave_tenant()
            self.here = Here()

    def transact(self, depth: int) -> None:
        durable = not connection.in_atomic_block
        how = self.chance.random()
        try:
            with transaction.atomic(savepoint=True):
                self.some(depth)
                if how < 0.2:
                    transaction.set_rollback(True)
                elif how < 0.4:
                    raise OnPurpose
        except OnPurpose:
            pass
        except Broken:
            if not durable:
                raise
            self.mend()

    # ---- steps ----

    def read(self) -> None:
        way = self.chance.choice(READING)
        self.reading(way.__name__, way)

    def write(self) -> None:
        """Write whose it is into the player's own row; it must be one row, and the tenant's."""
        ref = self.here.ref
        if ref is None:
            return
        changed = User.objects.filter(email__startswith=f"player{self.number}@").update(last_name=ref.slug)
        self.expect("written", changed, 1)

    def fail(self) -> None:
        """Let the database refuse a statement, with a savepoint around it or none."""
        with suppress(*REFUSED):
            if self.chance.random() < 0.7:
                with transaction.atomic(), connection.cursor() as cursor:
                    cursor.execute(self.chance.choice(("SELECT 1 / 0", "SELECT * FROM nowhere", "SELECT (")))
                return
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 / 0")
        if connection.in_atomic_block:
            raise OnPurpose

    def set_by_hand(self) -> None:
        text = self.chance.choice(BY_HAND).format(other=self.other().schema)
        with suppress(*REFUSED), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(text)
        if not connection.in_atomic_block:
            with suppress(*REFUSED), connection.cursor() as cursor:
                cursor.execute(text)

    def trespass(self) -> None:
        """Ask for another tenant's rows by name: inside a tenant it is refused."""
        if self.here.ref is None:
            return  # the platform may
        rows: list[Any] = []
        text = self.chance.choice(TRESPASSING).format(other=self.other().schema)
        with suppress(*REFUSED), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(text)
            rows = cursor.fetchall()
        if rows:
            self.found.append(f"{ANOTHERS}: {text} gave {rows[:2]}")

    def second(self) -> None:
        """Open a second connection; it stays where it was bound, wherever the code goes meanwhile."""
        if self.chance.random() > 0.15:
            return
        ref = self.here.ref
        with closing(connection.copy()) as other:
            if ref is None:
                with self.refused(NoTenant):
                    bind_connection(other)
                return
            bind_connection(other)
            with in_public(), other.cursor() as cursor:
                cursor.execute("SELECT email FROM accounts_user")
                self.own_rows("second", [email for (email,) in cursor.fetchall()], ref)

    def begin(self) -> None:
        """Begin what is read on later: a generator, a queryset nobody has evaluated, a cursor that has its rows."""
        ref = self.here.ref
        if ref is None or len(self.kept) >= KEPT:
            return
        kind = self.chance.choice(("fetched", "query", "lazy", "cursor"))
        if kind == "lazy":
            self.kept.append((kind, ref, User.objects.order_by("pk").values_list("email", flat=True)))
            return
        if kind == "cursor":
            cursor = connection.cursor()
            cursor.execute("SELECT email FROM accounts_user")
            self.kept.append((kind, ref, cursor))
            return
        iterator = fetched() if kind == "fetched" else query_by_query()
        self.own_rows(kind, [next(iterator)], ref)
        self.kept.append((kind, ref, iterator))

    def go_on(self) -> None:
        """Read on what was begun: its own rows, the ones of where the code is now, or nothing."""
        if not self.kept:
            return
        kind, ref, begun = self.kept.pop(self.chance.randrange(len(self.kept)))
        if kind == "lazy":
            self.reading(kind, lambda: list(begun.all()))
        elif kind == "query":
            self.reading(kind, lambda: [next(begun)])
        elif kind == "stream":
            self.stream_on(ref, begun)
        elif kind == "cursor":
            with suppress(InterfaceError):  # its connection is closed
                self.own_rows(kind, [email for (email,) in begun.fetchall()], ref)  # it had them
            self.reading("cursor again", lambda: self.again(begun))
        elif (row := next(begun, None)) is not None:
            self.own_rows(kind, [row], ref)
            self.kept.append((kind, ref, begun))

    def again(self, cursor: Any) -> list[str]:
        """Execute by a cursor that was made elsewhere; that of a connection which is gone has nothing to say."""
        if cursor.connection is not connection.connection:
            return by_orm()
        cursor.execute("SELECT email FROM accounts_user")
        return [email for (email,) in cursor.fetchall()]

    def stream_on(self, ref: TenantRef | None, chunks: Iterator[bytes]) -> None:
        assert ref is not None
        if self.here.ref not in (None, ref):
            with self.refused(TenantCrossing):
                self.own_rows("stream", [next(chunks).decode()], ref)
            return
        if (chunk := next(chunks, None)) is None:
            return
        self.own_rows("stream", [chunk.decode()], ref)
        self.kept.append(("stream", ref, chunks))

    def ask(self) -> None:
        """Let the middleware answer a request with a stream, of which nothing or something is read at once."""
        if len(self.kept) >= KEPT or (self.here.ref is not None and self.chance.random() < 0.7):
            return
        ref = self.somewhere()
        request = RequestFactory().get("/", HTTP_HOST=f"{ref.slug}.localhost")
        response = self.middleware(request)
        self.here = Here()
        self.expect("answered", response.status_code, 200)
        chunks = cast("Iterator[bytes]", cast("StreamingHttpResponse", response).streaming_content)
        if self.chance.random() < 0.5:
            self.own_rows("first chunk", [next(chunks).decode()], ref)
        self.kept.append(("stream", ref, chunks))

    def types(self) -> None:
        found = (
            ContentType.objects.get_for_model(User, for_concrete_model=False).pk if self.here.ref else None
        )
        if self.here.ref:
            self.expect(f"{ANOTHERS} content type", found, self.scene.types[self.here.ref])

    def cached(self) -> None:
        mine = self.here.ref.slug if self.here.ref else "-"
        found = cache.get("whose")
        if found not in (None, mine):
            self.found.append(f"{ANOTHERS}: cached {found} in {mine}")
        cache.set("whose", mine)

    def throw(self) -> None:
        if self.chance.random() < 0.3:
            raise OnPurpose

    def crowd(self) -> None:
        """Ask from a new thread, which is nowhere, whatever this one is in."""
        if self.chance.random() > 0.1:
            return
        with ThreadPoolExecutor(1) as pool:
            self.expect("thread", pool.submit(tenant_or_none).result(), None)

    # ---- seldom ----

    def close(self) -> None:
        connection.close()
        if connection.in_atomic_block:
            self.is_broken = True
            raise Broken

    def killed(self) -> None:
        """Let the server end the session."""
        self.is_broken = True
        with suppress(*REFUSED), in_public(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        if connection.in_atomic_block:
            raise Broken
        if self.chance.random() < 0.5:
            self.reading("after the end", self.nothing_or_rows)
        self.mend()

    def nothing_or_rows(self) -> list[str]:
        try:
            return by_orm()
        except REFUSED:
            return [self.here.ref.slug] if self.here.ref else []

    def be_bound(self) -> None:
        """Bind or leave wherever this is, as the edges do."""
        if self.chance.random() < 0.2:
            leave_tenant()
            self.here = Here()
            return
        ref = self.somewhere()
        bind_tenant(ref)
        self.here = Here(ref, Role.MEMBER)

    def hold(self) -> None:
        """Begin a generator that holds a block open."""
        if len(self.loose) >= 3:
            return
        before, now = self.here, self.here
        if self.chance.random() < 0.3:
            now, iterator = Here(), held_public()
        else:
            ref = before.ref or self.somewhere()
            now, iterator = Here(ref, before.role if before.ref else Role.OWNER), held(ref)
        self.loose.append((before, now, iterator))
        first = next(iterator)
        self.here = now
        if first != "-":
            self.own_rows("held", [first], now.ref)

    def let_go(self) -> None:
        """End one of those, wherever this is by now."""
        if not self.loose:
            return
        before, now, iterator = self.loose.pop(self.chance.randrange(len(self.loose)))
        self.here, is_mine = Here(), self.here is now
        cast("Any", iterator).close()
        if is_mine:
            self.here = before


def play(scene: Scene, steps: int, seed: int) -> list[Player]:
    players = [Player(scene, number, seed, steps // THREADS + 1) for number in range(THREADS)]
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(Player.play, players))


def found_by(players: list[Player]) -> list[str]:
    return [each for player in players for each in player.found]


@pytest.fixture
def scene(committed_tenants: list[TenantRef]) -> Scene:
    return Scene(committed_tenants)


@pytest.mark.case("T12", "T20", "T21", "T25")
def test_whatever_is_read_is_the_tenants_the_code_is_in(scene: Scene, django_db_blocker: Any) -> None:
    seed = int(os.environ.get("FUZZ_SEED") or secrets.randbelow(1 << 32))
    players = play(scene, STEPS, seed)
    taken = sum((player.taken for player in players), Counter[str]())
    found = found_by(players)
    print(f"seed {seed}: {taken.total()} steps, {len(found)} findings; {dict(taken.most_common())}")  # noqa: T201 -- what an acceptance run shows
    assert not found, f"seed {seed}\n" + "\n".join(found[:40])
    assert scene.strangers() == []
    assert taken.total() >= STEPS
    assert {way.__name__ for way in (*players[0].blocks, *players[0].leaves, *players[0].seldom)} <= set(
        taken
    )


def test_with_a_path_that_is_set_only_when_it_changes_the_play_does_leak(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The detector detects: django-tenants' own way, with its limit of set calls, and no roles."""

    def placed(cursor: Cursor, query: Any) -> Any:
        place = cursor.connection.place
        if place is not None and getattr(cursor.connection, "told", None) != place.schema:
            cursor.connection.told = place.schema
            path = place.schema if place.schema == PUBLIC else f"{place.schema}, {PUBLIC}"
            return f"SET search_path TO {path};{query}"
        return query

    monkeypatch.setattr(Cursor, "_placed", placed)
    found = found_by(play(scene, 2000, seed=1))
    rows = [each for each in found if each.startswith(ANOTHERS)]
    print(f"{len(found)} findings, {len(rows)} of them rows that are another's")  # noqa: T201 -- so here
    assert any("look" in each or "by_" in each for each in rows)
