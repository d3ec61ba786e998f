"""docs/operations/sizing.md says what was measured, and nothing else."""

from __future__ import annotations

import pytest

from tests.sizing_page import ELSEWHERE, PAGE, SIZES, TABLES, figures_of, filled, need
from tests.source import ROOT


def test_the_tables_are_computed_from_the_last_measurement():
    page = PAGE.read_text(encoding="utf-8")
    assert filled(page, figures_of()) == page, "stale: python -m tests.sizing_page"


def test_the_last_measurement_met_no_error():
    figures = figures_of()
    assert figures["errors"] == 0 and figures["requests"] > 0


@pytest.mark.parametrize("name", ELSEWHERE)
def test_what_another_page_measured_stands_there(name: str):
    value, page, words = ELSEWHERE[name]
    assert str(value) in words
    assert words in " ".join((ROOT / page).read_text(encoding="utf-8").split())


def test_a_larger_platform_takes_no_less_of_anything():
    needs = [need(size, figures_of()) for size in SIZES]
    for name in ("web_pods", "worker_pods", "connections", "server_cpu", "server_mb", "disk_gb"):
        values = [getattr(one, name) for one in needs]
        assert values == sorted(values), name


def test_a_page_without_a_table_or_with_figures_that_lack_one_is_refused():
    empty = "".join(f"<!-- sizing: {name} -->\n<!-- /sizing -->\n" for name in TABLES)
    with pytest.raises(KeyError):
        filled(empty, {})
    with pytest.raises(AssertionError, match="the page has"):
        filled("", figures_of())
