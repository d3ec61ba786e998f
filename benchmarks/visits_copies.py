"""Many tenants in little time: one is made the real way, the others are copies of its schema.

Setting a tenant up takes the second or two its migrations take; its dump runs in a tenth of that. Every copy has the
primary keys of the original, which is the hardest case for whatever confuses tenants. Where the original says its
slug (people's addresses, titles, labels, values) the copy says its own, which is as long.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.backend.roles import grant_rights, make_roles

if TYPE_CHECKING:
    from core.embedded import EmbeddedServer
    from core.tenancy import TenantRef

# What is in a schema, one line for each thing, named so that the lines of two schemas can be compared.
CATALOG = (
    "SELECT concat_ws(' ', 'relation', relkind, relname, pg_get_userbyid(relowner), reloptions) FROM pg_class"
    " WHERE relnamespace = %(at)s",
    "SELECT concat_ws(' ', 'column', relname, attname, format_type(atttypid, atttypmod), attnotnull, attidentity,"
    " attgenerated, pg_get_expr(adbin, adrelid)) FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid"
    " LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum"
    " WHERE relnamespace = %(at)s AND attnum > 0 AND NOT attisdropped",
    "SELECT concat_ws(' ', 'constraint', conrelid::regclass, conname, convalidated, pg_get_constraintdef(oid))"
    " FROM pg_constraint WHERE connamespace = %(at)s",
    "SELECT concat_ws(' ', 'index', pg_get_indexdef(indexrelid), indisvalid) FROM pg_index"
    " JOIN pg_class ON pg_class.oid = indexrelid WHERE relnamespace = %(at)s",
    "SELECT concat_ws(' ', 'trigger', relname, tgenabled, pg_get_triggerdef(pg_trigger.oid))"
    " FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid WHERE relnamespace = %(at)s AND NOT tgisinternal",
    "SELECT concat_ws(' ', 'sequence', relname, format_type(seqtypid, NULL), seqincrement, seqcycle,"
    " pg_sequence_last_value(seqrelid))"
    " FROM pg_sequence JOIN pg_class ON pg_class.oid = seqrelid WHERE relnamespace = %(at)s",
    "SELECT concat_ws(' ', 'function', pg_get_functiondef(oid)) FROM pg_proc WHERE pronamespace = %(at)s",
    "SELECT concat_ws(' ', 'type', typtype, typname) FROM pg_type WHERE typnamespace = %(at)s",
)
CASTS = re.compile(r"::(?:character varying|text)(?:\[\])?|[()]")


@dataclass(frozen=True, slots=True)
class Template:
    """A tenant's schema as the statements that make it, its data included."""

    tenant: TenantRef
    script: str

    def for_tenant(self, other: TenantRef) -> str:
        """Return the statements that make the same schema for another tenant, whose slug must be as long."""
        if len(other.slug) != len(self.tenant.slug):
            raise ValueError(f"{other.slug!r} is not as long as {self.tenant.slug!r}")
        script = self.script.replace(self.tenant.schema, other.schema)
        return script.replace(self.tenant.slug, other.slug)


def template_of(server: EmbeddedServer, tenant: TenantRef) -> Template:
    """Dump a tenant's schema."""
    dumped = subprocess.run(
        [server.program("pg_dump"), "--dbname", server.url(), "--schema", tenant.schema, "--no-owner",
         "--no-privileges", "--no-comments", "--inserts"],
        check=True, capture_output=True, text=True, env={**os.environ, "PGTZ": "UTC"},
    )  # fmt: skip
    # What begins with a backslash is meant for psql, and there is none in any value: each stands in one line.
    lines = [line for line in dumped.stdout.splitlines() if not line.startswith("\\")]
    return Template(tenant, "\n".join(lines))


def copy_tenant(link: Any, template: Template, slug: str) -> TenantRef:
    """Make a tenant as `provision_tenant` does, but for its schema, which is the template's."""
    from jobs.services import admit_tenant  # noqa: PLC0415 -- after the settings
    from tenants.models import Tenant  # noqa: PLC0415 -- after the settings
    from tenants.services import request_tenant  # noqa: PLC0415 -- after the settings

    tenant = request_tenant(
        slug=slug, name=slug.title(), owner_email=f"owner@{slug}.example", provision_now=True
    )
    with link.cursor() as cursor:
        cursor.execute(template.for_tenant(tenant.ref))
        make_roles(cursor, tenant.schema_name)
        grant_rights(cursor, tenant.schema_name)
    admit_tenant(tenant.ref)
    for old, new in (
        (Tenant.State.REQUESTED, Tenant.State.PROVISIONING),
        (Tenant.State.PROVISIONING, Tenant.State.ACTIVE),
    ):
        if not tenant.move(old=old, new=new):
            raise RuntimeError(f"{slug} is {tenant.state}")
    return tenant.ref


def differences(link: Any, one: TenantRef, other: TenantRef) -> list[str]:
    """Return what is in one of two tenants' schemas and not in the other: definitions, and numbers of rows."""
    return sorted(_contents(link, one) ^ _contents(link, other))


def _contents(link: Any, tenant: TenantRef) -> set[str]:
    found: set[str] = set()
    with link.cursor() as cursor:
        cursor.execute("SELECT %s::regnamespace::oid", [tenant.schema])
        at = {"at": cursor.fetchone()[0]}
        for query in CATALOG:
            cursor.execute(query, at)
            found.update(line for (line,) in cursor.fetchall())
        cursor.execute("SELECT relname FROM pg_class WHERE relnamespace = %(at)s AND relkind = 'r'", at)
        for (table,) in cursor.fetchall():
            cursor.execute(f'SELECT count(*) FROM "{tenant.schema}"."{table}"')
            found.add(f"rows {table} {cursor.fetchone()[0]}")
    neutral = {line.replace(tenant.schema, "<schema>").replace(tenant.slug, "<slug>") for line in found}
    # A check that was read back is written with its casts and brackets in other places.
    return {CASTS.sub("", line) if line.startswith("constraint") else line for line in neutral}
