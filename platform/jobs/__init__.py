"""Durable background work: jobs that survive any death of a process, advance in slices, and share fairly.

The `Job` row is the truth; the queue library behind `engine.py` only rings a bell. In the order of life:
`services.submit` → `claim` → `runner.run_slice` (again and again) → done, failed or cancelled.
"""
