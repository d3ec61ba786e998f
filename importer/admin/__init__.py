"""The pages of imports on the tenant's site."""

from importlib.util import find_spec

if all(find_spec(f"importer.{n}") for n in ("mapping", "validation")):  # TEMPORARY
    from importer.admin.jobs import ImportJobAdmin

    __all__ = ["ImportJobAdmin"]
