"""A model of a tenant's own app, and the proxy by which files are imported into it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import models

from importer.examples.stock.serializers import StockRecordSerializer
from importer.models import ImportJob
from importer.targets.judging import Hooks, Row

__all__ = ["StockImport", "StockRecord"]


class StockRecord(models.Model):
    """How much of an article there is at a place."""

    sku = models.CharField("article", max_length=40)
    place = models.CharField(max_length=40)
    quantity = models.PositiveIntegerField()
    price = models.DecimalField(max_digits=10, decimal_places=2, null=True, blank=True)
    counted_on = models.DateField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["sku", "place"], name="an_article_stands_once_at_a_place")
        ]

    def __str__(self) -> str:
        return f"{self.sku} at {self.place}"


class StockImport(Hooks, ImportJob):
    """Imports into stock records, by article and place."""

    class Meta:
        proxy = True
        verbose_name = "stock import"
        default_permissions = ()
        target_model = StockRecord
        serializer_class = StockRecordSerializer
        key_fields = ("sku", "place")

    def before_row(self, row: Row) -> None:
        """Write articles in capitals, and take no row of the closed warehouse."""
        row.data["sku"] = str(row.data.get("sku") or "").upper()
        if row.data.get("place") == "closed":
            row.refuse("The warehouse “closed” takes no stock.", column="place", value="closed")

    def after_batch(self, instances: Sequence[Any]) -> None:
        """Here an app would tell its shop which articles changed."""
