"""CONTRIBUTING's rules, kept by machine; each rule is shown to catch what it is there for."""

from __future__ import annotations

import ast
import re
import tomllib

import pytest

from tests.rules import RULES, Rule
from tests.source import PACKAGES, ROOT, modules, tree, where

EVERY_RULE = pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
EXAMPLES = [(rule, code) for rule in RULES.values() for code in rule.planted]
COUNTEREXAMPLES = [(rule, code) for rule in RULES.values() for code in rule.allowed]


@EVERY_RULE
def test_our_code_keeps_the_rule(rule: Rule):
    broken = [
        where(path, node)
        for path in modules()
        if not where(path).startswith(rule.only_in or ("-",))
        for node in rule.find(tree(path))
    ]
    assert broken == [], rule.reason


@pytest.mark.parametrize(("rule", "code"), EXAMPLES, ids=[code for _, code in EXAMPLES])
def test_the_rule_sees_a_planted_breach(rule: Rule, code: str):
    assert list(rule.find(ast.parse(code)))


@pytest.mark.parametrize(("rule", "code"), COUNTEREXAMPLES, ids=[code for _, code in COUNTEREXAMPLES])
def test_the_rule_leaves_the_right_way_alone(rule: Rule, code: str):
    assert list(rule.find(ast.parse(code))) == []


UNESCAPED = re.compile(r"\|\s*(?:safe|safeseq)\b|{%\s*autoescape\s+off")


def _templates() -> list[tuple[str, str]]:
    found = (path for package in PACKAGES for path in sorted(package.rglob("*.html")))
    return [(where(path), path.read_text(encoding="utf-8")) for path in found]


def test_no_template_turns_escaping_off():
    assert [name for name, text in _templates() if UNESCAPED.search(text)] == []


@pytest.mark.parametrize("text", ["{{ label|safe }}", "{{ labels | safeseq }}", "{% autoescape off %}"])
def test_turning_escaping_off_is_seen(text: str):
    assert UNESCAPED.search(text)


# What makes elements or script of a text, in our own scripts.
MAKES_ELEMENTS = re.compile(
    r"\.(?:innerHTML|outerHTML|srcdoc)\s*\+?=(?!=)|insertAdjacentHTML\(|document\.write|\beval\(|new Function"
    r"|\$\([^)]*\)\.html\("
)
# Each with its reason: who adds one has thought about where the text comes from.
KNOWN_ELEMENTS = {
    "datasets/static/datasets/grid.js": "unfold's mark for yes or no, which its template makes of a boolean",
}


def _scripts() -> list[tuple[str, str]]:
    found = (path for package in PACKAGES for path in sorted(package.rglob("*.js")))
    return [(where(path), path.read_text(encoding="utf-8")) for path in found]


@pytest.mark.case("O07")
def test_no_script_of_ours_makes_elements_of_a_text():
    assert {name for name, text in _scripts() if MAKES_ELEMENTS.search(text)} == {*KNOWN_ELEMENTS}
    assert len(MAKES_ELEMENTS.findall(dict(_scripts())["datasets/static/datasets/grid.js"])) == 1


@pytest.mark.parametrize(
    "text", ["cell.innerHTML = told", "x.insertAdjacentHTML('beforeend', y)", "eval(x)", "$('#a').html(x)"]
)
def test_making_elements_of_a_text_is_seen(text: str):
    assert MAKES_ELEMENTS.search(text)


# Any mirror must serve us: the lock holds hashes and no address, and no script names an index.
INDEX_ADDRESS = re.compile(r"https?://\S+/simple\b|index-url[= ]+https?://|registry[\"' =:]+https?://")


def _texts() -> list[tuple[str, str]]:
    names = ("Makefile", "pyproject.toml", "requirements.lock", "manage.py", "deploy", ".ci", "helm", "docs")
    paths = [
        path
        for name in names
        for path in ([ROOT / name] if (ROOT / name).is_file() else sorted((ROOT / name).rglob("*")))
        if path.is_file() and path.suffix not in {".png", ".pyc"}
    ]
    return [(where(path), path.read_text(encoding="utf-8")) for path in (*paths, *modules())]


def test_no_file_names_the_address_of_a_package_index():
    assert [name for name, text in _texts() if INDEX_ADDRESS.search(text)] == []


@pytest.mark.parametrize(
    "text",
    [
        "https://mirror.example/simple/django",
        "--index-url https://mirror.example",
        'registry = "https://x.example"',
    ],
)
def test_the_address_of_a_package_index_is_seen(text: str):
    assert INDEX_ADDRESS.search(text)


def test_the_package_called_datasets_is_not_installed_for_us():
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert re.findall(r"^datasets==", lock, re.M) == []


def test_every_locked_package_has_hashes():
    blocks = re.split(r"\n(?=\S)", (ROOT / "requirements.lock").read_text(encoding="utf-8"))
    assert [block.split()[0] for block in blocks if block.strip() and "--hash=sha256:" not in block] == []


def test_what_the_project_needs_is_locked():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    wanted += [each for extra in project["project"]["optional-dependencies"].values() for each in extra]
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    locked = {name.replace("_", "-").lower() for name in re.findall(r"^([A-Za-z0-9._-]+)==", lock, re.M)}
    names = {re.split(r"[^A-Za-z0-9._-]", each)[0].replace("_", "-").lower() for each in wanted}
    assert names - locked == set()


IGNORED_IMPORT = re.compile(r"noqa:.*PLC0415")


def has_reason(line: str) -> bool:
    """Return whether a line that dodges the rule on imports says why, in words beside it."""
    comment = line.partition("#")[2]
    return len(re.findall(r"[A-Za-z]{3,}", re.sub(r"noqa:\s*[A-Z0-9, ]+", "", comment))) >= 2


def test_every_import_inside_a_function_has_its_reason_beside_it():
    bare = [
        f"{where(path)}:{number}"
        for path in modules()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if IGNORED_IMPORT.search(line) and not has_reason(line)
    ]
    assert bare == []


def test_an_import_without_a_reason_is_seen():
    assert not has_reason("    import polars as pl  # noqa: PLC0415")
    assert has_reason("    import polars as pl  # slow import  # noqa: PLC0415")
