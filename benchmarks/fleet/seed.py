"""Make tenants with people and data, by the services of whichever release runs this, and print what was made as JSON.

    python -P seed.py '{"tenants": 2, "records": 50, "everything": false}'

Run by path: it must import nothing of the harness, whose release may be another.
"""

from __future__ import annotations

import io
import json
import os
import sys
from typing import Any

import django

PASSWORD = "correct horse battery"


def main(asked: dict[str, Any]) -> None:
    """Make what is asked for."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rowhouse.settings")
    django.setup()
    made = [make(f"tenant{number}", asked) for number in range(asked["tenants"])]
    sys.stdout.write(json.dumps(made) + "\n")


def make(slug: str, asked: dict[str, Any]) -> dict[str, Any]:
    """Make one tenant, with a dataset that people work on, and one of every column type if that is wanted."""
    from accounts.services import create_user  # noqa: PLC0415 -- after the settings
    from core.tenancy import in_tenant  # noqa: PLC0415 -- after the settings
    from datasets.rules import NewColumn  # noqa: PLC0415 -- after the settings
    from datasets.services import create_dataset  # noqa: PLC0415 -- after the settings
    from tenants.services import provision_tenant, request_tenant  # noqa: PLC0415 -- after the settings

    owner = f"owner@{slug}.example"
    tenant = request_tenant(slug=slug, name=slug.title(), owner_email=owner, provision_now=True)
    provision_tenant(tenant=tenant, owner_password=PASSWORD)
    columns = [NewColumn("no", "integer", is_required=True), NewColumn("v", "text"), NewColumn("w", "text")]
    with in_tenant(tenant.ref):
        for name in ("editor", "viewer"):
            create_user(email=f"{name}@{slug}.example", password=PASSWORD, role=name)
        dataset = create_dataset(title="Orders", columns=columns, key=["no"], by=None)
        merge(dataset, ["no,v,w", *(f"{n},v{n},w{n}" for n in range(asked["records"]))])
        if asked.get("everything"):
            everything(asked["records"])
        names = [f"c{column.pk}" for column in dataset.columns.order_by("pk")]
    return {
        "slug": slug,
        "schema": tenant.schema_name,
        "dataset": dataset.pk,
        "columns": names,
    }


def everything(records: int) -> None:
    """Make a dataset with a column of every type that needs no other, and records of fake data."""
    from datasets.columntypes import TYPES  # noqa: PLC0415 -- after the settings
    from datasets.rules import NewColumn  # noqa: PLC0415 -- after the settings
    from datasets.services import create_dataset  # noqa: PLC0415 -- after the settings
    from datasets.spec import ColumnOptions, Target  # noqa: PLC0415 -- after the settings

    options: dict[str, dict[str, Any]] = {
        "choice": {"choices": ("new", "paid")},
        "multi_choice": {"choices": ("red", "green", "blue")},
        "decimal": {"precision": 12, "scale": 2},
    }
    values = {
        "text": "ünï – 数 {}", "long_text": "line {}", "integer": "{}", "decimal": "{}.50", "boolean": "true",
        "date": "2026-08-26", "time": "09:30", "timestamp": "2026-08-26T14:00:00Z", "choice": "new",
        "multi_choice": "red; blue", "email": "person{}@example.org", "url": "https://example.org/{}",
        "phone": "+4930123456", "uuid": "123e4567-e89b-12d3-a456-426614174000", "json": '"{""n"": {}}"',
    }  # fmt: skip
    kinds = [kind for kind in TYPES if kind != "reference"]
    columns = [NewColumn("no", "integer", is_required=True)]
    columns += [NewColumn(kind, kind, options=ColumnOptions(**options.get(kind, {}))) for kind in kinds]
    dataset = create_dataset(title="Everything", columns=columns, key=["no"], by=None)
    lines = [
        ",".join([str(n), *(values[kind].replace("{}", str(n)) for kind in kinds)]) for n in range(records)
    ]
    merge(dataset, [",".join(["no", *kinds]), *lines])
    reference = NewColumn("of", "reference", options=ColumnOptions(target=Target("everything")))
    more = create_dataset(
        title="Visits", columns=[NewColumn("no", "integer"), reference], key=["no"], by=None
    )
    merge(more, ["no,of", *(f"{n},{n}" for n in range(records))])


def merge(dataset: Any, lines: list[str]) -> None:
    """Import a file here and now."""
    from importer.services import confirm_import, create_import  # noqa: PLC0415 -- after the settings
    from jobs.services import run_pending  # noqa: PLC0415 -- after the settings

    file = io.BytesIO("\n".join(lines).encode())
    job = create_import(dataset=dataset, file=file, name="rows.csv", by=None)
    run_pending()
    job.refresh_from_db()
    confirm_import(job=job, by=None)
    run_pending()
    job.refresh_from_db()
    assert (job.state, job.created_rows) == ("IMPORT_SUCCEEDED", len(lines) - 1), (job.state, job.error)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
