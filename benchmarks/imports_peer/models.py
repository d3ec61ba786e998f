"""The dataset of `imports_file` as people would write it as models, with and without history."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from simple_history.models import HistoricalRecords

from benchmarks.imports_file import STATUSES


class Columns(models.Model):
    """The twelve columns; `key` is the file's `id`."""

    key = models.BigIntegerField(unique=True)
    name = models.CharField(max_length=60, blank=True, null=True)  # noqa: DJ001 -- as the dataset has it
    note = models.TextField(blank=True, null=True)  # noqa: DJ001 -- as the dataset has it
    status = models.CharField(max_length=20, choices=[(one, one) for one in STATUSES], blank=True, null=True)  # noqa: DJ001 -- as the dataset has it
    quantity = models.BigIntegerField()
    price = models.DecimalField(max_digits=12, decimal_places=2, blank=True, null=True)
    rate = models.DecimalField(max_digits=18, decimal_places=9, blank=True, null=True)
    is_open = models.BooleanField(blank=True, null=True)
    day = models.DateField(blank=True, null=True)
    seen_at = models.DateTimeField(blank=True, null=True)
    comment = models.TextField(blank=True, null=True)  # noqa: DJ001 -- as the dataset has it
    due = models.DateField(blank=True, null=True)

    class Meta:
        abstract: ClassVar[bool] = True

    def __str__(self) -> str:
        return str(self.key)


class Stock(Columns):
    history = HistoricalRecords()


class PlainStock(Columns):
    """The same without history."""
