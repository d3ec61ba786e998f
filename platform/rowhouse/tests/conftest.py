"""Two tenants whose data is committed: an export reads through a connection of its own."""

from __future__ import annotations

from exporter.tests.conftest import committed_pair, pair, t1

__all__ = ["committed_pair", "pair", "t1"]
