"""Run the scenarios one after the other, print their figures, and the sums as JSON in the last line."""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import time
import traceback
from importlib import import_module

from benchmarks.faults.ground import open_ground

SCENARIOS = ("storm", "broken", "nth", "dispatching", "hours", "families", "leaving", "bells", "isolation")
SUMS = ("kills", "cluster_kills", "pg_restarts", "lost", "doubled", "stuck")
Figures = dict[str, int | float]


def main() -> int:
    """Return how many scenarios did not hold."""
    asked = _arguments()
    print(f"seed {asked.seed}", file=sys.stderr)
    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit(143))  # the ground is cleared then too
    told: dict[str, Figures] = {}
    failed = []
    for name in asked.only:
        began = time.monotonic()
        play = _play if len(asked.only) == 1 else _play_apart
        told[name], problem = play(name, short=asked.short, seed=asked.seed)
        _print(name, told[name], problem, time.monotonic() - began)
        failed += [name] * bool(problem)
    sums = {key: sum(figures.get(key, 0) for figures in told.values()) for key in SUMS}
    print(json.dumps({"seed": asked.seed, **sums, "failed": failed, **told}))
    return len(failed)


def _play(name: str, *, short: bool, seed: int) -> tuple[Figures, str]:
    """Run one scenario here, on a ground that is gone afterwards."""
    with open_ground() as ground:
        try:
            figures: Figures = import_module(f"benchmarks.faults.{name}").run(ground, short=short, seed=seed)
        except Exception as problem:  # noqa: BLE001 -- whatever it is, it is told with the figures of the others
            traceback.print_exc()
            return {}, str(problem) or repr(problem)
    return figures, ""


def _play_apart(name: str, *, short: bool, seed: int) -> tuple[Figures, str]:
    """Run one of several scenarios in a process and on a ground of its own.

    What one patches, sets, loads or leaves in the queue is nothing to the next. Above all polars, which hangs
    in a process forked from one that has worked with it: the scenarios' workers are such forks.
    """
    command = [sys.executable, "-m", "benchmarks.faults", "--seed", str(seed), "--only", name]
    with subprocess.Popen(
        [*command, *(["--short"] if short else [])], stdout=subprocess.PIPE, text=True
    ) as run:
        try:
            lines = run.communicate()[0].splitlines()
        except BaseException:
            run.terminate()  # it clears its ground first
            raise
    try:
        said = json.loads(lines[-1])
        figures: Figures = said[name]
    except (IndexError, KeyError, ValueError):
        return {}, f"its process ended with {run.returncode} and told no figures"
    # The table's first lines are its state and figures; what follows is the problem.
    return figures, "\n".join(lines[1 + len(figures) : -1]).strip() if said["failed"] else ""


def _print(name: str, figures: Figures, problem: str, seconds: float) -> None:
    print(f"{name:<14}{'FAILED' if problem else 'held':<8}{seconds:>7.1f} s")
    for key, value in figures.items():
        print(f"  {key:<28}{value:>10}")
    if problem:
        print(f"  {problem}")
    sys.stdout.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("--short", action="store_true", help="a few minutes instead of half an hour")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**4))
    parser.add_argument("--only", type=lambda words: words.split(","), default=list(SCENARIOS), help="names")
    asked = parser.parse_args()
    if unknown := set(asked.only) - set(SCENARIOS):
        parser.error(f"no scenario {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}")
    return asked


if __name__ == "__main__":
    sys.exit(main())
