"""Whether memory stays flat while one process shows the datasets of many tenants.

python -m benchmarks.visits [--tenants N] [--datasets N] [--pages N]

On a server of its own: one tenant is set up the real way, with datasets of varied columns; the others are copies of
its schema (`visits_copies`), so that the same primary keys mean other datasets everywhere. A few copies are compared
with a second tenant that was set up the real way. Then this process, through the real WSGI application and signed in
as the owner of each tenant, opens pages of every dataset: the list, a filtered list, a search, a record, its history,
the form of a new record, and the keys a reference may take. Each must answer, say what is its tenant's, and nothing
that is another's.

The last line is one JSON object: memory in MB at 10, 50 and 100 % of the datasets, its slope over the second half in
kB per 1,000 datasets, classes built and alive, what global caches hold, and what grew.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from benchmarks.imports_ground import Ground, open_ground
from benchmarks.visits_copies import copy_tenant, differences, template_of
from benchmarks.visits_datasets import PAGES, make_datasets

if TYPE_CHECKING:
    from benchmarks.visits_walk import Walk
    from core.tenancy import TenantRef

SLUG = "visit-{:05}"
MOST_SHOWN = 8


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tenants", type=int, default=1000)
    parser.add_argument("--datasets", type=int, default=10, help="of each tenant")
    parser.add_argument(
        "--pages", type=int, default=len(PAGES), choices=range(1, len(PAGES) + 1),
        help="how many of the seven pages of each dataset, in turns",
    )  # fmt: skip
    asked = parser.parse_args()
    with open_ground() as ground:
        ground.run("-m", "rowhouse", "migrate_tenants")
        os.environ.update(ground.environment)
        os.environ["DJANGO_SETTINGS_MODULE"] = "rowhouse.settings"
        import django  # noqa: PLC0415 -- after the environment

        django.setup()
        from benchmarks.visits_walk import Walk  # noqa: PLC0415 -- after the settings

        walk = Walk(*_set_up(ground, asked.tenants, asked.datasets), asked.pages)
        walk.run()
        _report(walk)


def _set_up(ground: Ground, tenants: int, datasets: int) -> tuple[list[TenantRef], list[dict[str, str]]]:
    """Make the tenants; return them, and for each dataset its pages by name, which are the same everywhere.

    :raises SystemExit: a copy differs from what is set up the real way.
    """
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):  # nothing here is to last
        ground.superuser(f"ALTER SYSTEM SET {setting} = off")
    ground.superuser("SELECT pg_reload_conf()")
    link = ground.link()
    started = time.perf_counter()
    first = _real_tenant(SLUG.format(0))
    addresses = make_datasets(first, datasets)
    template = template_of(ground.server, first)
    made = [first]
    for number in range(1, tenants):
        made.append(copy_tenant(link, template, SLUG.format(number)))
        if len(made) % 100 == 0:
            print(f"{len(made):>7,} tenants in {time.perf_counter() - started:.0f} s", file=sys.stderr)
    real = _real_tenant(SLUG.format(99_999))
    make_datasets(real, datasets)
    for copy in {one.slug: one for one in (made[0], made[len(made) // 2], made[-1])}.values():
        if differing := differences(link, copy, real):
            sys.exit(f"{copy.slug} is not what it would be, set up the real way:\n" + "\n".join(differing))
    link.close()
    ground.settle()
    return made, addresses


def _real_tenant(slug: str) -> TenantRef:
    from tenants.services import provision_tenant, request_tenant  # noqa: PLC0415 -- after the settings

    tenant = request_tenant(
        slug=slug, name=slug.title(), owner_email=f"owner@{slug}.example", provision_now=True
    )
    provision_tenant(tenant=tenant, owner_password="correct horse battery")
    return tenant.ref


def _report(walk: Walk) -> None:
    from datasets.rows import MODELS  # noqa: PLC0415 -- after the settings

    print(
        f"{len(walk.tenants):,} tenants × {len(walk.addresses)} datasets, {walk.pages.total():,} pages in"
        f" {walk.seconds:,.0f} s\n"
    )
    print(f"{'datasets':>10}{'process MB':>12}{'classes':>9}")
    for sample in (walk.at(percent) for percent in walk.caches):
        print(f"{sample.datasets:>10,}{sample.held / 1024:>12.1f}{sample.classes:>9,}")
    print(f"\nslope over the second half: {walk.slope():,.0f} kB per 1,000 datasets")
    print(f"the most that a connection's process on the server held: {walk.connection / 1024:.1f} MB")
    print(f"classes built: {walk.built:,}; of records alive: {walk.living:,} (at most {MODELS.size:,})")
    print(f"\n{'what global caches hold at':<34}" + "".join(f"{percent:>6} %" for percent in walk.caches))
    for name in sorted(walk.caches[100]):
        print(f"{name:<34}" + "".join(f"{walk.caches[percent][name]:>8,}" for percent in walk.caches))
    words = ", ".join(f"{name} +{number:,}" for name, number in _grown(walk.objects).items())
    print(f"\ntypes with the most new objects from 50 to 100 %: {words or 'none'}")
    figures: dict[str, Any] = {
        "tenants": len(walk.tenants),
        "datasets": walk.datasets,
        "pages": walk.pages.total(),
        "seconds": round(walk.seconds),
        **{f"mb_at_{percent}": round(walk.at(percent).held / 1024, 1) for percent in walk.caches},
        "kb_per_1000_datasets": round(walk.slope()),
        "connection_mb": round(walk.connection / 1024, 1),
        "classes_built": walk.built,
        "classes_alive": walk.living,
        "classes_at_most": MODELS.size,
        **{f"objects_at_{percent}": of_type.total() for percent, of_type in walk.objects.items()},
        "caches_grown": _grown(walk.caches),
    }
    print(json.dumps(figures))


def _grown(counted: dict[int, Counter[str]]) -> dict[str, int]:
    return dict((counted[100] - counted[50]).most_common(MOST_SHOWN))


if __name__ == "__main__":
    main()
