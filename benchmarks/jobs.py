"""What background work costs and how fairly turns go round, measured with real workers on a server of its own.

    python -m benchmarks.jobs --rows 1000000

1. Fairness, two worker processes. Four tenants ask for an export of a thousand rows each every 0.4 to 0.5 s. What
   counts is how long a job waits from its request to its first slice, by the database's clock: while nothing
   else goes on, and while a fifth tenant imports (preview and merge): one file, then two files at once.
2. The same requests and imports as plain tasks of the queue library with its defaults.
3. A claim with 20,000 queued jobs of 1,000 tenants. 4. A worker that rests. 5. Jobs that do nothing.

The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import time

from benchmarks.jobs_ground import Ground, open_ground

Figures = dict[str, float]
TENANTS = 4
PARTS = ("fairness", "throughput", "idle", "claim")  # the last one empties the tables


def main() -> None:
    """Measure what was asked for and print it."""
    asked = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that its server and worker end too
    figures: Figures = {"seed": asked.seed, "rows": asked.rows}
    with open_ground() as ground:
        for part in [part for part in PARTS if part in asked.only]:
            started = time.perf_counter()
            found = _measure(part, ground, asked)
            _print(part, found, time.perf_counter() - started)
            figures |= found
    print(json.dumps(figures))


def _measure(part: str, ground: Ground, asked: argparse.Namespace) -> Figures:
    from benchmarks import jobs_claim, jobs_fairness, jobs_idle  # noqa: PLC0415 -- after the settings

    short = asked.short
    if part == "fairness":
        site = jobs_fairness.open_site(ground, asked.rows, random.Random(asked.seed))
        return jobs_fairness.run(site, quiet_seconds=8 if short else 40)
    if part == "throughput":
        tenants = [ground.tenant(f"empty-{number}") for number in range(TENANTS)]
        return jobs_idle.throughput(ground, tenants, jobs=300 if short else 2000)
    if part == "idle":
        return jobs_idle.idle(ground, seconds=10 if short else 30)
    return jobs_claim.run(short=short)


def _print(part: str, figures: Figures, seconds: float) -> None:
    print(f"{part}, in {seconds:.0f} s")
    for name, value in figures.items():
        print(f"  {name:44}{value:12,}")
    print(flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.jobs",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rows", type=int, help="of the file that is imported (1000000, or 100000 if short)")
    parser.add_argument("--short", action="store_true", help="about two minutes")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**4))
    parser.add_argument("--only", type=lambda words: words.split(","), default=PARTS, help=", ".join(PARTS))
    asked = parser.parse_args()
    if unknown := set(asked.only) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    asked.rows = asked.rows or (100_000 if asked.short else 1_000_000)
    return asked


if __name__ == "__main__":
    main()
