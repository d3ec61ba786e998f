"""Everything of tenancy that is measured, on one server and one set of tenants.

    python -m benchmarks.tenancy --tenants 1000

Provisioning and migrating (`tenancy_provisioning`), what isolation costs and the memory of a process that visits every
tenant (`tenancy_isolation`), a backup of one of them (`tenancy_backup`): each says what it does and beside what. All of
it is ratios of things done in turns, so a loaded machine is no great harm.

A table for people is printed with the aims, and as the last line one JSON object with every figure by its name.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable

from benchmarks import tenancy_backup, tenancy_isolation, tenancy_provisioning

# Each figure may be so large.
GOALS = {
    "ratio_provision_warm": 0.1,
    "ratio_provision_cold": 1.0,
    "catalog_differences": 0.0,
    "check_1000_seconds": 1.0,
    "ratio_migrate": 1 / 40,
    "left_after_resume": 0.0,
    "migrate_differences": 0.0,
    **tenancy_isolation.GOALS,
    "ratio_backup": tenancy_backup.GOAL,
    "restore_differences": 0.0,
}


def measure(tenants: int, *, seed: int = 1) -> dict[str, float]:
    """Return every figure by its name, on a server of its own. Needs minutes for 1,000 tenants.

    `check_1000_seconds` is of 1,000 whatever the number of tenants: theirs, in proportion.
    """
    with tenancy_provisioning.open_server() as server:
        figures = _part(
            "provisioning, migrating", lambda: tenancy_provisioning.measure(server, tenants, seed=seed)
        )
        figures["check_1000_seconds"] = figures["check_seconds"] * 1000 / figures["tenants"]
        figures |= _part("isolation, memory", lambda: tenancy_isolation.measure(_active()))
        # Last, as it makes one more tenant; and its number of tenants is then what counts.
        figures |= _part("backup", lambda: tenancy_backup.measure(tenancy_backup.measured_tenant(), server))
        _report(figures)
    return figures


def _part(name: str, act: Callable[[], dict[str, float]]) -> dict[str, float]:
    started = time.perf_counter()
    figures = act()
    # Said as they are known: with 1,000 tenants the parts are minutes apart.
    print(f"{name}: {time.perf_counter() - started:.0f} s {json.dumps(figures)}", file=sys.stderr, flush=True)
    return figures


def _active() -> list[tuple[str, str]]:
    """Return the schemas and slugs of the tenants that can be visited."""
    from tenants.models import Tenant  # noqa: PLC0415 -- after the settings

    return list(
        Tenant.objects.filter(state=Tenant.State.ACTIVE)
        .order_by("created_at")
        .values_list("schema_name", "slug")
    )


def _report(figures: dict[str, float]) -> None:
    print(f"{'':<34} {'measured':>12} {'at most':>10}")
    for name, value in figures.items():
        goal = GOALS.get(name)
        said = "" if goal is None else f" {goal:>10.4g}" + ("" if value <= goal else "  missed")
        print(f"{name:<34} {value:>12.4f}{said}")
    print(json.dumps(figures), flush=True)  # removing the files of so many tenants takes a while


def main() -> None:
    """Measure, print a table, and as the last line a JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tenants", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    least = 4 * tenancy_provisioning.ROUNDS
    if options.tenants < least:
        parser.error(f"at least {least} tenants")
    measure(options.tenants, seed=options.seed)


if __name__ == "__main__":
    main()
