"""Reading a bundle: a new tenant with the same datasets, records, history and permissions, or none at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from django.contrib.auth.models import Group, Permission
from django.db import connection, transaction
from django.db.models import Q

from accounts.models import User
from audit.services import record
from audit.tracking import untracked
from core.errors import RowhouseError
from core.tenancy import in_tenant
from datasets.definition import from_table_schema
from datasets.models import ColumnLimit, Dataset
from datasets.services import create_dataset, grant_right
from datasets.spec import DatasetSpec
from rowhouse.bundle.writing import FORM, MANIFEST, Json
from tenants.catalog import quoted
from tenants.models import Tenant
from tenants.provisioning import provision
from tenants.services import request_tenant

READ_BYTES = 1024 * 1024
FIXED = (
    "SET LOCAL DateStyle = 'ISO, YMD'",
    "SET LOCAL IntervalStyle = 'iso_8601'",
    "SET LOCAL TimeZone = 'UTC'",
    "SET LOCAL statement_timeout = 0",
)


class BundleRefused(RowhouseError):
    """A file is no bundle, is damaged, or says what cannot be made here."""

    code = "bundle-refused"
    status = 422


@dataclass(frozen=True, slots=True)
class Imported:
    """A tenant that was made of a bundle; `link` invites its owner and is shown once. Counts by dataset."""

    tenant: Tenant
    link: str
    records: dict[str, int]
    versions: dict[str, int]
    users: int


def import_bundle(*, path: Path, slug: str, name: str = "", domain: str = "", by: object = None) -> Imported:
    """Make a tenant of a bundle: everything of it or, whatever goes wrong, nothing.

    The whole bundle is read and summed first. Users come without passwords: the owner by the invitation that is
    returned, the others when somebody invites them. Events are not brought over, nor are files.

    :raises BundleRefused: it is no bundle or is damaged, or needs what this release does not have.
    :raises BadTenant: a name cannot be used.
    :raises TenantExists: a name is taken.
    """
    try:
        with ZipFile(path) as archive:
            manifest = _checked(archive)
            return _import(archive, manifest, slug, name, domain, by)
    except BadZipFile as error:
        raise BundleRefused(f"{path.name} is no bundle: {error}. Nothing was changed.") from error


def _checked(archive: ZipFile) -> Json:
    """Return the manifest when every part of the bundle is there and is what was written."""
    names = set(archive.namelist())
    manifest = _json(archive, MANIFEST) if MANIFEST in names else {}
    if manifest.get("rowhouse:form") != FORM:
        raise BundleRefused(
            "This file is no bundle of this platform, or of a later release. Nothing was changed."
        )
    for resource in manifest["resources"]:
        digest = hashlib.sha256()
        if resource["path"] in names:
            with archive.open(resource["path"]) as part:
                while data := part.read(READ_BYTES):
                    digest.update(data)
        if resource["hash"] != f"sha256:{digest.hexdigest()}":
            raise BundleRefused(f"{resource['path']} is not what was written. Nothing was changed.")
    return manifest


@transaction.atomic
def _import(archive: ZipFile, manifest: Json, slug: str, name: str, domain: str, by: object) -> Imported:
    tenant = request_tenant(
        slug=slug,
        name=name or manifest["title"],
        owner_email=manifest["rowhouse:owner"],
        domain=domain,
        by=by,
        provision_now=True,
    )
    link = provision(tenant=tenant).link
    records: dict[str, int] = {}
    versions: dict[str, int] = {}
    with in_tenant(tenant.ref):
        with connection.cursor() as cursor:
            for setting in FIXED:
                cursor.execute(setting)
        users = _make_people(_json(archive, "people.json"))
        permissions = _json(archive, "permissions.json")
        for about in _referred_first(manifest["rowhouse:datasets"]):
            dataset = _make_dataset(archive, about)
            spec = dataset.spec()
            records[dataset.slug] = _load_records(archive, spec)
            versions[dataset.slug] = _load_history(archive, spec)
            _permit(dataset, permissions[dataset.slug])
        record("rowhouse.bundle.imported", actor=by, bundle_of=manifest["name"], datasets=len(records))
    tenant.refresh_from_db()
    return Imported(tenant, link, records, versions, users)


def _referred_first(datasets: Iterable[Json]) -> list[Json]:
    """Return datasets in an order in which each comes after those it refers to."""
    left, ordered = {one["slug"]: one for one in datasets}, list[Json]()
    while left:
        free = [one for one in left.values() if not set(one["refers_to"]) & left.keys()]
        if not free:
            raise BundleRefused(
                f"{', '.join(sorted(left))} refer to each other in a circle. Nothing was changed."
            )
        for one in free:
            ordered.append(left.pop(one["slug"]))
    return ordered


def _make_dataset(archive: ZipFile, about: Json) -> Dataset:
    definition = from_table_schema(_json(archive, f"definitions/{about['slug']}.json"))
    dataset = create_dataset(
        title=definition.title,
        slug=about["slug"],
        columns=definition.columns,
        key=definition.key,
        checks=definition.checks,
    )
    if about["history_days"]:
        Dataset.objects.filter(pk=dataset.pk).update(history_days=about["history_days"])
    return dataset


def _load_records(archive: ZipFile, spec: DatasetSpec) -> int:
    columns = ", ".join(["id", *(quoted(one.name) for one in spec.columns)])
    with untracked(), connection.cursor() as cursor, archive.open(f"records/{spec.slug}.csv") as rows:
        cursor.copy_expert(
            f"COPY {quoted(spec.table)} ({columns}) FROM STDIN (FORMAT csv, HEADER true)", rows
        )
        count = int(cursor.rowcount)
    _go_on_counting(spec.table, "id", spec.history_table)
    return count


def _load_history(archive: ZipFile, spec: DatasetSpec) -> int:
    """Load versions as they were; who wrote them is found by address, and forgotten where there is no such user."""
    own = [quoted(one.name) for one in spec.columns]
    listed = ", ".join(["id", *own])
    with connection.cursor() as cursor, archive.open(f"history/{spec.slug}.csv") as rows:
        cursor.execute(
            f"CREATE UNLOGGED TABLE bundle_history AS SELECT {listed}, history_id, history_date,"
            f" history_type, NULL::text AS by_email, history_change_reason FROM {quoted(spec.history_table)}"
            " WITH NO DATA"
        )
        cursor.copy_expert("COPY bundle_history FROM STDIN (FORMAT csv, HEADER true)", rows)
        cursor.execute(
            f"INSERT INTO {quoted(spec.history_table)} ({listed}, history_id, history_date, history_type,"
            f" history_user_id, history_change_reason) SELECT {', '.join(f'b.{one}' for one in ['id', *own])},"
            " b.history_id, b.history_date, b.history_type, u.id, b.history_change_reason FROM bundle_history b"
            " LEFT JOIN accounts_user u ON u.email = b.by_email ORDER BY b.history_id"
        )
        count = int(cursor.rowcount)
        cursor.execute("DROP TABLE bundle_history")
    _go_on_counting(spec.history_table, "history_id")
    # A number that only history knows is not given to another record.
    _go_on_counting(spec.table, "id", spec.history_table)
    return count


def _go_on_counting(table: str, column: str, *others: str) -> None:
    """Let a table's next number be above all that it, and the others, hold."""
    highest = ", ".join(f"(SELECT max({column}) FROM {quoted(one)})" for one in (table, *others))
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT setval(pg_get_serial_sequence(%s, %s), coalesce(greatest({highest}), 0) + 1, false)",
            [quoted(table), column],
        )


# ---- people


def _make_people(people: Json) -> int:
    """Make groups and users with what each may do; a right this release does not have is left out."""
    for stated in people["groups"]:
        group, _ = Group.objects.get_or_create(name=stated["name"])
        group.permissions.set(_permissions(stated["permissions"]))
    for stated in people["users"]:
        user = User.objects.filter(email__iexact=stated["email"]).first()
        if user is None:
            user = User.objects.create_user(stated["email"], None)
        for name in ("first_name", "last_name", "is_active", "is_superuser"):
            setattr(user, name, stated[name])
        user.save()
        User.objects.filter(pk=user.pk).update(date_joined=stated["joined_at"])
        user.groups.set(Group.objects.filter(name__in=stated["groups"]))
        user.user_permissions.set(_permissions(stated["permissions"]))
    return len(people["users"])


def _permissions(names: Iterable[str]) -> list[Permission]:
    wanted = Q(pk__in=[])
    for name in names:
        app_label, model, codename = name.split(".")
        wanted |= Q(content_type__app_label=app_label, content_type__model=model, codename=codename)
    return list(Permission.objects.filter(wanted))


def _permit(dataset: Dataset, stated: Json) -> None:
    for grant in stated["grants"]:
        for right in grant["rights"]:
            grant_right(right=right, to=_who(grant), dataset=dataset)
    columns = {column.label: column for column in dataset.columns.in_use()}
    for limit in stated["limits"]:
        who = _who(limit)
        of: Json = {"user": who} if isinstance(who, User) else {"group": who}
        ColumnLimit.objects.create(column=columns[limit["column"]], access=limit["access"], **of)


def _who(stated: Json) -> User | Group:
    if "user" in stated:
        return User.objects.get(email__iexact=stated["user"])
    return Group.objects.get(name=stated["group"])


def _json(archive: ZipFile, name: str) -> Any:
    try:
        return json.loads(archive.read(name))
    except (KeyError, ValueError) as error:
        raise BundleRefused(f"{name} is missing or not readable. Nothing was changed.") from error
