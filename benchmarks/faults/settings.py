"""The product's settings and the harness's kinds; everything else comes from the environment."""

from rowhouse.settings import *  # noqa: F403 -- that is the point
from rowhouse.settings import INSTALLED_APPS as _APPS

INSTALLED_APPS = [*_APPS, "benchmarks.faults.apps.FaultKinds"]
