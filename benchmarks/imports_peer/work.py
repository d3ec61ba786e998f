"""What each peer does with a file, by its own documentation. Each function returns how many rows it took."""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import tablib  # type: ignore[import-untyped]
from django.core.management import call_command
from import_export import fields, resources, widgets  # type: ignore[import-untyped]
from openpyxl import load_workbook
from rest_framework import serializers
from simple_history.utils import bulk_create_with_history

from benchmarks.imports_file import STATUSES
from benchmarks.imports_peer.models import PlainStock, Stock

BATCH = 1000
MOMENT = "%Y-%m-%dT%H:%M:%SZ"


def reset() -> None:
    """Make the tables, or empty them."""
    for run_syncdb in (False, True):  # the tables of others first: history refers to users
        call_command("migrate", run_syncdb=run_syncdb, interactive=False, verbosity=0)
    for model in (Stock, Stock.history.model, PlainStock):
        model._base_manager.all()._raw_delete("default")


class StockResource(resources.ModelResource):  # type: ignore[misc] # no types of its own
    key = fields.Field(attribute="key", column_name="id", widget=widgets.IntegerWidget())

    class Meta:
        model: ClassVar[Any] = Stock
        exclude: ClassVar = ["id"]
        import_id_fields: ClassVar = ["key"]
        clean_model_instances = True  # or choices, lengths and digits would not be looked at
        widgets: ClassVar = {"seen_at": {"format": MOMENT}}


class BulkResource(StockResource):
    class Meta(StockResource.Meta):
        model: ClassVar[Any] = PlainStock
        use_bulk = True
        batch_size = BATCH
        skip_unchanged = True


def import_export_history(path: Path) -> int:
    """Preview and import row by row, as the admin does; simple-history writes by its signals."""
    return _previewed_and_imported(StockResource(), path, Stock)


def import_export_bulk(path: Path) -> int:
    return _previewed_and_imported(BulkResource(), path, PlainStock)


def _previewed_and_imported(resource: Any, path: Path, model: Any) -> int:
    for dry_run in (True, False):
        rows = tablib.Dataset().load(path.read_text(encoding="utf-8"), format="csv")
        result = resource.import_data(rows, dry_run=dry_run, raise_errors=True)
        if result.has_validation_errors():
            raise SystemExit(str(result.invalid_rows[0].error))
    return int(model.objects.count())


def simple_history_bulk(path: Path) -> int:
    """Create records with history in bulk; nothing is validated but what the fields cast."""
    batch: list[Stock] = []
    for row in _rows(path):
        batch.append(Stock(**_fields(row)))
        if len(batch) == BATCH:
            bulk_create_with_history(batch, Stock, batch_size=BATCH)
            batch = []
    if batch:
        bulk_create_with_history(batch, Stock, batch_size=BATCH)
    return int(Stock.history.count())


class StockSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    name = serializers.CharField(max_length=60, allow_null=True)
    note = serializers.CharField(allow_null=True)
    status = serializers.ChoiceField(choices=STATUSES, allow_null=True)
    quantity = serializers.IntegerField()
    price = serializers.DecimalField(max_digits=12, decimal_places=2, allow_null=True)
    rate = serializers.DecimalField(max_digits=18, decimal_places=9, allow_null=True)
    is_open = serializers.BooleanField(allow_null=True)
    day = serializers.DateField(allow_null=True)
    seen_at = serializers.DateTimeField(allow_null=True)
    comment = serializers.CharField(allow_null=True)
    due = serializers.DateField(allow_null=True)


def drf(path: Path) -> int:
    """Validate each row by a serializer of its own; nothing is stored."""
    valid = 0
    for row in _rows(path):
        serializer = StockSerializer(data=row)
        valid += serializer.is_valid()
    return valid


def openpyxl(path: Path) -> int:
    """Read a workbook row by row and look each key up before it is created."""
    workbook = load_workbook(path, read_only=True)
    rows = workbook.active.iter_rows(values_only=True)
    labels = next(rows)
    created = 0
    for cells in rows:
        values = dict.fromkeys(labels) | dict(
            zip(labels, cells, strict=False)
        )  # trailing empty cells are not there
        seen_at = values["seen_at"]
        values["seen_at"] = seen_at and seen_at.replace(tzinfo=dt.UTC)
        created += PlainStock._default_manager.get_or_create(key=values.pop("id"), defaults=values)[1]
    return created


def _rows(path: Path) -> Iterator[dict[str, str | None]]:
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield {label: text or None for label, text in row.items()}


def _fields(row: dict[str, str | None]) -> dict[str, Any]:
    values: dict[str, Any] = dict(row)
    values["key"] = values.pop("id")
    values["is_open"] = row["is_open"] == "true"
    return values
