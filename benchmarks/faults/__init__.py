"""Faults on purpose: kills, restarts, lost connections; and a checker that says whether anything was lost or doubled.

    python -m benchmarks.faults [--short] [--seed n] [--only storm,nth]

What is patched is patched in the harness's own processes; the product knows nothing of it.
"""
