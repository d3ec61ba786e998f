"""The product's settings and the benchmark's own kind; everything else is as it comes."""

from rowhouse.settings import *  # noqa: F403 -- that is the point
from rowhouse.settings import INSTALLED_APPS as _APPS

INSTALLED_APPS = [*_APPS, "benchmarks.jobs_apps.BenchKinds"]
