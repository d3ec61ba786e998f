"""The project's settings for worker processes started by tests: the tests' kinds, and a short patience."""

import os

from rowhouse.settings import *  # noqa: F403 -- that is the point
from rowhouse.settings import INSTALLED_APPS as _APPS

INSTALLED_APPS = [*_APPS, "jobs.tests.apps.TestKindsConfig"]
ROWHOUSE_JOB_LEASE_SECONDS = int(os.environ.get("TEST_LEASE_SECONDS", "2"))
ROWHOUSE_LEAVE_SECONDS = 1
ROWHOUSE_TICK_SECONDS = 0.5
