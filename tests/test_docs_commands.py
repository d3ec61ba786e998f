"""Every command in our pages is run by a test or says why it is not, and is one that our programs understand."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import own_database
from tests.docs_commands import MARK, SHELLS, Block, Line, blocks, lines_of, pages, problem, wrong_with
from tests.source import ROOT
from tests.transcript import masked

ALL = [
    block
    for page in pages()
    for block in blocks(str(page.relative_to(ROOT)), page.read_text(encoding="utf-8"))
]
RUN_HERE = [block for block in ALL if block.language in SHELLS and block.mark == "<!-- run here -->"]
ORDERS = "id,customer,amount,ordered\n1,Ada,12.50,2026-08-24\n2,Blaise,8.00,2026-08-25\n3,Charles,99.95,2026-08-26\n"
# What a page's blocks find when they are run: a platform with this tenant and this dataset, and this file.
SCENE = (
    "migrate_tenants",
    "provision_tenant acme --admin owner@acme.example --password correct-horse-battery",
    "create_dataset --tenant acme --name Orders --infer orders.csv --key id",
    "import_file orders.csv --tenant acme --dataset orders",
)


def test_every_block_of_commands_is_run_or_marked():
    assert [f"{block.where} {problem(block)}" for block in ALL if problem(block)] == []


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_and_option_in_a_page_is_known(page: Path):
    lines = lines_of(str(page.relative_to(ROOT)), page.read_text(encoding="utf-8"))
    assert [f"{line.where} {line.text}: {wrong_with(line)}" for line in lines if wrong_with(line)] == []


def test_the_commands_that_begin_rows_of_the_reference_are_known():
    text = (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
    rows = [line.split("`")[1].replace("\\|", "|") for line in text.splitlines() if line.startswith("| `")]
    assert len(rows) > 20
    lines = [Line("commands.md", f"rowhouse {row}", is_whole=False) for row in rows]
    assert [f"{line.text}: {wrong_with(line)}" for line in lines if wrong_with(line)] == []


# ---- run here


@pytest.fixture(scope="module")
def scene(
    tmp_path_factory: pytest.TempPathFactory, django_db_modify_db_settings: None
) -> Iterator[dict[str, str]]:
    """Set the scene once; return the environment of its commands, HOME being the folder they run in."""
    folder = tmp_path_factory.mktemp("scene")
    (folder / "orders.csv").write_text(ORDERS, encoding="utf-8")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with own_database() as url:
        environment = {
            **os.environ, "DATABASE_URL": url, "ROWHOUSE_DATA": str(folder / "data"), "PATH": path, "HOME": str(folder)
        }  # fmt: skip
        for command in SCENE:
            said, code = run(f"rowhouse {command}", environment)
            assert code == 0, said
        yield environment


def run(command: str, environment: dict[str, str]) -> tuple[str, int]:
    done = subprocess.run(
        command, shell=True, cwd=environment["HOME"], env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return done.stdout, done.returncode


@pytest.mark.parametrize("block", RUN_HERE, ids=lambda block: block.where)
def test_a_block_does_and_says_what_the_page_shows(block: Block, scene: dict[str, str]):
    said: list[str] = []
    for command in block.commands:
        output, code = run(command, scene)
        assert code == 0, f"{block.where} {command}: {output}"
        said += [f"$ {command}", *output.splitlines()]
    if block.language == "console":
        assert masked("\n".join(said)) == masked(block.body)


# ---- what it catches


def told(text: str) -> list[str]:
    return [problem(block) for block in blocks("page.md", text) if problem(block)]


@pytest.mark.parametrize(
    "text",
    [
        "Do this.\n\n```sh\nrowhouse worker\n```\n",
        "```console\n$ rowhouse worker\n```\n",
        "<!-- not run: no -->\n```sh\nrowhouse worker\n```\n",
        "<!-- run by tests/test_docs_commands.py::test_that_nobody_wrote -->\n```sh\nrowhouse worker\n```\n",
        "<!-- run by tests/test_nowhere.py::test_it -->\n```sh\nrowhouse worker\n```\n",
        "```\nrowhouse worker\n```\n",
        "1. In a list:\n\n   ```sh\n   rowhouse worker\n   ```\n",
        "<!-- not run: it belongs to another block -->\n\nText between.\n```sh\nrowhouse worker\n```\n",
    ],
    ids=[
        "unmarked",
        "console",
        "no-reason",
        "no-test",
        "no-file",
        "no-language",
        "in-a-list",
        "mark-elsewhere",
    ],
)
def test_a_block_that_is_not_marked_well_is_caught(text: str):
    assert len(told(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "<!-- not run: it serves until Ctrl-C -->\n```sh\nrowhouse demo\n```\n",
        "<!-- run here -->\n```sh\nrowhouse list_tenants\n```\n",
        "<!-- transcript -->\n```console\n$ rowhouse list_tenants\n```\n<!-- /transcript -->\n",
        "<!-- run by tests/test_readme.py::test_the_transcript_is_what_the_commands_print -->\n```sh\nls\n```\n",
        '```json\n{"a": 1}\n```\n',
    ],
    ids=["not-run", "run-here", "transcript", "run-by", "no-commands"],
)
def test_a_block_that_is_marked_well_is_let_through(text: str):
    assert told(text) == []


@pytest.mark.parametrize(
    ("shown", "reason"),
    [
        ("rowhouse import_file a.csv --tenant acme --dataset orders --loudly", "import_file has no option --loudly"),
        ("rowhouse import_file --tenant acme", "import_file refuses it"),
        ("rowhouse worker --workers many", "worker refuses it"),
        ("rowhouse fly_away", "there is no command fly_away"),
        ("ROWHOUSE_DATA=/tmp/x .venv/bin/rowhouse worker --fast", "worker has no option --fast"),
        ("cd /srv && rowhouse probe --all", "probe has no option --all"),
        ("kubectl exec deploy/worker -- rowhouse probe --all", "probe has no option --all"),
        ("make launch", "make knows no launch"),
        ("make bench OF=jobs SLOWLY=1", "make knows no SLOWLY"),
        ("python -m benchmarks.jobs --furlongs 4", "benchmarks.jobs has no option --furlongs"),
        ("python -m benchmarks.nothing", "there is no module benchmarks.nothing"),
        ("sh deploy/dev/nothing.sh", "there is no deploy/dev/nothing.sh"),
    ],
)  # fmt: skip
def test_what_no_program_of_ours_understands_is_caught(shown: str, reason: str):
    [line] = list(lines_of("page.md", f"```sh\n{shown}\n```\n"))
    assert reason in wrong_with(line)


def test_an_unknown_option_between_backticks_is_caught_beside_placeholders():
    lines = lines_of("page.md", "Run `rowhouse list_exports --tenant T [--dataset D] [--since TIME]` then.\n")
    assert [wrong_with(line) for line in lines] == ["list_exports has no option --since"]


@pytest.mark.parametrize(
    "shown",
    [
        "rowhouse list_exports --tenant acme | head",
        "rowhouse COMMAND --whatever",
        "rowhouse demo --once --json",
        "make test T='importer/tests -k preview'",
        "kubectl exec deploy/rowhouse-worker -- rowhouse probe --folder /run",
        "docker compose exec web rowhouse list_tenants",
    ],
)
def test_what_is_understood_is_let_through(shown: str):
    [line] = list(lines_of("page.md", f"```sh\n{shown}\n```\n"))
    assert wrong_with(line) == ""


def test_a_mark_says_its_reason():
    assert MARK.fullmatch("<!-- not run: needs a cluster -->")
    assert not MARK.fullmatch("<!-- not run: -->")
