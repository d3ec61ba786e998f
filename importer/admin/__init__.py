"""The pages of imports on the tenant's site."""

from importer.admin.jobs import ImportJobAdmin

__all__ = ["ImportJobAdmin"]
