"""The folders are where docs/architecture.md says, and `platform/` never shadows the standard library."""

from __future__ import annotations

import subprocess
import sys
import tomllib

import pytest

from tests.source import APPS, PACKAGES, PLATFORM, ROOT


def test_platform_holds_exactly_our_four_packages():
    caches = {"__pycache__", ".ruff_cache", ".mypy_cache", ".pytest_cache"}
    assert {path.name for path in (ROOT / "platform").iterdir()} - caches == set(PLATFORM)


def test_platform_is_a_plain_folder():
    assert not (ROOT / "platform" / "__init__.py").exists()


def test_importing_platform_at_the_root_gives_the_standard_library():
    code = "import platform, sys; sys.exit(not platform.system() or 'lib' not in platform.__file__)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_every_app_is_a_package_with_tests(package):
    assert [name for name in ("__init__.py", "tests/__init__.py") if not (package / name).exists()] == []


@pytest.mark.parametrize(
    "name",
    [
        "manage.py",
        "Makefile",
        "pyproject.toml",
        "requirements.lock",
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "LICENSE",
        ".ci/run",
        "deploy",
        "benchmarks",
        "docs/architecture.md",
        "docs/glossary.md",
        "docs/decisions",
        *APPS,
    ],
)
def test_the_top_level_is_complete(name):
    assert (ROOT / name).exists()


def test_the_wheel_holds_every_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert sorted(packages) == sorted(str(path.relative_to(ROOT)) for path in PACKAGES)


@pytest.mark.parametrize("entry", ["manage.py", "deploy/dev/setup.sh", "deploy/dev/browser.sh", ".ci/run"])
def test_what_is_started_by_name_is_executable(entry):
    assert (ROOT / entry).stat().st_mode & 0o111
