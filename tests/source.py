"""Our own source as the guard tests read it: files, syntax trees, and the two together."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLATFORM = ("rowhouse", "accounts", "jobs", "core")
APPS = ("tenants", "datasets", "importer", "exporter", "audit")
PACKAGES = tuple(ROOT / "platform" / name for name in PLATFORM) + tuple(ROOT / name for name in APPS)


@cache
def modules() -> tuple[Path, ...]:
    """Return every Python file of the product: no tests, no migrations."""
    found = (path for package in PACKAGES for path in sorted(package.rglob("*.py")))
    return tuple(path for path in found if not {"tests", "migrations"} & set(path.parts))


@cache
def modules_of_tests() -> tuple[Path, ...]:
    """Return every Python file below a folder `tests`, and the conftest files."""
    folders = (*PACKAGES, ROOT / "tests")
    found = (path for folder in folders for path in sorted(folder.rglob("*.py")))
    return tuple(path for path in found if "tests" in path.relative_to(ROOT).parts)


@cache
def tree(path: Path) -> ast.Module:
    """Return a file's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def where(path: Path, node: ast.AST | None = None) -> str:
    """Return `folder/file.py:12`, as failures name a place."""
    line = getattr(node, "lineno", None)
    return f"{path.relative_to(ROOT)}" + (f":{line}" if line else "")


def calls(root: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Yield each call below `root` with the dotted name that is called, as written there."""
    for node in ast.walk(root):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def string_arguments(call: ast.Call) -> list[str]:
    """Return the positional arguments of a call that are plain strings."""
    return [arg.value for arg in call.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
