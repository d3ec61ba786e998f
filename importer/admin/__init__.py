"""The pages of imports on the tenant's site."""

from importer.admin.jobs import ImportJobAdmin
from importer.admin.targets import ModelImportAdmin

__all__ = ["ImportJobAdmin", "ModelImportAdmin"]
