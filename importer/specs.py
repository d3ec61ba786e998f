"""What an import's file goes into, as a specification: a dataset, or the shape of a plain model."""

from __future__ import annotations

from datasets.spec import DatasetSpec
from importer.models import ImportJob


def spec_of(job: ImportJob) -> DatasetSpec:
    """Return what the job's file goes into: the dataset as it is now, or the shape of a plain model."""
    if not job.target:
        return job.dataset.spec()
    from importer.targets.shape import proxy_of, shape_of  # slow import, of few imports  # noqa: PLC0415

    return shape_of(proxy_of(job))


def version_of(job: ImportJob) -> int:
    """Return the number of that specification as it is now; a plan made of another one is out of date."""
    if not job.target:
        return job.dataset.definition_version
    from importer.targets.shape import proxy_of, version_of_shape  # slow import  # noqa: PLC0415

    return version_of_shape(proxy_of(job))
