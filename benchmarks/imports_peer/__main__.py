"""Run one peer on one file in this process: `python -m benchmarks.imports_peer NAME FILE`; prints the rows taken."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.imports_peer.settings"
    import django  # noqa: PLC0415 -- after the environment

    django.setup()
    from benchmarks.imports_peer import work  # noqa: PLC0415 -- after the settings

    name, *path = sys.argv[1:]
    if name == "reset":
        work.reset()
    else:
        print(getattr(work, name)(Path(path[0])))


if __name__ == "__main__":
    main()
