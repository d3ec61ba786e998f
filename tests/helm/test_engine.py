"""Whether the tests of the chart run here at all."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

import pytest


def test_helms_engine_is_at_hand():
    if not find_spec("helm_python"):
        pytest.skip("There is no wheel of Helm's engine for this machine: the chart is not tested.")
    assert import_module("helm_python").helm_sdk_version().startswith("v4.")
