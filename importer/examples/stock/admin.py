"""The pages of stock records and of their imports, on the site of a tenant's people."""

from __future__ import annotations

from django.contrib import admin
from unfold.admin import ModelAdmin

from accounts.sites import tenant_site
from importer.admin import ModelImportAdmin
from importer.examples.stock.models import StockImport, StockRecord


@admin.register(StockRecord, site=tenant_site)
class StockRecordAdmin(ModelAdmin):
    """An admin as any other."""

    list_display = ("sku", "place", "quantity", "price", "counted_on")
    search_fields = ("sku", "place")


@admin.register(StockImport, site=tenant_site)
class StockImportAdmin(ModelImportAdmin):
    """Everything of it is there already."""
