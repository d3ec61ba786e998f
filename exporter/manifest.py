"""What a run left, as a Frictionless Data Package: other programs read it, and `verify_exports` proves it.

What the specification has no word for stands under `rowhouse`. A file's schema is the Table Schema of the dataset's
definition, cut to what is in the file: its columns under the labels it has, and of the rules those that its cells keep.

Pure: no Django, no storage, no clock.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from datasets.definition import to_table_schema
from datasets.spec import DatasetSpec
from exporter.form import FileForm

VERSION = 1  # of what stands under `rowhouse`
MEDIA_TYPES = {
    "csv": "text/csv",
    "csv.gz": "application/gzip",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "jsonl": "application/jsonl",
    "parquet": "application/vnd.apache.parquet",
}
CHANGES = ("created", "changed", "deleted")


@dataclass(frozen=True, slots=True)
class Resource:
    """One file. `path` is its place below the manifest's folder, `base` the key of the file it goes on from or ""."""

    spec: DatasetSpec
    form: FileForm
    path: str
    key: str
    rows: int
    bytes: int
    sha256: str
    content: str
    base: str
    definition_version: int
    history_id: int


@dataclass(frozen=True, slots=True)
class RunFacts:
    """The run itself. `skipped`: the datasets that had not changed, as `ExportRun.skipped` has them."""

    tenant: str
    number: int
    trigger: str
    slot: datetime | None
    snapshot: str
    at: datetime  # of the snapshot
    skipped: Sequence[dict[str, Any]] = ()


def manifest_of(run: RunFacts, resources: Sequence[Resource]) -> dict[str, Any]:
    """Return the manifest of a run with one file or more, ready for JSON."""
    return {
        "profile": "data-package",
        "name": f"{run.tenant}-run-{run.number}",
        "created": _text(run.at),
        "resources": [_resource(one) for one in resources],
        "rowhouse": {
            "version": VERSION,
            "tenant": run.tenant,
            "run": run.number,
            "trigger": run.trigger,
            "slot": _text(run.slot) if run.slot else None,
            "snapshot": run.snapshot,
            "skipped": list(run.skipped),
        },
    }


def to_bytes(manifest: dict[str, Any]) -> bytes:
    """Return a manifest as it is stored."""
    return json.dumps(manifest, ensure_ascii=False, indent=1).encode() + b"\n"


def said_of(resource: dict[str, Any]) -> dict[str, Any]:
    """Return what a manifest's entry says of a file that the file's row says too, by the row's names.

    :raises KeyError: it does not say all of it.
    """
    ours = resource["rowhouse"]
    return {
        "key": ours["key"],
        "format": resource["format"],
        "bytes": resource["bytes"],
        "sha256": resource["hash"].removeprefix("sha256:"),
        "rows": ours["rows"],
        "mode": ours["mode"],
        "content": ours["content"],
        "base": ours["base"],
        "definition_version": ours["definition_version"],
        "history_id": ours["history_id"],
    }


def change_label(form: FileForm) -> str:
    """Return the label of an incremental file's first column, which no column of the dataset has.

    >>> change_label(FileForm(columns=()))
    '_change'
    """
    label, taken = "_change", {one.label.casefold() for one in form.columns}
    while label in taken:
        label = f"_{label}"
    return label


def _resource(one: Resource) -> dict[str, Any]:
    form = one.form
    made: dict[str, Any] = {
        "name": one.spec.slug,
        "title": one.spec.title,
        "path": one.path,
        "format": form.format,
        "mediatype": MEDIA_TYPES[form.format],
        "encoding": form.encoding,
        "bytes": one.bytes,
        "hash": f"sha256:{one.sha256}",
    }
    if form.format == "csv.gz":
        made |= {"compression": "gz"}
    if form.format in ("csv", "csv.gz"):
        made["dialect"] = {
            "delimiter": form.delimiter, "quoteChar": '"', "doubleQuote": True, "lineTerminator": "\n",
            "skipInitialSpace": False, "header": True,
        }  # fmt: skip
    return made | {
        "schema": _schema(one),
        "rowhouse": {
            "key": one.key,
            "rows": one.rows,
            "mode": form.mode,
            "content": one.content,
            "base": one.base or None,
            "definition_version": one.definition_version,
            "history_id": one.history_id,
            "columns": [[column.column, column.label] for column in form.columns],
        },
    }


def _schema(one: Resource) -> dict[str, Any]:
    spec, form, stated = one.spec, one.form, to_table_schema(one.spec)
    is_full = one.content == "FULL"
    fields = dict(zip((column.pk for column in spec.columns), stated["fields"], strict=True))
    names = {column.column: column.label for column in form.columns}
    in_key = {column.pk for column in spec.key_columns}
    made: list[dict[str, Any]] = []
    for column in form.columns:
        rules = dict(fields[column.column].get("constraints", {}))
        if form.mode != "EXACT":
            rules = {}  # a text with a mark before it may not fit its own rules
        elif not is_full and column.column not in in_key:  # of a deleted record only the key is given
            rules.pop("required", None)
        field = {name: value for name, value in fields[column.column].items() if name != "constraints"}
        made.append({**field, "name": column.label, **({"constraints": rules} if rules else {})})
    if not is_full:
        rules = {"required": True, "enum": list(CHANGES)}
        made.insert(0, {"name": change_label(form), "type": "string", "constraints": rules})
    schema: dict[str, Any] = {"fields": made, "missingValues": [form.null_word]}
    if in_key and in_key <= names.keys():
        schema["primaryKey"] = [names[column.pk] for column in spec.key_columns]
    return schema


def _text(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
