"""One export in this process, timed from within: what a worker does, without its start.

python -m benchmarks.exports_driver TENANT DATASET FORMAT [MODE]
"""

from __future__ import annotations

import json
import os
import sys
import time
import uuid


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rowhouse.settings")
    import django  # noqa: PLC0415 -- after the environment

    django.setup()
    from accounts.command import active_tenant  # noqa: PLC0415 -- after the settings
    from core.tenancy import in_tenant  # noqa: PLC0415 -- after the settings

    tenant, dataset, word, *mode = sys.argv[1:]
    with in_tenant(active_tenant(tenant)):
        print(json.dumps(_export(dataset, word, *mode)))


def _export(slug: str, word: str, mode: str = "EXACT") -> dict[str, float]:
    from core import storage  # noqa: PLC0415 -- after the settings
    from datasets.services import dataset_by_slug  # noqa: PLC0415 -- after the settings
    from exporter.form import FileForm, form_columns  # noqa: PLC0415 -- after the settings
    from exporter.snapshot import snapshot  # noqa: PLC0415 -- after the settings
    from exporter.writing import write_dataset  # noqa: PLC0415 -- after the settings

    dataset = dataset_by_slug(slug)
    form = FileForm(form_columns(dataset.spec(), ()), word, mode)
    # A worker has a connection to its storage already; reading the library takes as long as 300,000 rows.
    storage.exists(storage.key_of("exports/nothing"))
    started, own = time.perf_counter(), time.process_time()
    with snapshot([dataset.pk]) as source:
        written = write_dataset(
            source,
            dataset.spec(),
            f"exports/{uuid.uuid4().hex}.{word}",
            form=form,
            is_cancelled=lambda: False,
        )
    ended = time.perf_counter(), time.process_time()
    storage.delete(written.stored.key)
    return {
        "rows": written.rows,
        "bytes": written.stored.bytes,
        "seconds": ended[0] - started,
        "own_cpu": ended[1] - own,
    }


if __name__ == "__main__":
    main()
