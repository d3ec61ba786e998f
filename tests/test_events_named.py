"""Every event that the code records has its words and stands in the reference; what changes something records one.

What changes something is found by how it is written: a function that takes `by`, who asks for it; a page that takes
POST alone, or saves by the admin; what a command runs; the handlers of background work. From each the calls are
followed, through our own code alone, to `record`. What does without stands below with its reason.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

from audit.names import AREAS, EVENTS
from jobs.kinds import registry
from tests import events_page
from tests.source import ROOT, modules, tree

# Whole names that are put together when they are recorded, by how that is written.
PUT_TOGETHER = {
    r"jobs\.job\..+": {"jobs.job.cancelled", "jobs.job.retried"},
    r"jobs\.tenant\..+": {"jobs.tenant.paused", "jobs.tenant.resumed", "jobs.tenant.share-changed"},
    r"tenants\.entry\..+": {"tenants.entry.granted", "tenants.entry.begun", "tenants.entry.ended"},
    r"datasets\.changes\..+_asked": {
        "datasets.changes.edit_asked", "datasets.changes.delete_asked", "datasets.changes.undo_asked",
    },
    r"datasets\.changes\..+": {"datasets.changes.cancelled", "datasets.changes.failed"},
    r"exporter\.run\..+": {"exporter.run.failed", "exporter.run.cancelled"},
}  # fmt: skip
RECORDING = {"record"}


@dataclass
class Function:
    """A function of ours: what it refers to, by the names its module knows."""

    module: str
    name: str
    node: ast.FunctionDef
    records: list[ast.expr] = field(default_factory=list)
    refers: set[str] = field(default_factory=set)

    @property
    def called(self) -> str:
        return f"{self.module}.{self.name}"

    @property
    def parameters(self) -> set[str]:
        arguments = self.node.args
        return {one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}


def module_of(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removeprefix("platform.").removesuffix(".__init__")


@cache
def functions() -> dict[str, Function]:
    """Return every function and method of ours by its dotted name (a method without its class)."""
    found: dict[str, Function] = {}
    for path in modules():
        module, root = module_of(path), tree(path)
        known = _known(root, module)
        for node in ast.walk(root):
            if isinstance(node, ast.FunctionDef):
                made = Function(module, node.name, node)
                made.refers = _refers(node, known, module)
                made.records = [
                    call.args[0]
                    for call in ast.walk(node)
                    if isinstance(call, ast.Call) and _is_record(call, known) and call.args
                ]
                at = found.setdefault(made.called, made)
                if at is not made:  # methods of one name in one module are taken together
                    at.refers |= made.refers
                    at.records += made.records
    return found


def _known(root: ast.Module, module: str) -> dict[str, str]:
    """Return what each name of a module stands for, as a dotted name."""
    known: dict[str, str] = {}
    for node in ast.walk(root):
        if isinstance(node, ast.ImportFrom) and node.module:
            known |= {one.asname or one.name: f"{node.module}.{one.name}" for one in node.names}
        elif isinstance(node, ast.Import):
            known |= {one.asname: one.name for one in node.names if one.asname}
        elif isinstance(node, ast.FunctionDef):
            known.setdefault(node.name, f"{module}.{node.name}")
    return known


def _is_record(call: ast.Call, known: dict[str, str]) -> bool:
    return isinstance(call.func, ast.Name) and known.get(call.func.id) == "audit.services.record"


def _refers(node: ast.FunctionDef, known: dict[str, str], module: str) -> set[str]:
    found: set[str] = set()
    for one in ast.walk(node):
        if isinstance(one, ast.Name) and one.id in known:
            found.add(known[one.id])
        elif isinstance(one, ast.Attribute):
            if isinstance(one.value, ast.Name) and one.value.id in known:
                found.add(f"{known[one.value.id]}.{one.attr}")
            else:
                found.add(f"{module}.{one.attr}")  # self.method, or nothing of ours
    return found


@cache
def receivers() -> dict[str, set[str]]:
    """Return which functions hear of a signal, by the signal's dotted name."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in modules():
        known = _known(tree(path), module_of(path))
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef):
                for decorator in node.decorator_list:
                    if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "receiver":
                        name = ast.unparse(decorator.args[0])
                        found[known.get(name, name)].add(f"{module_of(path)}.{node.name}")
    return found


@cache
def handed_on() -> dict[str, str]:
    """Return what a module offers of another one, by the name it has there."""
    found: dict[str, str] = {}
    for path in modules():
        module = module_of(path)
        for name, target in _known(tree(path), module).items():
            if target != f"{module}.{name}":
                found[f"{module}.{name}"] = target
    return found


def leaves_an_event(start: str) -> bool:
    """Return whether a call of `record` can be reached from a function."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in handed_on():
            waiting.append(handed_on()[name])
        waiting += receivers().get(name.removesuffix(".send"), ())
        if (function := functions().get(name)) is not None:
            if function.records:
                return True
            waiting += function.refers
    return False


def names_of(expression: ast.expr) -> set[str]:
    """Return the names that an argument of `record` can be; empty where nobody has said it here."""
    if isinstance(expression, ast.Constant) and isinstance(expression.value, str):
        return {expression.value}
    if isinstance(expression, ast.JoinedStr):
        parts = [
            re.escape(str(one.value)) if isinstance(one, ast.Constant) else ".+" for one in expression.values
        ]
        return PUT_TOGETHER.get("".join(parts), set())
    return set()


@cache
def recorded() -> set[str]:
    """Return every name that the code records, also by way of a variable or a constant."""
    found: set[str] = set()
    for path in modules():
        texts = {
            node.value
            for node in ast.walk(tree(path))
            if isinstance(node, ast.Constant) and node.value in EVENTS
        }
        if path.name != "names.py":
            found |= texts
    for function in functions().values():
        for expression in function.records:
            found |= names_of(expression)
    return found


def test_every_event_that_is_recorded_has_its_words():
    unnamed = {
        f"{function.called}: {ast.unparse(expression)}"
        for function in functions().values()
        for expression in function.records
        if not names_of(expression) and not isinstance(expression, ast.Name)
    }
    assert unnamed == set(), "an event's name is put together in a way that is not in PUT_TOGETHER"
    assert recorded() - set(EVENTS) == set()


def test_no_words_are_kept_of_events_that_nobody_records():
    assert set(EVENTS) - recorded() == set()


def test_every_name_says_its_area_noun_and_verb():
    assert [name for name in EVENTS if not re.fullmatch(r"[a-z]+\.[a-z_]+\.[a-z_-]+", name)] == []
    assert {name.split(".")[0] for name in EVENTS} == set(AREAS)


def test_the_page_of_events_is_made_of_them():
    assert events_page.PAGE.read_text(encoding="utf-8") == events_page.page()


# ---- whatever changes something leaves an event

# Functions that take `by` and record nothing, each with its reason.
ASKED_WITHOUT: dict[str, str] = {
    "datasets.admin.datasets.save_model": "leaves it to save_related, whose services record it",
    "datasets.admin.records.delete_model": "one record: the version in its history says who and why",
    "datasets.admin.records.save_model": "one record: the version in its history says who and why",
    "datasets.services.save_columns": "a part of adding columns, which records it",
    "datasets.services.save_labels": "a part of renaming, which records it",
    "exporter.services.require_whole": "only refuses",
    "importer.matching.wanted": "by what a column is matched, no person",
    "jobs.services.pause_tenant": "a part of suspending and of an operator's pause, which record it",
    "jobs.pages.shares.save_model": "by log_moved, in which the operator site records it",
    "tenants.admin.save_model": "its form's service records it",
}
# Commands that record nothing.
COMMANDS_WITHOUT: dict[str, str] = {
    "datasets.management.commands.describe_dataset": "only reads definitions",
    "datasets.management.commands.list_datasets": "only reads definitions",
    "exporter.management.commands.list_exports": "only reads what was exported",
    "exporter.management.commands.show_export_settings": "only reads settings",
    "exporter.management.commands.verify_exports": "reads stored files, and marks what differs on their rows",
    "importer.management.commands.describe_mapping": "only reads a mapping",
    "importer.management.commands.generate_rows": "writes a file of made-up rows on this machine",
    "importer.management.commands.list_imports": "only reads imports",
    "importer.management.commands.list_mappings": "only reads mappings",
    "jobs.management.commands.probe": "only asks whether a worker lives",
    "jobs.management.commands.setup_schedules": "sets the worker's own clock anew, as each worker's start does",
    "jobs.management.commands.worker": "does the work of jobs, which record it",
    "rowhouse.management.commands.demo": "goes through the services of others, by another process",
    "rowhouse.management.commands.doctor": "what it tries it takes away again",
    "rowhouse.management.commands.measure_tenants": "notes figures",
    "rowhouse.management.commands.seal_audit": "seals events; a seal says when by itself",
    "rowhouse.management.commands.verify_audit": "only reads the log",
    "tenants.management.commands.list_backups": "only reads backups",
    "tenants.management.commands.list_tenants": "only reads tenants",
    "tenants.management.commands.migrate_tenants": "what became of each schema stands in MigrationOutcome",
}
# Handlers of background work that record nothing.
JOBS_WITHOUT: dict[str, str] = {
    "audit.tasks.seal": "seals events; a seal says when by itself",
    "datasets.tasks.build_ended": "notes on the index that it was not built",
    "datasets.tasks.forget_former_values": "drops what a revert would have used; the revert's time was in the event",
    "datasets.tasks.not_again": "only refuses",
    "datasets.tasks.plan_changes": "reads and plans; the confirmation is recorded",
    "datasets.tasks.tidy_change": "drops working tables",
    "exporter.tasks.notify": "what became of each delivery stands in its row, and the run it tells of is recorded",
    "exporter.tasks.notify_ended": "notes on the delivery that it was given up",
    "rowhouse.tasks.restore": "makes an import, which is recorded when it is confirmed and written",
    "rowhouse.tasks.restore_retried": "only refuses, or lets it begin again",
    "tenants.backup.tasks.drop_left_schema": "drops what a restore in place, which is recorded, has left",
    "tenants.tasks.refill_spares": "makes schemas that are nobody's yet",
    "tenants.tasks.tell_of_entry": "mails of an entry, which is recorded",
}


def asked_for() -> set[str]:
    """Return the public functions that somebody asks for."""
    return {
        function.called
        for function in functions().values()
        if ("by" in function.parameters and not function.name.startswith("_"))
        or function.name in {"save_model", "delete_model", "delete_queryset"}
        or any("require_POST" in ast.unparse(one) for one in function.node.decorator_list)
    }


def commands() -> set[str]:
    return {
        module_of(path)
        for path in modules()
        if "management/commands" in path.as_posix() and path.stem != "__init__"
    }


def handlers() -> set[str]:
    return {
        path
        for kind in registry().values()
        for path in (kind.run, kind.ended, kind.retried)
        if path is not None
    }


def without(starts: set[str]) -> set[str]:
    return {start for start in starts if not leaves_an_event(start)}


def test_whatever_somebody_asks_for_leaves_an_event():
    assert without(asked_for()) == set(ASKED_WITHOUT)


def test_a_command_that_changes_something_leaves_an_event():
    silent = {
        command
        for command in commands()
        if not any(leaves_an_event(f"{command}.{name}") for name in ("run", "run_in_tenant", "handle"))
    }
    assert silent == set(COMMANDS_WITHOUT)


def test_background_work_that_changes_something_leaves_an_event():
    assert without(handlers()) == set(JOBS_WITHOUT)


@pytest.mark.parametrize(
    "start", ["audit.looking.look", "core.words.count", "audit.proof.proof_of", "nowhere.at_all"]
)
def test_what_leaves_none_is_seen(start: str):
    assert not leaves_an_event(start)
