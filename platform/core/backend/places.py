"""Where a statement runs: the schema whose tables it sees and the role whose rights it has. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

PUBLIC = "public"
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")


class Role(Enum):
    """Whose rights statements have inside a tenant's schema; the value is what its name ends with."""

    OWNER = "_owner"  # makes and changes tables: jobs, migrations, commands
    MEMBER = ""  # reads and writes rows, and no more: whatever a request asks


@dataclass(frozen=True, slots=True)
class Place:
    """A schema and a role; `prefix` is what every statement there begins with.

    `pg_temp` stands last: unnamed, PostgreSQL would look for every table among the temporary ones first.
    """

    schema: str
    role: str | None
    prefix: str


def place_of(schema: str, role: Role = Role.OWNER) -> Place:
    """Return the place of a schema; in `public` it is the role that connected.

    :raises ValueError: the schema's name would have to be quoted, so it is none of ours.
    """
    if not _NAME.fullmatch(schema):
        raise ValueError(f"not a schema's name: {schema!r}")
    name = None if schema == PUBLIC else schema + role.value
    return Place(
        schema, name, f"SET LOCAL search_path TO {schema}, pg_temp;SET LOCAL ROLE {name or 'NONE'};\n"
    )
