"""The tables of docs/reference/settings.md, made of the settings' own code.

    python -m tests.settings_page          writes them anew

Every module that reads a variable is imported in a process without any of them set, and what `core.env` registered
there is written between `<!-- settings: Section -->` and `<!-- /settings -->`. What stands around the tables is
written by hand, and stays.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from core.env import Variable
from tests.source import ROOT, calls, modules, string_arguments, tree

PAGE = ROOT / "docs" / "reference" / "settings.md"
KINDS = ("text", "boolean", "integer", "choice", "words")
BLOCK = re.compile(r"(<!-- settings: ([^>]+?) -->\n)(.*?)(<!-- /settings -->)", re.DOTALL)
LAST = "## For make alone"  # sections that are new come before it
HEAD = "| variable | default | is |\n|---|---|---|\n"
TELL = """
import importlib, json, sys
import django
from dataclasses import asdict
django.setup()
for name in sys.argv[1:]:
    importlib.import_module(name)
from core import env
print(json.dumps([asdict(one) for one in env.REGISTRY.values()]))
"""


def readers() -> dict[Path, list[str]]:
    """Return the modules that read variables, with the names each reads as they stand in the code.

    :raises AssertionError: a name is put together, so that nobody finds it.
    """
    found: dict[Path, list[str]] = {}
    for path in modules():
        for name, call in calls(tree(path)):
            if name in {f"env.{kind}" for kind in KINDS}:
                assert string_arguments(call), f"{path}:{call.lineno}: the variable's name is no plain text"
                found.setdefault(path, []).append(string_arguments(call)[0])
    return found


def registered() -> list[Variable]:
    """Return every variable the product reads, with the defaults of an environment that sets none."""
    names = [_module(path) for path in readers()]
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ROWHOUSE_", "DATABASE_", "DJANGO_"))
    }
    environment |= {
        "DJANGO_SETTINGS_MODULE": "rowhouse.settings",
        "DATABASE_URL": "postgresql://nobody@localhost/none",
    }
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "platform")])
    done = subprocess.run(
        [sys.executable, "-c", TELL, *names], env=environment, cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return [Variable(**one) for one in json.loads(done.stdout)]


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removeprefix("platform.")


def table(variables: Iterable[Variable]) -> str:
    """Return one section's table."""
    return HEAD + "".join(_row(one) for one in variables)


def _row(one: Variable) -> str:
    is_words = " " in one.default or one.default == "none"
    default = (one.default if is_words else f"`{one.default}`") if one.default else "none"
    purpose = one.purpose + (" *Secret.*" if one.is_secret else "")
    return f"| `{one.name}` | {default} | {purpose} |\n"


def filled(page: str, variables: list[Variable]) -> str:
    """Return a page with its tables made anew; a section it does not have comes before the last one.

    :raises AssertionError: a variable stands in no section, or the page has a section without any.
    """
    sections = list(dict.fromkeys(one.section for one in variables))
    assert "" not in sections, f"in no section: {[one.name for one in variables if not one.section]}"
    there = [found[2] for found in BLOCK.finditer(page)]
    assert not set(there) - set(sections), f"no variable is left of {set(there) - set(sections)}"
    for title in sections:
        if title not in there:
            page = page.replace(
                LAST, f"## {title}\n\n<!-- settings: {title} -->\n<!-- /settings -->\n\n{LAST}"
            )

    def made(found: re.Match[str]) -> str:
        return found[1] + table(one for one in variables if one.section == found[2]) + found[4]

    return BLOCK.sub(made, page)


def main() -> None:
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), registered()), encoding="utf-8")


if __name__ == "__main__":
    main()
