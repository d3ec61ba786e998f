"""Attack cases: a test says by its marker which ones it stands for, and docs/cases.csv says what each expects."""

from __future__ import annotations

import ast
import csv
from functools import cache

import pytest

from tests.source import ROOT, calls, modules_of_tests, string_arguments, tree, where

AT_LEAST = 60


def marked(root: ast.AST) -> list[str]:
    """Return the ids of every `pytest.mark.case("F01", …)` below `root`."""
    return [
        word for name, call in calls(root) if name == "pytest.mark.case" for word in string_arguments(call)
    ]


@cache
def standing() -> dict[str, list[str]]:
    """Return each id a test stands for, with the files it is in."""
    found: dict[str, list[str]] = {}
    for path in modules_of_tests():
        if path.name.startswith("test_") and path != ROOT / "tests" / "test_cases.py":
            for word in marked(tree(path)):
                found.setdefault(word, []).append(where(path))
    return found


def listed() -> dict[str, str]:
    """Return each id of docs/cases.csv with its group."""
    with (ROOT / "docs" / "cases.csv").open(encoding="utf-8", newline="") as file:
        return {row["id"]: row["group"] for row in csv.DictReader(file)}


def test_every_marked_case_is_in_the_list():
    unknown = {word: files for word, files in standing().items() if word not in listed()}
    assert unknown == {}


def test_enough_cases_stand():
    assert len(standing()) >= AT_LEAST


def test_a_marker_is_found_on_functions_and_in_parameters():
    code = (
        '@pytest.mark.case("F01", "F02")\ndef test_x(): ...\npytest.param(1, marks=pytest.mark.case("F05"))'
    )
    assert marked(ast.parse(code)) == ["F01", "F02", "F05"]


@pytest.mark.parametrize("group", sorted(set(listed().values())))
def test_cases_of_the_group_stand(group):
    assert [word for word in standing() if listed().get(word) == group] != []
