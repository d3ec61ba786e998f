"""What code of the product does not do, whatever it is given: evaluate, go through a shell, trust a weak hash."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.source import PACKAGES, ROOT, calls, modules, tree, where

Found = Iterator[ast.AST]


def imported(root: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Yield each thing that is imported as `module.name`, or `module`."""
    for node in ast.walk(root):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((f"{node.module}.{alias.name}", node) for alias in node.names)


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((each.value for each in call.keywords if each.arg == name), None)


def is_constant(node: ast.expr | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


# ---- the finders


def through_a_shell(root: ast.Module) -> Found:
    """A program started by a line of text, which a shell would take apart."""
    for name, call in calls(root):
        first = call.args[0] if call.args else None
        is_text = isinstance(first, ast.JoinedStr | ast.BinOp) or isinstance(
            getattr(first, "value", None), str
        )
        if (
            name in {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"}
            or is_constant(keyword(call, "shell"), True)
            or (name.startswith("subprocess.") and is_text)
        ):
            yield call


def evaluates(root: ast.Module) -> Found:
    """Text that is run as code."""
    yield from (call for name, call in calls(root) if name in {"eval", "exec", "compile", "__import__"})


def unpacks_objects(root: ast.Module) -> Found:
    """Bytes that are made into objects of whatever class they name."""
    unsafe = ("pickle", "cPickle", "marshal", "shelve", "dill", "jsonpickle", "yaml")
    yield from (node for name, node in imported(root) if name.split(".")[0] in unsafe)


def makes_templates(root: ast.Module) -> Found:
    """A template made of text that comes in."""
    for name, call in calls(root):
        if name.rpartition(".")[2] in {"Template", "from_string"} and not name.startswith("string."):
            yield call


def weak_hash(root: ast.Module) -> Found:
    """MD5 or SHA-1, but where a protocol asks for a checksum and it is said that nothing is secured by it."""
    for name, call in calls(root):
        words = [name.rpartition(".")[2], *(arg.value for arg in call.args if isinstance(arg, ast.Constant))]
        is_weak = name.startswith("hashlib.") and {"md5", "sha1"} & {str(word).lower() for word in words}
        if is_weak and not is_constant(keyword(call, "usedforsecurity"), False):
            yield call


def trusts_any_server(root: ast.Module) -> Found:
    """A connection whose other end does not have to prove itself."""
    for name, call in calls(root):
        if is_constant(keyword(call, "verify"), False) or name.endswith("_create_unverified_context"):
            yield call
    for node in ast.walk(root):
        if isinstance(node, ast.Attribute) and node.attr == "CERT_NONE":
            yield node


def guessable(root: ast.Module) -> Found:
    """Chance that can be foretold."""
    yield from (node for name, node in imported(root) if name.split(".")[0] == "random")


def reads_xml(root: ast.Module) -> Found:
    """A reader of XML."""
    parsers = ("xml", "lxml", "defusedxml", "bs4")
    yield from (node for name, node in imported(root) if name.split(".")[0] in parsers)


FINDERS: dict[str, tuple[Callable[[ast.Module], Found], str, str]] = {
    "through-a-shell": (through_a_shell, "subprocess.run(f'ls {path}')", "subprocess.run(['ls', path])"),
    "evaluates": (evaluates, "eval(text)", "re.compile(text)"),
    "unpacks-objects": (unpacks_objects, "from pickle import loads", "import json"),
    "makes-templates": (makes_templates, "Template(text).render(c)", "render(request, 'a.html')"),
    "weak-hash": (weak_hash, "hashlib.md5(data)", "hashlib.md5(data, usedforsecurity=False)"),
    "trusts-any-server": (trusts_any_server, "get(url, verify=False)", "get(url, verify=True)"),
    "guessable": (guessable, "from random import choice", "from secrets import choice"),
    "reads-xml": (reads_xml, "import xml.etree.ElementTree", "import json"),
}
# Where it is done all the same, and why that opens nothing.
ALLOWED = {
    "guessable": {
        "platform/jobs/limits.py": "how long a failed job rests is no secret",
        "datasets/columntypes/patterns.py": "examples of a pattern, the same ones again",
        "importer/generation.py": "made-up rows, the same ones again",
        "importer/generation_faults.py": "made-up rows, the same ones again",
        "importer/generation_values.py": "made-up rows, the same ones again",
    },
    "reads-xml": {  # expat knows no outside entity unless it is given a handler, and each of these forbids a DTD
        "importer/readers/feeding.py": "in a process of its own, with limits",
        "importer/readers/sheet.py": "in a process of its own, with limits",
        "importer/readers/texts.py": "in a process of its own, with limits",
        "importer/readers/workbook.py": "in a process of its own, with limits",
    },
}


@pytest.mark.parametrize("name", FINDERS)
def test_no_code_of_ours_does_it(name: str) -> None:
    find, _, _ = FINDERS[name]
    found = [(path.relative_to(ROOT).as_posix(), node) for path in modules() for node in find(tree(path))]
    allowed = ALLOWED.get(name, {})
    assert [where(ROOT / path, node) for path, node in found if path not in allowed] == []
    assert {path for path, _ in found} == set(allowed), "an exception that nobody needs any more"


@pytest.mark.parametrize("name", FINDERS)
def test_a_planted_one_is_seen_and_the_right_way_is_not(name: str) -> None:
    find, planted, right = FINDERS[name]
    assert [*find(ast.parse(planted))] != []
    assert [*find(ast.parse(right))] == []


# ---- in the browser

SCRIPTS = [
    path
    for package in PACKAGES
    for path in sorted(package.rglob("static/**/*.js"))
    if "tests" not in path.parts
]
# Code from text, markup from text, messages from other windows, what stays behind when the session is over.
UNSAFE = re.compile(
    r"\beval\(|new Function|document\.write|\.(?:inner|outer)HTML\s*\+?=(?!=)|insertAdjacentHTML\("
    r"|setHTMLUnsafe\(|addEventListener\(\s*['\"]message|onmessage|\.postMessage\("
    r"|(?:local|session)Storage\.setItem|indexedDB\.|document\.cookie\s*="
)
KNOWN = {
    # The mark comes from our own server's template, escaped there; the answer is JSON of the same host.
    ("datasets/static/datasets/grid.js", ".innerHTML ="): "unfold's own mark for yes or no",
    ("platform/rowhouse/static/rowhouse/strict.js", "localStorage.setItem"): "the width of the sidebar",
}


def unsafe(text: str) -> list[str]:
    """Return what a script does that it should not, as it is written there."""
    return UNSAFE.findall(text)


def test_no_script_of_ours_makes_code_or_markup_of_text_or_keeps_anything_in_the_browser() -> None:
    found = [
        (path.relative_to(ROOT).as_posix(), what)
        for path in SCRIPTS
        for what in unsafe(path.read_text(encoding="utf-8"))
    ]
    assert [each for each in found if each not in KNOWN] == []


@pytest.mark.parametrize(
    "planted",
    [
        "cell.innerHTML = value;",
        "eval(text)",
        "window.addEventListener('message', f)",
        "localStorage.setItem('a', 'b')",
        "document.cookie = 'a=b'",
    ],
)
def test_a_planted_script_is_seen(planted: str) -> None:
    assert unsafe(planted) != []


def test_comparing_markup_is_no_making_of_it() -> None:
    assert unsafe("if (fresh.innerHTML !== shown.innerHTML) { shown.replaceWith(fresh); }") == []


def test_scripts_are_found() -> None:
    assert Path("datasets/static/datasets/grid.js") in {path.relative_to(ROOT) for path in SCRIPTS}
