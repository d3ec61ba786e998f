"""Did every statement run in its own tenant? Answered from the server's log alone.

Each session of the log is replayed: transactions, savepoints, errors, and every way to set the search path, so
that the path of each statement is known, and whose statement it is: tasks mark theirs with a comment, and what
they could not mark (COPY, cursors, the product's own side connections) lies between a task's two edges or in a
session that has only ever served that task.

The account is not taken on trust. The server logs a plan of whatever it executed, trigger functions included,
with the path it was made under and the schema of each table it touched (`auto_explain`). A plan that says
otherwise than the replay is a violation like any other, and so is a transaction's state that differs from what
the server showed in its process title.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from benchmarks.faults.isolation_session import Outcome, Session, Step
from benchmarks.faults.isolation_sql import DEFAULT, OPAQUE, Marker, Path, Statement, path_of

# Every schema has what is in these: no tenant's data.
CATALOGUES = frozenset({"pg_catalog", "information_schema", "pg_toast"})
PUBLIC: Path = ("public",)
_PLAN_RELATION = re.compile(
    r'^ *(?:-> {2})?[A-Z][\w "$.-]*? on ("(?:[^"]|"")+"|\w+)\.("(?:[^"]|"")+"|\w+)', re.MULTILINE
)
_PLAN_PATH = re.compile(r"^Settings:.*?\bsearch_path = '((?:[^']|'')*)'", re.MULTILINE)

Kind = Literal["statement", "error", "plan", "end", "other"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the log, as far as it matters. `text` is a statement, the statement of an error, or a plan."""

    session: str
    line: int
    kind: Kind
    text: str = ""
    code: str = ""
    state: str = ""  # the process title: "idle", "idle in transaction" …
    is_nested: bool = False


@dataclass(frozen=True, slots=True)
class Violation:
    """One statement that was not where it belongs; `job` is 0 when it belongs to no task at all."""

    rule: str
    tenant: str
    job: int
    path: Path
    session: str
    line: int
    text: str

    def __str__(self) -> str:
        whose = f"job {self.job} of {self.tenant}" if self.tenant else "no task"
        return f"{self.session}:{self.line} {whose}, path {','.join(self.path)}: {self.rule}: {self.text[:300]!r}"


@dataclass(slots=True)
class Report:
    """What the log showed."""

    statements: int = 0  # of tasks, in their tenant
    shared: int = 0  # of tasks, on the platform's own tables
    outside: int = 0  # between tasks
    unrun: int = 0  # refused by a transaction that had failed already
    plans: int = 0  # that agreed with the replay
    sessions: int = 0
    jobs: set[int] = field(default_factory=set)
    violations: list[Violation] = field(default_factory=list)


def entry_of(line: str) -> Entry | None:
    """Return what one line of a JSON log says, or None when it is no session's."""
    said = json.loads(line)
    if said.get("backend_type") != "client backend":
        return None
    session, number, message = said["session_id"], said["line_num"], said["message"]
    severity = said["error_severity"]
    if severity in ("ERROR", "FATAL", "PANIC"):
        if severity == "ERROR":
            return Entry(session, number, "error", said.get("statement", ""), said.get("state_code", ""))
        return Entry(session, number, "end", said.get("statement", ""), said.get("state_code", ""))
    if message.startswith("statement: "):
        return Entry(session, number, "statement", message[11:], state=said.get("ps", ""))
    if message.startswith("execute "):
        return Entry(session, number, "statement", message.partition(": ")[2], state=said.get("ps", ""))
    if message.startswith("duration: ") and "  plan:\n" in message[:60]:
        return Entry(session, number, "plan", message, is_nested="context" in said)
    if message.startswith("disconnection: "):
        return Entry(session, number, "end")
    return Entry(session, number, "other")


class Checker:
    """Reads the log's entries in order; `finish` gives the report.

    :param schemas: each tenant's schema by its slug.
    :param shared: the tables of `public` that a task may touch, in `public` alone.
    """

    def __init__(self, schemas: Mapping[str, str], shared: Iterable[str]) -> None:
        self.schemas = dict(schemas)
        self.tenants = frozenset(self.schemas.values())
        self.shared = frozenset(shared)
        self.sessions: dict[str, Session] = {}
        self.report = Report()

    def read(self, entries: Iterable[Entry | None]) -> Checker:
        for entry in entries:
            if entry is not None:
                self._feed(entry)
        return self

    def finish(self) -> Report:
        """Judge what is still open, and return the report."""
        for name in list(self.sessions):
            self._end(name)
        return self.report

    def _feed(self, entry: Entry) -> None:
        session = self.sessions.get(entry.session)
        if session is None:
            session = self.sessions[entry.session] = Session(entry.session)
            self.report.sessions += 1
        if entry.kind == "statement":
            self._settle(session)
            session.take(entry.text, entry.line, entry.state)
        elif entry.kind == "error":
            if session.waits_for(entry.text):
                session.fail(entry.code)
            else:  # it could not even be read: the server logs no statement for it
                self._settle(session)
                session.take("", entry.line, "")
                session.fail(entry.code)
        elif entry.kind == "plan":
            session.plans.append((entry.text, entry.line, entry.is_nested))
        elif entry.kind == "end":
            if entry.code:
                session.fail(entry.code)
            self._end(entry.session)

    def _end(self, name: str) -> None:
        self._settle(self.sessions[name])
        del self.sessions[name]

    def _settle(self, session: Session) -> None:
        outcome = session.settle()
        if outcome is None:
            return
        for problem in outcome.problems:
            self._note(session, outcome, problem, session.owner, OPAQUE)
        for step in outcome.steps:
            self._judge(session, outcome, step)
        for text, line, is_nested in outcome.plans:
            self._compare(session, outcome, text, line, is_nested=is_nested)

    def _judge(self, session: Session, outcome: Outcome, step: Step) -> None:
        statement, path, owner = step.statement, step.path, step.owner
        if owner is not None:
            self.report.jobs.add(owner.job)
        if outcome.is_unrun:
            self.report.unrun += 1
            return
        rule = self._rule(statement, path, owner) if owner else self._rule_outside(statement, path)
        if rule:
            self._note(session, outcome, rule, owner, path)

    def _rule(self, statement: Statement, path: Path, owner: Marker) -> str:
        """Return what is wrong with a task's statement, or nothing."""
        schema = self.schemas.get(owner.tenant)
        if statement.marker and (statement.marker.tenant, statement.marker.job) != (owner.tenant, owner.job):
            return "it lies inside another task's part of the session"
        if schema is None:
            return "its tenant is unknown"
        if (statement.schemas & self.tenants) - {schema}:
            return "it names another tenant's schema"
        if statement.is_control or (statement.marker and statement.marker.edge == "end"):
            return ""
        if path == (schema,):
            self.report.statements += 1
            return (
                "it names public" if any(name.startswith("public.") for name in statement.relations) else ""
            )
        if path == PUBLIC and statement.relations and self._is_shared(statement.relations):
            self.report.shared += 1
            return ""
        return "its path cannot be known" if path == OPAQUE else "its path is not its tenant's"

    def _is_shared(self, relations: Iterable[str]) -> bool:
        return all(name.removeprefix("public.") in self.shared for name in relations)

    def _rule_outside(self, statement: Statement, path: Path) -> str:
        """Return what is wrong with a statement between tasks: it must not be in any tenant."""
        self.report.outside += 1
        if statement.named & self.tenants and not statement.action.startswith("set"):
            return "it names a tenant's schema and belongs to no task"
        if not statement.is_control and path not in (PUBLIC, DEFAULT):
            return "it runs in a tenant's path and belongs to no task"
        return ""

    def _compare(self, session: Session, outcome: Outcome, text: str, line: int, *, is_nested: bool) -> None:
        """Hold the server's plan against the replay: the path it was made under, and the tables it touched."""
        said = _PLAN_PATH.findall(text)
        path = path_of(said[-1].replace("''", "'")) if said else DEFAULT
        owner = outcome.steps[-1].owner if outcome.steps else session.owner
        paths = {step.path for step in outcome.steps}
        # A cursor's plan appears when it is closed, and a trigger function may have a path of its own.
        is_elsewhere = "\nQuery Text: DECLARE " in text or (is_nested and path == ("pg_catalog",))
        if path not in paths and not is_elsewhere:
            self._note(session, outcome, "the server's plan tells of another path", owner, path, line, text)
            return
        allowed = {self.schemas.get(task.tenant, "") for task in outcome.tasks}
        for schema, relation in _relations_of(text):
            is_ours = schema in allowed if outcome.tasks else False
            is_platform = schema == "public" and (owner is None or relation in self.shared)
            if not (is_ours or is_platform or schema in CATALOGUES or schema.startswith("pg_temp")):
                rule = f"the server's plan touches {schema}.{relation}"
                self._note(session, outcome, rule, owner, path, line, text)
                return
        self.report.plans += 1

    def _note(
        self,
        session: Session,
        outcome: Outcome,
        rule: str,
        owner: Marker | None,
        path: Path,
        line: int = 0,
        text: str = "",
    ) -> None:
        whose = owner or session.last
        self.report.violations.append(
            Violation(
                rule,
                whose.tenant if whose else "",
                whose.job if whose else 0,
                path,
                session.name,
                line or outcome.line,
                text or outcome.text,
            )
        )


def _relations_of(plan: str) -> list[tuple[str, str]]:
    return [(schema.strip('"'), name.strip('"')) for schema, name in _PLAN_RELATION.findall(plan)]
