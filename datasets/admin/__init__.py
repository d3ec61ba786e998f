"""The pages of datasets and their records on the tenant's site."""

from datasets.admin.changes import ChangeAdmin
from datasets.admin.changesets import ChangeSetAdmin
from datasets.admin.datasets import DatasetAdmin
from datasets.admin.erasures import ErasureAdmin

__all__ = ["ChangeAdmin", "ChangeSetAdmin", "DatasetAdmin", "ErasureAdmin"]
