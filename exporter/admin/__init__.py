"""The pages of exports on the tenant site."""

from exporter.admin import destinations, history

__all__ = ["destinations", "history"]
