"""One session of the log, replayed: its transaction, its search path, and the task it serves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from benchmarks.faults.isolation_sql import DEFAULT, OPAQUE, Marker, Path, Statement, statements_of

FAILED_ALREADY = "25P02"
State = Literal["idle", "open", "failed"]
# What the process title says while a session waits for its next statement.
_TITLES: dict[str, State] = {
    "idle": "idle",
    "idle in transaction": "open",
    "idle in transaction (aborted)": "failed",
}


@dataclass(frozen=True, slots=True)
class Setting:
    """The search path as the server keeps it: the session's, and the transaction's own while one is open."""

    session: Path = DEFAULT
    local: Path | None = None

    @property
    def path(self) -> Path:
        return self.session if self.local is None else self.local


@dataclass(frozen=True, slots=True)
class Step:
    """A statement with the path it ran under and the task it belongs to."""

    statement: Statement
    path: Path
    owner: Marker | None


@dataclass(slots=True)
class Outcome:
    """A logged query string whose end is known. `tasks` are those its transaction has worked for."""

    text: str
    line: int
    steps: list[Step] = field(default_factory=list)
    plans: list[tuple[str, int, bool]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    tasks: set[Marker] = field(default_factory=set)
    is_unrun: bool = False


@dataclass(slots=True)
class Session:
    """What is known of a session; a query string is judged when the next one shows how it ended."""

    name: str
    setting: Setting = Setting()
    state: State = "idle"
    frames: list[tuple[str, Setting]] = field(default_factory=list)  # the transaction and its savepoints
    cursors: dict[str, Path] = field(default_factory=dict)
    owner: Marker | None = None
    last: Marker | None = None
    has_edges: bool = False
    tasks: set[Marker] = field(default_factory=set)
    plans: list[tuple[str, int, bool]] = field(default_factory=list)
    _pending: tuple[str, int, str] | None = None
    _error: str = ""

    def take(self, text: str, line: int, title: str) -> None:
        """Begin a query string; `settle` must have ended the one before."""
        self._pending = (text, line, title)
        self._error = ""

    def waits_for(self, text: str) -> bool:
        """Return whether an error of this statement is one of the query string at hand."""
        return self._pending is not None and (not text or text == self._pending[0])

    def fail(self, code: str) -> None:
        self._error = self._error or code

    def settle(self) -> Outcome | None:
        """Replay the query string at hand and return what came of it."""
        if self._pending is None:
            return None
        text, line, title = self._pending
        self._pending = None
        outcome = Outcome(text, line, plans=self.plans)
        self.plans = []
        if title in _TITLES and _TITLES[title] != self.state:
            outcome.problems.append(f"the server's transaction is {title!r}, the replay's {self.state!r}")
            self.state = _TITLES[title]
        if self.state == "idle":
            self.tasks = set()
        statements = statements_of(text) if text else ()
        before = (self.setting, self.state, list(self.frames))
        if self._error == FAILED_ALREADY:
            outcome.is_unrun = True
            outcome.steps = [Step(one, self.setting.path, self._whose(one)) for one in statements]
        else:
            self._run(statements, outcome)
            if self._error:
                self._undo(statements, before, outcome)
        outcome.tasks = set(self.tasks)
        return outcome

    def _run(self, statements: tuple[Statement, ...], outcome: Outcome) -> None:
        was_idle = self.state == "idle"
        for statement in statements:
            owner = self._whose(statement)
            if self.state == "failed" and not _ends(statement):
                outcome.problems.append("the server ran it in a transaction that had failed")
            path = (
                self.cursors.get(statement.name, OPAQUE) if statement.action == "fetch" else self.setting.path
            )
            outcome.steps.append(Step(statement, path, owner))
            self._apply(statement)
        if was_idle and self.state == "idle":  # a query string is a transaction of its own
            self.setting = Setting(self.setting.session)

    def _undo(
        self,
        statements: tuple[Statement, ...],
        before: tuple[Setting, State, list[tuple[str, Setting]]],
        outcome: Outcome,
    ) -> None:
        """Take back what an error took back."""
        setting, state, frames = before
        if len(statements) > 1 and any(_moves(statement) for statement in statements):
            outcome.problems.append("it failed half-way between transactions: nobody can say what remains")
        self.setting, self.state, self.frames = setting, state, frames
        if state == "idle":
            return
        if len(statements) == 1 and statements[0].action == "commit":  # a check that was deferred
            self._rollback()
        else:
            self.state = "failed"

    def _whose(self, statement: Statement) -> Marker | None:
        marker = statement.marker
        if marker is None:
            return self._noted(self.owner)
        task = Marker(marker.tenant, marker.job)
        if marker.edge == "begin":
            self.has_edges, self.owner = True, task
        elif marker.edge == "end":
            self.owner = None
            return self._noted(task)
        elif not self.has_edges:
            self.owner = task  # a side connection: it serves whoever spoke last
        return self._noted(self.owner or task)

    def _noted(self, owner: Marker | None) -> Marker | None:
        if owner is not None:
            self.last = owner
            self.tasks.add(owner)
        return owner

    def _apply(self, statement: Statement) -> None:
        match statement.action:
            case "set":
                self.setting = Setting(statement.value)
            case "set local":
                self.setting = Setting(self.setting.session, statement.value)
            case "query" | "declare":
                if statement.value:
                    self.setting = Setting(statement.value)
                if statement.action == "declare":
                    self.cursors[statement.name] = self.setting.path
            case _:
                self._move(statement)

    def _move(self, statement: Statement) -> None:
        match statement.action:
            case "begin":
                if self.state == "idle":
                    self.state, self.frames = "open", [("", self.setting)]
            case "commit" if self.state == "open":
                self.setting = Setting(self.setting.session)
                self._leave()
            case "commit" | "rollback":
                self._rollback()
            case "savepoint":
                self.frames.append((statement.name, self.setting))
            case "release":
                del self.frames[self._frame(statement.name) :]
            case "rollback to":
                at = self._frame(statement.name)
                del self.frames[at + 1 :]
                self.setting, self.state = (
                    self.frames[at][1] if at < len(self.frames) else self.setting,
                    "open",
                )

    def _frame(self, name: str) -> int:
        for at in range(len(self.frames) - 1, 0, -1):
            if self.frames[at][0] == name:
                return at
        return len(self.frames)

    def _rollback(self) -> None:
        if self.frames:
            self.setting = self.frames[0][1]
        self._leave()

    def _leave(self) -> None:
        self.state, self.frames = "idle", []


def _ends(statement: Statement) -> bool:
    return statement.action in ("commit", "rollback", "rollback to")


def _moves(statement: Statement) -> bool:
    return statement.action in ("begin", "commit", "rollback", "rollback to", "savepoint", "release")
