"""Every page of the tenant site, asked for by everybody: it opens for whom its app says, and for nobody else.

What a page needs stands in `page_rights` of the app's config, under the page's URL name:

    "here:view / here:view & here:change"       before the slash for GET, behind it for POST; without one, both
    here:RIGHT    that right in the dataset the address is of
    some:RIGHT    that right in one dataset or more
    perm:NAME     that permission in the whole tenant
    person        every active user of the tenant
    open          everybody, signed in or not
    nobody        it is closed, or does not take the method

`|` is or, `&` binds stronger. A page that no app has declared makes the tests fail. One that needs an object in
its address of a kind not known here is taught where to find one in `Place.value`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, fields
from io import BytesIO
from types import ModuleType
from typing import Any

import pytest
from allauth.socialaccount.models import SocialAccount
from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import Group
from django.db import connection, transaction
from django.http import HttpResponse
from django.test import Client
from django.urls import URLPattern, URLResolver, path

from accounts import invitations, password_links, resetting
from accounts.models import User
from accounts.services import create_user
from accounts.tokens.services import create_token
from audit.models import Event
from core.tenancy import TenantRef, in_tenant
from datasets import access
from datasets.cells import CellEdit, edit_cells
from datasets.changing import propose_change
from datasets.editing import add_columns, retire_column
from datasets.erasing import everywhere, request_erasure
from datasets.erasure_models import ErasureMode
from datasets.granting import grant_preset
from datasets.models import Dataset, DatasetTemplate
from datasets.rows import get_row_model
from datasets.rules import NewColumn
from exporter.links import token_of
from exporter.models import Delivery, Destination
from exporter.notices import create_notice
from exporter.tests.helpers import stored_file
from importer.models import ImportJob, Policy
from importer.proposing import create_proposal
from importer.services import create_import
from importer.tests.tools import import_text, make_orders, upload
from rowhouse import urls_tenant
from tenants.models import Tenant

CANARY = "CANARY-OF-ACME"
FILE = f"id,status,note\n1,new,{CANARY}\nx,new,{CANARY}\n"
# A redirect of the admin from an address without its last part, and addresses that nothing answers.
UNNAMED = {"object_id": "person", "rest": "nobody", "url": "nobody"}
REFUSED = {403, 404, 405}


# Open pages that refuse where no provider is set up, as here.
OF_A_PROVIDER = {"accounts_single_sign_on", "accounts_single_sign_on_callback"}


@dataclass(frozen=True)
class Page:
    """One pattern of the site: its name, or for one without a name what it takes, and its whole route."""

    name: str
    route: str

    @property
    def parameters(self) -> list[str]:
        return re.findall(r"<(?:\w+:)?(\w+)>", self.route)


def pages(patterns: Any = None, before: str = "") -> Iterator[Page]:
    """Yield every page of the tenant site."""
    for one in urls_tenant.urlpatterns if patterns is None else patterns:
        route = before + str(one.pattern)
        if any(route.startswith(f"admin/{app.rpartition('.')[2]}/") for app in settings.EXTRA_APPS):
            continue  # a developer's own app, which has tests of its own
        if route.startswith("api/"):
            continue  # no pages: platform/rowhouse/api/tests asks for each address by role and scope
        if isinstance(one, URLResolver):
            yield from pages(one.url_patterns, route)
        elif isinstance(one, URLPattern):
            yield Page(one.name or "", route)


def needs(page: Page) -> tuple[str, str] | None:
    """Return what a page needs for GET and for POST, or None: nobody has said it."""
    declared: dict[str, str] = {}
    for config in apps.get_app_configs():
        declared |= getattr(config, "page_rights", {})
    if not page.name and page.route:
        found = UNNAMED.get(page.parameters[-1]) if page.parameters else None
    else:
        found = declared.get(page.name)
    if found is None:
        return None
    get, _, post = found.partition("/")
    return get.strip(), (post or get).strip()


@dataclass(frozen=True)
class Place:
    """What the addresses lead to: everything of one dataset of acme."""

    dataset: Dataset
    record: int
    version: int
    definition: int
    job: ImportJob
    waiting: str  # the number of background work that has not begun
    file: Any
    token: str  # of a link to the file
    destination: int
    editor: int
    group: int
    event: int
    column: int
    retired: int
    change: int
    change_set: int
    erasure: int
    proposal: int
    template: int
    notice: int
    delivery: int
    invitation: str
    api_token: int
    link: int  # of a person to an account at a provider
    reset: str  # of a link to a new password

    def value(self, page: Page, parameter: str) -> object:
        """Return what stands in a page's address."""
        of_rows = "/rows/" in page.route
        if page.name == "accounts_password_new":
            return self.reset
        if parameter == "link_id":
            return self.link
        if page.name == "mfa_remove_webauthn":
            return 1  # nobody's
        if page.name == "accounts_invitation":
            return self.invitation
        if parameter in ("dataset_id",):
            return self.dataset.pk
        if parameter in ("rest", "url"):
            return "nothing/of/the/kind/"
        if parameter == "app_label":
            return "datasets"
        if parameter == "version_id":
            return self.version
        if parameter == "column_id":
            return self.column if page.name.endswith("retire_column") else self.retired
        if parameter == "token":
            return self.token
        if parameter == "name":
            return "contacts"
        if parameter == "delivery_id":
            return self.delivery
        for part, known in (
            ("/of-column/", self.column),
            ("/of-key/", self.dataset.pk),
            ("/datasets/change/", self.change),
            ("/datasets/changeset/", self.change_set),
            ("/datasets/erasure/", self.erasure),
            ("/templates/", self.template),
            ("/new-dataset/", self.proposal),
            ("/destination/", self.destination),
            ("/exportnotice/", self.notice),
        ):
            if part in page.route:
                return known
        return {
            "datasets": self.record if of_rows else self.dataset.pk,
            "importer": self.dataset.pk if "/rules/" in page.route else self.job.pk,
            "exporter": self.file.pk if "exportfile" in page.route else self.file.run_id,
            "accounts": self.editor,
            "auth": self.group,
            "jobs": self.waiting,
            "audit": self.event,
            "tokens": self.api_token,
        }[page.route.split("/")[1]]

    def address(self, page: Page) -> str:
        """Return the address of a page."""
        if page.name == "datasets_row_by_key":
            return f"/admin/datasets/dataset/{self.dataset.pk}/rows/by-key/?key=7"
        if page.name == "datasets_dataset_simple_history":
            return f"/admin/datasets/dataset/{self.dataset.pk}/history/{self.definition}/"
        if page.name == "app_list":
            return "/admin/datasets/"
        if not page.name and page.parameters == ["url"]:
            return "/admin/nothing/of/the/kind"
        return "/" + re.sub(r"<(?:\w+:)?(\w+)>", lambda found: str(self.value(page, found[1])), page.route)

    def body(self, page: Page) -> dict[str, object]:
        """Return what a form of the page sends, where an empty one is refused before the rights are looked at."""
        if page.name == "importer_importjob_confirm":
            return {"seen": self.job.previews, "policy": Policy.GOOD_ROWS}
        if page.name == "datasets_row_revert":
            return {"version": self.version, "seen": self.version}
        if page.name == "datasets_changeset_confirm":
            return {"seen": 1}
        if page.name == "datasets_row_views":
            return {"do": "add", "name": "Mine"}
        if page.name == "datasets_row_indexes":
            return {"do": "sort", "column": f"c{self.column}"}
        return {}


@pytest.fixture
def place(acme: TenantRef) -> Place:
    return furnish(acme)


def furnish(tenant: TenantRef, canary: str = CANARY) -> Place:
    """Put one of everything into a tenant; what people wrote there holds the canary."""
    text = FILE.replace(CANARY, canary)
    with in_tenant(tenant):
        orders = make_orders()
        job = upload(orders, text)
        import_text(orders, f"id,status,note\n7,new,{canary}\n")
        record = get_row_model(orders).objects.get()
        owner = User.objects.get(email=f"owner@{tenant.slug}.example")
        note = orders.columns.get(label="note")
        edit = CellEdit(record.pk, f"c{note.pk}", canary, f"{canary}!")
        edited = edit_cells(dataset=orders, edits=[edit], by=owner).changes
        assert edited is not None
        [retired] = add_columns(dataset=orders, columns=[NewColumn("Gone")], by=owner)
        retire_column(dataset=orders, column=retired, by=owner)
        orders.refresh_from_db()
        notice, _ = create_notice(
            values={"name": "Ours", "emails": [f"{canary}@{tenant.slug}.example"]}, by=owner
        )
        waiting = create_import(dataset=orders, file=BytesIO(text.encode()), name="waiting.csv", by=owner)
        file = stored_file(orders, data=f"id,note\n1,{canary}\n".encode())
        return Place(
            dataset=orders,
            record=record.pk,
            version=record.history.latest().pk,
            definition=orders.history.first().pk,
            job=ImportJob.objects.get(pk=job.pk),
            waiting=waiting.preview_job_id,
            file=file,
            token=token_of(file),
            destination=Destination.objects.create(name="Ours", bucket=canary, sealed_secret="none").pk,
            editor=User.objects.get(email=f"editor@{tenant.slug}.example").pk,
            group=Group.objects.get(name="viewer").pk,
            event=Event.objects.first().pk,
            column=note.pk,
            retired=retired.pk,
            change=propose_change(dataset=orders, column=note, type="long_text", by=owner).pk,
            change_set=edited.pk,
            erasure=request_erasure(
                values=[f"{canary}@x.example"], wanted=everywhere(), mode=ErasureMode.DELETE, by=owner
            ).pk,
            proposal=create_proposal(file=BytesIO(text.encode()), name="new.csv", by=owner).pk,
            template=DatasetTemplate.objects.create(title="Ours", schema={}).pk,
            notice=notice.pk,
            delivery=Delivery.objects.create(notice=notice, channel="MAIL", state="SENT").pk,
            invitation=invitations.token_of(
                create_user(email=f"new@{tenant.slug}.example", password=None, role="viewer")
            ),
            api_token=create_token(user=owner, name=canary, scopes=["read"])[0].pk,
            link=SocialAccount.objects.create(user=owner, provider="provider", uid=canary).pk,
            reset=password_links.token_of(
                create_user(email=f"lost@{tenant.slug}.example", password="one that is lost", role="viewer"),
                salt=resetting.SALT,
            ),
        )


@pytest.fixture
def elsewhere(acme: TenantRef, place: Place) -> User:
    """Somebody with every right on another dataset of acme, and none on the one the addresses are of."""
    with in_tenant(acme):
        user = User.objects.create_user("elsewhere@acme.example", "correct horse battery")
        grant_preset(preset="owner", to=user, dataset=make_orders("Others"))
        return user


def holds(user: User, need: str, dataset: Dataset) -> bool:
    """Return whether a user has what a page needs."""
    return any(all(_holds(user, one.strip(), dataset) for one in each.split("&")) for each in need.split("|"))


def _holds(user: User, need: str, dataset: Dataset) -> bool:
    kind, _, name = need.partition(":")
    match kind:
        case "here":
            return access.may(user, name, dataset)
        case "some":
            return access.datasets_for(user, name).exists()
        case "perm":
            return user.has_perm(name)
        case "person" | "open":
            return True
        case "nobody":
            return False
    raise AssertionError(f"nobody knows what {need!r} means")


def ask(
    client: Client, place: Place, page: Page, method: str, seen: Callable[[], None] = lambda: None
) -> tuple[int, str, bytes]:
    """Return status, redirect and body of a page; what it does is seen and taken back."""
    cookies = deepcopy(client.cookies)
    with transaction.atomic():
        address = place.address(page)
        answer = client.get(address) if method == "GET" else client.post(address, place.body(page))
        body = b"".join(answer) if getattr(answer, "streaming", False) else answer.content
        seen()
        transaction.set_rollback(True)
    client.cookies = cookies
    return answer.status_code, answer.headers.get("Location", ""), body


def wrong(client: Client, user: User, place: Place, tenant: TenantRef, patterns: Any = None) -> list[str]:
    """Return each page that does not answer a user as its app says."""
    found = []
    for page in pages(patterns):
        asked = needs(page)
        assert asked is not None, page
        for method, need in zip(("GET", "POST"), asked, strict=True):
            with in_tenant(tenant):
                may = holds(user, need, place.dataset)
            status, to, body = ask(client, place, page, method)
            # Django's admin sends to its dashboard who asks for an object that is not there for him.
            is_refused = status in REFUSED or (status == 302 and to == "/admin/" and need != "open")
            if status == 302 and to.startswith("/admin/login/"):
                is_refused = False  # he is signed in
            is_opened = (status < 400 or status in (400, 409, 410, 422)) and not is_refused
            if page.name == "logout":
                is_opened, is_refused = status < 400, status in REFUSED
            if not (is_opened if may else is_refused):
                found.append(
                    f"{user} {method} {page.name or page.route}: {status} {to}, but {need!r} is {may}"
                )
            if is_refused and CANARY.encode() in body:
                found.append(f"{user} {method} {page.name}: {status} shows the canary")
    return found


def test_every_page_says_what_it_needs() -> None:
    assert [page for page in pages() if needs(page) is None] == []
    names = {page.name for page in pages()}
    declared = {name for config in apps.get_app_configs() for name in getattr(config, "page_rights", {})}
    assert declared <= names, "no such page any more"


@pytest.mark.case("A06", "A09", "A10", "A16")
def test_each_page_opens_for_whom_its_app_says_and_for_nobody_else(
    acme: TenantRef, place: Place, elsewhere: User, client_of: Any
) -> None:
    found = []
    for name in ("owner", "viewer", elsewhere.email):
        with in_tenant(acme):
            email = name if "@" in name else f"{name}@acme.example"
            user = User.objects.get(email=email)
        client = client_of(acme, email)
        client.raise_request_exception = False
        found += wrong(client, user, place, acme)
    assert not found, "\n".join(found)


@pytest.mark.case("A06")
def test_no_page_opens_for_who_is_not_signed_in_here(
    acme: TenantRef, globex: TenantRef, place: Place, client_of: Any
) -> None:
    """Nobody, the owner of another tenant whose number is the same, an owner set inactive since; a suspended tenant."""
    foreigner = client_of(globex)
    foreigner.defaults["HTTP_HOST"] = "acme.localhost"
    inactive = client_of(acme)
    with in_tenant(acme):
        User.objects.filter(email="owner@acme.example").update(is_active=False)
    for who, client in (
        ("nobody", Client(HTTP_HOST="acme.localhost")),
        ("globex", foreigner),
        ("gone", inactive),
    ):
        for page in pages():
            asked = needs(page)
            assert asked is not None
            for method, need in zip(("GET", "POST"), asked, strict=True):
                status, to, body = ask(client, place, page, method)
                is_to_sign_in = (status, to.split("?")[0]) in ((302, "/admin/login/"), (302, "/admin/"))
                is_answer = status == (400 if page.name in OF_A_PROVIDER else 200)
                is_right = is_to_sign_in or (need == "open" and is_answer) or status in (401, 405)
                assert is_right and CANARY.encode() not in body, (who, method, page, status, to)
    Tenant.objects.filter(slug="acme").update(state=Tenant.State.SUSPENDED)
    assert {ask(inactive, place, page, method)[0] for page in pages() for method in ("GET", "POST")} == {503}


def test_no_page_of_another_tenant_shows_anything_of_this_one(
    globex: TenantRef, place: Place, client_of: Any
) -> None:
    client = client_of(globex)
    client.raise_request_exception = False
    for page in pages():
        if not page.parameters:
            continue  # it names nothing that could be another's
        status, _, body = ask(client, place, page, "GET")
        assert (status < 500, CANARY.encode() in body) == (True, False), page


def align(*tenants: TenantRef) -> None:
    """Let what comes next get the same numbers in each of these tenants."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sequencename, max(coalesce(last_value, 1)) FROM pg_sequences WHERE schemaname = ANY(%s) GROUP BY 1",
            [[tenant.schema for tenant in tenants]],
        )
        found = dict(cursor.fetchall())
        for tenant in tenants:
            for name, value in found.items():
                cursor.execute(
                    "SELECT setval(to_regclass(%s), %s)", [f'{tenant.schema}."{name}"', value]
                )  # of a sequence that only the other has, nothing


def print_of(tenant: TenantRef) -> dict[str, Any]:
    """Return what changes with any row of a tenant, or of the platform that is about it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = %s ORDER BY tablename", [tenant.schema]
        )
        tables = [(f'{tenant.schema}."{name}"', "true") for (name,) in cursor.fetchall()]
        tables += [
            ("public.jobs_job", f"schema = '{tenant.schema}'"),
            ("public.tenants_tenant", f"schema_name = '{tenant.schema}'"),
        ]
        parts = (
            f"SELECT '{table}', count(*), sum(hashtextextended(t::text, 0)) FROM {table} t WHERE {condition}"
            for table, condition in tables
        )
        cursor.execute(" UNION ALL ".join(parts))
        return {name: rest for name, *rest in cursor.fetchall()}


@pytest.mark.case("T06", "T07", "T08", "T11", "T12", "T15")
def test_with_equal_ids_the_owner_of_another_tenant_sees_and_changes_his_own_alone(
    acme: TenantRef, globex: TenantRef, client_of: Any
) -> None:
    """Every page, asked for at globex with the numbers of acme, which globex has as well."""
    align(acme, globex)
    place, twin = furnish(acme), furnish(globex, "CANARY-OF-GLOBEX")
    apart = {"job", "waiting", "file", "token", "invitation", "reset"}  # random, or signed
    equal = {each.name for each in fields(Place)} - apart
    assert {name: getattr(place, name) for name in equal} == {name: getattr(twin, name) for name in equal}
    before = print_of(acme)
    found = []

    def unchanged() -> None:
        now = print_of(acme)
        changed = [name for name in {*before, *now} if before.get(name) != now.get(name)]
        if changed:
            found.append(f"{method} {page.name or page.route}: changes acme's {changed}")

    client = client_of(globex)
    client.raise_request_exception = False
    seen = {"GET": lambda: None, "POST": unchanged}
    opened = set()
    for page in pages():
        for method in ("GET", "POST"):
            for whose, asked in (("acme", place), ("globex", twin)):
                status, to, body = ask(client, asked, page, method, seen[method])
                if status >= 500 or CANARY.encode() in body or CANARY in to:
                    found.append(f"{method} {page.name or page.route} by the ids of {whose}: {status} {to}")
                if b"CANARY-OF-GLOBEX" in body:
                    opened.add((whose, page.name))
    assert not found, "\n".join(found)
    # They are real addresses: the same pages do show the owner's own, by either tenant's numbers.
    assert len(opened) > 20
    assert {whose for whose, _ in opened} == {"acme", "globex"}


def test_a_page_that_forgets_to_ask_is_found(
    acme: TenantRef,
    place: Place,
    elsewhere: User,
    client_of: Any,
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,
) -> None:
    planted = [path("planted/", lambda request: HttpResponse(CANARY), name="datasets_planted")]
    assert [needs(page) for page in pages(planted)] == [None]
    monkeypatch.setitem(apps.get_app_config("datasets").page_rights, "datasets_planted", "here:view")  # type: ignore[attr-defined]
    module = ModuleType("planted_urls")
    module.urlpatterns = [*planted, *urls_tenant.urlpatterns]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "planted_urls", module)
    settings.ROOT_URLCONF = "planted_urls"
    found = wrong(client_of(acme, elsewhere.email), elsewhere, place, acme, planted)
    assert found == [
        f"{elsewhere} {method} datasets_planted: 200 , but 'here:view' is False" for method in ("GET", "POST")
    ]
