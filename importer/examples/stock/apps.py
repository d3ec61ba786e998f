from __future__ import annotations

from typing import ClassVar

from django.apps import AppConfig


class StockConfig(AppConfig):
    name = "importer.examples.stock"
    label = "stock"
    verbose_name = "Stock"
    # The roles of every tenant; an owner gives further people rights of their own.
    role_rights: ClassVar = {
        "owner": (
            "stock.view_stockrecord",
            "stock.add_stockrecord",
            "stock.change_stockrecord",
            "stock.delete_stockrecord",
        ),
    }
