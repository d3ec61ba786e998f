"""What a target takes, in the words of datasets, so that labels are mapped and rows are staged as for those.

A serializer's fields are columns of text: what a text means, the serializer says.
"""

from __future__ import annotations

import zlib
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from rest_framework.fields import Field

from datasets.spec import ColumnSpec, DatasetSpec
from importer.models import ImportJob
from importer.targets.proxies import PROXIES


def proxy_of(job: ImportJob) -> type[ImportJob]:
    """Return the proxy that a job of a plain model belongs to.

    :raises ImproperlyConfigured: its app is not installed any more.
    """
    try:
        proxy: type[ImportJob] = PROXIES[job.target]
    except KeyError:
        raise ImproperlyConfigured(f"No installed app takes imports into {job.target!r}.") from None
    return proxy


def fields_of(proxy: Any) -> dict[str, Field[Any, Any, Any, Any]]:
    """Return the serializer's fields that a file may fill, by name."""
    fields = proxy.serializer_class().fields
    return {name: field for name, field in fields.items() if not field.read_only}


def shape_of(proxy: Any) -> DatasetSpec:
    """Return the target as a dataset's specification: column `c1` is the first field, and so on."""
    fields = fields_of(proxy)
    key = key_fields(proxy)
    columns = tuple(
        ColumnSpec(
            pk=at, label=str(field.label or name), type="text", is_required=_is_required(field, name in key)
        )
        for at, (name, field) in enumerate(fields.items(), start=1)
    )
    names = dict(zip(fields, (column.name for column in columns), strict=True))
    meta = proxy.target_model._meta
    return DatasetSpec(
        pk=0, slug=meta.model_name, title=str(meta.verbose_name_plural), columns=columns,
        key=tuple(names[name] for name in key),
    )  # fmt: skip


def version_of_shape(proxy: Any) -> int:
    """Return a number that differs when the app's fields do: columns are known by their place among them."""
    return zlib.crc32("\x1f".join(fields_of(proxy)).encode()) >> 1


def field_names(proxy: Any) -> dict[str, str]:
    """Return the field of each column of the shape."""
    return {f"c{at}": name for at, name in enumerate(fields_of(proxy), start=1)}


def key_fields(proxy: Any) -> tuple[str, ...]:
    """Return the fields that tell a record from another: those of the proxy's Meta, else the first unique one.

    :raises ImproperlyConfigured: a field is none of the serializer's.
    """
    fields = fields_of(proxy)
    if proxy.key_fields is not None:
        key = tuple(proxy.key_fields)
    else:
        unique = (one.name for one in proxy.target_model._meta.fields if one.unique and not one.primary_key)
        key = tuple(name for name in unique if name in fields)[:1]
    if unknown := [name for name in key if name not in fields]:
        raise ImproperlyConfigured(f"{proxy.__name__}: {unknown[0]!r} is no field of its serializer.")
    return key


def _is_required(field: Field[Any, Any, Any, Any], is_key: bool) -> bool:
    return is_key or (field.required and not field.allow_null and not getattr(field, "allow_blank", False))
