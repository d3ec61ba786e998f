"""The pages of datasets and their records on the tenant's site."""

from datasets.admin.changesets import ChangeSetAdmin
from datasets.admin.datasets import DatasetAdmin

__all__ = ["ChangeSetAdmin", "DatasetAdmin"]
