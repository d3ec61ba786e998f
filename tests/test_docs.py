"""What a user can name is in docs/reference/: commands, states, types, issue codes (settings: test_settings_page)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.core.management import get_commands

from datasets.change_models import ChangeState
from datasets.changeset import State as ChangeSetState
from datasets.columntypes import TYPES
from datasets.erasure_models import ErasureState
from datasets.models import RecordIndex
from exporter.models import Delivery
from exporter.models import State as ExportState
from importer.issues import CODES, WARNINGS, Unreadable
from importer.models import State as ImportState
from jobs.models import State as JobState
from tenants.models import Tenant
from tests.source import PACKAGES, ROOT, calls, string_arguments, tree

REFERENCE = ROOT / "docs" / "reference"
COMMANDS = {
    path.stem: path
    for package in PACKAGES
    for path in package.rglob("management/commands/*.py")
    if path.stem != "__init__"
}


def named_in(page: str) -> set[str]:
    """Return what stands in backticks on a page, and each word of it."""
    text = (REFERENCE / page).read_text(encoding="utf-8")
    quoted = re.findall(r"`([^`\n]+)`", text)
    return {word for each in quoted for word in (each, *re.split(r"[\s\[\](),|\\]+", each))}


def flags(path: Path) -> list[str]:
    """Return the options a command adds to every command's own."""
    return [
        word
        for name, call in calls(tree(path))
        if name.endswith(".add_argument")
        for word in string_arguments(call)
        if word.startswith("--")
    ]


def subclasses(kind: type[Unreadable]) -> set[str]:
    """Return the codes of an error and of all that extend it."""
    return {kind.code}.union(*(subclasses(each) for each in kind.__subclasses__()))


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_command_is_in_the_reference_with_its_options(name: str):
    missing = {name, *flags(COMMANDS[name])} - named_in("commands.md")
    assert missing == set()


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_command_of_ours_is_not_hidden_by_a_librarys(name: str):
    package = ".".join(COMMANDS[name].relative_to(ROOT).parts[:-3]).removeprefix("platform.")
    assert get_commands()[name] == package


@pytest.mark.parametrize(
    "kind",
    [
        JobState,
        ImportState,
        ExportState,
        ChangeState,
        ChangeSetState,
        ErasureState,
        Tenant.State,
        RecordIndex.State,
        Delivery.State,
    ],
    ids=lambda kind: kind.__module__,
)
def test_states_are_in_the_reference(kind):
    assert set(kind.values) - named_in("states.md") == set()


@pytest.mark.parametrize("name", TYPES)
def test_a_column_type_is_in_the_reference(name: str):
    assert name in named_in("column-types.md")


@pytest.mark.parametrize("code", sorted({*CODES, *WARNINGS, *subclasses(Unreadable)}))
def test_an_issue_code_is_in_the_reference(code: str):
    assert code in named_in("issues.md")


def test_what_is_not_documented_is_seen():
    assert "--no-such-flag" not in named_in("commands.md")


def test_links_between_our_pages_lead_somewhere():
    pages = [*sorted((ROOT / "docs").rglob("*.md")), *sorted(ROOT.glob("*.md"))]
    dead = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    assert dead == []
