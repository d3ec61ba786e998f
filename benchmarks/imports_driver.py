"""One import in this process, its preview and its merge timed apart: what the command does, without its start.

python -m benchmarks.imports_driver FILE TENANT DATASET
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rowhouse.settings")
    import django  # noqa: PLC0415 -- after the environment

    django.setup()
    from accounts.command import active_tenant  # noqa: PLC0415 -- after the settings
    from core.tenancy import in_tenant  # noqa: PLC0415 -- after the settings

    path, tenant, dataset = sys.argv[1:]
    with in_tenant(active_tenant(tenant)):
        print(json.dumps(_import(Path(path), dataset)))


def _import(path: Path, slug: str) -> dict[str, float]:
    from datasets.services import dataset_by_slug  # noqa: PLC0415 -- after the settings
    from importer import services  # noqa: PLC0415 -- after the settings
    from jobs.services import run_until_done  # noqa: PLC0415 -- after the settings

    started = time.perf_counter()
    with path.open("rb") as file:
        job = services.create_import(dataset=dataset_by_slug(slug), file=file, name=path.name, by=None)
    run_until_done(int(job.preview_job_id))
    job.refresh_from_db()
    previewed = time.perf_counter()
    services.confirm_import(job=job, by=None)
    job.refresh_from_db()
    run_until_done(int(job.merge_job_id))
    merged = time.perf_counter()
    job.refresh_from_db()
    return {
        "created": job.created_rows,
        "updated": job.updated_rows,
        "unchanged": job.unchanged_rows,
        "rejected": job.rejected_rows,
        "preview_seconds": previewed - started,
        "merge_seconds": merged - previewed,
    }


if __name__ == "__main__":
    main()
