"""The pages of exports on the tenant site."""

from exporter.admin import destinations, history, notice_pages, settings_pages

__all__ = ["destinations", "history", "notice_pages", "settings_pages"]
