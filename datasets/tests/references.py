"""Datasets that refer to one another."""

from __future__ import annotations

from typing import Any

from datasets.models import Dataset
from datasets.rules import NewColumn
from datasets.services import create_dataset
from datasets.spec import ColumnOptions, Target


def refers_to(label: str, slug: str, **more: Any) -> NewColumn:
    """Return a column that holds keys of another dataset; the slug "" is the very dataset."""
    return NewColumn(label, "reference", options=ColumnOptions(target=Target(slug)), **more)


def make_customers(**more: Any) -> Dataset:
    """Customers, whose key is a text."""
    columns = (NewColumn("Customer no", "text"), NewColumn("Name", "text"))
    return create_dataset(title="Customers", columns=columns, key=("Customer no",), **more)


def make_orders(*further: NewColumn, **more: Any) -> Dataset:
    """Orders, each of a customer or of none."""
    columns = (NewColumn("Order no", "integer"), refers_to("Customer", "customers"), *further)
    return create_dataset(title="Orders", columns=columns, key=("Order no",), **more)


def make_staff(**more: Any) -> Dataset:
    """People who have another one of them as their superior, or none."""
    columns = (NewColumn("Number", "integer"), NewColumn("Name", "text"), refers_to("Superior", ""))
    return create_dataset(title="Staff", columns=columns, key=("Number",), **more)
