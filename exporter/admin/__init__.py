"""The pages of exports on the tenant site."""

from exporter.admin import history

__all__ = ["history"]
