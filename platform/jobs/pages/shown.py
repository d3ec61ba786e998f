"""A job in words and figures, for every page that shows one. Values in, values out: `now` comes from the edge."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from jobs.kinds import registry
from jobs.looking import rate_of, seconds_left
from jobs.models import Job, State

TONES = {State.DONE: "success", State.FAILED: "danger", State.CANCELLED: "warning"}
SOON = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Shown:
    """What the cells of a job show. `percent` is None while nobody knows how much there is to do."""

    pk: int
    title: str
    state: str
    words: str
    tone: str
    is_active: bool
    is_moving: bool
    percent: int | None
    done: str
    pace: str
    reason: str
    reason_code: str
    attempts: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    holder: str


def title_of(kind: str) -> str:
    """Return what people call a kind; its name when the app that declared it is gone."""
    declared = registry().get(kind)
    return declared.title or kind if declared else kind


def target_words(job: Job) -> str:
    """Return a target in words, as far as they are the platform's own: it never names what a tenant typed.

    >>> target_words(Job(kind="exporter.run", target="2026-11-20T23:00:00+00:00"))
    'for 20 November 2026, 23:00 UTC'
    >>> target_words(Job(kind="importer.merge", target="dataset:3", payload={"import": 12}))
    'import 12'
    >>> target_words(Job(kind="exporter.run", target="by 3"))
    'by 3'
    """
    if "import" in job.payload:
        return f"import {job.payload['import']}"
    if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", job.target):
        hour = datetime.fromisoformat(job.target)
        return f"for {hour.day} {hour:%B %Y, %H:%M} UTC"
    return re.sub(r"^([a-z]+):(\d+)$", r"\1 \2", job.target)


def shown(
    job: Job, now: datetime, *, is_paused: bool = False, unit: str = "", may_read_reason: bool = True
) -> Shown:
    """Return a job as its row shows it.

    :param unit: what `processed` counts, in the plural ("rows").
    :param may_read_reason: without it, why the job failed is left to those who may know.
    """
    state = _state(job, now, is_paused=is_paused)
    words, tone = state
    is_moving = words in ("Running", "Being cancelled")
    return Shown(
        pk=job.pk,
        title=title_of(job.kind),
        state=job.state,
        words=words,
        tone=tone,
        is_active=not job.has_ended,
        is_moving=is_moving,
        percent=_percent(job),
        done=_done(job, unit),
        pace=_pace(job, now, unit) if is_moving else "",
        reason=_reason(job, may_read_reason),
        reason_code=job.error_code if may_read_reason and job.state == State.FAILED else "",
        attempts=job.attempts,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        holder=job.worker or "a worker" if job.lease else "",
    )


def _state(job: Job, now: datetime, *, is_paused: bool) -> tuple[str, str]:
    if job.has_ended:
        return State(job.state).label, TONES[State(job.state)]
    if job.is_suspended:
        return "Being ended", "warning"
    if job.cancel_requested:
        return "Being cancelled", "warning"
    if job.state == State.RUNNING:
        return "Running", "info"
    if is_paused:
        return "Paused", "warning"
    if job.not_before > now:
        verb = "Resting" if job.attempts or job.error else "Waits"
        return f"{verb} until {_clock(job.not_before, now)}", "warning" if job.error else "primary"
    # Between two slices a job is queued for a moment, so that others get their turn.
    return ("Running", "info") if job.step else ("Queued", "primary")


def _clock(at: datetime, now: datetime) -> str:
    at = at.astimezone(UTC)
    return f"{at:%H:%M:%S} UTC" if abs(at - now) < SOON else f"{at:%Y-%m-%d %H:%M} UTC"


def _percent(job: Job) -> int | None:
    if job.state == State.DONE:
        return 100
    if not job.total:
        return None
    most = 99 if not job.has_ended else 100
    return max(0, min(most, job.processed * 100 // job.total))


def _done(job: Job, unit: str) -> str:
    if job.total is None and not job.processed:
        return ""
    figures = f"{job.processed:,}" if job.total is None else f"{job.processed:,} of {job.total:,}"
    counted = unit.removesuffix("s") if job.total is None and job.processed == 1 else unit
    return f"{figures} {counted}".strip()


def _pace(job: Job, now: datetime, unit: str) -> str:
    rate, left = rate_of(job, now), seconds_left(job, now)
    said = []
    if rate is not None and rate >= 1:
        said.append(f"{rate:,.0f} {unit} per second".replace("  ", " "))
    if left is not None:
        said.append(f"about {duration(left)} left")
    return ", ".join(said)


def duration(seconds: float) -> str:
    """Return a length of time with the one or two units that matter.

    >>> [duration(seconds) for seconds in (0.4, 59, 61, 3600, 90_000)]
    ['1 s', '59 s', '1 min 1 s', '1 h', '1 d 1 h']
    """
    whole = max(1, round(seconds))
    parts: list[str] = []
    for size, name in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        count, whole = divmod(whole, size)
        if count or parts:
            parts.append(f"{count} {name}" if count else "")
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if part)


def _reason(job: Job, may_read: bool) -> str:
    if not job.error:
        return ""
    if not may_read:
        return "An owner can see why." if job.has_ended else ""
    return job.error if job.has_ended else f"The last attempt went wrong. {job.error} It is tried again."


def as_json(job: Job, now: datetime, *, is_paused: bool, may_read_reason: bool) -> dict[str, Any]:
    """Return a job for scripts: stable names, numbers as numbers, times in ISO 8601."""
    row = shown(job, now, is_paused=is_paused, may_read_reason=may_read_reason)
    rate, left = rate_of(job, now), seconds_left(job, now)
    between_slices = job.state == State.QUEUED and job.step > 0
    return {
        "job": job.pk,
        "kind": job.kind,
        "title": row.title,
        "state": State.RUNNING.value if between_slices else job.state,
        "words": row.words,
        "has_ended": job.has_ended,
        "is_paused": is_paused,
        "cancel_requested": job.cancel_requested,
        "processed": job.processed,
        "total": job.total,
        "percent": row.percent,
        "rows_per_second": round(rate, 1) if rate is not None else None,
        "seconds_left": round(left, 1) if left is not None else None,
        "attempts": job.attempts,
        "error_code": job.error_code if may_read_reason else "",
        "error": job.error if may_read_reason else "",
        "created_at": job.created_at.isoformat(),
        "started_at": job.started_at.isoformat() if job.started_at else None,
        "finished_at": job.finished_at.isoformat() if job.finished_at else None,
    }
