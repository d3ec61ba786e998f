"""Writing a bundle: all of a tenant from one moment."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZIP_DEFLATED, ZipFile

from django.contrib.auth.models import Group, Permission

from accounts.models import User
from audit.services import record
from core import storage
from core.clock import now
from core.stores import LocalWriter
from core.tenancy import in_tenant
from datasets.access import granted_to
from datasets.definition import to_table_schema
from datasets.models import ColumnLimit, Dataset
from tenants.backup.taking import known_sums, snapshot
from tenants.catalog import quoted

if TYPE_CHECKING:
    from core.backend.base import DatabaseWrapper
    from datasets.spec import DatasetSpec
    from tenants.models import Tenant

Json = dict[str, Any]
FORM = 1
MANIFEST = "datapackage.json"
# A bundle is read by other programs too: an empty cell without quotes is no value, as PostgreSQL writes it.
AS_CSV = "TO STDOUT (FORMAT csv, HEADER true)"


class _Member:
    """A part of the zip as it is written: counted and summed."""

    def __init__(self, target: Any) -> None:
        self.target = target
        self.bytes = 0
        self.sha256 = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.sha256.update(data)
        self.bytes += len(data)
        self.target.write(data)
        return len(data)


class _Bundle:
    """A zip being written, and the list of what is in it."""

    def __init__(self, archive: ZipFile) -> None:
        self.archive = archive
        self.resources: list[Json] = []

    @contextmanager
    def part(self, path: str, **about: Any) -> Iterator[_Member]:
        with self.archive.open(path, "w", force_zip64=True) as target:
            member = _Member(target)
            yield member
        name = path.rpartition(".")[0].replace("/", "-")
        self.resources.append(
            {
                "name": name,
                "path": path,
                **about,
                "bytes": member.bytes,
                "hash": f"sha256:{member.sha256.hexdigest()}",
            }
        )

    def json(self, path: str, value: Any) -> None:
        with self.part(path, format="json") as part:
            part.write(_text(value))


def export_bundle(*, tenant: Tenant, path: Path) -> Json:
    """Write a tenant's bundle to a file of this machine, and return its manifest. Nobody in the tenant waits.

    :raises NothingToBackUp: the tenant has no schema.
    :raises SchemaBusy: a table was being changed all the time.
    :raises OSError: the file cannot be written.
    """
    writer = LocalWriter(str(path), path.absolute())
    try:
        # The tables are held against changes of their form before their definitions are read.
        with (
            ZipFile(writer._file, "w", ZIP_DEFLATED, compresslevel=1) as archive,
            snapshot(tenant.schema_name) as (link, _, at),
            in_tenant(tenant.ref),
        ):
            bundle = _Bundle(archive)
            datasets = [(dataset, dataset.spec()) for dataset in Dataset.objects.order_by("slug")]
            for dataset, spec in datasets:
                _write_dataset(bundle, link, tenant.schema_name, dataset, spec)
            bundle.json("people.json", _people())
            bundle.json("permissions.json", {dataset.slug: _permissions(dataset) for dataset, _ in datasets})
            with bundle.part("events.csv", format="csv") as part:
                _copy(link, f"SELECT * FROM {quoted(tenant.schema_name)}.audit_event ORDER BY id", part)
            with bundle.part("files.csv", format="csv") as part:
                part.write(_files().encode())
            manifest = {
                "profile": "data-package",
                "name": tenant.slug,
                "title": tenant.name,
                "created": now().isoformat(),
                "rowhouse:form": FORM,
                "rowhouse:taken_at": at.isoformat(),
                "rowhouse:owner": tenant.owner_email,
                "rowhouse:datasets": [_about(dataset, spec) for dataset, spec in datasets],
                "resources": bundle.resources,
            }
            archive.writestr(MANIFEST, _text(manifest))
        writer.finish()
        with in_tenant(tenant.ref):
            record("rowhouse.bundle.exported", actor="command line", datasets=len(datasets))
    except BaseException:
        writer.abort()
        raise
    return manifest


def _write_dataset(
    bundle: _Bundle, link: DatabaseWrapper, schema: str, dataset: Dataset, spec: DatasetSpec
) -> None:
    definition = to_table_schema(spec)
    bundle.json(f"definitions/{dataset.slug}.json", definition)
    columns = ", ".join(f"r.{quoted(one.name)} AS {quoted(one.label)}" for one in spec.columns)
    with bundle.part(f"records/{dataset.slug}.csv", format="csv", schema=definition) as part:
        table = f"{quoted(schema)}.{quoted(spec.table)}"
        _copy(link, f'SELECT r.id AS "rowhouse:id", {columns} FROM {table} r ORDER BY r.id', part)
    with bundle.part(f"history/{dataset.slug}.csv", format="csv") as part:
        history = f"{quoted(schema)}.{quoted(spec.history_table)}"
        _copy(
            link,
            f'SELECT r.id AS "rowhouse:id", {columns}, r.history_id AS "rowhouse:version",'
            ' r.history_date AS "rowhouse:at", r.history_type AS "rowhouse:kind", u.email AS "rowhouse:by",'
            f' r.history_change_reason AS "rowhouse:reason" FROM {history} r'
            f" LEFT JOIN {quoted(schema)}.accounts_user u ON u.id = r.history_user_id ORDER BY r.history_id",
            part,
        )


def _copy(link: DatabaseWrapper, query: str, part: _Member) -> None:
    with link.cursor() as cursor:
        cursor.copy_expert(f"COPY ({query}) {AS_CSV}", part)


def _about(dataset: Dataset, spec: DatasetSpec) -> Json:
    referred = {target.slug for _, target in spec.references if target.dataset != dataset.pk}
    return {"slug": dataset.slug, "history_days": dataset.history_days, "refers_to": sorted(referred)}


# ---- people


def _people() -> Json:
    groups = Group.objects.order_by("name").prefetch_related("permissions__content_type")
    users = User.objects.order_by("pk").prefetch_related("groups", "user_permissions__content_type")
    return {
        "groups": [{"name": one.name, "permissions": _named(one.permissions.all())} for one in groups],
        "users": [
            {
                "email": one.email,
                "first_name": one.first_name,
                "last_name": one.last_name,
                "is_active": one.is_active,
                "is_superuser": one.is_superuser,
                "joined_at": one.date_joined.isoformat(),
                "groups": sorted(group.name for group in one.groups.all()),
                "permissions": _named(one.user_permissions.all()),
            }
            for one in users
        ],
    }


def _named(permissions: Any) -> list[str]:
    found: list[Permission] = list(permissions)
    return sorted(f"{one.content_type.app_label}.{one.content_type.model}.{one.codename}" for one in found)


def _permissions(dataset: Dataset) -> Json:
    grants = [{**_who(who), "rights": sorted(rights)} for who, rights in granted_to(dataset).items()]
    limits = ColumnLimit.objects.filter(column__dataset=dataset, column__is_retired=False)
    return {
        "grants": sorted(grants, key=_text),
        "limits": sorted(
            (
                {**_who(one.user or one.group), "column": one.column.label, "access": one.access}
                for one in limits.select_related("column", "user", "group")
            ),
            key=_text,
        ),
    }


def _who(who: Any) -> dict[str, str]:
    return {"user": who.email} if isinstance(who, User) else {"group": who.name}


def _files() -> str:
    out = io.StringIO()
    rows = csv.writer(out)
    rows.writerow(["key", "bytes", "sha256"])
    sums = known_sums()
    rows.writerows((key, size, sums.get(key, "")) for key, size in storage.list_keys())
    return out.getvalue()


def _text(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True).encode()
