"""The pages of datasets and their records on the tenant's site."""

from datasets.admin.changes import ChangeSetAdmin
from datasets.admin.datasets import DatasetAdmin

__all__ = ["ChangeSetAdmin", "DatasetAdmin"]
