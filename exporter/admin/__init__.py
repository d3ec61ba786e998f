"""The pages of exports on the tenant site."""

from exporter.admin import history, notice_pages, settings_pages

__all__ = ["history", "notice_pages", "settings_pages"]
