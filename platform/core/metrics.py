"""What processes count of themselves, for Prometheus. docs/operations/observability.md lists all of it.

A label is a name of our own code (a view, a kind of job, a state), never what a person or a tenant has typed.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_PAGE_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_WORK_SECONDS = (0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)

REQUESTS = Counter(
    "rowhouse_requests",
    "Requests answered, by view, method and class of status.",
    ["view", "method", "status"],
)
# Without the view, so that each class is told as 0 from the start: Prometheus sees no rate in a series that begins with
# its first errors, and these would ring no alarm.
RESPONSES = Counter("rowhouse_responses", "Requests answered, by class of status.", ["status"])
for _status in ("1xx", "2xx", "3xx", "4xx", "5xx"):
    RESPONSES.labels(_status)
REQUEST_SECONDS = Histogram(
    "rowhouse_request_seconds",
    "Seconds until a view had its answer, by view.",
    ["view"],
    buckets=_PAGE_SECONDS,
)
REQUESTS_IN_PROGRESS = Gauge(
    "rowhouse_requests_in_progress", "Requests that are being answered.", multiprocess_mode="livesum"
)
SLICES = Counter("rowhouse_slices", "Slices of jobs worked at, by kind and outcome.", ["kind", "outcome"])
SLICE_SECONDS = Histogram(
    "rowhouse_slice_seconds", "Seconds that a slice of a job took, by kind.", ["kind"], buckets=_WORK_SECONDS
)
JOBS_ENDED = Counter("rowhouse_jobs_ended", "Jobs that workers ended, by kind and state.", ["kind", "state"])
JOB_ROWS = Counter("rowhouse_job_rows", "Rows that slices have gone through, by kind of job.", ["kind"])
IMPORT_ROWS = Counter(
    "rowhouse_import_rows", "Rows of finished imports, by what became of them.", ["outcome"]
)
for _outcome in ("created", "updated", "deleted", "unchanged", "rejected"):
    IMPORT_ROWS.labels(_outcome)  # told as 0 until there are some
