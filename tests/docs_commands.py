"""The commands in our pages: each fenced block with how it is shown to be true, and each line as its program reads it.

Above a block of commands (`sh`, `console` …) stands one of these, alone on its line:

    <!-- run here -->                                run by tests/test_docs_commands.py, in a place of its own
    <!-- run by tests/test_x.py::test_that_does -->  those commands, or what they do, are run by that test
    <!-- not run: reason -->                         nobody runs it, and why

The README's transcript has `<!-- transcript -->`, which tests/test_readme.py runs. What else is fenced has a language
that is no shell's (`text`, `json`, `yaml` …), so that no command hides in a block without one.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from django.core.management import get_commands, load_command_class
from django.core.management.base import CommandError

from tests.source import ROOT, calls, string_arguments, tree

SHELLS = frozenset({"sh", "bash", "shell", "console"})
FENCE = re.compile(
    r"^(?P<indent> *)(?P<ticks>`{3,})(?P<language>[\w.+-]*)[^\n`]*\n"
    r"(?P<body>.*?)"
    r"^(?P=indent)(?P=ticks)\s*$",
    re.MULTILINE | re.DOTALL,
)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
MARK = re.compile(
    r"<!-- (run here|run by (?P<test>[\w/.]+::\w+)|not run: (?P<reason>\S.{9,})|transcript) -->"
)
PREFIXES = (
    "rowhouse",
    ".venv/bin/rowhouse",
    "uv run rowhouse",
    "python manage.py",
    "python -m rowhouse",
    "./manage.py",
)
PLACEHOLDER = re.compile(r"…|\[|\]|\||<|>|\(|\)|\.\.\.|\{|\}|\$|\*")
ENDS = frozenset({"|", "||", "&&", ";", "&", "#", "<", ">", ">>", "2>", "2>&1", "then", "do"})
CONTINUED = re.compile(r"\\\n\s*")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: where it is, what it says, and the mark above it."""

    page: str
    line: int
    language: str
    body: str
    mark: str

    @property
    def where(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """Return its commands, continued lines as one; in a console those behind a dollar."""
        lines = CONTINUED.sub(" ", self.body).splitlines()
        if self.language == "console":
            return [line[2:] for line in lines if line.startswith("$ ")]
        return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def pages() -> list[Path]:
    """Return every page that may show commands."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "helm").rglob("*.md")]
    return sorted([*found, *(ROOT / "deploy").rglob("*.md"), *(ROOT / "benchmarks").rglob("*.md")])


def blocks(page: str, text: str) -> list[Block]:
    """Return a page's fenced blocks."""
    found = []
    for fence in FENCE.finditer(text):
        above = text[: fence.start()].rstrip("\n").rpartition("\n")[2].strip()
        body = "\n".join(line.removeprefix(fence["indent"]) for line in fence["body"].splitlines())
        line = text.count("\n", 0, fence.start()) + 1
        found.append(Block(page, line, fence["language"], body, above))
    return found


def problem(block: Block) -> str:
    """Return what is wrong with how a block is marked; empty: nothing."""
    if not block.language:
        return "has no language: say sh or console for commands, text for anything else"
    if block.language not in SHELLS:
        return ""
    mark = MARK.fullmatch(block.mark)
    if mark is None:
        return "is neither run nor marked: see tests/docs_commands.py"
    if mark["test"] and not _is_test(mark["test"]):
        return f"names a test that is not there: {mark['test']}"
    return ""


def _is_test(name: str) -> bool:
    path, _, function = name.partition("::")
    if not (ROOT / path).is_file():
        return False
    return any(
        isinstance(node, ast.FunctionDef) and node.name == function for node in ast.walk(tree(ROOT / path))
    )


# ---- lines


@dataclass(frozen=True, slots=True)
class Line:
    """A command as a page shows it, in a block or between backticks."""

    where: str
    text: str
    is_whole: bool  # it could be typed as it stands


def lines_of(page: str, text: str) -> Iterator[Line]:
    """Yield every command of a page."""
    for block in blocks(page, text):
        if block.language in SHELLS:
            for command in block.commands:
                yield Line(block.where, command, not PLACEHOLDER.search(command))
    for number, line in enumerate(FENCE.sub(lambda found: "\n" * found[0].count("\n"), text).splitlines(), 1):
        for span in INLINE.findall(line):
            yield Line(f"{page}:{number}", span, False)


def wrong_with(line: Line) -> str:
    """Return what no program of ours would understand in a line; empty: nothing."""
    words = _words(line.text)
    for start, word in enumerate(words):
        rest = words[start:]
        for prefix in PREFIXES:
            first = prefix.split()
            if rest[: len(first)] == first and (_begins(words, start) or _is_ours(rest[len(first) :])):
                return _wrong_with_command(_until_end(rest[len(first) :]), line)
        if word == "make" and _begins(words, start) and len(rest) > 1:
            return _wrong_with_make(_until_end(rest[1:]))
        if rest[:2] in (["python", "-m"], [".venv/bin/python", "-m"]) and len(rest) > 2:
            return _wrong_with_module(_until_end(rest[2:]))
        if word in ("sh", "bash") and _begins(words, start) and len(rest) > 1 and rest[1].endswith(".sh"):
            return "" if (ROOT / rest[1]).is_file() else f"there is no {rest[1]}"
    return ""


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text, comments=True)
    except ValueError:
        return text.split()


def _begins(words: list[str], at: int) -> bool:
    """Return whether a word is a program: the first, behind another's end, or behind variables that are set."""
    return (
        all(re.fullmatch(r"[A-Z_]+=.*|exec|sudo|env|time", one) for one in words[:at])
        or words[at - 1] in ENDS
    )


def _is_ours(words: list[str]) -> bool:
    """Return whether a command of ours follows, wherever it stands: `kubectl exec … -- rowhouse probe`."""
    return bool(words) and (words[0] == "probe" or words[0] in get_commands())


def _until_end(words: list[str]) -> list[str]:
    for at, word in enumerate(words):
        if word in ENDS:
            return words[:at]
    return words


def _wrong_with_command(words: list[str], line: Line) -> str:
    if not words or words[0].startswith("-") or PLACEHOLDER.search(words[0]) or words[0].isupper():
        return ""
    name = words[0]
    if name == "probe":
        known = _flags(ROOT / "platform" / "jobs" / "probe.py")
        return _unknown(name, words[1:], known)
    if name not in get_commands():
        return f"there is no command {name}"
    unknown = _unknown(name, words[1:], _options(name))
    if unknown or not line.is_whole:
        return unknown
    return _refused(name, words[1:])


@cache
def _options(name: str) -> frozenset[str]:
    parser = load_command_class(get_commands()[name], name).create_parser("rowhouse", name)
    return frozenset(option for action in parser._actions for option in action.option_strings)


def _unknown(name: str, words: list[str], known: frozenset[str]) -> str:
    used = {
        found
        for word in words
        for found in re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", word.partition("=")[0])
    }
    unknown = sorted(one for one in used if one.startswith("--") and one not in known)
    return f"{name} has no option {', '.join(unknown)}" if unknown else ""


def _refused(name: str, words: list[str]) -> str:
    parser = load_command_class(get_commands()[name], name).create_parser("rowhouse", name)
    parser.called_from_command_line = False
    try:
        parser.parse_args(words)
    except CommandError as error:
        return f"{name} refuses it: {error}"
    return ""


@cache
def _flags(path: Path) -> frozenset[str]:
    """Return the options a program adds, by its code."""
    added = [call for name, call in calls(tree(path)) if name.endswith(".add_argument")]
    return frozenset(word for call in added for word in string_arguments(call) if word.startswith("-")) | {
        "--help"
    }


def _wrong_with_module(words: list[str]) -> str:
    name = words[0]
    ours = [ROOT / f"{name.replace('.', '/')}.py", ROOT / name.replace(".", "/") / "__main__.py"]
    if name.partition(".")[0] not in {"benchmarks", "tests"}:
        return ""
    path = next((one for one in ours if one.is_file()), None)
    return f"there is no module {name}" if path is None else _unknown(name, words[1:], _flags(path))


@cache
def _targets() -> frozenset[str]:
    return frozenset(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))


@cache
def _variables() -> frozenset[str]:
    return frozenset(re.findall(r"\b([A-Z]+)\b", (ROOT / "Makefile").read_text()))


def _wrong_with_make(words: list[str]) -> str:
    names = [word for word in words if re.fullmatch(r"[a-z]+", word)]
    settings = [word.partition("=")[0] for word in words if re.fullmatch(r"[A-Z]+=.*", word)]
    if unknown := sorted(set(names[:1]) - _targets()) + sorted(set(settings) - _variables()):
        return f"make knows no {', '.join(unknown)}"
    return ""
