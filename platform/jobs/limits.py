"""The figures of the job core: seconds and counts, some of them settings."""

from __future__ import annotations

from datetime import timedelta
from random import uniform

from django.conf import settings

SLICE_SECONDS = 5.0  # a handler looks at time_left(); progress, cancel and fairness move at this pace
HURRIED_SECONDS = 1.0  # of a slice, while all processes work and another tenant waits
STATEMENT_SECONDS = 15
LOCK_SECONDS = 3
IDLE_SECONDS = 30
MAX_ATTEMPTS = 5  # of one step; a step that succeeds starts the count again
MAX_REST_SECONDS = 300
MAX_ENDING_ATTEMPTS = 10  # then a job ends although its `ended` handler keeps failing
DEFAULT_PRIORITY = 100
DEFAULT_CAP = 2  # jobs of one tenant that run at once
HOUR_MINUTES = 60
SLOT_MINUTES = (15, HOUR_MINUTES)  # how long a tenant's slots may be
MAX_DOORBELLS = 8
DOORBELL_SECONDS = 20.0


def lease_seconds() -> int:
    """Return how long a silent worker keeps its job. At least six slices, or live workers lose theirs."""
    return int(getattr(settings, "ROWHOUSE_JOB_LEASE_SECONDS", 30))


def leave_seconds() -> float:
    """Return how long a worker that was told to end lets one long statement go on before it is stopped."""
    return float(getattr(settings, "ROWHOUSE_LEAVE_SECONDS", 8))


def max_busy_seconds() -> int:
    """Return how long a job may work in all."""
    return int(getattr(settings, "ROWHOUSE_JOB_MAX_SECONDS", 6 * 3600))


def tick_seconds() -> float:
    """Return how often each worker looks for what is due, and for what dead workers held."""
    return float(getattr(settings, "ROWHOUSE_TICK_SECONDS", 5))


def hourly_jitter_seconds() -> int:
    """Return over how many seconds of an hour the tenants' hourly work is spread."""
    return int(getattr(settings, "ROWHOUSE_HOURLY_JITTER_SECONDS", 3300))


def backoff(attempts: int) -> timedelta:
    """Return how long a job rests after its n-th failed attempt: 2, 4, 8 … s, at most 300 s, ± a half."""
    return timedelta(seconds=min(2**attempts, MAX_REST_SECONDS) * uniform(0.5, 1.5))  # noqa: S311 -- no secret
