"""The product's settings with an app of a developer's own, whose newer migrations are there once asked for."""

import os

from rowhouse.settings import *  # noqa: F403 -- that is the point

if os.environ.get("TENANCY_AFTER"):
    MIGRATION_MODULES = {"knox": None, "stock": "benchmarks.tenancy_migrations"}
