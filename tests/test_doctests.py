"""The examples in our docstrings are true."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

from tests.source import ROOT, modules

WITH_EXAMPLES = [path for path in modules() if ">>> " in path.read_text(encoding="utf-8")]


def dotted(path: Path) -> str:
    """Return the name a file is imported by: `core.tenancy`, never `platform.core.tenancy`."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removeprefix("platform.")


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=dotted)
def test_the_examples_of_a_module_hold(path):
    result = doctest.testmod(importlib.import_module(dotted(path)))
    assert (result.failed, result.attempted > 0) == (0, True)
