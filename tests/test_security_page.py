"""docs/security.md names every requirement of ASVS 5.0 at levels 1 and 2 once, and a test that is there and runs."""

from __future__ import annotations

import ast
import csv
import re
from functools import cache
from pathlib import Path

import pytest

from tests.source import ROOT, calls, modules, tree, where

PAGE = ROOT / "docs" / "security.md"
THREATS = ROOT / "docs" / "threat-model.md"
REQUIREMENTS = ROOT / "tests" / "data" / "asvs-5.0.0.csv"
ID = re.compile(r"v5\.0\.0-\d+\.\d+\.\d+")
TEST = re.compile(r"`((?:[\w.]+/)+test_\w+\.py)(?:::(\w+))?`")
LEVELS = ("1", "2")
HEADS = ("## What is met", "## Does not apply", "## Not met")
SKIPPING = ("skip", "skipif", "xfail")


@cache
def requirements() -> dict[str, str]:
    """Return the level of each requirement."""
    with REQUIREMENTS.open(encoding="utf-8", newline="") as file:
        return {row["id"]: row["level"] for row in csv.DictReader(file)}


def part(text: str, head: str) -> str:
    """Return what stands below a head, up to the next one of its rank."""
    _, _, below = text.partition(f"\n{head}\n")
    return re.split(r"^## ", below, maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> list[list[str]]:
    """Return the cells of each row of the tables whose first or second cell names requirements."""
    lines = (line for line in text.splitlines() if line.startswith("|"))
    split = ([cell.strip() for cell in line.strip("|").split(" | ")] for line in lines)
    return [cells for cells in split if any(ID.search(cell) for cell in cells[:2])]


def listed(text: str) -> dict[str, list[str]]:
    """Return the requirements that each of the page's parts names."""
    return {
        head: [word for cells in rows(part(text, head)) for cell in cells[:2] for word in ID.findall(cell)]
        for head in HEADS
    }


def faults_of_lists(text: str) -> list[str]:
    """Return what is in no list, in two, in a list although it is none of ours, or has another level."""
    named = [word for words in listed(text).values() for word in words]
    wanted = [word for word, level in requirements().items() if level in LEVELS]
    found = [f"{word} is in no list" for word in wanted if word not in named]
    found += [f"{word} is in two lists" for word in sorted(set(named)) if named.count(word) > 1]
    found += [f"{word} is none of levels 1 and 2" for word in named if word not in wanted]
    for head in (HEADS[0], HEADS[2]):
        found += [
            f"{cells[0]} is of level {requirements().get(cells[0])}"
            for cells in rows(part(text, head))
            if cells[1] != requirements().get(cells[0])
        ]
    return found


@cache
def functions(path: Path) -> dict[str, ast.FunctionDef]:
    """Return the tests of a file by name, those of classes too."""
    return {
        node.name: node
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def is_skipped(*nodes: ast.AST) -> bool:
    """Return whether one of these decorators or values skips a test, or expects it to fail."""
    words = {word for node in nodes for word in re.findall(r"\w+", ast.unparse(node))}
    return not words.isdisjoint(SKIPPING)


def fault_of_test(name: str, root: Path = ROOT) -> str | None:
    """Return what is wrong with `path::test`, or nothing."""
    path, _, function = name.partition("::")
    if not (root / path).is_file():
        return f"there is no file {path}"
    if not function:
        return f"{path} is a file, not a test"
    test = functions(root / path).get(function)
    if test is None:
        return f"{path} has no test {function}"
    marks = [
        node.value
        for node in tree(root / path).body
        if isinstance(node, ast.Assign)
        and any(isinstance(target, ast.Name) and target.id == "pytestmark" for target in node.targets)
    ]
    stops = [call for call_name, call in calls(tree(root / path)) if call_name == "pytest.importorskip"]
    holders = [
        one for node in ast.walk(tree(root / path)) if isinstance(node, ast.ClassDef) and test in node.body
        for one in node.decorator_list
    ]  # fmt: skip
    if is_skipped(*test.decorator_list, *marks, *holders) or stops:
        return f"{path}::{function} is skipped"
    return None


def faults_of_tests(text: str, root: Path = ROOT) -> list[str]:
    """Return the rows of what is met that name no test, and the tests that do not hold them."""
    found = []
    for cells in rows(part(text, HEADS[0])):
        names = ["::".join(filter(None, each)) for each in TEST.findall(cells[-1])]
        found += [f"{cells[0]} has no test"] if not names else []
        found += [f"{cells[0]}: {fault}" for name in names if (fault := fault_of_test(name, root))]
    return found


def read(path: Path = PAGE) -> str:
    return path.read_text(encoding="utf-8")


# ---- the page


def test_each_requirement_of_levels_1_and_2_is_in_one_list() -> None:
    assert faults_of_lists(read()) == []


def test_each_requirement_that_is_met_has_a_test_that_is_there_and_runs() -> None:
    assert faults_of_tests(read()) == []


def test_the_page_counts_its_rows() -> None:
    count = {head: len(words) for head, words in listed(read()).items()}
    said = re.search(r"Of (\d+) requirements (\d+) are met, (\d+) do not\s+apply, and (\d+) are", read())
    assert said is not None
    assert [int(word) for word in said.groups()] == [sum(count.values()), *count.values()]


def test_the_list_of_requirements_is_whole() -> None:
    levels = [*requirements().values()]
    assert [levels.count(level) for level in ("1", "2", "3")] == [70, 183, 92]


@pytest.mark.parametrize("head", HEADS)
def test_a_part_that_says_nothing_in_a_cell_is_none(head: str) -> None:
    assert [cells for cells in rows(part(read(), head)) if not all(cells)] == []


def test_the_threat_model_names_tests_that_are_there_and_run() -> None:
    names = ["::".join(filter(None, each)) for each in TEST.findall(read(THREATS))]
    assert len(names) > 40
    assert [fault for name in names if (fault := fault_of_test(name))] == []


# ---- that it would see


def changed(old: str, new: str) -> str:
    text = read()
    assert old in text
    return text.replace(old, new, 1)


def test_a_requirement_that_is_left_out_is_seen() -> None:
    text = "\n".join(line for line in read().splitlines() if "v5.0.0-1.2.4 " not in line)
    assert faults_of_lists(text) == ["v5.0.0-1.2.4 is in no list"]


def test_a_requirement_in_two_lists_or_of_level_3_is_seen() -> None:
    row = "\n## Not met\n\n| v5.0.0-1.2.4 | 1 | x | y |\n| v5.0.0-1.2.10 | 3 | x | y |"
    assert faults_of_lists(changed("\n## Not met\n", row)) == [
        "v5.0.0-1.2.4 is in two lists",
        "v5.0.0-1.2.10 is none of levels 1 and 2",
    ]


def test_another_level_is_seen() -> None:
    assert faults_of_lists(changed("| v5.0.0-1.2.4 | 1 |", "| v5.0.0-1.2.4 | 2 |")) == [
        "v5.0.0-1.2.4 is of level 1"
    ]


def test_a_test_that_is_gone_is_seen() -> None:
    name = "tests/test_injection.py::test_nothing_of_others_is_read"
    assert faults_of_tests(changed(name, f"{name}_any_more"))[0].endswith(
        "has no test test_nothing_of_others_is_read_any_more"
    )
    assert faults_of_tests(changed(f"`{name}`", "`tests/test_nowhere.py::test_x`"))[0].endswith(
        "there is no file tests/test_nowhere.py"
    )


@pytest.mark.parametrize(
    "text",
    [
        "@pytest.mark.skip\ndef test_x(): ...",
        "@pytest.mark.skipif(True, reason='')\ndef test_x(): ...",
        "@pytest.mark.xfail\ndef test_x(): ...",
        "pytestmark = pytest.mark.skip('later')\ndef test_x(): ...",
        "pytestmark = [pytest.mark.slow, pytest.mark.skipif(True)]\ndef test_x(): ...",
        "moto = pytest.importorskip('moto')\ndef test_x(): ...",
        "@pytest.mark.skip\nclass TestIt:\n    def test_x(self): ...",
    ],
)
def test_a_test_that_is_skipped_is_seen(tmp_path: Path, text: str) -> None:
    (tmp_path / "test_it.py").write_text(text)
    assert fault_of_test("test_it.py::test_x", tmp_path) == "test_it.py::test_x is skipped"


def test_a_test_that_runs_is_let_through(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("@pytest.mark.slow\ndef test_x(): ...")
    assert fault_of_test("test_it.py::test_x", tmp_path) is None


# ---- what must be written down

WRITTEN = {
    "docs/reference/reading-files.md": ("encoding", "delimiter"),
    "docs/reference/workbooks.md": ("xlsx",),
    "docs/reference/rules.md": ("check",),
    "docs/rights.md": ("read-only", "hidden"),
    "docs/operations/secrets.md": ("if it is lost", "if others have it"),
    "docs/security.md": (
        "## Sessions", "two weeks", "## Keys and algorithms", "## What it talks to", "## What is logged",
        "## How sensitive data is",
        "## What is costly, and what bounds it",
    ),
    "docs/accounts.md": ("## how often it may be tried", "## second factor", "single-sign-on.md", "429"),
    "docs/single-sign-on.md": ("signing out here does not sign out there",),
    "SECURITY.md": ("## Report", "## Supported versions", "## How fast", "days"),
}  # fmt: skip


@pytest.mark.parametrize("page", WRITTEN)
def test_what_must_be_written_down_is(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8").lower()
    assert [word for word in WRITTEN[page] if word.lower() not in text] == []


# What the source may use, and how the page calls it.
ALGORITHMS = {
    "sha256": "SHA-256",
    "blake2b": "BLAKE2b",
    "md5": "MD5",
    "AESGCM": "AES-256-GCM",
    "SHA256": "SHA-256",
    "HKDF": "HKDF-SHA256",
    "hmac": "HMAC-SHA256",
    "signing": "HMAC-SHA256",
}


def algorithms(root: ast.Module) -> list[tuple[str, ast.AST]]:
    """Return each cryptographic thing that a file uses, with its place."""
    found: list[tuple[str, ast.AST]] = []
    for name, call in calls(root):
        if name.startswith("hashlib.") and "(" not in name:
            found.append((name.removeprefix("hashlib."), call))
        elif name in {"hmac.new", "hmac.digest"}:
            found.append(("hmac", call))
            found += [
                (word, call)
                for each in call.args[2:]
                for word in re.findall(r"\w+", ast.unparse(each))
                if word != "hashlib"
            ]
        elif name.startswith("signing."):
            found.append(("signing", call))
    for node in ast.walk(root):
        if isinstance(node, ast.ImportFrom) and "hazmat" in (node.module or ""):
            found += [(alias.name, node) for alias in node.names]
    return found


def test_every_algorithm_in_the_source_is_in_the_inventory() -> None:
    used = [(word, where(path, node)) for path in modules() for word, node in algorithms(tree(path))]
    assert [place for word, place in used if word not in ALGORITHMS] == []
    inventory = part(read(), "## Keys and algorithms")
    assert {ALGORITHMS[word] for word, _ in used if ALGORITHMS[word] not in inventory} == set()


def test_an_algorithm_that_is_new_is_seen() -> None:
    planted = "from cryptography.hazmat.primitives.ciphers.algorithms import TripleDES\nhashlib.sha1(x)"
    assert [word for word, _ in algorithms(ast.parse(planted))] == ["sha1", "TripleDES"]
