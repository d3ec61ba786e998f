"""Where Helm's engine has no wheel, the tests of the chart are left out; `test_engine.py` says so."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("helm_python") else ["test_chart_*.py"]
