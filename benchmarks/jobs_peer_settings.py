"""The queue library as it comes: its defaults, its own broker in our database, and as many workers as ours."""

from benchmarks.jobs_settings import *  # noqa: F403 -- that is the point

Q_CLUSTER = {"name": "rowhouse", "orm": "default", "workers": 2}
